package memstore

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sweepChunk is how many expired entries are removed under one hold of a lock: some 5 µs.
	sweepChunk = 4
	// sweepChunks is how many chunks of each shard make a step of the sweeper.
	sweepChunks = 4
	// sweepPause comes between two steps while there is more to do, or sweepRest times what the step took if that is longer. It leaves
	// each lock free nearly all of the time, for the sake of readers, though a million entries expire at once: of 32 shards one is held
	// for a fifth of the time, so that less than one read in a hundred meets the sweeper. An entry among ten million takes some 9 µs
	// to remove, which is mostly waiting for memory.
	sweepPause = 2 * time.Millisecond
	sweepRest  = 4
	// sweepGap is the shortest time from one sweep to the next: entries that expire one by one are reclaimed many at a time.
	sweepGap = 100 * time.Millisecond
)

// A sweeper reclaims what has expired. It is a timer set for the earliest deadline: without entries that expire there is neither
// timer nor goroutine.
type sweeper struct {
	d     *Driver
	clock clock
	wake  atomic.Int64 // when the timer goes off; never if it is not set

	mu      sync.Mutex
	timer   *time.Timer
	closed  bool
	running sync.WaitGroup
}

func (w *sweeper) init(d *Driver, c clock) {
	w.d, w.clock = d, c
	w.wake.Store(never)
}

// wakeBy makes sure that a sweep begins at that time at the latest. Writers call it under the lock of their shard.
func (w *sweeper) wakeBy(at int64) {
	if at < w.wake.Load() {
		w.set(at)
	}
}

func (w *sweeper) set(at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || at >= w.wake.Load() {
		return
	}
	w.wake.Store(at)
	delay := time.Duration(at - w.clock.now())
	if w.timer == nil {
		w.timer = time.AfterFunc(delay, w.run)
	} else {
		w.timer.Reset(delay)
	}
}

// run is one step.
func (w *sweeper) run() {
	if !w.begin() {
		return
	}
	defer w.running.Done()
	begun := w.clock.now()
	gap, next := sweepGap, never
	for i := range w.d.shards {
		at, more := w.d.shards[i].sweepStep()
		if more {
			gap = sweepPause
		}
		next = min(next, at)
	}
	if next == never {
		return
	}
	now := w.clock.now()
	if rest := time.Duration(sweepRest * (now - begun)); rest > gap {
		gap = min(rest, sweepGap) // a step may have waited for its processor
	}
	w.wakeBy(max(next, now+int64(gap)))
}

// begin forgets the time of the timer that went off before any shard is looked at: a writer whose entry comes too late for
// the look sets the timer itself.
func (w *sweeper) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.running.Add(1)
	w.wake.Store(never)
	return true
}

// close stops the timer and waits for a step that runs.
func (w *sweeper) close() {
	w.mu.Lock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	w.running.Wait()
}
