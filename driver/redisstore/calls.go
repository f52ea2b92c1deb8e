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
	// redialGap is the shortest time between a failed attempt to connect and the next; calls in between fail at once.
	redialGap = 500 * time.Millisecond
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
	link     *link
	commands int
	queued   bool        // it switches the link to pipelining
	stop     func() bool // not nil: it reads its own reply, on this turn
	turn     int64
}

// begin waits for a slot and a live connection. Its error says that nothing was sent.
func (d *Driver) begin(ctx context.Context, commands int) (c call, err error) {
	if ctx.Err() != nil {
		return c, &notSent{d.ended(ctx)}
	}
	select {
	case d.slots <- struct{}{}:
	default:
		if err := d.waitSlot(ctx); err != nil {
			return c, err
		}
	}
	c = call{ctx: ctx, link: d.live.Load(), commands: commands}
	if c.link == nil {
		if c.link, err = d.connect(ctx); err != nil {
			<-d.slots
			return c, err
		}
	}
	d.commands.Add(int64(commands))
	return c, nil
}

// waitSlot waits for one of the calls under way to end.
func (d *Driver) waitSlot(ctx context.Context) error {
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &notSent{d.ended(ctx)}
	case <-d.closing.Done():
		return &notSent{errClosed}
	}
}

// enter returns the context to hand to the client. A call that is alone reads its own reply and is cut when its context
// ends; any other is queued. A link once piped stays so.
func (c *call) enter() context.Context {
	switch {
	case c.link.piped.Load():
		return c.ctx
	case c.link.driver.crowded.Load() || len(c.link.driver.slots) > 1:
		c.queued = true
		return pipelined{c.ctx}
	}
	c.turn = c.link.turn.Add(1)
	c.stop = context.AfterFunc(c.ctx, c.link.cut(c.turn))
	return c.ctx
}

// leave ends a call; err is what the client answered beside replies of the server.
func (c *call) leave(err error) {
	d := c.link.driver
	if c.stop != nil {
		c.stop()
		c.link.turn.CompareAndSwap(c.turn, c.turn+1)
	}
	if c.queued && err == nil {
		c.link.piped.Store(true)
		d.crowded.Store(true)
	}
	if err != nil && ended(c.ctx, err) {
		c.link.abandon(c.commands)
		return
	}
	d.commands.Add(int64(-c.commands))
	<-d.slots
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
	result := d.client.Do(c.enter(), command)
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

// broken reports whether err is a connection that broke after the command was sent.
func broken(ctx context.Context, err error) bool {
	if err == nil || ended(ctx, err) {
		return false
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
	results := d.client.DoMulti(c.enter(), commands...)
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
	err := d.wake()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		a.err = d.unreachable(err)
		d.lastErr, d.redialAt = a.err, time.Now().Add(redialGap)
	} else {
		d.publish()
	}
	d.dialing = nil
	close(a.done)
}

// wake pings, which makes the client connect where it is not connected. The first ping may go to a connection that broke
// without the client having noticed. An error reply on a live connection is as good as any: the server is there.
func (d *Driver) wake() (err error) {
	for range 2 {
		if err = d.client.Do(context.Background(), d.client.B().Ping().Build()).Error(); err == nil {
			return nil
		}
		if l := d.latest.Load(); l != nil && l.ready.Load() && !l.isDead() {
			return nil
		}
		var handshake *errHandshake
		if _, answered := rueidis.IsRedisErr(err); answered || errors.As(err, &handshake) || d.closing.Err() != nil {
			return err
		}
	}
	return err
}

// publish makes the newest connection the one that calls use, unless it broke already.
func (d *Driver) publish() {
	l := d.latest.Load()
	d.live.Store(l)
	if l.isDead() {
		d.live.CompareAndSwap(l, nil)
	}
}

// dial is how the client connects. The end of the driver ends it; that of a call does not.
func (d *Driver) dial(_ context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.closing, d.target.DialTimeout)
	defer cancel()
	conn, err := dialNetwork(ctx, address, dialer, config)
	if err != nil {
		return nil, &errHandshake{err}
	}
	l := &link{Conn: conn, driver: d}
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
