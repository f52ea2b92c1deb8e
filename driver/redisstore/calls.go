package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/redis/rueidis"
)

const (
	// maxCalls is how many calls are in the queue of the client at most. The queue has 1,024 places and waits for a free one
	// without regard to the context; the calls beyond wait here, where they notice its end.
	maxCalls = 768
	// redialGap is the shortest time between an attempt to connect that failed, or whose connection answered no call, and the
	// next; calls in between fail at once.
	redialGap = 500 * time.Millisecond
	// maxWait is how long the client waits for a reply whatever the contexts say, and for the one to the ping that it sends each
	// second to an idle server. Its default of ten seconds would cut off calls with more time.
	maxWait = time.Minute
	// bufferSize of each direction. Half a megabyte, the default of the client, is no faster here.
	bufferSize = 64 << 10
)

// A notSent wraps the reason why a command surely was not sent.
type notSent struct{ err error }

func (e *notSent) Error() string { return e.err.Error() }

// An attempt is one try to connect, which all calls that need it wait for.
type attempt struct {
	done chan struct{}
	err  error // why it failed, a store error
}

// pipelined hides the deadline of a context from the client, which then queues the command: a call in the queue notices
// cancellation. A call with a deadline on an idle connection the client makes without its goroutines: a third faster, but deaf
// to cancellation, and with the deadline it closes the connection under everyone.
type pipelined struct{ context.Context }

func (pipelined) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is never nil: without it the client would not queue the command either.
func (p pipelined) Done() <-chan struct{} {
	if done := p.Context.Done(); done != nil {
		return done
	}
	return never
}

var never = make(chan struct{})

// A call is one trip to the server.
type call struct {
	ctx      context.Context // of the caller
	handed   context.Context // to the client
	link     *link
	commands int64
	queued   bool        // it switches the link to pipelining
	stop     func() bool // not nil: it reads its own reply
}

// begin waits for a slot and a live connection. Its error says that nothing was sent.
func (d *Driver) begin(ctx context.Context, commands int) (call, error) {
	if err := d.takeSlot(ctx); err != nil {
		return call{}, err
	}
	for {
		l, err := d.connect(ctx)
		if err != nil {
			<-d.slots
			return call{}, err
		}
		c := call{ctx: ctx, handed: ctx, link: l, commands: int64(commands)}
		l.commands.Add(c.commands)
		if err := c.enter(); err != nil {
			l.release(c.commands)
			return call{}, err
		}
		switch {
		case d.live.Load() != l:
			c.exit()
			l.forget(c.commands)
		case ctx.Err() != nil: // the client would refuse it without saying that it did
			c.exit()
			l.release(c.commands)
			return call{}, &notSent{d.ended(ctx)}
		default:
			return c, nil
		}
	}
}

// takeSlot waits for one of the calls under way to end, where there are too many.
func (d *Driver) takeSlot(ctx context.Context) error {
	if ctx.Err() != nil {
		return &notSent{d.ended(ctx)}
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return &notSent{d.ended(ctx)}
	case <-d.closing.Done():
		return &notSent{errClosed}
	}
	if ctx.Err() != nil {
		<-d.slots
		return &notSent{d.ended(ctx)}
	}
	return nil
}

// enter decides how the client makes the call. One that is alone reads its own reply, and the link is cut when its context
// ends; nobody else is on the link meanwhile. Any other is queued. A link once piped stays so.
func (c *call) enter() error {
	l := c.link
	if l.piped.Load() {
		return nil
	}
	if err := l.join(c.ctx); err != nil {
		return err
	}
	if l.driver.crowded.Load() || len(l.driver.slots) > 1 {
		<-l.alone
		c.queued, c.handed = true, pipelined{c.ctx}
		return nil
	}
	c.stop = context.AfterFunc(c.ctx, func() { l.cut() })
	return nil
}

// exit lets others on the link after a call that read its own reply. A cut that has begun is completed first.
func (c *call) exit() {
	if c.stop == nil {
		return
	}
	if !c.stop() {
		c.link.cut()
	}
	<-c.link.alone
}

// leave ends a call; err is what the client answered beside replies of the server.
func (c *call) leave(err error) {
	c.exit()
	if c.queued && err == nil {
		c.link.piped.Store(true)
		c.link.driver.crowded.Store(true)
	}
	if err != nil && ended(c.ctx, err) {
		c.link.abandon(c.commands)
		return
	}
	c.link.release(c.commands)
}

// ended reports whether err came about because the context of the call ended.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// do sends one command.
func (d *Driver) do(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	c, err := d.begin(ctx, 1)
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	result := d.client.Do(c.handed, command)
	c.leave(result.NonRedisError())
	return result
}

// read sends a command that changes nothing, and once more where the connection broke under it.
func (d *Driver) read(ctx context.Context, command func() rueidis.Completed) rueidis.RedisResult {
	result := d.do(ctx, command())
	if broken(ctx, result.NonRedisError()) {
		return d.do(ctx, command())
	}
	return result
}

// broken reports whether err is a connection that broke under a command, so that it may go to the next one.
func broken(ctx context.Context, err error) bool {
	if err == nil || ended(ctx, err) {
		return false
	}
	if errors.Is(err, errStale) {
		return true
	}
	var unsent *notSent
	var handshake *errHandshake
	return !errors.As(err, &unsent) && !errors.As(err, &handshake)
}

// doMulti sends commands in one go. It returns one result for each, or the reason why none was sent.
func (d *Driver) doMulti(ctx context.Context, commands []rueidis.Completed) ([]rueidis.RedisResult, error) {
	c, err := d.begin(ctx, len(commands))
	if err != nil {
		return nil, err
	}
	results := d.client.DoMulti(c.handed, commands...)
	var failed error
	for i := range results {
		if failed = results[i].NonRedisError(); failed != nil {
			break
		}
	}
	c.leave(failed)
	return results, nil
}

// connect waits for a live connection, made once for all callers and bounded by the dial timeout, not by their contexts: a
// caller that leaves does not take the connection from the others.
func (d *Driver) connect(ctx context.Context) (*link, error) {
	for {
		if l := d.live.Load(); l != nil {
			return l, nil
		}
		d.mu.Lock()
		if l := d.live.Load(); l != nil {
			d.mu.Unlock()
			return l, nil
		}
		if d.dialing == nil {
			if wait := time.Until(d.redialAt); wait > 0 {
				err := d.lastErr
				d.mu.Unlock()
				return nil, &notSent{err}
			}
			d.dialing = &attempt{done: make(chan struct{})}
			go d.dialOnce(d.dialing)
		}
		a := d.dialing
		d.mu.Unlock()
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, &notSent{d.ended(ctx)}
		case <-d.closing.Done():
			return nil, &notSent{errClosed}
		}
		if a.err != nil {
			return nil, &notSent{a.err}
		}
	}
}

// dialOnce makes the client connect and, if it did, publishes the connection.
func (d *Driver) dialOnce(a *attempt) {
	d.awaitGone()
	err := d.wake()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		err = d.publish()
	}
	if err != nil {
		a.err = d.unreachable(err)
		d.lastErr, d.redialAt = a.err, time.Now().Add(redialGap)
	}
	d.dialing = nil
	close(a.done)
}

// awaitGone waits until the calls that began on the connection before have left the client, which they do soon: they would
// wait for the new one without regard to their contexts.
func (d *Driver) awaitGone() {
	l := d.latest.Load()
	if !l.dead.Load() {
		return
	}
	l.leftAll()
	select {
	case <-l.gone:
	case <-d.closing.Done():
	}
}

// pause lets nothing dial before the time at, and answers err meanwhile.
func (d *Driver) pause(at time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at.After(d.redialAt) {
		d.lastErr, d.redialAt = err, at
	}
}

// wakeKey marks the context of the ping that makes the client connect.
type wakeKey struct{}

// wake pings, which makes the client connect where it is not connected. The first ping may go to a connection that broke
// without the client having noticed. An error reply on a live connection is as good as any: the server is there.
func (d *Driver) wake() (err error) {
	const steps = 3 // connecting, the handshake and the ping
	bound := steps * min(d.target.DialTimeout, time.Hour)
	ctx, cancel := context.WithTimeout(context.WithValue(d.closing, wakeKey{}, true), bound)
	defer cancel()
	for range 2 {
		if err = d.client.Do(ctx, d.client.B().Ping().Build()).Error(); err == nil {
			return nil
		}
		if l := d.latest.Load(); l.ready.Load() && !l.dead.Load() {
			return nil
		}
		var handshake *errHandshake
		if _, answered := rueidis.IsRedisErr(err); answered || errors.As(err, &handshake) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// publish makes the newest connection the one that calls use, unless it broke already.
func (d *Driver) publish() error {
	l := d.latest.Load()
	l.greeted.Store(l.answered.Load())
	d.live.Store(l)
	if l.dead.Load() {
		d.live.CompareAndSwap(l, nil)
		return errHungUp
	}
	return nil
}

// errStale is for calls that took a connection just before it broke, and find the client without one.
var errStale = &errHandshake{errors.New("the connection broke before the command was sent")}

// dial is how the client connects: at first, and for wake. Other calls do not make it, for all would wait on the one that does,
// which would give up with its context. The end of the driver ends it; that of a call does not.
func (d *Driver) dial(caller context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	if d.latest.Load() != nil && caller.Value(wakeKey{}) == nil {
		return nil, errStale
	}
	ctx, cancel := context.WithTimeout(d.closing, d.target.DialTimeout)
	defer cancel()
	conn, err := dialNetwork(ctx, address, dialer, config)
	if err != nil {
		return nil, &errHandshake{err}
	}
	l := newLink(conn, d)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing.Err() != nil {
		conn.Close()
		return nil, &errHandshake{errClosed}
	}
	d.latest.Store(l)
	return l, nil
}

func dialNetwork(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	switch {
	case address[0] == '/':
		return dialer.DialContext(ctx, "unix", address)
	case config != nil:
		return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", address)
	}
	return dialer.DialContext(ctx, "tcp", address)
}
