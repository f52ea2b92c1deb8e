package script

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// How often the heap is looked at while units run: while it changes by more than quiet bytes, and else.
const (
	lookEvery  = time.Millisecond
	lookSeldom = 8 * time.Millisecond
	quiet      = 1 << 20
)

// A meter bounds by how much the heap of the process grows while one unit runs.
type meter struct {
	w    *meters
	stop context.CancelCauseFunc // ends the unit

	// In bytes, guarded by meters.mu.
	begun int64 // what the heap was at the first look
	base  int64 // what the heap may be without the unit; 0 until it is known
}

// meters are those of all units of a runner. While there are any, a timer looks at the heap; with the last unit it ends.
type meters struct {
	limit int64 // 0 is none

	mu         sync.Mutex
	running    map[*meter]struct{}
	timer      *time.Timer
	turn       int           // counts the times of there being units
	every      time.Duration // between two looks
	seen       int64         // what the heap was at the last one
	collecting bool
	known      int64 // what the heap was last known to come to without units, in bytes
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

// begin watches a unit until end is called. Without a limit there is no meter.
func (w *meters) begin(stop context.CancelCauseFunc) *meter {
	if w.limit == 0 {
		return nil
	}
	m := &meter{w: w, stop: stop}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running == nil {
		w.running = map[*meter]struct{}{}
	}
	w.running[m] = struct{}{}
	if len(w.running) == 1 {
		w.turn++
		w.lookIn(lookEvery)
	}
	return m
}

// lookIn has the timer look after a while. w.mu is held.
func (w *meters) lookIn(every time.Duration) {
	turn := w.turn
	w.every = every
	w.timer = time.AfterFunc(every, func() { w.look(turn) })
}

// end ends the watch.
func (m *meter) end() {
	if m == nil {
		return
	}
	w := m.w
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, m)
	if len(w.running) == 0 {
		w.timer.Stop()
	}
}

// look looks at the heap, and has it looked at again.
func (w *meters) look(turn int) {
	h := readHeap()
	w.mu.Lock()
	defer w.mu.Unlock()
	if turn != w.turn || len(w.running) == 0 {
		return // it was about to be stopped
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

// weigh ends the units under which the heap has grown too far. Garbage is not theirs: it is collected first, unless the heap grows on
// meanwhile. w.mu is held.
func (w *meters) weigh(h heap) {
	collect := false
	for m := range w.running {
		m.look(h)
		if m.over(h, 0, w.limit/4) {
			m.stop(&errMemory{w.limit})
		}
		collect = collect || m.base == 0 || m.over(h, 0, 0)
	}
	if collect && !w.collecting {
		w.collecting = true
		go w.collect()
	}
}

// look is the first look at the heap under a unit. Where the heap is much larger than it is known to be without units there may be
// garbage of others, which a unit must not have on top of its limit: the collector is asked.
func (m *meter) look(h heap) {
	if m.begun == 0 {
		m.begun = h.objects
	}
	switch e := h.expected(); {
	case m.base != 0:
	case m.w.known == 0 || e < m.w.known:
		m.w.known, m.base = e, e
	case e < m.w.known+m.w.limit/2:
		m.base = e
	}
}

// collect calls the collector and ends the units that keep too much. What they keep must be below the limit by a quarter, lest the
// collector be called for every small step near it.
func (w *meters) collect() {
	runtime.GC()
	runtime.GC() // what is in a sync.Pool outlives the first
	h := readHeap()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.collecting = false
	for m := range w.running {
		if m.base == 0 {
			w.known = h.expected()
			m.base = w.known
		}
		if m.over(h, 0, -w.limit/4) {
			m.stop(&errMemory{w.limit})
		}
	}
}

// over reports whether the heap with n bytes more would be larger than the limit and some leeway. As long as it is not known what it
// would be without the unit nothing but twice the limit is too much. meters.mu is held.
func (m *meter) over(h heap, n, leeway int64) bool {
	if m.base == 0 {
		return h.objects+n > m.begun+2*m.w.limit
	}
	return h.objects+n > m.base+m.w.limit+leeway
}

// fits reports whether n bytes more are within the limit, and ends the unit if not.
func (m *meter) fits(n int64) bool {
	if m == nil || !m.full(n, 0) {
		return true
	}
	runtime.GC()
	if !m.full(n, -m.w.limit/4) {
		return true
	}
	m.stop(&errMemory{m.w.limit})
	return false
}

// full is over for one unit, as the heap is now.
func (m *meter) full(n, leeway int64) bool {
	h := readHeap()
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.look(h)
	return m.over(h, n, leeway)
}

// A heap is what the runtime tells about that of the process, in bytes.
type heap struct {
	objects int64 // live, or not collected yet
	goal    int64 // where the next collection is due
}

// readHeap takes about a microsecond.
func readHeap() heap {
	samples := [2]metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/goal:bytes"}}
	metrics.Read(samples[:])
	return heap{int64(samples[0].Value.Uint64()), int64(min(samples[1].Value.Uint64(), math.MaxInt64))}
}

// expected returns what the heap of the process may come to without the unit: up to where the next collection is due garbage
// piles up by itself. Without collections by growth (GOGC=off) there is no such point.
func (h heap) expected() int64 {
	if h.goal < math.MaxInt64 && h.goal > h.objects {
		return h.goal
	}
	return h.objects
}
