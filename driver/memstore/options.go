package memstore

import (
	"math/bits"
	"net/url"
	"strconv"
	"strings"

	"github.com/luastore/store"
)

// OnFull says what becomes of a write that finds no room.
type OnFull string

// What a full store does.
const (
	Refuse OnFull = "refuse" // the write answers store.ErrFull and changes nothing
	Evict  OnFull = "evict"  // entries that were not used lately make room
)

// Options configure a store in memory. The zero value, like nil, is an unbounded one.
type Options struct {
	// MaxEntries is how many entries fit. Default 0: as many as memory holds.
	MaxEntries int64
	// MaxBytes is how many bytes of keys and values fit; the memory that the store takes to manage them is not counted (see
	// the package's Caveats). An entry larger than MaxBytes answers [store.ErrFull] whatever OnFull says. Default 0: as many
	// as memory holds.
	MaxBytes int64
	// OnFull says what becomes of a write that finds no room. Default "": [Refuse]. [Evict] needs one of the bounds above.
	OnFull OnFull
}

// ParseURL returns the options that a URL such as "mem:?max_entries=1000&max_bytes=64MiB&on_full=evict" stands for. Each
// parameter may be left out. Sizes are whole numbers of bytes or end in KiB, MiB or GiB. Anything else in the URL is an error.
func ParseURL(raw string) (*Options, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "mem" {
		return nil, store.Errorf(store.ErrInvalid, `not a memory URL: want "mem:" or "mem:?max_entries=1000"`)
	}
	if u.Host != "" || u.Path != "" || u.Opaque != "" || u.User != nil || u.Fragment != "" {
		return nil, store.Errorf(store.ErrInvalid, `a memory URL has no host, path or fragment: want "mem:" or "mem:?max_entries=1000"`)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, store.Errorf(store.ErrInvalid, `bad parameters in a memory URL: want "mem:?name=value&name=value"`)
	}
	o := new(Options)
	for name, values := range query {
		if err := o.set(name, values); err != nil {
			return nil, err
		}
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return o, nil
}

// set takes one parameter of a URL.
func (o *Options) set(name string, values []string) (err error) {
	if len(values) > 1 {
		return store.Errorf(store.ErrInvalid, "%q is given %d times: want it once", name, len(values))
	}
	switch name {
	case "max_entries":
		o.MaxEntries, err = parseCount(name, values[0])
	case "max_bytes":
		o.MaxBytes, err = parseSize(name, values[0])
	case "on_full":
		o.OnFull = OnFull(values[0])
		if o.OnFull != Refuse && o.OnFull != Evict {
			err = store.Errorf(store.ErrInvalid, `bad on_full %q: want "refuse" or "evict"`, values[0])
		}
	default:
		err = store.Errorf(store.ErrInvalid, "unknown parameter %q: want max_entries, max_bytes or on_full", name)
	}
	return err
}

func parseCount(name, text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 {
		return 0, store.Errorf(store.ErrInvalid, "bad %s %q: want a whole number of at least 1; leave it out for no bound", name, text)
	}
	return int64(n), nil
}

func parseSize(name, text string) (int64, error) {
	digits, shift := text, 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if cut, ok := strings.CutSuffix(text, unit); ok {
			digits, shift = cut, 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n == 0 || bits.Len64(n)+shift > 63 {
		return 0, store.Errorf(store.ErrInvalid, `bad %s %q: want bytes such as "1048576", "64MiB" or "1GiB"; leave it out for no bound`, name, text)
	}
	return int64(n) << shift, nil
}

// check reports options that mean nothing.
func (o *Options) check() error {
	switch {
	case o.MaxEntries < 0:
		return store.Errorf(store.ErrInvalid, "max_entries is %d: want at least 1, or 0 for no bound", o.MaxEntries)
	case o.MaxBytes < 0:
		return store.Errorf(store.ErrInvalid, "max_bytes is %d: want at least 1, or 0 for no bound", o.MaxBytes)
	case o.OnFull != "" && o.OnFull != Refuse && o.OnFull != Evict:
		return store.Errorf(store.ErrInvalid, `on_full is %q: want "refuse" or "evict"`, o.OnFull)
	case o.OnFull == Evict && o.MaxEntries == 0 && o.MaxBytes == 0:
		return store.Errorf(store.ErrInvalid, "on_full=evict without a bound evicts nothing: want max_entries or max_bytes too")
	}
	return nil
}

// maxShards is a balance: more shards let more threads write at once, and take more memory when empty. A walk keeps them in the
// bits of a word.
const maxShards = 32

// shards returns the number of shards, a power of two. A small bounded store gets fewer, because its least recently used entries
// can only be found if a shard has enough of them to choose from.
func (o *Options) shards() int {
	n := int64(maxShards)
	if o.MaxEntries > 0 {
		n = min(n, o.MaxEntries/64)
	}
	if o.MaxBytes > 0 {
		n = min(n, o.MaxBytes>>16)
	}
	return 1 << (bits.Len64(uint64(max(n, 1))) - 1)
}
