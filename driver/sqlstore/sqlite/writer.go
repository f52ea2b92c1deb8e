package sqlite

import (
	"context"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	code "modernc.org/sqlite/lib"

	"github.com/luastore/store"
)

const (
	// maxQueue bounds the writes that wait; a caller beyond waits to be let in.
	maxQueue = 1024
	// maxGroup and maxGroupBytes bound what one transaction does. It goes beyond maxGroupBytes by its last write alone.
	maxGroup      = 1024
	maxGroupBytes = 4 << 20

	// checkpointPages is the length of the log from which on commits move it into the database: 4 MiB. A longer log is not faster, and written anew longer, which costs a lone writer half.
	checkpointPages = 1000
	// longLog is the length in bytes from which on readers are kept away while that is done, which happens where there is always
	// one of them.
	longLog = 16 << 20
	// logGroups is how many transactions pass between two looks at the length.
	logGroups = 16
	// mostPause is how long the writer waits for the readers to end.
	mostPause = 100 * time.Millisecond

	// The pauses between two attempts to get the lock of writers grow from one to the other.
	firstPause = 200 * time.Microsecond
	longPause  = 10 * time.Millisecond
)

// States of an operation.
const (
	queued    uint32 = iota // nothing was done
	running                 // it is or was part of a transaction
	abandoned               // its caller left before anything was done
	forsaken                // its caller left while it was running
)

// An operation is one write on its way through the writer.
type operation struct {
	apply func(c *conn, at instant) error // in a transaction, perhaps more than once: each time after the one before was undone
	bytes int
	state atomic.Uint32
	err   error // valid when done is closed
	done  chan struct{}
}

// claim takes the operation into a transaction, unless its caller has left.
func (o *operation) claim() bool {
	return o.state.CompareAndSwap(queued, running) || o.state.Load() == running
}

func (o *operation) finish(err error) {
	o.err = err
	close(o.done)
}

// A writer is the goroutine that makes all writes of a driver: it takes those that wait into one transaction, so that they share
// a sync. Nothing delays one that comes alone.
type writer struct {
	d       *Driver
	conn    *conn
	queue   chan *operation
	stopped chan struct{}

	taken  atomic.Int64 // operations that left the queue
	groups atomic.Int64 // transactions that were committed
}

func startWriter(d *Driver, c *conn) *writer {
	w := &writer{d: d, conn: c, queue: make(chan *operation, maxQueue), stopped: make(chan struct{})}
	go w.run()
	return w
}

// write runs apply in a transaction and returns when that is on disk. bytes is about how much it writes.
func (d *Driver) write(ctx context.Context, bytes int, apply func(c *conn, at instant) error) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	o := &operation{apply: apply, bytes: bytes, done: make(chan struct{})}
	select {
	case d.writer.queue <- o:
	case <-ctx.Done():
		return d.ended(ctx)
	case <-d.closing.Done():
		return errClosed
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return d.leave(ctx, o)
	case <-d.writer.stopped:
		return d.left(o)
	}
}

// leave takes back an operation whose context has ended.
func (d *Driver) leave(ctx context.Context, o *operation) error {
	switch {
	case o.state.CompareAndSwap(queued, abandoned):
		return d.ended(ctx)
	case o.state.CompareAndSwap(running, forsaken):
		select {
		case <-o.done:
			return o.err
		default:
			return d.abandoned(ctx)
		}
	}
	<-o.done
	return o.err
}

// left is what became of an operation when the writer has stopped.
func (d *Driver) left(o *operation) error {
	if o.state.CompareAndSwap(queued, abandoned) {
		return errClosed
	}
	<-o.done
	return o.err
}

func (w *writer) run() {
	defer close(w.stopped)
	var group []*operation
	for {
		select {
		case <-w.d.closing.Done():
			return
		case o := <-w.queue:
			group = w.gather(append(group[:0], o))
			w.taken.Add(int64(len(group)))
			w.commit(group)
			clear(group)
		}
	}
}

// gather adds the operations that wait.
func (w *writer) gather(group []*operation) []*operation {
	bytes := group[0].bytes
	yielded := false
	for len(group) < maxGroup && bytes < maxGroupBytes {
		select {
		case o := <-w.queue:
			group = append(group, o)
			bytes += o.bytes
		default:
			if yielded {
				return group
			}
			// Those whom the last transaction answered may be about to write again. This costs nothing where nobody is.
			runtime.Gosched()
			yielded = true
		}
	}
	return group
}

// commit makes the writes of group and answers each.
func (w *writer) commit(group []*operation) {
	if err := w.lock(group); err != nil {
		w.answer(group, err)
		return
	}
	done, err := w.attempt(group)
	switch {
	case err == nil:
		w.answer(done, nil)
		w.tend()
	case len(done) == 1 || w.d.doubtful.Load() || store.Kind(err) == "unknown_outcome":
		w.answer(done, err)
	default:
		// All was undone because of one of them. Each by itself gets its own answer.
		for _, o := range done {
			if o.state.Load() == forsaken {
				o.finish(err)
			} else {
				w.commit([]*operation{o})
			}
		}
	}
}

// answer finishes operations: with their own errors where err is nil.
func (w *writer) answer(group []*operation, err error) {
	for _, o := range group {
		if err == nil {
			close(o.done)
		} else {
			o.finish(err)
		}
	}
}

// lock begins a transaction, and waits while another process has one. It returns an error when nothing has begun.
func (w *writer) lock(group []*operation) error {
	if w.d.doubtful.Load() {
		if w.settle() != nil {
			return w.d.doubtError()
		}
	}
	err := w.conn.begin()
	if !isBusy(err) {
		return w.explain(err)
	}
	timeout := time.NewTimer(w.d.target.BusyTimeout)
	defer timeout.Stop()
	for most := firstPause; ; most = min(2*most, longPause) {
		pause := time.NewTimer(most/2 + rand.N(most/2))
		select {
		case <-pause.C:
		case <-timeout.C:
			pause.Stop()
			return w.d.busyError(context.Background())
		case <-w.d.closing.Done():
			pause.Stop()
			return errClosed
		}
		if err := w.conn.begin(); !isBusy(err) {
			return w.explain(err)
		}
	}
}

func (w *writer) explain(err error) error {
	if err == nil {
		return nil
	}
	return w.d.explain(err)
}

// attempt runs the operations whose callers are still there and commits. It returns those that it ran, and why all were undone.
func (w *writer) attempt(group []*operation) (ran []*operation, err error) {
	at := now()
	for i, o := range group {
		if !o.claim() {
			continue
		}
		ran = append(ran, o)
		if o.err = o.apply(w.conn, at); o.err != nil && !byItself(o.err) {
			failed := w.d.explain(o.err)
			w.conn.rollback()
			return append(ran, claimed(group[i+1:])...), failed
		}
		if o.err != nil {
			o.err = w.d.explain(o.err)
		}
	}
	if _, err := w.conn.exec(commitQuery); err != nil {
		return ran, w.failed(err)
	}
	w.groups.Add(1)
	return ran, nil
}

// claimed returns the operations of group whose callers are still there.
func claimed(group []*operation) []*operation {
	var is []*operation
	for _, o := range group {
		if o.claim() {
			is = append(is, o)
		}
	}
	return is
}

// byItself reports that an error left the rest of the transaction as it was.
func byItself(err error) bool {
	switch primary(err) {
	case code.SQLITE_OK, code.SQLITE_TOOBIG, code.SQLITE_CONSTRAINT, code.SQLITE_MISMATCH:
		return true
	}
	return false
}

// failed returns what a commit that failed means. SQLite takes it back, and the next transaction overwrites its part of the log.
// But until then all of it may be in the log, complete: whoever opens the file after a crash would take it for committed. So
// another transaction has to succeed before this one is known to be undone.
func (w *writer) failed(err error) error {
	w.conn.rollback()
	if primary(err) != code.SQLITE_IOERR {
		return w.d.explain(err) // it failed before its last page was written
	}
	w.d.doubtful.Store(true)
	if w.settle() != nil {
		return w.d.unknown(err)
	}
	return w.d.explain(err)
}

// settle overwrites in the log what a commit that failed may have left there.
func (w *writer) settle() error {
	if err := w.conn.begin(); err != nil {
		return err
	}
	for _, q := range []query{markQuery, unmarkQuery, commitQuery} {
		if _, err := w.conn.exec(q); err != nil {
			w.conn.rollback()
			return err
		}
	}
	w.d.doubtful.Store(false)
	return nil
}

// tend keeps the log from growing for as long as there are readers: it can begin anew only in a moment without any.
func (w *writer) tend() {
	if w.groups.Load()%logGroups != 0 {
		return
	}
	log, err := os.Stat(w.d.target.Path + "-wal")
	if err != nil || log.Size() < longLog {
		return
	}
	resume, ok := w.d.readers.pause(mostPause)
	if !ok {
		return
	}
	defer resume()
	// Where it fails, because another process reads, it will be tried again.
	_, _ = w.conn.text("PRAGMA wal_checkpoint(TRUNCATE)")
}
