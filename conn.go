package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A conn is one connection, shared by the instances whose Connection is equal. Its fields are guarded by Registry.mu.
type conn struct {
	key     any
	id      string        // of the store that opened it, for the log
	refs    int           // instances that hold it and callers that wait for it
	driver  Driver        // nil until it is open
	opening *opening      // the attempt to open it, under way or ended
	closing chan struct{} // nil until it is being closed; closed when that is done
}

// An opening is one attempt to open a connection. All who need the connection meanwhile wait for it.
type opening struct {
	done   chan struct{} // closed when the attempt has ended
	err    error         // set before done is closed
	cancel context.CancelFunc
}

// open gives in its driver, opening the connection if nobody has. The attempt outlives the caller that began it while others wait.
func (r *Registry) open(ctx context.Context, in *instance) error {
	if err := ctx.Err(); err != nil {
		return explain(err)
	}
	for {
		c, wait, err := r.join(ctx, in)
		if c == nil {
			return err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			err = explain(ctx.Err())
		}
		if done, err := r.leave(ctx, in, c, err); done {
			return err
		}
	}
}

// join makes in a waiter for its connection and returns what to wait on. It returns no connection when in is open already.
func (r *Registry) join(ctx context.Context, in *instance) (*conn, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if in.driver != nil {
		return nil, nil, nil
	}
	if r.closed {
		return nil, nil, errClosed
	}
	key := in.def.Open.Connection
	if key == nil {
		key = in
	}
	c := r.conns[key]
	if c == nil {
		c = &conn{key: key, id: in.id}
		r.conns[key] = c
	}
	c.refs++
	switch {
	case c.closing != nil:
		return c, c.closing, nil
	case c.opening == nil:
		r.begin(ctx, in, c)
	}
	return c, c.opening.done, nil
}

// leave ends the wait of in for c. It reports false if c was closed meanwhile and another must be opened.
func (r *Registry) leave(ctx context.Context, in *instance, c *conn, err error) (done bool, _ error) {
	r.mu.Lock()
	var idle *conn
	switch {
	case err != nil:
		idle, done = r.drop(c), true
	case r.closed:
		idle, done, err = r.drop(c), true, errClosed
	case c.closing != nil:
		idle = r.drop(c)
	case c.driver == nil:
		idle, done, err = r.drop(c), true, c.opening.err
	case in.driver != nil:
		idle, done = r.drop(c), true
	default:
		r.attach(in, c)
		done = true
		idle = r.settle(in) // replaced or removed meanwhile, it keeps nothing open
	}
	r.mu.Unlock()
	r.shut(ctx, idle)
	return done, err
}

// attach gives in the driver of c. The reference of the waiter becomes that of the instance. r.mu is held.
func (r *Registry) attach(in *instance, c *conn) {
	in.conn = c
	in.info = c.driver.Info()
	in.batcher, _ = c.driver.(Batcher)
	in.counter, _ = c.driver.(Counter)
	in.timeout = in.def.Timeout
	if in.timeout == 0 && in.info.Network {
		in.timeout = DefaultTimeout
	}
	in.maxVal = in.def.Limits.ValueBytes
	if n := in.info.MaxValueBytes; n > 0 {
		in.maxVal = min(in.maxVal, n)
	}
	if n := in.info.MaxKeyBytes; n > 0 {
		in.def.Limits.KeyBytes = min(in.def.Limits.KeyBytes, n)
	}
	in.driver = c.driver
}

// begin starts an attempt to open c. r.mu is held.
func (r *Registry) begin(ctx context.Context, in *instance, c *conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.def.OpenTimeout)
	c.opening = &opening{done: make(chan struct{}), cancel: cancel}
	r.opens++
	go func() {
		start := time.Now()
		var d Driver
		err := errors.New("open did not return")
		defer func() { // runs after Goexit in a host's opener too
			cancel()
			r.opened(ctx, c, d, err)
			r.tell(ctx, Event{Store: in.id, Op: OpOpen, Err: err}, start)
		}()
		d, err = openDriver(ctx, in.def.Open)
	}()
}

// openDriver calls the opener of a host. A panic there must not end the process: it has no caller on this goroutine.
func openDriver(ctx context.Context, o Opener) (d Driver, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, err = nil, fmt.Errorf("open panicked: %v", p)
		}
	}()
	d, err = o.Open(ctx)
	if err == nil && d == nil {
		err = errors.New("open returned no driver")
	}
	if err = explain(err); Kind(err) == "internal" {
		err = Errorf(ErrUnavailable, "%w: %w", ErrUnavailable, err)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// opened ends an attempt: it wakes the waiters, or closes the driver if none is left. A failure is not remembered: whoever
// comes next begins another attempt.
func (r *Registry) opened(ctx context.Context, c *conn, d Driver, err error) {
	r.mu.Lock()
	c.driver, c.opening.err = d, err
	var idle *conn
	switch {
	case err != nil:
		r.forget(c)
	case c.refs == 0 || r.closed:
		c.closing = make(chan struct{})
		idle = c
	}
	close(c.opening.done)
	r.mu.Unlock()
	if err != nil {
		r.log.WarnContext(ctx, "store failed to open", "store", c.id, "error", err)
	} else {
		r.log.DebugContext(ctx, "store opened", "store", c.id)
	}
	r.shut(ctx, idle)
	r.mu.Lock()
	r.opens--
	r.signalIdle()
	r.mu.Unlock()
}

// drop gives up one reference and returns c if it must be shut. r.mu is held.
func (r *Registry) drop(c *conn) *conn {
	c.refs--
	if c.refs > 0 || c.closing != nil {
		return nil
	}
	if c.driver != nil {
		c.closing = make(chan struct{})
		return c
	}
	c.opening.cancel()
	r.forget(c)
	return nil
}

// forget takes c out of the registry unless another has its place. r.mu is held.
func (r *Registry) forget(c *conn) {
	if r.conns[c.key] == c {
		delete(r.conns, c.key)
	}
}

// shut closes the driver of c, whose closing was announced under the lock; a nil c is nothing to do. Those who need the same connection again wait until it is closed.
func (r *Registry) shut(ctx context.Context, c *conn) error {
	if c == nil {
		return nil
	}
	start := time.Now()
	err := c.driver.Close()
	r.mu.Lock()
	r.forget(c)
	close(c.closing)
	r.mu.Unlock()
	if err != nil {
		err = &Error{Store: c.id, Op: OpClose, Err: err}
		r.log.WarnContext(ctx, "store failed to close", "store", c.id, "error", err)
	} else {
		r.log.DebugContext(ctx, "store closed", "store", c.id)
	}
	r.tell(ctx, Event{Store: c.id, Op: OpClose, Err: err}, start)
	return err
}
