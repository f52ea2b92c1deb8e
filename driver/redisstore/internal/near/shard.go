package near

import (
	"sync"
	"sync/atomic"
)

// A shard is a part of the keys, with a part of the room.
type shard struct {
	mu      sync.RWMutex
	entries map[uint64]*entry // by hash: of two keys with the same one the later is kept
	ring    []*entry          // all entries, over which the hand goes
	hand    int
	bytes   int64
	most    int64

	counts [stripes]atomic.Uint64
}

func (s *shard) init(most int64) {
	s.entries, s.most = make(map[uint64]*entry), most
}

// evictions returns the counter of evictions for a hash. The low bits chose the shard.
func (s *shard) evictions(h uint64) *atomic.Uint64 { return &s.counts[h>>32%stripes] }

func (s *shard) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.ring)
}

// put adds an entry in place of one of the same hash, and makes room. s.mu is held.
func (s *shard) put(h uint64, e *entry) {
	if old := s.entries[h]; old != nil {
		s.remove(old)
	}
	for s.bytes+e.bytes() > s.most {
		s.remove(s.victim())
	}
	e.hash, e.place = h, len(s.ring)
	s.entries[h] = e
	s.ring = append(s.ring, e)
	s.bytes += e.bytes()
}

// victim moves the hand on to the first entry that was not used since it passed there before, or came from a source that was lost, or
// past so many in use that readers would wait long. s.mu is held, and there is an entry.
func (s *shard) victim() *entry {
	for passed := 0; ; passed++ {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		if e := s.ring[s.hand]; e.from.Lost() || !e.used.Swap(false) || passed == passedAtOnce {
			return e
		}
		s.hand++
	}
}

// remove removes an entry. The last one of the ring takes its place. s.mu is held.
func (s *shard) remove(e *entry) {
	delete(s.entries, e.hash)
	end := len(s.ring) - 1
	last := s.ring[end]
	s.ring[e.place], last.place = last, e.place
	s.ring[end] = nil
	s.ring = s.ring[:end]
	s.bytes -= e.bytes()
}

// sweep removes the entries from a source among the last of the first n, and returns how many are to be looked at then. What is added
// meanwhile comes after them, and what takes a place among them has been looked at.
func (s *shard) sweep(from *Source, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.ring))
	next := max(0, n-sweepAtOnce)
	for i := n - 1; i >= next; i-- {
		if e := s.ring[i]; e.from == from {
			s.remove(e)
		}
	}
	if len(s.ring) == 0 {
		s.init(s.most) // a map keeps the room that it had
		s.ring = nil
	}
	return next
}
