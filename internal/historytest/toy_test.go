//go:build !race

package historytest_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// A toyCluster is servers that hold the same entries. One call at a time changes them all, except those that are cut off, which keep
// what they had.
type toyCluster struct {
	forgets bool // with each new leader, what was written last

	mu      sync.Mutex
	entries map[string]string
	before  [2]map[string]string      // entries, some calls ago
	applied int                       // calls
	leader  bool                      // there is one
	term    int                       // counts leaders
	cutOff  map[int]map[string]string // what servers hold that are cut off
	resumed chan struct{}             // closed unless paused
}

func newToyCluster() *toyCluster {
	c := &toyCluster{entries: map[string]string{}, leader: true, cutOff: map[int]map[string]string{}, resumed: make(chan struct{})}
	close(c.resumed)
	return c
}

const election = 60 * time.Millisecond

// killLeader leaves the cluster without a leader for a while.
func (c *toyCluster) killLeader(testing.TB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader = false
	c.term++
	if c.forgets {
		c.entries = maps.Clone(c.before[0])
	}
	time.AfterFunc(election, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.leader = true
	})
}

// cut cuts off the first server.
func (c *toyCluster) cut(testing.TB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutOff[0] = maps.Clone(c.entries)
}

func (c *toyCluster) rejoin(testing.TB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.cutOff, 0)
}

// pause keeps calls waiting. Some of them have arrived, and take effect later.
func (c *toyCluster) pause(testing.TB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resumed = make(chan struct{})
}

func (c *toyCluster) resume(testing.TB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.resumed)
}

// A state is what a call finds.
type state struct {
	served  bool
	term    int
	resumed <-chan struct{}
}

func (c *toyCluster) state(server int) state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return state{c.leader && c.cutOff[server] == nil, c.term, c.resumed}
}

// A request is one call of a toy.
type request struct {
	op       string
	key      string
	old, new []byte
}

func (r request) reads() bool { return r.op == "get" }

// A reply is what came of it.
type reply struct {
	ok    bool
	sum   float64
	value []byte
}

// apply does a request on entries.
func (r request) apply(entries map[string]string) reply {
	old, there := entries[r.key]
	switch r.op {
	case "get":
		if there {
			return reply{ok: true, value: []byte(old)}
		}
		return reply{}
	case "set":
		entries[r.key] = string(r.new)
	case "delete":
		delete(entries, r.key)
		return reply{ok: there}
	case "incr":
		n, _ := value.ParseNumber([]byte(old))
		entries[r.key] = string(value.AppendNumber(nil, n+1))
		return reply{ok: true, sum: n + 1}
	case "swap":
		if there != (r.old != nil) || old != string(r.old) {
			return reply{}
		}
		if r.new == nil {
			delete(entries, r.key)
		} else {
			entries[r.key] = string(r.new)
		}
	}
	return reply{ok: true}
}

func (c *toyCluster) apply(r request) reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.applied++; c.forgets && c.applied%40 == 0 {
		c.before = [2]map[string]string{c.before[1], maps.Clone(c.entries)}
	}
	return r.apply(c.entries)
}

// A toy is a correct driver of a toyCluster, as far as the runs need one. A fault changes what it does.
type toy struct {
	store.Driver
	cluster *toyCluster
	server  int
	fault   fault

	mu     sync.Mutex
	failed bool // some call
}

// exchange asks the server once.
func (d *toy) exchange(ctx context.Context, r request) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	before := d.cluster.state(d.server)
	if !before.served {
		return d.exchangeLost(r)
	}
	select {
	case <-before.resumed:
	default:
		return d.exchangePaused(ctx, r, before.resumed)
	}
	answer := d.cluster.apply(r)
	travel := time.NewTimer(rand.N(2 * time.Millisecond))
	defer travel.Stop()
	<-travel.C
	if after := d.cluster.state(d.server); !after.served || after.term != before.term {
		return reply{}, lost(r)
	}
	return answer, nil
}

// exchangeLost asks a server that cannot serve: nothing happens, or the request is still taken, but no reply comes.
func (d *toy) exchangeLost(r request) (reply, error) {
	switch rand.IntN(3) {
	case 0:
		d.cluster.apply(r)
		return reply{}, lost(r)
	case 1:
		return reply{}, lost(r)
	}
	return reply{}, store.Errorf(store.ErrUnavailable, "no leader")
}

// exchangePaused asks a paused server: the request waits there, or has not even been sent.
func (d *toy) exchangePaused(ctx context.Context, r request, resumed <-chan struct{}) (reply, error) {
	sent := rand.IntN(2) == 0
	answered := make(chan reply, 1)
	go func() {
		<-resumed
		if sent {
			answered <- d.cluster.apply(r)
		}
	}()
	select {
	case answer := <-answered:
		return answer, nil
	case <-ctx.Done():
		if sent {
			return reply{}, lost(r)
		}
		return reply{}, store.Errorf(store.ErrTimeout, "not sent: %w", ctx.Err())
	}
}

// lost is the error of a request whose reply has not come.
func lost(r request) error {
	if r.reads() {
		return store.Errorf(store.ErrUnavailable, "no reply")
	}
	return store.Errorf(store.ErrUnknownOutcome, "no reply")
}

func (d *toy) call(ctx context.Context, r request) (reply, error) {
	if d.fault.call != nil {
		return d.fault.call(ctx, d, r)
	}
	return d.exchange(ctx, r)
}

func (d *toy) Get(ctx context.Context, key string) ([]byte, error) {
	r, err := d.call(ctx, request{op: "get", key: key})
	if err == nil && !r.ok {
		err = store.ErrNotFound
	}
	return r.value, err
}

func (d *toy) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	v, err := d.Get(ctx, key)
	return v, 0, err
}

func (d *toy) Set(ctx context.Context, key string, v []byte, _ time.Duration) error {
	_, err := d.call(ctx, request{op: "set", key: key, new: v})
	return err
}

func (d *toy) Delete(ctx context.Context, key string) (bool, error) {
	r, err := d.call(ctx, request{op: "delete", key: key})
	return r.ok, err
}

func (d *toy) CompareAndSwap(ctx context.Context, key string, old, v []byte, _ time.Duration) (bool, error) {
	r, err := d.call(ctx, request{op: "swap", key: key, old: old, new: v})
	return r.ok, err
}

func (d *toy) Incr(ctx context.Context, key string, _, _ float64, _ time.Duration) (float64, error) {
	r, err := d.call(ctx, request{op: "incr", key: key})
	return r.sum, err
}

func (d *toy) Close() error { return nil }
