package memstore

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/luastore/store"
)

// An item is one entry in 32 bytes, so that a map from hash to item takes no more than one from string to slice.
type item struct {
	key   string
	data  *byte  // the value that was passed to Set
	size  uint32 // its length
	track uint32 // 1 + position of the track in the tracker; 0: the entry neither expires nor can be evicted
}

func newItem(key string, value []byte) item {
	if value == nil {
		value = []byte{} // nil would mean absent to whoever gets it
	}
	return item{key: key, data: unsafe.SliceData(value), size: uint32(len(value))}
}

// value returns the value. Its capacity is its length, so that a reader's append copies.
func (it *item) value() []byte { return unsafe.Slice(it.data, it.size) }

func (it *item) bytes() int64 { return int64(len(it.key)) + int64(it.size) }

// A shard is a part of the keys. All its parts change together under mu, so that map, index, tracker and room always agree.
//
// The map is keyed by hash because assigning to a key of a map[string] replaces the stored string by the caller's: every
// overwrite would leave a second copy of the key beside that of the index, or pin the large string that it is a piece of.
type shard struct {
	mu     sync.RWMutex
	items  map[uint64]item // nil after close
	others map[string]item // keys whose hash another key of items has; nil until, once in the age of the universe, there is one
	tracks tracker
	peak   int // most entries since the maps were made
	index  *index

	expires atomic.Bool // some tracks are in the schedule; read without mu

	clock   clock
	room    *room
	evicts  bool
	sweeper *sweeper

	_ [24]byte // makes it three cache lines long: what a get reads stands on the first
}

func (s *shard) init(d *Driver, i *index) {
	s.items = make(map[uint64]item)
	s.index, s.clock, s.room, s.evicts, s.sweeper = i, d.sweeper.clock, d.room, d.evicts, &d.sweeper
}

func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items, s.others, s.tracks = nil, nil, tracker{}
	s.noteExpiry()
}

// find returns the item of key, expired or not.
func (s *shard) find(h uint64, key string) (item, bool) {
	it, ok := s.items[h]
	if ok && it.key == key {
		return it, true
	}
	if s.others == nil {
		return item{}, false
	}
	it, ok = s.others[key]
	return it, ok
}

// live returns the item of key unless it has expired, and the zero item otherwise.
func (s *shard) live(h uint64, key string) (item, bool) {
	it, ok := s.find(h, key)
	if !ok || it.track != 0 && s.tracks.at(it.track-1).expired(s.clock) {
		return item{}, false
	}
	return it, true
}

// read is live for a call that uses the value, which eviction takes into account. A read lock is enough.
func (s *shard) read(h uint64, key string) (item, bool) {
	it, ok := s.live(h, key)
	if s.evicts && ok {
		s.use(it)
	}
	return it, ok
}

// use gives an entry its second chance. The bit is written only when it changes, so that readers of a popular entry do not pass
// its cache line around.
func (s *shard) use(it item) {
	if used := &s.tracks.at(it.track - 1).used; atomic.LoadUint32(used) == 0 {
		atomic.StoreUint32(used, 1)
	}
}

// insert stores the item of a key that the shard does not have.
func (s *shard) insert(h uint64, it item) {
	if _, taken := s.items[h]; !taken {
		s.items[h] = it
		return
	}
	if s.others == nil {
		s.others = make(map[string]item)
	}
	s.others[it.key] = it
}

// update stores the item of a key that the shard has.
func (s *shard) update(h uint64, it item) {
	if s.others != nil {
		if _, ok := s.others[it.key]; ok {
			s.others[it.key] = it
			return
		}
	}
	s.items[h] = it
}

// put writes an entry that expires at deadline, 0 for never, or returns why there is no room. It changes nothing then.
func (s *shard) put(h uint64, key string, value []byte, deadline int64) error {
	old, found := s.find(h, key)
	if !found {
		return s.create(h, newItem(strings.Clone(key), value), deadline)
	}
	it := newItem(old.key, value)
	it.track = old.track
	if err := s.room.take(0, it.bytes()-old.bytes(), it.bytes()); err != nil {
		return err
	}
	if s.evicts {
		s.use(it)
	}
	if it.track != 0 || deadline != 0 {
		it = s.expire(h, it, deadline)
	}
	s.update(h, it)
	return nil
}

// overwrite replaces the value of an entry that exists and never expires by one that never expires either, in an unbounded store: what
// scripts write most, for which nothing but the map changes. It reports whether it did.
func (s *shard) overwrite(h uint64, key string, value []byte) bool {
	s.mu.Lock()
	it, ok := s.items[h]
	if ok = ok && it.track == 0 && it.key == key; ok {
		s.items[h] = newItem(it.key, value)
	}
	s.mu.Unlock()
	return ok
}

func (s *shard) create(h uint64, it item, deadline int64) error {
	if err := s.room.take(1, it.bytes(), it.bytes()); err != nil {
		return err
	}
	s.index.add(it.key)
	s.insert(h, s.expire(h, it, deadline))
	s.peak = max(s.peak, len(s.items))
	return nil
}

// expire sets the expiry of an entry, 0 for never, and returns its item, which is to be saved.
func (s *shard) expire(h uint64, it item, deadline int64) item {
	switch {
	case deadline != 0 || s.evicts:
		if it.track == 0 {
			s.tracks.add(track{hash: h})
			it.track = uint32(s.tracks.len())
		}
		s.tracks.schedule(it.track-1, deadline)
		s.noteExpiry()
	case it.track != 0:
		s.untrack(it.track - 1)
		it.track = 0
	}
	return it
}

// noteExpiry keeps expires up to date. Listings read it before they take mu, which they do only for shards where some keys expire.
func (s *shard) noteExpiry() {
	if some := s.tracks.earliest() != never; some != s.expires.Load() {
		s.expires.Store(some)
	}
}

// untrack removes a track, whose place another one takes.
func (s *shard) untrack(i uint32) {
	from := uint32(s.tracks.len()) // where the one that takes its place is, and what its item says
	if moved, ok := s.tracks.remove(i); ok {
		it := s.tracked(moved.hash, from)
		it.track = i + 1
		s.update(moved.hash, it)
	}
	s.noteExpiry()
}

// drop removes an entry.
func (s *shard) drop(h uint64, it item) {
	if at, ok := s.items[h]; ok && at.key == it.key {
		delete(s.items, h)
	} else {
		delete(s.others, it.key)
	}
	s.index.remove(it.key)
	if it.track != 0 {
		s.untrack(it.track - 1)
	}
	s.room.give(it.bytes())
	if len(s.items) == 0 && len(s.others) == 0 && s.peak > 1024 {
		s.items, s.peak = make(map[uint64]item), 0 // a map never shrinks
	}
}

// deadline returns when an entry expires, 0 for never.
func (s *shard) deadline(it item) int64 {
	if it.track == 0 {
		return 0
	}
	return s.tracks.at(it.track - 1).deadline
}

// left returns the time that a live entry has, at least 1 ms, or 0 if it never expires.
func (s *shard) left(it item) time.Duration {
	deadline := s.deadline(it)
	if deadline == 0 {
		return 0
	}
	return max(time.Duration(deadline-s.clock.now()), store.MinTTL)
}

// until returns the deadline that a ttl means to a write that begins now; keep and never as they are. It reclaims a little
// of what has expired, which may move tracks: items must be looked up after it.
func (s *shard) until(ttl time.Duration) int64 {
	if ttl <= 0 {
		return int64(ttl)
	}
	now := s.clock.now()
	s.reclaim(now, 2)
	if int64(ttl) > math.MaxInt64-now {
		return math.MaxInt64
	}
	s.sweeper.wakeBy(max(now+int64(ttl), now+int64(sweepGap)))
	return now + int64(ttl)
}

// reclaim removes up to n entries that have expired and returns how many, and whether it left any. Beside each removal, it may
// put right one place of the schedule, so that it holds the lock for a bounded time.
func (s *shard) reclaim(now int64, n int) (freed int, more bool) {
	for ; n > 0; n-- {
		i, expired, ok := s.tracks.next(now)
		if !ok {
			return freed, false
		}
		if expired {
			s.dropTrack(i)
			freed++
		}
	}
	return freed, true
}

// sweep reclaims up to [sweepChunk] entries and returns how many, the earliest time left in the schedule, and whether that has
// come. It reads the clock only if something may expire.
func (s *shard) sweep() (freed int, next int64, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tracks.earliest() != never {
		freed, more = s.reclaim(s.clock.now(), sweepChunk)
	}
	return freed, s.tracks.earliest(), more
}

// sweepStep sweeps a few chunks, and answers as sweep does.
func (s *shard) sweepStep() (next int64, more bool) {
	for range sweepChunks {
		if _, next, more = s.sweep(); !more {
			break
		}
	}
	return next, more
}

// sweepAny sweeps until it has removed something or nothing is left that has expired.
func (s *shard) sweepAny() bool {
	for {
		freed, _, more := s.sweep()
		if freed > 0 || !more {
			return freed > 0
		}
	}
}

// evictUnused removes the next entry that was not used since the hand passed it last, other than that of the hash keep, and takes
// their second chance from those it passes.
func (s *shard) evictUnused(keep uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range min(evictLook, s.tracks.len()) {
		i := s.tracks.turn()
		if t := s.tracks.at(i); t.hash != keep && atomic.SwapUint32(&t.used, 0) == 0 {
			s.dropTrack(i)
			return true
		}
	}
	return false
}

// evictNext removes the entry at the hand, or the one after if the first has the hash keep.
func (s *shard) evictNext(keep uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range min(2, s.tracks.len()) {
		if i := s.tracks.turn(); s.tracks.at(i).hash != keep {
			s.dropTrack(i)
			return true
		}
	}
	return false
}

// tracked returns the item of the hash h that has a track.
func (s *shard) tracked(h uint64, track uint32) item {
	if it := s.items[h]; it.track == track {
		return it
	}
	for _, it := range s.others {
		if it.track == track {
			return it
		}
	}
	return item{}
}

// dropTrack removes the entry that has a track.
func (s *shard) dropTrack(i uint32) {
	h := s.tracks.at(i).hash
	s.drop(h, s.tracked(h, i+1))
}
