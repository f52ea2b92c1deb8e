// Package near keeps values that were read from a server in the memory of this process, for as long as the server says what changes.
//
// The cache knows no server. Whoever reads one tells it three things: that a read begins ([Cache.Begin], before anything is sent), what came
// of it ([Ticket.Keep]), and that a key changed ([Cache.Evict]) or that it will not be told of changes any more ([Source.Lose]). In turn it
// promises that [Cache.Get] answers nothing that a call of Evict or Lose which has returned says is old, in whatever order the three meet:
// a value is kept only if nothing was evicted under its key since its read began.
package near

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// MinBytes is the least that a cache is bounded by.
	MinBytes = 1 << 20
	// overhead is what an entry takes beside the bytes of its key and value: itself, its places in map and ring, and what the
	// allocator rounds up.
	overhead = 160
	// shardBytes is the least that each shard has: an entry takes a quarter of one at most.
	shardBytes = 4 << 20
	maxShards  = 64
	// stripes is how many counters of evictions a shard has. Keys that share one only make each other's reads go unkept.
	stripes = 256
	// early is how much before its time a value goes: servers round the time that an entry has left up to a whole millisecond.
	early = time.Millisecond
	// sweepAtOnce is how many entries are looked at for a source that was lost before a lock is given up for a moment.
	sweepAtOnce = 1024
	// passedAtOnce is how many entries in use are passed by for one that is to go, before one of them goes.
	passedAtOnce = 1024
)

// A Cache is a bounded set of values by key. Its methods are safe for concurrent use; a reader waits for no other reader.
type Cache struct {
	seed    maphash.Seed
	start   time.Time
	shards  []shard
	largest int64 // entry
}

// A Source is where values come from, such as one connection, until it is lost. The zero Source can be used.
type Source struct{ lost atomic.Bool }

// Lose says that nothing tells of changes any more to what came from the source. When it returns nothing of it is answered, and what its
// reads find is not kept. The room that it takes is given back by [Cache.Sweep].
func (s *Source) Lose() { s.lost.Store(true) }

// Lost reports whether Lose was called.
func (s *Source) Lost() bool { return s.lost.Load() }

// New returns an empty cache of at most so many bytes, overhead included; fewer than [MinBytes] count as these.
func New(most int64) *Cache {
	most = max(most, MinBytes)
	n := 1 << (bits.Len64(uint64(min(max(most/shardBytes, 1), maxShards))) - 1)
	c := &Cache{seed: maphash.MakeSeed(), start: time.Now(), shards: make([]shard, n)}
	for i := range c.shards {
		c.shards[i].init(most / int64(n))
	}
	c.largest = min(most/4, shardBytes/4)
	return c
}

// now is the time on a clock that only goes forward.
func (c *Cache) now() time.Duration { return time.Since(c.start) }

// shard returns the shard of a key, and its hash.
func (c *Cache) shard(key string) (*shard, uint64) {
	h := maphash.String(c.seed, key)
	return &c.shards[h&uint64(len(c.shards)-1)], h
}

// Get returns the value that is kept under key. It must not be modified; its capacity is its length.
func (c *Cache) Get(key string) (value []byte, ok bool) {
	s, h := c.shard(key)
	s.mu.RLock()
	e := s.entries[h]
	s.mu.RUnlock()
	if e == nil || e.key != key || e.from.Lost() || e.until != never && c.now() >= e.until {
		return nil, false
	}
	if !e.used.Load() { // not written again: readers of a popular entry would pass its cache line around
		e.used.Store(true)
	}
	return e.value, true
}

// A Ticket stands for a read that has begun.
type Ticket struct {
	cache *Cache
	from  *Source
	key   string
	count uint64 // of evictions when it began
	begun time.Duration
}

// Begin begins a read of key from a source. It must be called before the server is asked.
func (c *Cache) Begin(key string, from *Source) Ticket {
	s, h := c.shard(key)
	return Ticket{cache: c, from: from, key: key, count: s.evictions(h).Load(), begun: c.now()}
}

// Keep keeps what the read found, with the time that the server said it has left, 0 for all of it. It reports whether it did: it does not
// where the key was evicted since, the source lost, the time is over or the value too large. The value must not be modified afterwards.
func (t Ticket) Keep(value []byte, left time.Duration) bool {
	c := t.cache
	e := &entry{key: t.key, value: value[:len(value):len(value)], from: t.from, until: never}
	if left > 0 {
		e.until = t.begun + left - early
	}
	if e.bytes() > c.largest || e.until <= c.now() {
		return false
	}
	e.key = strings.Clone(t.key) // which may be a piece of something large
	s, h := c.shard(t.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.evictions(h).Load() != t.count || t.from.Lost() {
		return false
	}
	s.put(h, e)
	return true
}

// Evict removes key. What reads of it that have begun will find is not kept.
func (c *Cache) Evict(key string) {
	s, h := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evictions(h).Add(1)
	if e := s.entries[h]; e != nil && e.key == key {
		s.remove(e)
	}
}

// Sweep removes all that came from a source that was lost. It looks at every entry, some millions a second, while others go on.
func (c *Cache) Sweep(from *Source) {
	for i := range c.shards {
		s := &c.shards[i]
		for left := s.len(); left > 0; {
			left = s.sweep(from, left)
		}
	}
}

// An entry does not change, but for its second chance and its place.
type entry struct {
	key   string
	value []byte
	from  *Source
	until time.Duration // on the clock of the cache
	used  atomic.Bool   // since the hand passed it
	place int           // in the ring
	hash  uint64
}

const never = time.Duration(1<<63 - 1)

func (e *entry) bytes() int64 { return int64(len(e.key)) + int64(len(e.value)) + overhead }
