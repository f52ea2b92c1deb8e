// Package memstore keeps a store in the memory of this process: the fastest driver, which needs no set-up and forgets
// everything when the process ends.
//
//	reg.Define("cache_store", store.Definition{Open: memstore.Opener(nil)})
//
// # How it is built
//
// Keys are hashed onto shards, each with one lock and a map from hash to entry. A few ordered indexes hold the keys of some
// shards each. Reading and overwriting touch the map alone; a new key, and one that goes, also the index of its shard: no
// lock is shared by all shards of an unbounded store. A page of a listing merges the indexes.
//
// Expiry is exact: an entry is gone at the nanosecond it expires, whether its memory has been reclaimed or not. The clock is
// monotonic, so that setting the machine's clock changes nothing, and is read only for entries that expire. Expired
// entries are reclaimed in small steps: by a timer, which is set only while there is an entry that expires; by each write of
// an entry that expires, so that garbage cannot outgrow the sweeper; and by each write that finds the store full.
//
// # Bounds
//
// A store with [Options].MaxEntries or MaxBytes never holds more, not for a moment. When it is full and nothing in it has
// expired, a write that needs room is refused with [store.ErrFull] or, with [Evict], removes entries that were not used
// lately: second chance, a cheap approximation of least recently used. A read sets one bit, and only in a store that
// evicts. The search begins in the shard of the new key and looks at 16 entries
// in each; where all were used since the last look, the next in line goes anyway.
//
// # Caveats
//
//   - The default is unbounded: a store that only grows ends when the operating system ends the process. Give stores that
//     untrusted scripts write to a bound.
//   - Bytes are those of keys and values. Each entry takes some 100 bytes of memory beyond (97 measured with ten million), one that
//     expires or can be evicted some 40 more.
//   - A value belongs to the store once it was passed to Set: it is kept without copying and given to every reader without copying. Neither
//     the writer nor a reader may modify it. Keys are copied, twice: into the map and, shortened by what
//     they share with their neighbours, into the index.
//   - An evicting store may evict any entry at any time, counters and sessions too. Keep what must not vanish in one that refuses.
//   - Memory that an expired or deleted entry took is free for new entries of this store at once, for the rest of the process
//     once its shard is empty.
package memstore

import (
	"context"
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"

	"github.com/luastore/store"
)

// A Driver is one store in memory. It implements [store.Driver], [store.Batcher] and [store.Counter].
type Driver struct {
	shards  []shard // a power of two of them
	indexes []index // at most as many, each of the keys of some shards
	seed    maphash.Seed
	closed  atomic.Bool
	room    *room // nil: unbounded
	evicts  bool
	sweeper sweeper
}

var (
	_ store.Driver  = (*Driver)(nil)
	_ store.Batcher = (*Driver)(nil)
	_ store.Counter = (*Driver)(nil)
)

// Opener returns an opener of a new, empty store with the options o, of which nil means the defaults: unbounded. Definitions of one
// registry that share one Opener value share one store; each call of Opener makes another store. Bad options are reported by Open.
func Opener(o *Options) store.Opener {
	connection := new(Options)
	if o != nil {
		*connection = *o
	}
	return store.Opener{
		Connection: connection,
		Open: func(ctx context.Context) (store.Driver, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			d, err := Open(connection)
			if err != nil {
				return nil, err
			}
			return d, nil
		},
	}
}

// Open returns a new, empty store; nil options mean the defaults. The caller must close it.
func Open(o *Options) (*Driver, error) {
	if o == nil {
		o = new(Options)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	d := &Driver{
		shards:  make([]shard, o.shards()),
		indexes: make([]index, min(o.shards(), maxIndexes)),
		seed:    maphash.MakeSeed(),
		evicts:  o.OnFull == Evict,
	}
	if o.MaxEntries > 0 || o.MaxBytes > 0 {
		d.room = &room{maxEntries: o.MaxEntries, maxBytes: o.MaxBytes}
	}
	d.sweeper.init(d, clock{time.Now()})
	for i := range d.indexes {
		d.indexes[i].init()
	}
	for i := range d.shards {
		d.shards[i].init(d, &d.indexes[i%len(d.indexes)])
	}
	return d, nil
}

// Info implements [store.Driver].
func (d *Driver) Info() store.Info {
	info := store.Info{
		Driver:        "memory",
		Durability:    "none: entries are lost when the process ends",
		Consistency:   "linearizable for each key",
		Clock:         "monotonic clock of this process",
		TTLResolution: 1,
		Ordered:       true,
		MaxValueBytes: math.MaxInt32,
	}
	if d.evicts {
		info.Durability += ", or evicted when the store is full"
	}
	if d.room != nil {
		info.MaxEntries, info.MaxBytes = d.room.maxEntries, d.room.maxBytes
	}
	return info
}

// Close implements [store.Driver]. It waits for the sweeper and frees all entries.
func (d *Driver) Close() error {
	d.closed.Store(true)
	d.sweeper.close()
	for i := range d.shards {
		d.shards[i].close()
	}
	for i := range d.indexes {
		d.indexes[i].clear()
	}
	return nil
}

// enter reports why a call may not begin, if so.
func (d *Driver) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.closed.Load() {
		return store.ErrUnavailable
	}
	return nil
}

// miss is the answer to a read that found nothing: a shard that was closed meanwhile looks empty.
func (d *Driver) miss() error {
	if d.closed.Load() {
		return store.ErrUnavailable
	}
	return store.ErrNotFound
}

// hash returns the hash under which a shard keeps key.
func (d *Driver) hash(key string) uint64 { return maphash.String(d.seed, key) }

// place returns where in shards the keys are that have the hash h.
func (d *Driver) place(h uint64) uint64 { return h & uint64(len(d.shards)-1) }

// shardOf returns the shard of the keys that have the hash h.
func (d *Driver) shardOf(h uint64) *shard { return &d.shards[d.place(h)] }

// A clock tells the time since its base in nanoseconds; wall clock jumps do not move it.
type clock struct{ base time.Time }

func (c clock) now() int64 { return int64(time.Since(c.base)) }
