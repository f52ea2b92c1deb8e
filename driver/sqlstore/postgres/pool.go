package postgres

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/luastore/store"
)

const (
	// redialGap is the shortest time between an attempt to connect that failed and the next; calls in between that find no
	// connection fail at once.
	redialGap = 500 * time.Millisecond
	// impatience is how long a first attempt to connect may be silent before others are made beside it: one that began while the
	// server was away may never be answered.
	impatience = time.Second
	// mostDials is how many connections are made at a time. Logging in takes milliseconds of work on both sides: were all made at
	// once when all broke at once, nothing else would get done.
	mostDials = 4
	// mostCancels is how many abandoned statements are cancelled at a time.
	mostCancels = 4
	// idleTime is how long a connection that nobody uses is kept: each is a process of the server.
	idleTime = 5 * time.Minute
)

// A pool keeps up to a number of connections open and hands each to one call at a time. A call that has one, and an attempt to
// connect, hold a slot; idle connections do not. Whoever has a slot finds an idle connection, or there is room for a new one.
type pool struct {
	dial    func(ctx context.Context) (*conn, error) // its errors are those of the store
	timeout time.Duration                            // of an attempt to connect
	keep    time.Duration                            // how long to keep an idle connection
	slots   chan struct{}
	dials   chan struct{}
	cancels chan struct{}

	closing context.Context // ends when close begins
	cancel  context.CancelFunc
	closed  sync.Once
	burials sync.WaitGroup // of broken connections; they are begun by those who hold a slot

	mu       sync.Mutex
	idle     []*conn               // the one used last is at the end
	pruner   *time.Timer           // runs while there is an idle connection
	lent     int                   // connections that calls have
	trying   int                   // attempts to make one
	back     chan struct{}         // closed when there are fewer of either; nil where nobody waits for that
	wires    map[net.Conn]struct{} // all that may be open
	redialAt time.Time
	lastErr  error // why nothing dials before redialAt
}

func newPool(conns int, timeout time.Duration) *pool {
	p := &pool{
		timeout: timeout, keep: idleTime, wires: make(map[net.Conn]struct{}),
		slots: make(chan struct{}, conns), dials: make(chan struct{}, mostDials), cancels: make(chan struct{}, mostCancels),
	}
	p.closing, p.cancel = context.WithCancel(context.Background())
	p.pruner = time.AfterFunc(idleTime, p.prune)
	p.pruner.Stop()
	return p
}

// A notSent wraps the reason why surely nothing was sent that could change anything.
type notSent struct{ err error }

func (e *notSent) Error() string { return e.err.Error() }
func (e *notSent) Unwrap() error { return e.err }

// acquire returns a connection that is idle, and seems to live, or a new one. It must be released. Its errors are of the store;
// ctx.Err() where ctx ended.
func (p *pool) acquire(ctx context.Context) (*conn, error) {
	if err := p.takeSlot(ctx); err != nil {
		return nil, err
	}
	if c := p.take(); c != nil {
		return c, nil
	}
	return p.connect(ctx)
}

// acquireNew returns a connection that was just made. Those that are idle are as old as the one that broke, and are closed.
func (p *pool) acquireNew(ctx context.Context) (*conn, error) {
	if err := p.takeSlot(ctx); err != nil {
		return nil, err
	}
	p.dropIdle(time.Now())
	return p.connect(ctx)
}

func (p *pool) takeSlot(ctx context.Context) error {
	if p.closing.Err() != nil {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
	default:
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.closing.Done():
			return errClosed
		}
	}
	if p.closing.Err() != nil {
		<-p.slots
		return errClosed
	}
	return nil
}

// take lends an idle connection that seems to live, or nil. The caller holds a slot.
func (p *pool) take() *conn {
	for c := p.pop(); c != nil; c = p.pop() {
		if c.alive() {
			return c
		}
		p.bury(c)
		p.count(-1, 0)
	}
	return nil
}

// pop lends the idle connection that was used last, or returns nil. It is never neither idle nor lent: a call for which the server
// has no room would take it for gone, and have nothing to wait for.
func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle[last] = nil
	p.lent++
	if p.idle = p.idle[:last]; last == 0 {
		p.pruner.Stop()
	}
	return c
}

// count counts the connections that calls have, and those that are tried to make, and tells those who wait when there are fewer.
func (p *pool) count(lent, trying int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lent += lent
	p.trying += trying
	if lent+trying < 0 && p.back != nil {
		close(p.back)
		p.back = nil
	}
}

// release takes a connection back, or buries it where it broke or is not as it was.
func (p *pool) release(c *conn) {
	if c.reusable() && p.closing.Err() == nil {
		p.lay(c)
	} else {
		p.bury(c)
	}
	p.count(-1, 0)
	<-p.slots
}

// lay puts a connection to those that are idle.
func (p *pool) lay(c *conn) {
	c.usedAt = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle = append(p.idle, c); len(p.idle) == 1 {
		p.pruner.Reset(p.keep)
	}
}

// prune closes the connections that have been idle for long.
func (p *pool) prune() {
	select {
	case p.slots <- struct{}{}:
		p.dropIdle(time.Now().Add(-p.keep))
		defer func() { <-p.slots }()
	default: // all are in use, or it is closed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) > 0 && p.closing.Err() == nil {
		p.pruner.Reset(max(p.keep-time.Since(p.idle[0].usedAt), p.keep/10))
	}
}

// dropIdle closes the idle connections that were last used before some time. The caller holds a slot.
func (p *pool) dropIdle(before time.Time) {
	p.mu.Lock()
	var kept, old []*conn
	for _, c := range p.idle {
		if c.usedAt.Before(before) {
			old = append(old, c)
		} else {
			kept = append(kept, c)
		}
	}
	if p.idle = kept; len(kept) == 0 {
		p.pruner.Stop()
	}
	p.mu.Unlock()
	for _, c := range old {
		p.bury(c)
	}
}

// bury closes a connection in the background. The caller holds a slot.
func (p *pool) bury(c *conn) {
	p.burials.Go(func() {
		c.close()
		p.forget(c.wire)
	})
}

// connect makes a connection for a call that holds a slot, which it gives up where it fails. Where the server has no room for
// more connections, the call waits for one of those that others have.
func (p *pool) connect(ctx context.Context) (*conn, error) {
	var refused time.Time // since when nobody has a connection, as far as is known; zero: not at all
	for {
		c, err := p.connectOnce(ctx)
		var full *crowded
		if !errors.As(err, &full) {
			return c, err // without the slot, or left to the attempt
		}
		if err := p.await(ctx, full, &refused); err != nil {
			<-p.slots
			return nil, err
		}
		if c := p.take(); c != nil {
			return c, nil
		}
	}
}

// A crowded error says that the server has no room for another connection.
type crowded struct{ err error }

func (e *crowded) Error() string { return e.err.Error() }
func (e *crowded) Unwrap() error { return e.err }

// await returns when a connection came back, or when it is time to try again to make one. Where nobody has one it returns the
// error that said that the server has no room. One that is being made may be what there was no room beside: it is waited for too, for
// as long as an attempt may take since refused. Later ones are not, or calls would wait for each other's for ever.
func (p *pool) await(ctx context.Context, full *crowded, refused *time.Time) error {
	p.mu.Lock()
	if len(p.idle) > 0 {
		p.mu.Unlock()
		return nil
	}
	if p.lent > 0 || refused.IsZero() {
		*refused = time.Now()
	}
	if p.lent == 0 && (p.trying == 0 || time.Since(*refused) > p.timeout) {
		p.mu.Unlock()
		return full.err
	}
	if p.back == nil {
		p.back = make(chan struct{})
	}
	back, rest := p.back, time.NewTimer(time.Until(p.redialAt))
	p.mu.Unlock()
	defer rest.Stop()
	select {
	case <-back:
		return nil
	case <-rest.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.closing.Done():
		return errClosed
	}
}

// connectOnce makes one attempt, which goes on where the call ends before it: it would never succeed otherwise, if the server
// answers more slowly than calls have time. The slot is kept where the error is crowded.
func (p *pool) connectOnce(ctx context.Context) (*conn, error) {
	type outcome struct {
		c   *conn
		err error
	}
	done, left := make(chan outcome), make(chan struct{})
	go func() {
		c, err := p.inTurn(left)
		select {
		case done <- outcome{c, err}:
		case <-left:
			if err != nil {
				<-p.slots
				return
			}
			p.release(c)
		}
	}()
	select {
	case o := <-done:
		var full *crowded
		if o.err != nil && !errors.As(o.err, &full) {
			<-p.slots
		}
		return o.c, o.err
	case <-ctx.Done():
		close(left)
		return nil, ctx.Err()
	case <-p.closing.Done():
		close(left)
		return nil, errClosed
	}
}

// inTurn makes an attempt when it is its turn, unless nobody waits for it any more or there is an idle connection by then.
func (p *pool) inTurn(left chan struct{}) (*conn, error) {
	select {
	case p.dials <- struct{}{}:
		defer func() { <-p.dials }()
	case <-left:
		return nil, errClosed
	}
	if c := p.take(); c != nil {
		return c, nil
	}
	if err := p.resting(); err != nil {
		return nil, err
	}
	// It counts from here on: the server may have no room for another one before it is known here that this one got in.
	p.count(0, 1)
	c, err := p.attempt()
	if err != nil {
		p.count(0, -1)
	} else {
		p.count(1, -1)
	}
	return c, err
}

// resting returns why nothing dials now.
func (p *pool) resting() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.redialAt) {
		return p.lastErr
	}
	return nil
}

// remember and forget keep account of what close must cut.
func (p *pool) remember(wire net.Conn) error {
	p.mu.Lock()
	p.wires[wire] = struct{}{}
	p.mu.Unlock()
	if p.closing.Err() != nil { // close may not have seen it
		wire.Close()
		return errClosed
	}
	return nil
}

func (p *pool) forget(wire net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.wires, wire)
}

// close cuts all connections, which makes the calls that use them return, and comes back when nobody uses any.
func (p *pool) close() {
	p.closed.Do(func() {
		p.cancel()
		p.mu.Lock()
		for _, c := range p.idle {
			c.leave()
		}
		wires := slices.Collect(maps.Keys(p.wires))
		p.mu.Unlock()
		for _, wire := range wires {
			wire.Close()
		}
		for range cap(p.slots) {
			p.slots <- struct{}{}
		}
		p.dropIdle(time.Now())
		p.burials.Wait()
	})
}

var errClosed = store.Errorf(store.ErrUnavailable, "store unavailable: the PostgreSQL driver is closed")
