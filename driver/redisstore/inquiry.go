package redisstore

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/luastore/store"
)

const (
	// inquiryGap is the shortest time from the end of an inquiry to the next one; who wants to know meanwhile is told the same.
	inquiryGap = 200 * time.Millisecond
	// inquiryPatience is how long one server may take to answer an inquiry before the next one is asked.
	inquiryPatience = time.Second
)

// inTurn asks one server after the other until ask returns nil. It returns the last error, and which servers gave no answer in time.
func inTurn(addresses []string, patience time.Duration, ask func(address string, patience time.Duration) error) (slow []string, err error) {
	for _, address := range addresses {
		start := time.Now()
		if err = ask(address, patience); err == nil {
			return nil, nil
		}
		if time.Since(start) >= patience {
			slow = append(slow, address)
		}
	}
	return slow, err
}

// An inquiry finds out which servers to use, once for all who want to know at the same time.
type inquiry struct {
	find func(doubted *node) error // asks doubted, which may be nil, last. Its error is a notSent

	mu      sync.Mutex
	running *attempt // nil: none is
	next    time.Time
	err     error // of the last one
}

// inquiryKey marks the context of questions about the servers, which wait for their turn to dial where calls do not: calls would
// else take all turns for servers that are not the ones to use any more.
type inquiryKey struct{}

// inquiryContext is that of a question about the servers.
func (d *Driver) inquiryContext(patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(d.closing, inquiryKey{}, true), patience)
}

// start begins an inquiry unless one is under way or has just ended, and returns that.
func (q *inquiry) start(doubted *node) *attempt {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.running != nil:
		return q.running
	case time.Now().Before(q.next):
		return &attempt{done: over, err: q.err}
	}
	a := &attempt{done: make(chan struct{})}
	q.running = a
	go func() {
		a.err = q.find(doubted)
		q.mu.Lock()
		defer q.mu.Unlock()
		q.running, q.err, q.next = nil, a.err, time.Now().Add(inquiryGap)
		close(a.done)
	}()
	return a
}

// over is the end of attempts that ended before.
var over = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// ask waits for an inquiry. Its error is a notSent.
func (q *inquiry) ask(ctx context.Context, d *Driver, doubted *node) error {
	a := q.start(doubted)
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return &notSent{ended(ctx, d.name)}
	case <-d.closing.Done():
		return &notSent{errClosed}
	}
}

// maxNodes is how many servers a driver goes by at most. Clusters have a thousand; what names ever more servers is none.
const maxNodes = 2000

var errNodeCount = store.Errorf(store.ErrUnavailable, "store unavailable: the servers name more than %d others", maxNodes)

// nodes are those that a driver has, by address.
type nodes struct {
	driver *Driver
	kind   string // of server, in errors
	source string // who told of those that Address of the options does not name, in errors
	hint   string // of each node, on a login that is refused
	login  func(address string) (login, error)
	verify func(ctx context.Context, n *node) error // of each node; may be nil

	mu      sync.Mutex
	inUse   map[string]*node
	retired []*node // with calls under way
}

// at returns the node of a server. Its error is a notSent.
func (ns *nodes) at(address string) (*node, error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if n := ns.inUse[address]; n != nil {
		return n, nil
	}
	if ns.driver.closing.Err() != nil {
		return nil, &notSent{errClosed}
	}
	if len(ns.inUse) >= maxNodes {
		return nil, &notSent{errNodeCount}
	}
	as, err := ns.login(address)
	if err != nil {
		return nil, &notSent{ns.driver.target.unreachable(ns.name(address), err)}
	}
	n, err := newNode(address, &ns.driver.target, as, ns.driver.pace)
	if err != nil {
		return nil, &notSent{err}
	}
	n.name, n.loginHint, n.verify = ns.name(address), ns.hint, ns.verify
	if ns.inUse == nil {
		ns.inUse = map[string]*node{}
	}
	ns.inUse[address] = n
	return n, nil
}

// name is that of a server in errors. It says where an address comes from that the user did not give: that may be what is wrong.
func (ns *nodes) name(address string) string {
	name := ns.kind + " at " + address
	if ns.source != "" && !slices.Contains(ns.driver.target.addresses(), address) {
		name += " (an address that " + ns.source + ")"
	}
	return name
}

// connected returns those with a connection, in random order.
func (ns *nodes) connected() []*node {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	var live []*node
	for _, n := range ns.inUse {
		if n.live.Load() != nil {
			live = append(live, n)
		}
	}
	return live
}

// keep retires all but those.
func (ns *nodes) keep(wanted map[*node]bool) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.retired = slices.DeleteFunc(ns.retired, func(n *node) bool { return n.closing.Err() != nil })
	maps.DeleteFunc(ns.inUse, func(_ string, n *node) bool {
		if !wanted[n] {
			ns.retired = append(ns.retired, n)
			n.retire()
		}
		return !wanted[n]
	})
}

// close closes all. It runs after the end of the driver's closing, so that none comes after it.
func (ns *nodes) close() {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, n := range ns.inUse {
		n.close()
	}
	for _, n := range ns.retired {
		n.close()
	}
}
