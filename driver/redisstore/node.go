package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/redisstore/internal/near"
)

// redialGap is the shortest time between an attempt to connect that failed, or whose connection answered no call, and the next;
// calls in between fail at once.
const redialGap = 500 * time.Millisecond

// A node is what a driver has of one server: one connection, on which concurrent calls share round trips, made anew at the next
// call when it breaks.
type node struct {
	address string
	name    string  // in errors
	target  *target // how to connect, and what to keep out of errors; its address may be another
	login   login
	// loginHint follows what the server says of a login that it refuses.
	loginHint string
	// verify, where it is not nil, looks at a new connection before any call gets it: whether the server is what it should be.
	verify func(ctx context.Context, n *node) error

	client  rueidis.Client
	pace    *pace           // of the driver
	closing context.Context // ends when close begins
	cancel  context.CancelFunc
	retired chan struct{} // closed when no call is to begin any more
	retire1 sync.Once

	slots   chan struct{} // one for each call that is or may be in the queue of the client
	doubted atomic.Bool   // it is being asked whether it has lost the others of its cluster
	crowded atomic.Bool   // calls have met: connections are piped from their first call on
	live    atomic.Pointer[link]
	latest  atomic.Pointer[link] // dialed last, perhaps still shaking hands

	mu       sync.Mutex
	signs    int64    // of life that the link had given when isSilent looked last
	dialing  *attempt // nil: none under way
	redialAt time.Time
	lastErr  error // why nothing dials before redialAt
}

// A login is how a node begins a connection.
type login struct {
	username, clientName string
	password             unique.Handle[string]
	db                   int
	tls                  *tls.Config // nil: without
	near                 *near.Cache // that the connection fills; nil: none
}

// An attempt is one try to connect, which all calls that need it wait for.
type attempt struct {
	done chan struct{}
	err  error // why it failed, a store error
}

// String names the server in errors.
func (n *node) String() string { return n.name }

// newNode returns the node of a server, which connects at its first call.
func newNode(address string, to *target, as login, p *pace) (*node, error) {
	n := &node{
		address: address, name: "Redis at " + address, target: to, login: as, pace: p,
		retired: make(chan struct{}), slots: make(chan struct{}, maxCalls),
	}
	n.closing, n.cancel = context.WithCancel(context.Background())
	var err error
	option := rueidis.ClientOption{
		InitAddress:         []string{address},
		Username:            as.username,
		Password:            as.password.Value(),
		SelectDB:            as.db,
		ClientName:          as.clientName,
		Dialer:              net.Dialer{Timeout: to.DialTimeout},
		ConnWriteTimeout:    maxWait,
		TLSConfig:           as.tls,
		DialCtxFn:           n.dial,
		ForceSingleClient:   true,
		DisableCache:        true,
		DisableRetry:        true, // the driver knows what it may send again
		PipelineMultiplex:   -1,   // one connection: a third faster than two at 64 callers, and half the server's work
		BlockingPipeline:    -1,   // batches of any size share it
		ReadBufferEachConn:  bufferSize,
		WriteBufferEachConn: bufferSize,
	}
	if as.near != nil {
		option.OnInvalidations = n.changed // which also makes the client read replies on a goroutine of its own
	}
	n.client, err = rueidis.NewClient(option)
	// It would connect at once, which dial refuses, and is returned all the same: it connects again.
	if n.client == nil {
		n.cancel()
		return nil, n.unreachable(err)
	}
	return n, nil
}

// connect waits for a live connection, made once for all callers and bounded by the dial timeout, not by their contexts: a
// caller that leaves does not take the connection from the others.
func (n *node) connect(ctx context.Context) (*link, error) {
	for {
		if l := n.live.Load(); l != nil {
			return l, nil
		}
		n.mu.Lock()
		if l := n.live.Load(); l != nil {
			n.mu.Unlock()
			return l, nil
		}
		if n.dialing == nil {
			if wait := time.Until(n.redialAt); wait > 0 {
				err := n.lastErr
				n.mu.Unlock()
				return nil, &notSent{err}
			}
			turn, ok := n.pace.take(n.lastErr == nil || ctx.Value(inquiryKey{}) != nil)
			if !ok {
				err := n.lastErr
				n.mu.Unlock()
				return nil, &notSent{err}
			}
			n.dialing = &attempt{done: make(chan struct{})}
			go n.dialOnce(n.dialing, turn)
		}
		a := n.dialing
		n.mu.Unlock()
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, &notSent{n.ended(ctx)}
		case <-n.retired:
			return nil, errRetired
		case <-n.closing.Done():
			return nil, n.closed()
		}
		if a.err != nil {
			return nil, &notSent{a.err}
		}
	}
}

// dialOnce makes the client connect when its turn comes and, if it did, publishes the connection.
func (n *node) dialOnce(a *attempt, turn time.Duration) {
	n.awaitGone()
	if turn > 0 {
		n.pace.await(n.closing, turn)
	}
	err := n.wake()
	if err == nil {
		err = n.verified()
	}
	if l := n.latest.Load(); err != nil && l != nil {
		l.cut() // what did not answer is not asked again
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		err = n.publish()
	}
	n.lastErr = nil
	if err == nil || n.closing.Err() == nil { // a dial that the node itself gave up says nothing about the servers
		n.pace.ended(err == nil)
	}
	if err != nil {
		a.err = n.unreachable(err)
		n.lastErr, n.redialAt = a.err, time.Now().Add(redialGap)
	}
	n.dialing = nil
	close(a.done)
}

// isSilent reports whether calls wait for the server to take a connection, or to answer one that has shown no sign of life since
// isSilent was called before.
func (n *node) isSilent() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.live.Load()
	if l == nil {
		return n.dialing != nil
	}
	before := n.signs
	n.signs = l.signs.Load()
	return n.signs == before && l.written.Load() > l.answered.Load()
}

// awaitGone waits until the calls that began on the connection before have left the client, which they do soon: they would
// wait for the new one without regard to their contexts.
func (n *node) awaitGone() {
	l := n.latest.Load()
	if l == nil || !l.dead.Load() {
		return
	}
	l.leftAll()
	select {
	case <-l.gone:
	case <-n.closing.Done():
	}
}

// pause lets nothing dial before the time at, and answers err meanwhile.
func (n *node) pause(at time.Time, err error) {
	n.pace.ended(false)
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.After(n.redialAt) {
		n.lastErr, n.redialAt = err, at
	}
}

// wakeKey marks the context of the ping that makes the client connect.
type wakeKey struct{}

// wake pings, which makes the client connect where it is not connected. The first ping may go to a connection that broke
// without the client having noticed. An error reply on a live connection is as good as any: the server is there.
func (n *node) wake() (err error) {
	const steps = 3 // connecting, the handshake and the ping
	bound := steps * min(n.target.DialTimeout, time.Hour)
	ctx, cancel := context.WithTimeout(context.WithValue(n.closing, wakeKey{}, true), bound)
	defer cancel()
	for range 2 {
		if err = n.client.Do(ctx, n.client.B().Ping().Build()).Error(); err == nil {
			return nil
		}
		if l := n.latest.Load(); l != nil && l.ready.Load() && !l.dead.Load() {
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
func (n *node) publish() error {
	l := n.latest.Load()
	l.greeted.Store(l.answered.Load())
	if n.login.near != nil {
		l.piped.Store(true)
		l.watchNear(nil)
	}
	n.live.Store(l)
	if l.dead.Load() {
		n.live.CompareAndSwap(l, nil)
		return errHungUp
	}
	return nil
}

// errStale is for calls that took a connection just before it broke, and find the client without one.
var errStale = &errHandshake{errors.New("the connection broke before the command was sent")}

// dial is how the client connects, for wake alone. Other calls do not make it, for all would wait on the one that does, which would
// give up with its context. The end of the node ends it; that of a call does not.
func (n *node) dial(caller context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	if caller.Value(wakeKey{}) == nil {
		return nil, errStale
	}
	ctx, cancel := context.WithTimeout(n.closing, n.target.DialTimeout)
	defer cancel()
	conn, err := dialNetwork(ctx, address, dialer, config)
	if err != nil {
		return nil, &errHandshake{err}
	}
	l := newLink(conn, n)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing.Err() != nil {
		conn.Close()
		return nil, &errHandshake{errClosed}
	}
	n.latest.Store(l)
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

// verified looks whether the server of a new connection is what it should be.
func (n *node) verified() error {
	ctx, cancel := context.WithTimeout(n.closing, min(n.target.DialTimeout, time.Hour))
	defer cancel()
	var err error
	if n.verify != nil {
		err = n.verify(ctx, n)
	}
	if err == nil && n.login.near != nil {
		err = n.track(ctx)
	}
	return err
}

// errRetired is for calls that came to a node which is not to be used any more.
var errRetired = &notSent{store.Errorf(store.ErrUnavailable, "store unavailable: the servers of Redis change; try again")}

// retire lets no call begin any more, and closes the node when those under way have ended.
func (n *node) retire() {
	n.retire1.Do(func() { close(n.retired) })
	n.loseNear()
	n.closeIfDrained()
}

// isRetired reports whether retire was called.
func (n *node) isRetired() bool {
	select {
	case <-n.retired:
		return true
	default:
		return false
	}
}

// closed is the error of a call to a node that closes: with its driver, or because it is retired.
func (n *node) closed() error {
	if n.isRetired() {
		return errRetired
	}
	return &notSent{errClosed}
}

// closeIfDrained closes a retired node without calls. One that begins takes its slot before it looks whether the node is retired.
func (n *node) closeIfDrained() {
	if n.isRetired() && len(n.slots) == 0 && n.closing.Err() == nil {
		go n.close()
	}
}

// breakLinks makes what is under way fail at once and lets nothing connect any more.
func (n *node) breakLinks() {
	n.cancel()
	n.mu.Lock()
	l := n.latest.Load()
	n.mu.Unlock()
	if l != nil {
		l.cut()
	}
}

// close closes the connection. Calls under way end at once, writes among them with an unknown outcome.
func (n *node) close() {
	n.breakLinks() // the client would wait for the replies under way
	n.client.Close()
}
