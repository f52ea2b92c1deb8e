package store

import (
	"context"
	"errors"
	"time"
)

// openGrace is how long callers wait for an opener to return once the time it had is over.
const openGrace = time.Second

// A conn is one connection, shared by the instances whose Connection is equal. It is opened once: one that fails to open is
// forgotten, and whoever comes next makes another. Its fields are guarded by Registry.mu.
type conn struct {
	key     any
	id      string             // of the store that opened it, for the log
	refs    int                // instances that hold it, callers that wait for it, and the attempt to open it
	cancel  context.CancelFunc // ends the attempt
	ready   chan struct{}      // closed when the attempt has ended
	opened                     // what came of it
	lanes   *lanes             // shared by the callers of this process
	unlucky *lanes             // likewise
	flights *flights           // likewise
	closing chan struct{}      // nil until it is being closed; closed when that is done
}

// opened is the outcome of an attempt to open a connection.
type opened struct {
	driver Driver // nil until it is open, and when that failed
	info   Info
	err    error
}

// open gives in its driver, opening the connection if nobody has. All who need it meanwhile wait for one attempt. That outlives
// them all: where each has less time than opening takes, the connection is open in the end nevertheless.
func (r *Registry) open(ctx context.Context, in *instance) error {
	for {
		if err := ctx.Err(); err != nil {
			return explain(err)
		}
		c, wait, err := r.join(ctx, in)
		if c == nil {
			return err
		}
		err = await(ctx, wait, in.def.OpenTimeout+openGrace)
		if done, err := r.leave(ctx, in, c, err); done {
			return err
		}
	}
}

// await waits until ready is closed, for as long as ctx and patience last: an opener may ignore its context, or a driver hang as
// it closes.
func await(ctx context.Context, ready <-chan struct{}, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return explain(ctx.Err())
	}
}

// join makes in a waiter for its connection and returns what to wait on. It returns no connection when in is open already.
func (r *Registry) join(ctx context.Context, in *instance) (*conn, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if in.driver != nil {
		return nil, nil, nil
	}
	if r.closed.Load() {
		return nil, nil, errClosed
	}
	key := in.def.Open.Connection
	if key == nil {
		key = in
	}
	c := r.conns[key]
	if c == nil {
		c = &conn{key: key, id: in.id, lanes: newLanes(), unlucky: newLanes(), flights: newFlights()}
		r.conns[key] = c
		r.start(ctx, in, c)
	}
	c.refs++
	if c.closing != nil {
		return c, c.closing, nil
	}
	return c, c.ready, nil
}

// leave ends the wait of in for c. It reports false if c was closed meanwhile and another must be opened.
func (r *Registry) leave(ctx context.Context, in *instance, c *conn, err error) (done bool, _ error) {
	r.mu.Lock()
	var idle *conn
	switch {
	case err != nil:
		idle, done = r.drop(c), true
	case r.closed.Load():
		idle, done, err = r.drop(c), true, errClosed
	case c.closing != nil:
		idle = r.drop(c)
	case c.driver == nil:
		idle, done, err = r.drop(c), true, c.err
	case in.driver != nil:
		idle, done = r.drop(c), true
	default:
		in.attach(c)
		idle, done = r.settle(in), true // replaced or removed meanwhile, it keeps nothing open
	}
	r.mu.Unlock()
	r.shut(ctx, idle)
	return done, err
}

var errOpenEnded = Errorf(ErrUnavailable, "%w: open ended its goroutine", ErrUnavailable)

// start begins the attempt to open c, for in. r.mu is held.
func (r *Registry) start(ctx context.Context, in *instance, c *conn) {
	ctx = context.WithoutCancel(ctx)
	within, cancel := context.WithTimeout(ctx, in.def.OpenTimeout)
	c.cancel, c.ready = cancel, make(chan struct{})
	c.refs++
	r.opens++
	go func() {
		begin := r.now()
		got := opened{err: errOpenEnded}
		defer func() { // runs after Goexit in a host's opener too
			cancel()
			r.tell(ctx, Event{Store: c.id, Op: OpOpen, Err: got.err}, begin)
			r.finish(ctx, in, c, got)
		}()
		got = r.openDriver(within, in)
	}()
}

// openDriver calls the opener of a host. A panic there must not end the process: it has no caller on this goroutine.
func (r *Registry) openDriver(ctx context.Context, in *instance) (got opened) {
	defer func() {
		if p := recover(); p != nil {
			got = opened{err: openError(r.caught(ctx, "open", p))}
		}
	}()
	d, err := in.def.Open.Open(ctx)
	if err == nil && d == nil {
		err = errors.New("open returned no driver")
	}
	if err != nil {
		return opened{err: openError(err)}
	}
	return opened{driver: d, info: d.Info()}
}

// openError returns the error of an opener as one that says something about a store.
func openError(err error) error {
	err = explain(err)
	switch Kind(err) {
	case "internal":
		return Errorf(ErrUnavailable, "%w: %w", ErrUnavailable, err)
	case "not_found", "store_not_found", "released":
		// What the opener did not find, or had released, is nothing that its caller asked for.
		return Errorf(ErrUnavailable, "%w: %v", ErrUnavailable, err)
	}
	return err
}

// finish ends an attempt: in gets the driver, whether its callers still wait or not, and all waiters are woken.
func (r *Registry) finish(ctx context.Context, in *instance, c *conn, got opened) {
	if got.err != nil {
		r.log.WarnContext(ctx, "store failed to open", "store", c.id, "error", got.err)
	} else {
		r.log.DebugContext(ctx, "store opened", "store", c.id)
	}
	r.mu.Lock()
	c.opened = got
	var idle *conn
	switch {
	case got.err != nil:
		r.forget(c)
	case r.closed.Load():
		c.closing = make(chan struct{})
		idle = c
	default:
		in.attach(c)
		idle = r.settle(in) // replaced or removed meanwhile, it keeps nothing open
	}
	r.opens--
	r.signalIdle() // Close waits for idle all the same
	close(c.ready)
	r.mu.Unlock()
	r.shut(ctx, idle)
}

// drop gives up one reference and returns c if it must be shut. r.mu is held.
func (r *Registry) drop(c *conn) *conn {
	c.refs--
	if c.refs > 0 || c.driver == nil || c.closing != nil {
		return nil
	}
	c.closing = make(chan struct{})
	return c
}

// forget takes c out of the registry. Its place was its own until now: others wait for it, they do not replace it. r.mu is held.
func (r *Registry) forget(c *conn) { delete(r.conns, c.key) }

// shut closes the driver of c, whose closing was announced under the lock; a nil c is nothing to do. Those who need the same
// connection again wait until it is closed.
func (r *Registry) shut(ctx context.Context, c *conn) error {
	if c == nil {
		return nil
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.forget(c)
		close(c.closing)
	}()
	begin := r.now()
	err := r.closeDriver(ctx, c.driver)
	if err != nil {
		err = &Error{Store: c.id, Op: OpClose, Err: err}
		r.log.WarnContext(ctx, "store failed to close", "store", c.id, "error", err)
	} else {
		r.log.DebugContext(ctx, "store closed", "store", c.id)
	}
	r.tell(ctx, Event{Store: c.id, Op: OpClose, Err: err}, begin)
	return err
}

// closeDriver closes a driver. One that panics must not take the unit with it that happened to hold the last lease.
func (r *Registry) closeDriver(ctx context.Context, d Driver) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = r.caught(ctx, "close", p)
		}
	}()
	return d.Close()
}
