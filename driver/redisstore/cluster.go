package redisstore

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
)

// A cluster is a Redis Cluster. Each slot of the keys has a primary, and each primary that is asked has a connection. A server that
// is asked for a slot which it does not have names the one that has it; which has which is asked anew where a server failed.
type cluster struct {
	driver  *Driver
	nodes   nodes
	inquiry inquiry
	owners  [slotCount]atomic.Pointer[node]

	mu    sync.Mutex
	known []string // addresses of the servers that were named last, primaries first
}

func (d *Driver) newCluster() (*cluster, error) {
	c := &cluster{driver: d, nodes: nodes{driver: d, kind: "Redis", source: "the cluster announced", login: d.dataLogin}}
	c.inquiry.find = c.learn
	for _, address := range d.target.addresses() {
		n, err := c.nodes.at(address)
		if err != nil {
			return nil, err
		}
		d.build = n.client.B()
	}
	time.AfterFunc(maxSilence, c.lookAgain)
	return c, nil
}

// lookAgain asks where the slots are from time to time while a primary is silent, until the driver is closed: those who wait for it
// may wait long, and do not see that another has taken its place. With a near cache it always asks: those who are answered from there
// do not see either that their primary was cut off from the others.
func (c *cluster) lookAgain() {
	if c.driver.closing.Err() != nil {
		return
	}
	for _, n := range c.primaries() {
		if n.isSilent() {
			c.inquiry.start(n)
		}
	}
	if c.driver.near != nil {
		c.inquiry.start(nil)
		for _, n := range c.nodes.connected() {
			if n.doubted.CompareAndSwap(false, true) {
				go c.doubt(n)
			}
		}
	}
	time.AfterFunc(maxSilence, c.lookAgain)
}

// doubt asks a server whether it has lost the others, so that it refuses what those who are answered from the near cache do not ask. It
// waits for as long as the link lives: to give up would be to doubt that.
func (c *cluster) doubt(n *node) {
	defer n.doubted.Store(false)
	info, err := n.do(c.driver.closing, c.driver.build.ClusterInfo().Build()).ToString()
	if err == nil && strings.Contains(info, "cluster_state:fail") {
		n.loseNear()
	}
}

// open learns the slots and waits until one primary is connected.
func (c *cluster) open(ctx context.Context) error {
	if err := c.inquiry.ask(ctx, c.driver, nil); err != nil {
		return err
	}
	primaries := c.primaries()
	connected := make(chan error, len(primaries))
	for _, n := range primaries {
		go func() {
			_, err := n.connect(ctx)
			connected <- err
		}()
	}
	var err error
	for range primaries {
		if err = <-connected; err == nil {
			return nil
		}
	}
	return err
}

// primaries returns those that have slots, each once, in the order of their first slots.
func (c *cluster) primaries() []*node {
	var all []*node
	seen := map[*node]bool{}
	var last *node
	for i := range c.owners {
		n := c.owners[i].Load()
		if n != nil && n != last && !seen[n] {
			seen[n] = true
			all = append(all, n)
		}
		last = n
	}
	return all
}

var errNoOwner = &notSent{store.Errorf(store.ErrUnavailable, "store unavailable: no server of the Redis Cluster has the slot of the key")}

func (c *cluster) of(ctx context.Context, key string) (*node, error) {
	owner := &c.owners[slotOf(key)]
	if n := owner.Load(); n != nil && !n.isRetired() {
		return n, nil
	}
	if err := c.inquiry.ask(ctx, c.driver, nil); err != nil {
		return nil, err
	}
	if n := owner.Load(); n != nil && !n.isRetired() {
		return n, nil
	}
	return nil, errNoOwner
}

// elsewhere follows what a server answered that does not have the slot.
func (c *cluster) elsewhere(ctx context.Context, key string, w way, err error) (next way, ok bool) {
	reply, answered := rueidis.IsRedisErr(err)
	if !answered {
		return c.afterFailure(ctx, key, w, err)
	}
	switch word, _, _ := strings.Cut(reply.Error(), " "); word {
	case "MOVED":
		n := c.named(reply.Error(), w)
		if n == nil {
			return way{}, false
		}
		if old := c.owners[slotOf(key)].Swap(n); old != nil && old != n {
			old.loseNear()
		}
		c.inquiry.start(nil)
		return way{node: n}, true
	case "ASK":
		n := c.named(reply.Error(), w)
		return way{node: n, asking: true}, n != nil
	case "TRYAGAIN":
		return w, true
	case "CLUSTERDOWN", "READONLY", "LOADING":
		if c.inquiry.ask(ctx, c.driver, w.node) != nil {
			return way{}, false
		}
		n := c.owners[slotOf(key)].Load()
		return way{node: n}, n != nil && n != w.node
	}
	return way{}, false
}

// afterFailure is elsewhere after a call without an answer. It was not sent if its node was retired.
func (c *cluster) afterFailure(ctx context.Context, key string, w way, err error) (next way, ok bool) {
	if !errors.Is(err, errRetired) {
		c.inquiry.start(w.node)
		return way{}, false
	}
	n, err := c.of(ctx, key)
	return way{node: n}, err == nil
}

// named returns the node of the server that w named in a redirection, such as "MOVED 3999 host:6381", nil where that is no address.
func (c *cluster) named(redirection string, w way) *node {
	fields := strings.Fields(redirection)
	if len(fields) != 3 {
		return nil
	}
	address, ok := whole(fields[2], w.address)
	if !ok {
		return nil
	}
	n, err := c.nodes.at(address)
	if err != nil {
		return nil
	}
	return n
}

// learn asks one server after the other which primary has which slot, until one answers. Where none does in little time, those that
// were slow get the time that connecting may take.
func (c *cluster) learn(doubted *node) error {
	var ranges []slotRange
	ask := func(address string, patience time.Duration) (err error) {
		ranges, err = c.slotsAt(address, patience)
		return err
	}
	slow, err := inTurn(c.candidates(doubted), inquiryPatience, ask)
	if len(slow) > 0 {
		_, err = inTurn(slow, c.driver.target.patience(), ask)
	}
	if err != nil {
		return err
	}
	return c.adopt(ranges)
}

// candidates are the servers to ask, each once: those that are connected first, and doubted, which may be cut off from the others,
// last.
func (c *cluster) candidates(doubted *node) []string {
	var all []string
	seen := map[string]bool{}
	add := func(addresses ...string) {
		for _, address := range addresses {
			if !seen[address] {
				seen[address] = true
				all = append(all, address)
			}
		}
	}
	if doubted != nil {
		seen[doubted.address] = true
	}
	for _, n := range c.nodes.connected() {
		add(n.address)
	}
	c.mu.Lock()
	add(c.known...)
	c.mu.Unlock()
	add(c.driver.target.addresses()...)
	if doubted != nil {
		all = append(all, doubted.address)
	}
	return all
}

// slotsAt asks one server. Its error is a notSent.
func (c *cluster) slotsAt(address string, patience time.Duration) ([]slotRange, error) {
	n, err := c.nodes.at(address)
	if err != nil {
		return nil, err
	}
	d := c.driver
	ctx, cancel := d.inquiryContext(patience)
	defer cancel()
	reply, err := n.read(ctx, func() rueidis.Completed { return d.build.ClusterSlots().Build() }).ToMessage()
	var ranges []slotRange
	if err == nil {
		ranges, err = parseSlots(reply, address)
	}
	if err == nil && len(ranges) == 0 {
		err = errNoSlots
	}
	if err == nil {
		return ranges, nil
	}
	return nil, &notSent{d.inquiryError(ctx, n, err)}
}

// adopt makes what a server said about all slots that which calls go by.
func (c *cluster) adopt(ranges []slotRange) error {
	wanted := map[*node]bool{}
	var owners [slotCount]*node
	var primaries, replicas []string
	for _, r := range ranges {
		n, err := c.nodes.at(r.primary)
		if err != nil {
			return err
		}
		wanted[n] = true
		for slot := r.first; slot <= r.last; slot++ {
			owners[slot] = n
		}
		primaries, replicas = append(primaries, r.primary), append(replicas, r.replicas...)
	}
	losers := map[*node]bool{}
	for slot, n := range owners {
		if old := c.owners[slot].Swap(n); old != nil && old != n {
			losers[old] = true
		}
	}
	for n := range losers {
		n.loseNear()
	}
	c.mu.Lock()
	c.known = append(primaries, replicas...)
	c.mu.Unlock()
	c.nodes.keep(wanted)
	return nil
}

func (c *cluster) close() { c.nodes.close() }
