package postgres

import (
	"context"
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
)

// A pool keeps up to a number of connections open and hands each to one call at a time. A call that has one, and an attempt to
// connect, hold a slot; idle connections do not. Whoever has a slot finds an idle connection, or there is room for a new one.
type pool struct {
	dial    func(ctx context.Context) (*conn, error) // its errors are those of the store
	timeout time.Duration                            // of an attempt to connect
	slots   chan struct{}
	dials   chan struct{}
	cancels chan struct{}

	closing context.Context // ends when close begins
	cancel  context.CancelFunc
	closed  sync.Once
	burials sync.WaitGroup // of broken connections; they are begun by those who hold a slot

	mu       sync.Mutex
	idle     []*conn               // the one used last is at the end
	wires    map[net.Conn]struct{} // all that may be open
	redialAt time.Time
	lastErr  error // why nothing dials before redialAt
}

func newPool(conns int, timeout time.Duration) *pool {
	p := &pool{
		timeout: timeout, wires: make(map[net.Conn]struct{}),
		slots: make(chan struct{}, conns), dials: make(chan struct{}, mostDials), cancels: make(chan struct{}, mostCancels),
	}
	p.closing, p.cancel = context.WithCancel(context.Background())
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
	for c := p.pop(); c != nil; c = p.pop() {
		if c.alive() {
			return c, nil
		}
		p.bury(c)
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

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return c
}

// release takes a connection back, or buries it where it broke or is not as it was.
func (p *pool) release(c *conn) {
	if !c.reusable() || p.closing.Err() != nil {
		p.bury(c)
		<-p.slots
		return
	}
	c.usedAt = time.Now()
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	<-p.slots
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
	p.idle = kept
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

// connect makes a connection for a call that holds a slot. The attempt goes on where the call ends before it: it would never
// succeed otherwise, if the server answers more slowly than calls have time.
func (p *pool) connect(ctx context.Context) (*conn, error) {
	if err := p.resting(); err != nil {
		<-p.slots
		return nil, err
	}
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
		if o.err != nil {
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
	for c := p.pop(); c != nil; c = p.pop() {
		if c.alive() {
			return c, nil
		}
		p.bury(c)
	}
	if err := p.resting(); err != nil {
		return nil, err
	}
	return p.attempt()
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

// attempt connects. The first try has all the time there is; where it is silent for long, another is made beside it, anew each
// second. The first that succeeds wins, and the first that is told why not fails the attempt.
func (p *pool) attempt() (*conn, error) {
	ctx, cancel := context.WithTimeout(p.closing, p.timeout)
	tries := &tries{pool: p, done: make(chan struct{})}
	tries.begin(ctx)
	again := time.NewTicker(impatience)
	defer again.Stop()
	stop := func() {}
	for waiting := true; waiting; {
		select {
		case <-tries.done:
			waiting = false
		case <-again.C:
			stop()
			var short context.Context
			short, stop = context.WithCancel(ctx)
			tries.begin(short)
		}
	}
	stop()
	cancel()
	tries.running.Wait()
	c, err := tries.conn, tries.err
	if err != nil && p.closing.Err() == nil {
		p.mu.Lock()
		p.lastErr, p.redialAt = err, time.Now().Add(redialGap)
		p.mu.Unlock()
	}
	return c, err
}

// tries are the attempts under way for one connection.
type tries struct {
	pool    *pool
	running sync.WaitGroup
	once    sync.Once
	done    chan struct{} // closed when one has won, or failed them all
	conn    *conn
	err     error
}

// begin starts one more.
func (t *tries) begin(ctx context.Context) {
	t.running.Go(func() {
		c, err := t.pool.dial(ctx)
		if err != nil && ctx.Err() == context.Canceled && t.pool.closing.Err() == nil {
			return // another one took its place
		}
		won := false
		t.once.Do(func() {
			won = true
			t.conn, t.err = c, err
			close(t.done)
		})
		if !won && c != nil {
			t.pool.bury(c)
		}
	})
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
