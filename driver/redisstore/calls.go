package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"
)

const (
	// maxCalls is how many calls are in the queue of the client at most. The queue has 1,024 places and waits for a free one
	// without regard to the context; the calls beyond wait here, where they notice its end.
	maxCalls = 768
	// maxWait is how long the client waits for a reply whatever the contexts say, and for the one to the ping that it sends each
	// second to an idle server. Its default of ten seconds would cut off calls with more time.
	maxWait = time.Minute
	// bufferSize of each direction. Half a megabyte, the default of the client, is no faster here.
	bufferSize = 64 << 10
)

// A notSent wraps the reason why a command surely was not sent.
type notSent struct{ err error }

func (e *notSent) Error() string { return e.err.Error() }

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
func (n *node) begin(ctx context.Context, commands int) (call, error) {
	if err := n.takeSlot(ctx); err != nil {
		return call{}, err
	}
	for {
		l, err := n.connect(ctx)
		if err == nil && n.isRetired() {
			err = errRetired
		}
		if err != nil {
			n.giveSlot()
			return call{}, err
		}
		c := call{ctx: ctx, handed: ctx, link: l, commands: int64(commands)}
		l.commands.Add(c.commands)
		if err := c.enter(); err != nil {
			l.release(c.commands)
			return call{}, err
		}
		switch {
		case n.live.Load() != l:
			c.exit()
			l.forget(c.commands)
		case ctx.Err() != nil: // the client would refuse it without saying that it did
			c.exit()
			l.release(c.commands)
			return call{}, &notSent{n.ended(ctx)}
		default:
			return c, nil
		}
	}
}

// takeSlot waits for one of the calls under way to end, where there are too many.
func (n *node) takeSlot(ctx context.Context) error {
	if ctx.Err() != nil {
		return &notSent{n.ended(ctx)}
	}
	select {
	case n.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case n.slots <- struct{}{}:
	case <-ctx.Done():
		return &notSent{n.ended(ctx)}
	case <-n.retired:
		return errRetired
	case <-n.closing.Done():
		return n.closed()
	}
	if ctx.Err() != nil {
		n.giveSlot()
		return &notSent{n.ended(ctx)}
	}
	return nil
}

// giveSlot gives the slot of a call back, which may be the last one of a node that is retired.
func (n *node) giveSlot() {
	<-n.slots
	n.closeIfDrained()
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
	if l.node.crowded.Load() || len(l.node.slots) > 1 {
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
		c.link.node.crowded.Store(true)
	}
	if err != nil && outOfTime(c.ctx, err) {
		c.link.abandon(c.commands)
		return
	}
	c.link.release(c.commands)
}

// outOfTime reports whether err came about because the context of the call ended.
func outOfTime(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// maxStale is how many connections a call takes that turn out to be broken before anything is sent.
const maxStale = 3

// do sends one command.
func (n *node) do(ctx context.Context, command rueidis.Completed) (result rueidis.RedisResult) {
	for range maxStale {
		c, err := n.begin(ctx, 1)
		if err != nil {
			return rueidis.NewErrorResult(err)
		}
		result = n.client.Do(c.handed, command)
		err = result.NonRedisError()
		c.leave(err)
		if !c.stale(err) {
			break
		}
	}
	return result
}

// stale reports whether err says that the link of the call was broken before anything was sent on it. If so, no call takes it any more,
// which the client has not yet seen to where it is slow to close what it found broken.
func (c *call) stale(err error) bool {
	if !errors.Is(err, errStale) {
		return false
	}
	c.link.Close()
	return true
}

// read sends a command that changes nothing, and once more where the connection broke under it.
func (n *node) read(ctx context.Context, command func() rueidis.Completed) rueidis.RedisResult {
	result := n.do(ctx, command())
	if broken(ctx, result.NonRedisError()) {
		return n.do(ctx, command())
	}
	return result
}

// broken reports whether err is a connection that broke under a command, so that it may go to the next one.
func broken(ctx context.Context, err error) bool {
	if err == nil || outOfTime(ctx, err) {
		return false
	}
	var unsent *notSent
	var handshake *errHandshake
	return !errors.As(err, &unsent) && !errors.As(err, &handshake)
}

// doMulti sends commands in one go. It returns one result for each, or the reason why none was sent.
func (n *node) doMulti(ctx context.Context, commands []rueidis.Completed) ([]rueidis.RedisResult, error) {
	return n.exchange(ctx, commands, func(*link) {})
}

// exchange is doMulti that tells on which link, before it sends anything, each time that it tries.
func (n *node) exchange(ctx context.Context, commands []rueidis.Completed, on func(l *link)) (results []rueidis.RedisResult, err error) {
	for range maxStale {
		c, err := n.begin(ctx, len(commands))
		if err != nil {
			return nil, err
		}
		on(c.link)
		results = n.client.DoMulti(c.handed, commands...)
		var failed error
		for i := range results {
			if failed = results[i].NonRedisError(); failed != nil {
				break
			}
		}
		c.leave(failed)
		if !c.stale(results[0].NonRedisError()) {
			break
		}
	}
	return results, nil
}
