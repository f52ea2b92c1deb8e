package natsstore

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/luastore/store"
)

const (
	// redialGap is the shortest time between the beginnings of two attempts to connect, whatever the servers.
	redialGap = 500 * time.Millisecond
	// maxDialOfMany bounds an attempt to connect to one of several servers, so that one that is gone does not keep from the others.
	maxDialOfMany = 2 * time.Second
	// pingInterval is how often an idle connection is looked after.
	pingInterval = 20 * time.Second
)

var errHungUp = errors.New("the server took the connection and closed it at once")

// An attempt is one round of trying to connect to the servers, which all calls that need it wait for.
type attempt struct {
	done chan struct{}
	err  error // why it failed, a store error
}

// connect waits for a live link, made once for all callers and bounded by the dial timeout, not by their contexts: a caller that
// leaves does not take it from the others.
func (d *Driver) connect(ctx context.Context) (*link, error) {
	for {
		if l := d.live.Load(); l != nil {
			return l, nil
		}
		a, err := d.join()
		if err != nil {
			return nil, &notSent{err}
		}
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

// join returns the present attempt, or begins one. After one that failed its error is as good as that of the next, which goes through the
// servers at its pace: who began it waits for it, and nobody else.
func (d *Driver) join() (*attempt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closing.Err() != nil:
		return nil, errClosed
	case d.lastErr != nil && (d.dialing != nil || time.Since(d.dialed) < redialGap):
		return nil, d.lastErr
	case d.dialing == nil:
		d.dialing = &attempt{done: make(chan struct{})}
		d.working.Add(1)
		go d.try(d.dialing)
	}
	return d.dialing, nil
}

// try connects to the servers one after the other until one takes the connection.
func (d *Driver) try(a *attempt) {
	defer d.working.Done()
	var l *link
	var err error
	for range d.servers {
		if err = d.pace(); err != nil {
			break
		}
		server := d.first()
		if l, err = d.dial(server); err == nil {
			break
		}
		d.putLast(server)
	}
	if err == nil && !d.publishLink(l) {
		l.fail(errClosed)
		err = errClosed
	}
	d.settle(a, err)
}

// publishLink makes l the live link, unless the driver is closed.
func (d *Driver) publishLink(l *link) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing.Err() != nil {
		return false
	}
	d.live.Store(l)
	select {
	case <-l.broken: // already
		d.live.Store(nil)
	default:
	}
	return true
}

// settle ends an attempt.
func (d *Driver) settle(a *attempt, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		a.err = d.unreachable(err)
	}
	d.dialing, d.lastErr = nil, a.err
	close(a.done)
}

// lost is called when a link broke: another server is tried first, and what it finds may be another bucket.
func (d *Driver) lost(l *link) {
	d.live.CompareAndSwap(l, nil)
	d.recent.clear()
	d.putLast(l.server)
}

func (d *Driver) first() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.servers[d.turn]
}

// putLast lets another server be tried first, unless it is another one's turn already.
func (d *Driver) putLast(server string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.servers[d.turn] == server {
		d.turn = (d.turn + 1) % len(d.servers)
	}
}

// pace waits until it is time for the next attempt to connect.
func (d *Driver) pace() error {
	d.mu.Lock()
	wait := redialGap - time.Since(d.dialed)
	if d.dialed.IsZero() {
		wait = 0
	}
	d.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.closing.Done():
		return errClosed
	}
	d.mu.Lock()
	d.dialed = time.Now()
	d.mu.Unlock()
	return nil
}

// A dialer is what the client connects with. It lets the end of the driver end that, and keeps the wire.
type dialer struct {
	ctx  context.Context
	wire *wire
}

// Dial connects and puts a wire on top.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.wire = &wire{Conn: conn}
	context.AfterFunc(d.ctx, func() { conn.Close() })
	return d.wire, nil
}

// dial connects to one server.
func (d *Driver) dial(server string) (*link, error) {
	ctx, cancel := context.WithCancel(d.closing)
	timeout := min(d.target.DialTimeout, time.Hour)
	late := time.AfterFunc(timeout, cancel)
	defer late.Stop()
	dialer := &dialer{ctx: ctx}
	l := &link{driver: d, server: server, slots: make(chan struct{}, maxCalls), waiting: map[uint64]*request{}, broken: make(chan struct{})}
	options, err := d.clientOptions(server, timeout)
	if err != nil {
		cancel()
		return nil, err
	}
	options.CustomDialer = dialer
	var ready sync.WaitGroup // the client may call before it is assigned
	ready.Add(1)
	options.ClosedCB = func(conn *nats.Conn) {
		ready.Wait()
		cancel()
		l.fail(orHungUp(conn.LastError()))
	}
	options.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		ready.Wait()
		l.asyncError(err)
	}
	l.conn, err = options.Connect()
	if err == nil {
		l.wire = dialer.wire
		err = l.listen(d.target.InboxPrefix)
	}
	if err != nil {
		l.mu.Lock()
		l.err = err // nobody waits on it
		l.mu.Unlock()
		cancel()
		if l.conn != nil {
			l.conn.Close()
		}
		ready.Done()
		return nil, err
	}
	ready.Done()
	return l, nil
}

func orHungUp(err error) error {
	if err == nil {
		return errHungUp
	}
	return err
}

// listen subscribes to the replies. The server is asked for an answer, so that it is known to take the subscription.
func (l *link) listen(prefix string) error {
	l.inbox = prefix + "." + randomToken() + "."
	sub, err := l.conn.Subscribe(l.inbox+"*", l.receive)
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	return nil
}

// clientOptions returns those of one connection to one server, which is not made again.
func (d *Driver) clientOptions(server string, timeout time.Duration) (nats.Options, error) {
	o := nats.Options{
		Url: "nats://" + server, Name: d.target.ClientName, Timeout: timeout, NoRandomize: true, IgnoreDiscoveredServers: true,
		SkipHostLookup: true, Secure: d.target.TLS, PingInterval: pingInterval, MaxPingsOut: 2, ReconnectBufSize: -1,
		User: d.target.Username, Password: d.target.password.Value(), Token: d.target.token.Value(),
	}
	if err := d.target.addLogin(&o); err != nil {
		return o, err
	}
	config, err := d.target.tlsConfig(server)
	o.TLSConfig = config
	return o, err
}

// denied finds the subject in what servers answer to a message that the user may not send.
var denied = regexp.MustCompile(`(?i)permissions violation for publish to "([^"]*)"`)

// deniedInbox is the same for the subscription to replies, without which nothing would ever be answered.
var deniedInbox = regexp.MustCompile(`(?i)permissions violation for subscription`)

// asyncError takes what the server says beside replies.
func (l *link) asyncError(err error) {
	text := err.Error()
	if match := denied.FindStringSubmatch(text); match != nil {
		l.deny(match[1], store.Errorf(store.ErrDenied, "permission denied: %s does not let this user publish to %s",
			l.driver.where(), l.driver.scrub(match[1])))
		return
	}
	if deniedInbox.MatchString(text) {
		l.fail(store.Errorf(store.ErrDenied, "permission denied: %s does not let this user subscribe to %s*: allow it, or set inbox_prefix",
			l.driver.where(), strings.TrimSuffix(l.inbox, ".")+"."))
	}
}
