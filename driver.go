package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Special values of a ttl parameter. Zero means that the entry never expires.
const (
	// KeepTTL keeps the present expiry of the entry. On an absent entry a driver takes it as never; a [Handle] as the
	// default of its store.
	KeepTTL time.Duration = -1
	// DefaultTTL means the default of the store. Only a [Handle] takes it: a [Driver] never sees it.
	DefaultTTL time.Duration = -2
)

// MaxTTL is the longest time to live that a store accepts: 100 years of 365 days.
const MaxTTL = 100 * 365 * 24 * time.Hour

// MinTTL is the shortest time to live that reaches a driver; a [Handle] rounds shorter ones up to it.
const MinTTL = time.Millisecond

// A Driver is a flat space of byte values under string keys, with expiry: one open connection to one backend.
// It knows nothing of Lua, of store ids or of units of work; [Handle] does those once for all drivers.
//
// What every method MUST keep:
//
//   - It is safe for concurrent use, honours ctx (one that has ended before the call answers its error and changes
//     nothing), and sees the completed writes of this driver.
//   - A value never changes once it crosses this interface, in either direction: a caller does not modify what it passed,
//     a driver may retain it, and a caller does not modify what it got.
//   - An expired entry is indistinguishable from an absent one.
//   - Keys arrive valid ([CheckKey], perhaps behind a prefix); a driver escapes what its backend cannot take.
//   - A ttl is 0 for never, [KeepTTL], or at least [MinTTL], rounded up to the resolution of the driver.
//   - A write that may or may not have been applied answers [ErrUnknownOutcome]; a write that answers any other error is
//     never applied later. A write is sent again only when the server said that it did not apply it.
//   - Errors wrap a sentinel of this package where one fits, and hold no secret.
//   - Close may run beside calls in flight and makes them return; a call after Close answers [ErrUnavailable].
type Driver interface {
	// Get returns the value of key, or [ErrNotFound].
	Get(ctx context.Context, key string) ([]byte, error)
	// Entry returns the value of key and the time it has left (0: it never expires), as of one moment, or [ErrNotFound].
	Entry(ctx context.Context, key string) (value []byte, ttl time.Duration, err error)
	// TTL returns the time that key has left, or [ErrNotFound]. 0 means never: an entry that expires answers at least 1 ms.
	TTL(ctx context.Context, key string) (time.Duration, error)
	// Has reports whether key exists.
	Has(ctx context.Context, key string) (bool, error)
	// Set writes value and expiry together.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Delete removes key and reports whether it existed.
	Delete(ctx context.Context, key string) (existed bool, err error)
	// Touch sets the expiry of key and reports whether the key exists. With [KeepTTL] it changes nothing.
	Touch(ctx context.Context, key string, ttl time.Duration) (existed bool, err error)
	// CompareAndSwap writes new if the stored bytes equal old, in one atomic step. A nil old means only if key is absent, a
	// nil new deletes; both nil reports whether key is absent. With [KeepTTL] a swapped entry keeps its expiry.
	CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (swapped bool, err error)
	// List returns a page of about limit live keys that begin with prefix, after cursor: "" at first, then Page.Next. The
	// cursor is opaque and untrusted: a forged one answers [ErrInvalid] or another position under prefix. A page may be
	// empty before the end, or exceed limit where the backend decides. A key alive throughout is returned at least once;
	// exactly once and in byte order where Info says Ordered.
	List(ctx context.Context, prefix, cursor string, limit int) (Page, error)
	// Info tells what this driver guarantees. It does not change while the driver is open and takes no round trip.
	Info() Info
	// Close releases everything that the driver holds. It is idempotent.
	Close() error
}

// A Batcher is a [Driver] that does many keys in fewer round trips. The keys of one call are distinct. Batches are not
// atomic across keys; where only some keys failed the error is a [*BatchError] that names them, and the rest is done.
type Batcher interface {
	// GetMany returns one value for each key, in order, nil where the key does not exist, or failed.
	GetMany(ctx context.Context, keys []string) (values [][]byte, err error)
	// SetMany writes each entry with the same ttl, which is never [KeepTTL].
	SetMany(ctx context.Context, entries []Item, ttl time.Duration) error
	// DeleteMany removes keys and returns how many of them existed.
	DeleteMany(ctx context.Context, keys []string) (deleted int, err error)
}

// A Counter is a [Driver] that adds to a stored number in one atomic step.
type Counter interface {
	// Incr adds delta to the number stored under key and returns the sum, stored in the canonical form of package value.
	// An absent key counts as initial and is created with ttl, which is never [KeepTTL]; an existing one keeps its expiry.
	// A value that is no number answers [ErrNotNumber], a sum beyond ±2^53, one that rounding brings back to there, or not
	// finite [ErrOutOfRange]; both leave the entry untouched. Delta and initial are finite. A sum of -0 is stored as 0.
	Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error)
}

// An Item is one key and its stored value.
type Item struct {
	Key   string
	Value []byte
}

// A Page is part of a listing.
type Page struct {
	Keys []string
	Next string // the cursor of the next page; "" at the end
}

// Info states what a driver guarantees. The conformance suite in package storetest tests what it states.
type Info struct {
	Driver        string        // name of the driver: "memory", "redis", "pebble"
	Durability    string        // what survives the end of the process, and the loss of power
	Consistency   string        // what concurrent units see of each other's writes
	Clock         string        // whose clock decides on expiry, with its error where there is one
	TTLResolution time.Duration // a ttl is rounded up to a multiple of it
	Shared        bool          // other processes may use the same entries
	Ordered       bool          // List returns keys in byte order, each exactly once
	Network       bool          // calls cross a network: a Handle always sets a timeout
	MaxEntries    int64         // entries that fit; 0: bounded by memory or disk only
	MaxBytes      int64         // bytes of keys and values that fit; 0: bounded by memory or disk only
	MaxKeyBytes   int           // longest key, prefix included; 0: no limit below that of the store
	MaxValueBytes int           // longest value; 0: no limit below that of the store
}

// An Opener knows how to open one connection.
type Opener struct {
	// Connection identifies what Open connects to, for [Registry] to share one open driver among the stores whose
	// Connection is equal (==). It must be comparable; nil shares with nobody. It may hold secrets and is never printed.
	Connection any
	// Open opens the driver. It must return soon after ctx ends, which does not end the driver it returned: until it
	// returns, nobody else tries to open that connection.
	Open func(ctx context.Context) (Driver, error)
}

// String keeps what Connection may hold out of logs.
func (o Opener) String() string { return "opener of a driver" }

// A BatchError names the keys of a batch that failed, and why.
type BatchError struct {
	Errs map[string]error // by key; at least one
}

// Error names up to three of the keys that failed, in byte order, with the reason that Unwrap returns.
func (e *BatchError) Error() string {
	keys := e.Keys()
	shown := keys[:min(3, len(keys))]
	quoted := make([]string, len(shown))
	for i, k := range shown {
		quoted[i] = fmt.Sprintf("%q", k)
	}
	more := ""
	if n := len(keys) - len(shown); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	what := "keys"
	if len(keys) == 1 {
		what = "key"
	}
	return fmt.Sprintf("%d %s failed: %s%s: %v", len(keys), what, strings.Join(quoted, ", "), more, e.Unwrap())
}

// Keys returns the keys that failed, in byte order.
func (e *BatchError) Keys() []string {
	keys := make([]string, 0, len(e.Errs))
	for k := range e.Errs {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Unwrap returns the error that says most about the batch: an unknown outcome if there is one, else that of the first key in
// byte order.
func (e *BatchError) Unwrap() error {
	keys := e.Keys()
	for _, k := range keys {
		if err := e.Errs[k]; errors.Is(err, ErrUnknownOutcome) {
			return err
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return e.Errs[keys[0]]
}
