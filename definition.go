package store

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/luastore/store/value"
)

// DefaultTimeout bounds each operation on a store over a network, and each attempt to open a store, where the definition
// says nothing.
const DefaultTimeout = 5 * time.Second

// A Definition says what a store id stands for.
type Definition struct {
	// Open opens the connection. Required. Stores whose Open names the same connection share one driver.
	Open Opener
	// Prefix is put, with a colon, before every key, so that stores on one connection do not see each other's entries.
	// One segment: no colon, no control characters, at most 256 bytes. Default: none; such a store sees the whole
	// connection, the entries behind other stores' prefixes included.
	Prefix string
	// DefaultTTL is the time to live of entries written without one. Default: never, or MaxTTL where that is set.
	DefaultTTL time.Duration
	// MaxTTL is the longest time to live that is accepted; with one, no operation makes an entry that lives for ever.
	// Default: no maximum below 100 years.
	MaxTTL time.Duration
	// Timeout bounds each operation. Default: [DefaultTimeout] where operations cross a network (Info.Network), else none.
	Timeout time.Duration
	// OpenTimeout bounds each attempt to open the connection. Default: [DefaultTimeout].
	OpenTimeout time.Duration
	// ReadOnly refuses every write as [ErrDenied].
	ReadOnly bool
	// Limits of this store. Zero fields take those of [Options].
	Limits Limits
}

// Limits bound what one operation may carry. A zero field stands for its default.
type Limits struct {
	KeyBytes   int // length of a key, the prefix of its store included; default 1,024, and at most that
	ValueBytes int // length of the stored form of a value; default 1 MiB
	Depth      int // tables inside tables of a value; default 64
	Nodes      int // tables and elements of a value; default 100,000
	Batch      int // keys in a batch and in a page; default 1,000
	BatchBytes int // stored form of all values that one batch writes; default 64 MiB
}

// The limits that a zero [Limits] stands for.
const (
	DefaultKeyBytes   = 1024
	DefaultBatch      = 1000
	DefaultBatchBytes = 64 << 20
)

// maxPrefixBytes leaves three quarters of a key to its name.
const maxPrefixBytes = 256

// or returns l with its zero fields taken from m.
func (l Limits) or(m Limits) Limits {
	fill := func(field *int, from int) {
		if *field == 0 {
			*field = from
		}
	}
	fill(&l.KeyBytes, m.KeyBytes)
	fill(&l.ValueBytes, m.ValueBytes)
	fill(&l.Depth, m.Depth)
	fill(&l.Nodes, m.Nodes)
	fill(&l.Batch, m.Batch)
	fill(&l.BatchBytes, m.BatchBytes)
	return l
}

// WithDefaults returns l with its zero fields filled in.
func (l Limits) WithDefaults() Limits {
	v := value.Limits{}.WithDefaults()
	return l.or(Limits{
		KeyBytes: DefaultKeyBytes, ValueBytes: v.Bytes, Depth: v.Depth, Nodes: v.Nodes, Batch: DefaultBatch, BatchBytes: DefaultBatchBytes,
	})
}

// Value returns the limits on one value.
func (l Limits) Value() value.Limits {
	return value.Limits{Depth: l.Depth, Nodes: l.Nodes, Bytes: l.ValueBytes}
}

// check reports the first field that is out of range.
func (l Limits) check() error {
	for _, f := range []struct {
		name string
		v    int
		most int
	}{
		{"KeyBytes", l.KeyBytes, DefaultKeyBytes},
		{"ValueBytes", l.ValueBytes, 1 << 30},
		{"Depth", l.Depth, 1000},
		{"Nodes", l.Nodes, 1 << 30},
		{"Batch", l.Batch, 100_000},
		{"BatchBytes", l.BatchBytes, 1 << 30},
	} {
		if f.v < 0 || f.v > f.most {
			return Errorf(ErrInvalid, "invalid limit %s %d: want 1 to %d, or 0 for the default", f.name, f.v, f.most)
		}
	}
	return nil
}

// complete checks d and fills in its defaults.
func (d Definition) complete(limits Limits) (Definition, error) {
	if d.Open.Open == nil {
		return d, Errorf(ErrInvalid, "no Open: a definition needs the opener of a driver")
	}
	if c := d.Open.Connection; c != nil && !hasIdentity(reflect.ValueOf(c)) {
		return d, Errorf(ErrInvalid, "invalid Open: its Connection is a %T, which cannot be compared", c)
	}
	if err := checkPrefix(d.Prefix); err != nil {
		return d, err
	}
	if err := d.checkTimes(); err != nil {
		return d, err
	}
	if err := d.Limits.check(); err != nil {
		return d, err
	}
	if d.MaxTTL > 0 && d.DefaultTTL == 0 {
		d.DefaultTTL = d.MaxTTL
	}
	if d.OpenTimeout == 0 {
		d.OpenTimeout = DefaultTimeout
	}
	d.Limits = d.Limits.or(limits)
	if n := len(d.Prefix) + len(":n:n"); d.Prefix != "" && n > d.Limits.KeyBytes {
		return d, Errorf(ErrInvalid, "invalid Prefix: no key fits behind it within %d bytes", d.Limits.KeyBytes)
	}
	return d, nil
}

// hasIdentity reports whether a value can be found again among others: its type may allow comparison and what an interface
// inside holds may not, and NaN is not equal to itself.
func hasIdentity(v reflect.Value) bool { return v.Comparable() && v.Equal(v) }

// checkPrefix reports a prefix that could reach into another.
func checkPrefix(prefix string) error {
	if len(prefix) > maxPrefixBytes {
		return Errorf(ErrInvalid, "invalid prefix: %d bytes, at most %d", len(prefix), maxPrefixBytes)
	}
	if strings.Contains(prefix, ":") {
		return Errorf(ErrInvalid, "invalid prefix %q: want one segment without a colon", prefix)
	}
	return checkText("prefix", prefix)
}

// checkTimes reports a duration that makes no sense.
func (d *Definition) checkTimes() error {
	for _, f := range []struct {
		name string
		v    time.Duration
	}{{"DefaultTTL", d.DefaultTTL}, {"MaxTTL", d.MaxTTL}, {"Timeout", d.Timeout}, {"OpenTimeout", d.OpenTimeout}} {
		if f.v < 0 || f.v > MaxTTL {
			return Errorf(ErrInvalid, "invalid %s %v: want 0 to 100 years", f.name, f.v)
		}
	}
	if d.MaxTTL > 0 && d.DefaultTTL > d.MaxTTL {
		return Errorf(ErrInvalid, "invalid DefaultTTL %v: longer than MaxTTL %v", d.DefaultTTL, d.MaxTTL)
	}
	if d.DefaultTTL > 0 && d.DefaultTTL < MinTTL || d.MaxTTL > 0 && d.MaxTTL < MinTTL {
		return Errorf(ErrInvalid, "invalid DefaultTTL or MaxTTL: at least %v", MinTTL)
	}
	return nil
}

// String names the definition in logs, without what its Connection may hold.
func (d Definition) String() string {
	return fmt.Sprintf("prefix %q, default ttl %v, max ttl %v, read-only %v", d.Prefix, d.DefaultTTL, d.MaxTTL, d.ReadOnly)
}
