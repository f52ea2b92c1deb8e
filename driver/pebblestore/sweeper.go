package pebblestore

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// sweepStep is how many expired entries are reclaimed before the sweeper pauses.
	sweepStep = 1_000
	// sweepPause comes between two steps while there is more to reclaim.
	sweepPause = 5 * time.Millisecond
	// sweepGap is the shortest time from one sweep to the next: entries that expire one by one are reclaimed many at a time.
	sweepGap = 100 * time.Millisecond
	// sweepRetry is how long a sweeper that could not read waits.
	sweepRetry = time.Minute

	never = math.MaxInt64
)

// A sweeper reclaims what has expired. It is a timer set for the first expiry: without entries that expire there is neither timer
// nor goroutine.
type sweeper struct {
	d    *Driver
	wake atomic.Int64 // when the timer goes off, and no entry expires before; never if it is not set

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	running sync.WaitGroup
}

// start finds the first expiry there is.
func (w *sweeper) start() error {
	w.wake.Store(never)
	first, _, err := w.d.expired(0, 0, 1)
	if err != nil {
		return err
	}
	if first != never {
		w.d.expiring.Store(true)
		w.wakeBy(first)
	}
	return nil
}

// wakeBy makes sure that a sweep begins at that time, at the latest. It follows the writing of an entry that expires then.
func (w *sweeper) wakeBy(at int64) {
	if at < w.wake.Load() {
		w.set(at, at)
	}
}

// set sets the timer to go off at a time, where nothing expires before first.
func (w *sweeper) set(first, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || first >= w.wake.Load() {
		return
	}
	w.wake.Store(first)
	delay := max(0, time.Duration(at-clock()))
	if w.timer == nil {
		w.timer = time.AfterFunc(delay, w.run)
	} else {
		w.timer.Reset(delay)
	}
}

// run is one step.
func (w *sweeper) run() {
	from, ok := w.begin()
	if !ok {
		return
	}
	defer w.running.Done()
	now := clock()
	next, keys, err := w.d.expired(from, now, sweepStep)
	if err == nil {
		err = w.d.reclaim(keys)
	}
	switch {
	case err != nil:
		w.set(from, now+int64(sweepRetry))
	case next == never:
	case next <= now:
		w.set(next, now+int64(sweepPause))
	default:
		w.set(next, max(next, now+int64(sweepGap)))
	}
}

// begin returns where to begin. The time of the timer that went off is forgotten before anything is looked at: a writer whose
// entry comes too late for the look sets the timer itself.
func (w *sweeper) begin() (from int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return 0, false
	}
	w.running.Add(1)
	return w.wake.Swap(never), true
}

// stop stops the timer and waits for a step that runs.
func (w *sweeper) stop() {
	w.mu.Lock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	w.running.Wait()
}

// expired returns up to limit keys of entries that expire from one time up to and including another, and the time of the next
// entry that expires; never if there is none. It begins where it is told to because what was reclaimed before may still lie there.
func (d *Driver) expired(from, to int64, limit int) (next int64, keys []string, err error) {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: appendExpiryKey(nil, from, ""), UpperBound: []byte{expiryKind + 1}})
	if err != nil {
		return never, nil, err
	}
	defer it.Close()
	for more := it.First(); more; more = it.Next() {
		expires, key, ok := parseExpiryKey(it.Key())
		if !ok {
			continue
		}
		if expires > to || len(keys) == limit {
			return expires, keys, it.Error()
		}
		keys = append(keys, key)
	}
	return never, keys, it.Error()
}

// reclaim removes those of keys whose entries have expired. Nothing waits for the disk: who opens the store after a crash does not
// see them either.
func (d *Driver) reclaim(keys []string) error {
	for _, key := range keys {
		if d.stopping.Load() {
			return nil
		}
		if err := d.reclaimOne(key); err != nil {
			return err
		}
	}
	return nil
}

func (d *Driver) reclaimOne(key string) error {
	for _, s := range d.stripesOf([]string{key}) {
		s.Lock()
		defer s.Unlock()
	}
	c := &change{d: d, now: clock(), batch: d.db.NewBatch()}
	defer c.batch.Close()
	old, err := c.findOld(key)
	if err != nil {
		return err
	}
	if !old.exists || old.live(c.now) {
		return nil // it was replaced meanwhile
	}
	c.drop(key, old)
	return d.db.Apply(c.batch, pebble.NoSync)
}
