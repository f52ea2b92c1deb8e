package memstore

import "math"

// never is later than every deadline.
const never = int64(math.MaxInt64)

// A track is what a shard keeps of an entry that expires or can be evicted, beside its item. It has no pointer, so that the garbage
// collector has nothing to look at in it.
type track struct {
	hash     uint64 // of the key; of two entries with the same one, the item tells which is meant
	deadline int64  // 0: it never expires
	pos      uint32 // 1 + position in the schedule; 0: not in it
	used     uint32 // atomic: 1 if it was used since the hand passed
}

func (t *track) expired(c clock) bool { return t.deadline != 0 && t.deadline <= c.now() }

// A tracker holds the tracks of a shard, densely, for the hand of the second-chance clock to walk over, and the schedule of
// their expiry, a binary heap. The schedule may hold a track too early: putting an expiry off, which an overwrite does, costs
// nothing until the old one comes up. It never holds one too late.
type tracker struct {
	tracks slab[track]
	heap   slab[due]
	hand   int
}

// A due is one place in the schedule.
type due struct {
	at    int64 // no later than the deadline of the track
	track uint32
}

func (t *tracker) len() int { return t.tracks.len() }

func (t *tracker) at(i uint32) *track { return t.tracks.at(int(i)) }

func (t *tracker) add(tr track) { t.tracks.push(tr) }

// turn returns the track under the hand and moves the hand on. There must be one.
func (t *tracker) turn() uint32 {
	if t.hand >= t.len() {
		t.hand = 0
	}
	t.hand++
	return uint32(t.hand - 1)
}

// remove removes a track. The last one takes its place and is returned, unless it was the last.
func (t *tracker) remove(i uint32) (moved *track, ok bool) {
	if pos := t.at(i).pos; pos != 0 {
		t.unschedule(int(pos - 1))
	}
	moved, last := t.at(i), uint32(t.len()-1)
	if i != last {
		*moved = *t.at(last)
		if moved.pos != 0 {
			t.heap.at(int(moved.pos - 1)).track = i
		}
	}
	t.tracks.pop()
	return moved, i != last
}

// schedule sets the deadline of a track, 0 for never.
func (t *tracker) schedule(i uint32, deadline int64) {
	tr := t.at(i)
	tr.deadline = deadline
	switch {
	case deadline == 0 && tr.pos != 0:
		t.unschedule(int(tr.pos - 1))
	case deadline != 0 && tr.pos == 0:
		t.heap.push(due{deadline, i})
		tr.pos = uint32(t.heap.len())
		t.up(t.heap.len() - 1)
	case tr.pos != 0 && deadline < t.heap.at(int(tr.pos-1)).at:
		t.heap.at(int(tr.pos - 1)).at = deadline
		t.up(int(tr.pos - 1))
	}
}

// earliest returns a time before which nothing expires.
func (t *tracker) earliest() int64 {
	if t.heap.len() == 0 {
		return never
	}
	return t.heap.at(0).at
}

// next returns the first track of the schedule if its time has come. It has expired, or its deadline was put off: then it has a
// new place in the schedule.
func (t *tracker) next(now int64) (i uint32, expired, ok bool) {
	if t.earliest() > now {
		return 0, false, false
	}
	first := t.heap.at(0)
	i = first.track
	if deadline := t.at(i).deadline; deadline > now {
		first.at = deadline
		t.down(0)
		return i, false, true
	}
	return i, true, true
}

// unschedule removes one place from the schedule.
func (t *tracker) unschedule(pos int) {
	last := t.heap.len() - 1
	t.at(t.heap.at(pos).track).pos = 0
	if pos == last {
		t.heap.pop()
		return
	}
	t.place(pos, *t.heap.at(last))
	t.heap.pop()
	t.down(pos)
	t.up(pos)
}

func (t *tracker) place(pos int, d due) {
	*t.heap.at(pos) = d
	t.at(d.track).pos = uint32(pos + 1)
}

func (t *tracker) up(pos int) {
	d := *t.heap.at(pos)
	for pos > 0 {
		parent := (pos - 1) / 2
		if t.heap.at(parent).at <= d.at {
			break
		}
		t.place(pos, *t.heap.at(parent))
		pos = parent
	}
	t.place(pos, d)
}

func (t *tracker) down(pos int) {
	d := *t.heap.at(pos)
	for n := t.heap.len(); 2*pos+1 < n; {
		child := 2*pos + 1
		if child+1 < n && t.heap.at(child+1).at < t.heap.at(child).at {
			child++
		}
		if d.at <= t.heap.at(child).at {
			break
		}
		t.place(pos, *t.heap.at(child))
		pos = child
	}
	t.place(pos, d)
}

// A slab is a list that grows and shrinks by pages: unlike a slice it never copies all it holds, which under a lock would
// take longer the more that is.
type slab[T any] struct{ pages [][]T }

const pageLen = 128

func (s *slab[T]) len() int {
	last := len(s.pages) - 1
	if last < 0 {
		return 0
	}
	return last*pageLen + len(s.pages[last])
}

func (s *slab[T]) at(i int) *T { return &s.pages[uint(i)/pageLen][uint(i)%pageLen] }

func (s *slab[T]) push(v T) {
	n := s.len()
	if n == len(s.pages)*pageLen {
		var page []T // the first grows from nothing, for stores with few entries
		if n > 0 {
			page = make([]T, 0, pageLen)
		}
		s.pages = append(s.pages, page)
	}
	last := &s.pages[n/pageLen]
	*last = append(*last, v)
}

func (s *slab[T]) pop() {
	last := len(s.pages) - 1
	page := s.pages[last]
	clear(page[len(page)-1:])
	s.pages[last] = page[:len(page)-1]
	if len(page) == 1 {
		s.pages[last] = nil
		s.pages = s.pages[:last]
	}
}
