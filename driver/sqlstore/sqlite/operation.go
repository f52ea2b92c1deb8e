package sqlite

import (
	"context"
	"sync/atomic"
	"time"
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
	until time.Time // when it has waited for other processes long enough
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

// write runs apply in a transaction and returns when that is on disk. bytes is about how much it writes.
func (d *Driver) write(ctx context.Context, bytes int, apply func(c *conn, at instant) error) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	o := &operation{apply: apply, bytes: bytes, until: time.Now().Add(d.target.BusyTimeout), done: make(chan struct{})}
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
