package pebblestore

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// closePatience is how long Close lets calls under way finish before it tells them to leave.
	closePatience = time.Second
	// failPatience is how long Pebble may take to close after its disk failed, before it is given up.
	failPatience = 5 * time.Second
)

// A lifecycle is what a driver knows about its end.
type lifecycle struct {
	opened   atomic.Bool // Pebble is open, and release is there to close it
	stopping atomic.Bool // no call begins any more

	// Calls hold this shared while they are inside Pebble, whose methods panic once it is closed.
	calls sync.RWMutex

	over    signal // calls under way are to leave
	wedged  signal // Pebble does not close any more
	stopped signal // all is released
	release sync.Once
	err     error // of Close; written before stopped
}

// A signal is given once.
type signal struct {
	once sync.Once
	c    chan struct{}
}

func newSignal() signal { return signal{c: make(chan struct{})} }

func (s *signal) give() { s.once.Do(func() { close(s.c) }) }

// enter lets a call inside Pebble; unless it answers an error, d.calls.RUnlock follows.
func (d *Driver) enter(ctx context.Context) error {
	if err := ended(ctx); err != nil {
		return err
	}
	// It is broken a moment before it is stopping, and calls under way tell their callers at once.
	if d.stopping.Load() || d.disk.broken() != nil || !d.calls.TryRLock() { // which fails only once it is stopping
		return d.refusal()
	}
	return nil
}

// refusal is the error of a call that came too late.
func (d *Driver) refusal() error {
	if err := d.disk.broken(); err != nil {
		return d.failedError(err)
	}
	return errClosed
}

// reason is why a write that had begun is not confirmed.
func (d *Driver) reason() error {
	if err := d.disk.broken(); err != nil {
		return err
	}
	return errClosing
}

// fail is called by the fence, once, when the disk failed. The caller may hold locks of Pebble, and waits for nothing: the log may
// take its time. While Pebble is being opened nobody has the driver, and who opens it asks the fence.
func (d *Driver) fail(err error) {
	time.AfterFunc(failPatience, d.wedged.give)
	d.over.give()
	if d.opened.Load() {
		d.stop()
	}
	go d.log(slog.LevelError, "a pebble store failed; it answers unavailable until it is opened again", "error", flat(err))
}

// stop refuses new calls and begins to release everything. Calls under way are waited for.
func (d *Driver) stop() {
	d.stopping.Store(true)
	d.release.Do(func() { go d.end() })
}

// end closes Pebble and releases the folder. Where the disk failed Pebble cannot write any more, so that the folder can be
// released even if Pebble does not close.
func (d *Driver) end() {
	defer d.stopped.give()
	closed := make(chan error, 1)
	go func() {
		d.sweeper.stop()
		d.syncer.stop()
		d.calls.Lock() // for ever
		d.workers.stop()
		d.confirmer.stop()
		closed <- d.db.Close()
	}()
	select {
	case d.err = <-closed:
	case <-d.wedged.c:
		d.disk.drain()
	}
	if d.disk.broken() != nil {
		d.err = d.refusal()
	}
	d.lock.Close()
}

// Close lets calls under way finish, for a second, makes all writes durable and releases the folder. Its error is that of a
// disk that failed.
func (d *Driver) Close() error {
	late := time.AfterFunc(closePatience, d.over.give)
	defer late.Stop()
	d.stop()
	<-d.stopped.c
	return d.err
}

// A logger takes what Pebble has to say. Pebble's own would end the process.
type logger struct{ d *Driver }

// Infof implements [pebble.Logger]; what Pebble tells of its work is for those who debug.
func (l logger) Infof(format string, args ...any) {
	if l.d.target.logger != nil && l.d.target.logger.Enabled(context.Background(), slog.LevelDebug) {
		l.d.log(slog.LevelDebug, "pebble", "message", sprintf(format, args))
	}
}

// Errorf implements [pebble.Logger]. Pebble goes on.
func (l logger) Errorf(format string, args ...any) {
	l.d.log(slog.LevelError, "pebble", "message", sprintf(format, args))
}

// Fatalf implements [pebble.Logger]. Pebble cannot go on, and must not be let: the disk is frozen as it is, the store has failed,
// and the goroutine, which may hold any lock, stays here for good. No error of a disk leads here, for the fence keeps those from
// Pebble: it takes a mistake in Pebble itself.
func (l logger) Fatalf(format string, args ...any) {
	l.d.disk.fail(fatalError(sprintf(format, args)))
	l.d.wedged.give()
	select {}
}

func (d *Driver) log(level slog.Level, message string, args ...any) {
	if d.target.logger != nil {
		d.target.logger.Log(context.Background(), level, message, append(args, "store", d.target.path)...)
	}
}
