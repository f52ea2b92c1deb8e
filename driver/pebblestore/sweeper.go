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
	// sweepRetry is how long a sweeper that could not read something waits before it tries again.
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
	skipped int64 // the first expiry of what could not be read since a sweep began; never if all could
	stopped bool
	running sync.WaitGroup
}

func (w *sweeper) init(d *Driver) {
	w.d, w.skipped = d, never
	w.wake.Store(never)
}

// start finds the first expiry there is.
func (w *sweeper) start() error {
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
	next, found, err := w.d.expired(from, now, sweepStep)
	w.skip(w.d.reclaim(found))
	switch {
	case err != nil:
		w.set(from, now+int64(sweepRetry))
	case next <= now:
		w.set(next, now+int64(sweepPause))
	default:
		w.rest(now, next)
	}
}

// skip notes the expiry of something that is left for the next sweep.
func (w *sweeper) skip(expires int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skipped = min(w.skipped, expires)
}

// rest sets the timer for the next sweep, which begins at what this one skipped.
func (w *sweeper) rest(now, next int64) {
	w.mu.Lock()
	skipped := w.skipped
	w.skipped = never
	w.mu.Unlock()
	switch {
	case skipped != never:
		w.set(skipped, min(max(next, now+int64(sweepGap)), now+int64(sweepRetry)))
	case next != never:
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

// An expiring is what the index of expiries tells of one entry.
type expiring struct {
	expires int64
	key     string
}

// expired returns up to limit of the entries that expire from one time up to and including another, and the time of the next entry
// that expires; never if there is none. It begins where it is told to because what was reclaimed before may still lie there.
func (d *Driver) expired(from, to int64, limit int) (next int64, found []expiring, err error) {
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
		if expires > to || len(found) == limit {
			return expires, found, it.Error()
		}
		found = append(found, expiring{expires, key})
	}
	return never, found, it.Error()
}

// reclaim removes those of found that have expired, and returns the first expiry of those that it could not read; never if it could
// read all. Nothing waits for the disk: who opens the store after a crash does not see them either.
func (d *Driver) reclaim(found []expiring) (skipped int64) {
	skipped = never
	for _, x := range found {
		if d.stopping.Load() {
			break
		}
		if err := d.reclaimOne(x); err != nil {
			skipped = min(skipped, x.expires)
		}
	}
	return skipped
}

func (d *Driver) reclaimOne(x expiring) error {
	s := d.stripesOf([]string{x.key})[0]
	if !s.lock(nil, d.over.c) {
		return d.refusal()
	}
	defer s.unlock()
	old, closer, err := d.load(x.key)
	if err != nil {
		return err
	}
	defer closer.Close()
	c := &change{d: d, now: clock(), batch: d.db.NewBatch()}
	defer c.batch.Close()
	switch indexed := old.exists && old.expires == x.expires; {
	case indexed && old.live(c.now):
		return nil // the clock was set back
	case indexed:
		c.drop(x.key, old)
	default:
		// It was replaced: meanwhile, or while nobody could read which expiry it had.
		c.unindex(x.key, entry{expires: x.expires})
	}
	return d.db.Apply(c.batch, pebble.NoSync)
}
