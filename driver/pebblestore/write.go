package pebblestore

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/luastore/store"
)

// stripeCount is how many locks all keys share: enough for writers to seldom meet by chance.
const stripeCount = 256

// A stripe is the lock of some keys: held while an entry is read, what becomes of it is decided, and that is made visible. It is
// not held while the disk is waited for, so that writers of one key share fsyncs as all others do.
type stripe struct {
	held     chan struct{} // a token while somebody has the lock
	unsynced atomic.Int32  // writes of its keys that are visible and not yet on disk; goes up under the lock only
	_        [48]byte      // a cache line of its own
}

func (s *stripe) init() { s.held = make(chan struct{}, 1) }

// lock takes the lock, and reports false if one of two signals came before it was free: who is no longer waited for does not wait
// for a disk that hangs.
func (s *stripe) lock(left, over <-chan struct{}) bool {
	select {
	case s.held <- struct{}{}:
		return true
	default:
	}
	select {
	case s.held <- struct{}{}:
		return true
	case <-left:
	case <-over:
	}
	return false
}

func (s *stripe) unlock() { <-s.held }

// seed is for hashes of keys to stripes, of all drivers.
var seed = maphash.MakeSeed()

// stripesOf returns the stripes of keys, each once, in the order in which they are to be locked.
func (d *Driver) stripesOf(keys []string) []*stripe {
	places := make([]int, len(keys))
	for i, key := range keys {
		places[i] = int(maphash.String(seed, key) % stripeCount)
	}
	slices.Sort(places)
	places = slices.Compact(places)
	stripes := make([]*stripe, len(places))
	for i, at := range places {
		stripes[i] = &d.stripes[at]
	}
	return stripes
}

// States of a write.
const (
	waiting int32 = iota // nothing is done yet
	begun                // it is being done, or was
	left                 // its caller left before it began: it will not be done
)

// A write is one call that may change entries, on its own goroutine: its caller leaves it when the context ends, also while it
// waits for a lock or for the disk.
type write struct {
	d       *Driver
	ctx     context.Context // of the call
	stripes []*stripe
	decide  func(*change) error
	state   atomic.Int32
	done    chan error
}

// write reads and changes the entries of keys in one atomic and durable step. What decide finds is what no other write changes
// before it returns. It may run on when write has returned an error: what it sets must not be looked at then.
func (d *Driver) write(ctx context.Context, decide func(*change) error, keys ...string) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	w := &write{d: d, ctx: ctx, stripes: d.stripesOf(keys), decide: decide, done: make(chan error, 1)}
	d.workers.run(w)
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
	case <-d.over.c:
	}
	return w.leave()
}

// leave ends the wait for w and tells what is known of it.
func (w *write) leave() error {
	if w.state.CompareAndSwap(waiting, left) {
		return w.late()
	}
	select {
	case err := <-w.done:
		return err
	default:
	}
	if err := w.ctx.Err(); err != nil {
		return w.d.unknownError(err)
	}
	return w.d.unknownError(w.d.reason())
}

// late is the error of a write whose caller left, or is to leave, before it began.
func (w *write) late() error {
	if err := ended(w.ctx); err != nil {
		return err
	}
	return w.d.refusal()
}

// run does w up to where only the disk is to be waited for.
func (w *write) run() {
	switch c, err := w.apply(); {
	case c == nil:
		w.end(err)
	case w.d.target.noSync:
		w.end(c.confirm())
	default:
		w.d.confirmer.next <- confirmation{w, c}
	}
}

// end tells the caller, if it is still there.
func (w *write) end(err error) {
	w.d.calls.RUnlock()
	w.done <- err
}

// apply decides and makes the result visible, under the locks. It returns a change that is to be confirmed, or nil if there is
// nothing to wait for.
func (w *write) apply() (*change, error) {
	for _, s := range w.stripes {
		if !s.lock(w.ctx.Done(), w.d.over.c) {
			return nil, w.late()
		}
		defer s.unlock()
	}
	if !w.state.CompareAndSwap(waiting, begun) {
		return nil, nil
	}
	c := &change{d: w.d, now: clock(), batch: w.d.db.NewBatch(), stripes: w.stripes}
	err := w.decide(c)
	w.decide = nil // what it holds on to is not needed while the disk is waited for
	if err != nil {
		c.batch.Close()
		return nil, err
	}
	return c.apply()
}

// maxValueBytes is the longest value: it is in memory several times while it is written, and Pebble panics on a batch of 4 GiB.
const maxValueBytes = 1 << 30

func checkSize(value []byte) error {
	if len(value) > maxValueBytes {
		return store.Errorf(store.ErrTooLarge, "value too large: %d bytes, a pebble store takes %d", len(value), maxValueBytes)
	}
	return nil
}

// A change is what a write does to the database, in one batch.
type change struct {
	d       *Driver
	now     int64
	batch   *pebble.Batch
	stripes []*stripe
	wake    int64 // the first expiry that it writes; 0: none
}

// find returns the entry under key, alive or expired; unless it answers an error, the caller closes what the value is part of.
func (c *change) find(key string) (entry, io.Closer, error) { return c.d.load(key) }

// findOld is find for what does not need the value: where nobody can read what is stored, it can still be replaced.
func (c *change) findOld(key string) (entry, error) {
	old, closer, err := c.find(key)
	switch {
	case errors.Is(err, store.ErrCorrupt):
		return entry{exists: true}, nil
	case err != nil:
		return entry{}, err
	}
	old.value = nil
	return old, closer.Close()
}

// put writes an entry in place of old.
func (c *change) put(key string, value []byte, expires int64, old entry) {
	if old.mayExpire() && old.expires != expires {
		c.unindex(key, old)
	}
	op := c.batch.SetDeferred(1+len(key), expirySize+len(value))
	appendDataKey(op.Key[:0], key)
	putEntry(op.Value, expires, value)
	op.Finish()
	if expires == 0 {
		return
	}
	c.d.expiring.Store(true)
	if c.wake == 0 || expires < c.wake {
		c.wake = expires
	}
	if old.expires != expires {
		op = c.batch.SetDeferred(1+expirySize+len(key), 0)
		appendExpiryKey(op.Key[:0], expires, key)
		op.Finish()
	}
}

// drop removes old.
func (c *change) drop(key string, old entry) {
	if old.mayExpire() {
		c.unindex(key, old)
	}
	op := c.batch.DeleteDeferred(1 + len(key))
	appendDataKey(op.Key[:0], key)
	op.Finish()
}

func (c *change) unindex(key string, old entry) {
	op := c.batch.DeleteDeferred(1 + expirySize + len(key))
	appendExpiryKey(op.Key[:0], old.expires, key)
	op.Finish()
}

// apply makes the change visible. Where there is none, but the decision rests on a write that is not on disk yet, the answer has to
// wait for that.
func (c *change) apply() (*change, error) {
	nothing := c.batch.Empty()
	settled := nothing && (c.d.target.noSync || !c.unsynced())
	// Looked at after unsynced, since a write that did not get to the disk breaks it before it ceases to be unsynced.
	if c.d.disk.broken() != nil {
		c.batch.Close()
		return nil, c.d.refusal()
	}
	switch {
	case settled:
		return nil, c.batch.Close()
	case nothing:
		c.batch.LogData(nil, nil)
	}
	c.count(1)
	if err := c.commit(); err != nil { // it did not get as far as the log
		c.count(-1)
		c.batch.Close()
		return nil, store.Errorf(store.ErrUnavailable, "store unavailable: the pebble store at %s did not take a write: %w", c.d.target.path, flat(err))
	}
	if c.wake != 0 {
		c.d.sweeper.wakeBy(c.wake)
	}
	return c, nil
}

func (c *change) commit() error {
	if c.d.target.noSync {
		return c.d.db.Apply(c.batch, pebble.NoSync)
	}
	return c.d.db.ApplyNoSyncWait(c.batch, pebble.Sync)
}

func (c *change) unsynced() bool {
	return slices.ContainsFunc(c.stripes, func(s *stripe) bool { return s.unsynced.Load() > 0 })
}

func (c *change) count(n int32) {
	for _, s := range c.stripes {
		s.unsynced.Add(n)
	}
}

// confirm waits until the change is on disk, unless the store is one without sync.
func (c *change) confirm() error {
	err := c.batch.SyncWait()
	c.count(-1)
	if err != nil {
		c.d.disk.fail(err)
	}
	if c.d.target.noSync {
		c.d.syncer.wrote()
	}
	// The fence lets nothing through once it is closed, so that what went before it closed is on disk.
	if c.d.disk.broken() != nil {
		return c.d.unknownError(c.d.reason())
	}
	return c.batch.Close()
}
