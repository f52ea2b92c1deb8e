package script

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How often the heap is looked at while units run: while it changes by more than quiet bytes, and else; and after what time a look is
// taken not to come.
const (
	lookEvery  = time.Millisecond
	lookSeldom = 8 * time.Millisecond
	quiet      = 1 << 20
	tooLate    = time.Second
)

// rest is how many times as long as the collector took it is not asked again on a mere doubt.
const rest = 3

// A meter bounds by how much what the heap of the process keeps grows while one unit runs.
type meter struct {
	w    *meters
	stop context.CancelCauseFunc // ends the unit
	gate gate                    // closed while the collector is asked what the unit keeps

	// In bytes, guarded by meters.mu.
	known bool  // whether base is
	base  int64 // what the heap keeps without the unit, as far as it is known
	from  int64 // what had ever been allocated when the heap was first looked at
	ended bool  // it was told to stop; there is nothing more to find out
}

// A seat is where a Lua state shows the meter of the unit that runs in it. A unit that takes a seat which is watched already writes
// nothing that another unit reads: those that run at once do not wait for each other.
type seat struct {
	w       *meters
	meter   atomic.Pointer[meter] // nil while no unit runs
	watched atomic.Bool           // it is in meters.seats, and a look will come; changed under meters.mu
}

// meters are those of all units of a runner. A timer looks at the heap until it finds no unit running.
type meters struct {
	limit int64 // 0 is none

	due atomic.Int64 // when the next look is, in nanoseconds of Unix time; written with mu

	mu         sync.Mutex
	seats      []*seat       // those watched; while there are any, a look will come
	turn       int           // counts the looks that were to come: only the last one does
	every      time.Duration // between two looks
	seen       int64         // what the heap was at the last one, in bytes
	kept       int64         // what it was last known to keep without units, in bytes; 0 is not yet
	collecting bool
	waiting    []*meter      // who waits besides those that the collector was asked about
	collected  time.Time     // when that was last
	took       time.Duration // and how long
}

// A gate holds up who comes to it while it is closed.
type gate struct {
	closed atomic.Pointer[chan struct{}]
	came   atomic.Bool // somebody came to it while it was closed
}

// close closes the gate. It reports false if it was closed. meters.mu is held.
func (g *gate) close() bool {
	if g.closed.Load() != nil {
		return false
	}
	opened := make(chan struct{})
	g.came.Store(false)
	g.closed.Store(&opened)
	return true
}

// open opens the gate.
func (g *gate) open() { close(*g.closed.Swap(nil)) }

// pass waits until the gate is open, or done is closed. Where there is no gate it does not.
func (g *gate) pass(done <-chan struct{}) {
	if g == nil {
		return
	}
	if opened := g.closed.Load(); opened != nil {
		g.came.Store(true)
		select {
		case <-*opened:
		case <-done:
		}
	}
}

// errMemory is why a unit ended that needed too much memory.
type errMemory struct{ limit int64 }

// Error says how much it was.
func (e *errMemory) Error() string { return "it needed more than " + bytesText(e.limit) + " of memory" }

// bytesText is a number of bytes as people read it.
func bytesText(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "GB"}, {1 << 20, "MB"}, {1 << 10, "KB"}} {
		if n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d %s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// begin watches the unit that runs next in the state of the seat, from now until end is called. Without a limit there is no meter.
func (s *seat) begin(stop context.CancelCauseFunc, now time.Time) *meter {
	if s.w.limit == 0 {
		return nil
	}
	m := &meter{w: s.w, stop: stop}
	s.meter.Store(m)
	if !s.watched.Load() || s.w.late(now) { // unwatch looks at the meter once more after it has said that the seat is not watched
		s.w.watch(s, now)
	}
	return m
}

// end ends the watch.
func (s *seat) end() { s.meter.Store(nil) }

// late reports whether the look that is due will not come: it was to come in a test with a clock of its own, as that of testing/synctest, or
// the machine sleeps.
func (w *meters) late(now time.Time) bool {
	d := now.UnixNano() - w.due.Load()
	return d > int64(tooLate) || d < -int64(tooLate)
}

// watch has a look come that finds the seat.
func (w *meters) watch(s *seat, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !s.watched.Load() {
		s.watched.Store(true)
		w.seats = append(w.seats, s)
	}
	if len(w.seats) == 1 || w.late(now) {
		w.lookIn(lookEvery)
	}
}

// unwatch takes out the seats without a unit: those of states that are free, or gone. w.mu is held.
func (w *meters) unwatch() {
	w.seats = slices.DeleteFunc(w.seats, func(s *seat) bool {
		if s.meter.Load() != nil {
			return false
		}
		s.watched.Store(false)
		if s.meter.Load() != nil { // one has just begun, and may have found the seat watched
			s.watched.Store(true)
			return false
		}
		return true
	})
}

// running are the meters of the units that run. w.mu is held.
func (w *meters) running() iter.Seq[*meter] {
	return func(yield func(*meter) bool) {
		for _, s := range w.seats {
			if m := s.meter.Load(); m != nil && !yield(m) {
				return
			}
		}
	}
}

// door returns the gate of the unit, nil where it is not watched.
func (m *meter) door() *gate {
	if m == nil {
		return nil
	}
	return &m.gate
}

// lookIn has the heap looked at after a while. w.mu is held.
func (w *meters) lookIn(every time.Duration) {
	w.every = every
	w.turn++
	turn := w.turn
	w.due.Store(time.Now().Add(every).UnixNano())
	time.AfterFunc(every, func() { w.look(turn) })
}

// look looks at the heap, and has it looked at again while units run.
func (w *meters) look(turn int) {
	h := readHeap()
	w.mu.Lock()
	defer w.mu.Unlock()
	if turn != w.turn {
		return
	}
	w.unwatch()
	if len(w.seats) == 0 {
		return
	}
	w.weigh(h)
	w.lookIn(nextLook(w.every, h.objects-w.seen))
	w.seen = h.objects
}

// nextLook returns when to look next: sooner where the heap moves, later where it does not, as under units that wait.
func nextLook(every time.Duration, moved int64) time.Duration {
	if moved > quiet || moved < -quiet {
		return lookEvery
	}
	return min(2*every, lookSeldom)
}

// weigh asks the collector where there may be a unit that keeps too much, or one of which nothing is known yet. w.mu is held.
func (w *meters) weigh(h heap) {
	var suspects []*meter
	rested := w.collecting || time.Since(w.collected) > rest*w.took
	for m := range w.running() {
		if m.ended {
			continue
		}
		m.begin(h)
		m.base = min(m.base, h.kept) // what another unit kept when this one began may be gone
		if !m.known || m.over(h, 0) || rested && m.doubtful(h, 0) {
			suspects = append(suspects, m)
		}
	}
	w.ask(suspects)
}

// ask asks the collector about units, which wait meanwhile, or they would fill memory faster than it is looked through. Those that are suspected while it
// is being asked wait until it has answered, and are looked at again then: it sweeps in turns with all who run. w.mu is held.
func (w *meters) ask(suspects []*meter) {
	suspects = slices.DeleteFunc(suspects, func(m *meter) bool { return !m.gate.close() })
	switch {
	case w.collecting:
		w.waiting = append(w.waiting, suspects...)
	case len(suspects) > 0:
		w.collecting = true
		go w.collect(suspects)
	}
}

// begin is the first look at the heap under a unit. What the last collection has found may be what a unit before kept, and is gone by
// now: where that is much, the collector is asked before the next unit may keep as much on top.
func (m *meter) begin(h heap) {
	if m.known {
		return
	}
	m.known, m.base, m.from = true, h.kept, h.allocated
	switch w := m.w; {
	case w.kept == 0 || h.kept <= w.kept:
		w.kept = h.kept
	case h.kept > w.kept+w.limit/2:
		m.known = false
	}
}

// over reports whether the heap keeps too much, with n bytes more. meters.mu is held.
func (m *meter) over(h heap, n int64) bool { return m.known && h.kept+n > m.base+m.w.limit }

// learn takes into account what a collection has found. What is kept beyond all that was allocated since the first look was there before: no
// collection had seen it, and it is none of the unit's. meters.mu is held.
func (m *meter) learn(h heap) { m.base = max(m.base, h.kept-(h.allocated-m.from)) }

// doubtful reports whether the heap has grown so far, with n bytes more, that nothing but a collection tells what of it is kept: by half
// more than the limit, and by a good part of what there was before, since a large heap takes long to collect. meters.mu is held.
func (m *meter) doubtful(h heap, n int64) bool {
	return h.objects+n > max(m.base+m.w.limit/2*3, h.kept+max(m.w.limit, h.kept)/2)
}

// collect asks the collector, ends the suspects under which the heap keeps too much, and lets the others go on. One that did not come
// to its gate in all that time ran no Lua: it waits for something, and what has grown is not its own.
func (w *meters) collect(suspects []*meter) {
	begun := time.Now()
	runtime.GC()
	h := readHeap()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.collecting, w.collected, w.took = false, time.Now(), time.Since(begun)
	for m := range w.running() {
		if !m.known {
			w.kept = h.kept
			m.known, m.base = true, h.kept
		}
	}
	for _, m := range suspects {
		m.learn(h)
		switch {
		case !m.over(h, 0):
		case m.gate.came.Load():
			m.end()
		default:
			m.base = h.kept
		}
		m.gate.open()
	}
	for _, m := range w.waiting {
		m.gate.open()
	}
	w.waiting = nil
}

// fits reports whether n bytes more are within the limit, and ends the unit if not. It waits no longer than until done is closed.
func (m *meter) fits(done <-chan struct{}, n int64) bool {
	if m == nil {
		return true
	}
	m.gate.pass(done)
	if m.fitsIn(readHeap(), n) {
		return true
	}
	m.suspect()
	m.gate.pass(done)
	h := readHeap()
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.learn(h)
	if !m.over(h, n) {
		return true
	}
	m.end()
	return false
}

// end tells the unit to stop. meters.mu is held.
func (m *meter) end() {
	m.ended = true
	m.stop(&errMemory{m.w.limit})
}

// suspect has the collector asked about the unit.
func (m *meter) suspect() {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.w.ask([]*meter{m})
}

// fitsIn reports whether there is no doubt that n bytes more are within the limit.
func (m *meter) fitsIn(h heap, n int64) bool {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.begin(h)
	return m.known && !m.over(h, n) && !m.doubtful(h, n)
}

// A heap is what the runtime tells about that of the process, in bytes.
type heap struct {
	objects   int64 // kept, or not collected yet
	kept      int64 // what the last collection has found in use
	allocated int64 // ever
}

// readHeap takes about a microsecond. Before the first collection all is taken to be kept.
func readHeap() heap {
	samples := [3]metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples[:])
	h := heap{int64(samples[0].Value.Uint64()), int64(samples[1].Value.Uint64()), int64(samples[2].Value.Uint64())}
	if h.kept == 0 {
		h.kept = h.objects
	}
	return h
}
