package sqlite

import (
	"context"
	"errors"
	"math/rand/v2"
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
	// rowBytes is what each row of a batch, and of a sweep, counts beside its value: it changes about a page.
	rowBytes = pageBytes

	// The pauses between two attempts to get the lock of writers grow from one to the other. A busy process leaves it for some
	// microseconds between two transactions: whoever tries seldom hardly ever finds it free.
	firstPause = 200 * time.Microsecond
	longPause  = 2 * time.Millisecond

	// retryEvery is how often what failed between transactions is tried again where nobody writes.
	retryEvery = time.Second
)

var errLeft = errors.New("the caller has left")

// A writer is the goroutine that makes all writes of a driver: it takes those that wait into one transaction, so that they share
// a sync. Nothing delays one that comes alone.
type writer struct {
	d       *Driver
	conn    *conn
	queue   chan *operation
	stopped chan struct{}
	log     *walog
	schema  int64                // version of the schema that was found fit
	turn    atomic.Pointer[turn] // the transaction under way, nil for none

	taken  atomic.Int64 // operations that left the queue
	groups atomic.Int64 // transactions that were committed
	rounds atomic.Int64 // times that it had something to do
}

func startWriter(d *Driver, c *conn) *writer {
	w := &writer{d: d, conn: c, queue: make(chan *operation, maxQueue), stopped: make(chan struct{}), log: newLog(d, c), schema: -1}
	go w.run()
	return w
}

func (w *writer) run() {
	defer close(w.stopped)
	again := time.NewTimer(0) // a process that was killed may have left a long log
	defer again.Stop()
	for {
		select {
		case <-w.d.closing.Done():
			return
		case o := <-w.queue:
			w.taken.Add(1)
			w.serve(o)
		case <-again.C:
			// What fails is tried again.
			_ = w.settled()
			w.log.hurry()
		case <-w.log.busy:
		}
		w.rounds.Add(1)
		if !w.log.tend() || w.d.doubtful.Load() {
			again.Reset(retryEvery)
		}
	}
}

// serve makes the write of first, and those that wait by then.
func (w *writer) serve(first *operation) {
	if err := w.lock(first); err != nil {
		first.finish(err)
		return
	}
	group := w.gather(first)
	w.taken.Add(int64(len(group) - 1))
	w.commit(group)
}

// gather adds the operations that wait to first.
func (w *writer) gather(first *operation) []*operation {
	group := []*operation{first}
	bytes := first.bytes
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

// commit makes the writes of group, in the transaction that has begun, and answers each.
func (w *writer) commit(group []*operation) {
	done, err := w.attempt(group)
	switch {
	case err == nil:
		w.answer(done, nil)
	case len(done) == 1 || w.d.doubtful.Load() || store.Kind(err) == "unknown_outcome":
		w.answer(done, err)
	default:
		// All was undone because of one of them. Each by itself gets its own answer.
		for _, o := range done {
			if o.state.Load() == forsaken {
				o.finish(err)
			} else if err := w.lock(o); err != nil {
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

// lock begins a transaction, for first. It returns an error when nothing has begun.
func (w *writer) lock(first *operation) error { return w.insist(first, w.begin) }

// insist calls try until no other process is in its way, or o has waited long enough since it was made, or its caller has left.
func (w *writer) insist(o *operation, try func() error) error {
	err := try()
	if !isBusy(err) {
		return err
	}
	timeout := time.NewTimer(time.Until(o.until))
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
		if o.state.Load() == abandoned {
			return errLeft
		}
		if err := try(); !isBusy(err) {
			return err
		}
	}
}

// begin begins a transaction, in which the table is as it must be. Where another process has one its error is that of SQLite.
func (w *writer) begin() error {
	if err := w.settled(); err != nil {
		return err
	}
	if err := w.d.file.check(); err != nil {
		return err
	}
	if err := w.conn.begin(); isBusy(err) {
		return err
	} else if err != nil {
		return w.d.explain(err)
	}
	if err := w.checkSchema(); err != nil {
		w.conn.rollback()
		return w.d.explain(err)
	}
	return nil
}

// checkSchema sees, in a transaction, that nobody has given the table rules of its own since it was opened.
func (w *writer) checkSchema() error {
	var row [1]any
	if err := w.conn.row(schemaQuery, row[:]); err != nil {
		return err
	}
	version, _ := row[0].(int64)
	if version == w.schema {
		return nil
	}
	if err := w.conn.rules(w.d.target); err != nil {
		return err
	}
	w.schema = version
	return nil
}

// attempt runs the operations whose callers are still there and commits. It returns those that it ran, and why all were undone.
func (w *writer) attempt(group []*operation) (ran []*operation, err error) {
	defer w.takeTurn()()
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
		w.log.wrote(o.bytes)
	}
	if _, err := w.conn.exec(commitQuery); err != nil {
		return ran, w.failed(err)
	}
	w.groups.Add(1)
	return ran, nil
}

// byItself reports that an error left the rest of the transaction as it was.
func byItself(err error) bool {
	switch primary(err) {
	case code.SQLITE_OK, code.SQLITE_TOOBIG, code.SQLITE_CONSTRAINT, code.SQLITE_MISMATCH:
		return true
	}
	return false
}
