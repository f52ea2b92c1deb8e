package redisstore

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/internal/servertest"
	"github.com/luastore/store/value"
)

// The slot of all keys with the tag {foo}, and the place of its primary among the servers of a cluster.
const (
	fooSlot  = 12182
	fooOwner = 2
)

// number is the stored form of a number.
func number(n float64) []byte { return value.AppendNumber(nil, n) }

// exercise does everything to a key that holds 1, and leaves it so.
func exercise(t *testing.T, d *Driver, key string) {
	t.Helper()
	ctx := testContext(t)
	wants := func(what string, got, want any, err error) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) || err != nil {
			t.Errorf("%s: %s: %v, %v, want %v", key, what, got, err, want)
		}
	}
	got, err := d.Get(ctx, key)
	wants("get", got, number(1), err)
	for _, ttl := range []time.Duration{time.Hour, store.KeepTTL, 0, 0} {
		ok, err := d.Touch(ctx, key, ttl)
		wants(fmt.Sprint("touch ", ttl), ok, true, err)
		left, err := d.TTL(ctx, key)
		wants(fmt.Sprint("ttl after touch ", ttl), left.Round(time.Hour) == max(ttl, 0) || ttl == store.KeepTTL, true, err)
	}
	got, left, err := d.Entry(ctx, key)
	wants("entry", fmt.Sprint(got, left), fmt.Sprint(number(1), time.Duration(0)), err)
	for n := range 3 {
		sum, err := d.Incr(ctx, key, 1, 7, 0)
		wants("incr", sum, n+2, err)
	}
	for i := range 2 {
		ok, err := d.CompareAndSwap(ctx, key, number(4), number(5), 0)
		wants("swap", ok, i == 0, err)
	}
	for _, next := range [][]byte{number(6), nil} {
		ok, err := d.CompareAndSwap(ctx, key, nil, next, 0)
		wants("create what is there", ok, false, err)
	}
	wants("set", nil, nil, d.Set(ctx, key, number(8), time.Hour))
	ok, err := d.Has(ctx, key)
	wants("has", ok, true, err)
	for i := range 2 {
		ok, err = d.Delete(ctx, key)
		wants("delete", ok, i == 0, err)
	}
	ok, err = d.Has(ctx, key)
	wants("has what is not there", ok, false, err)
	if _, err := d.Get(ctx, key); err != store.ErrNotFound {
		t.Errorf("%s: get what is not there: %v", key, err)
	}
	if _, _, err := d.Entry(ctx, key); err != store.ErrNotFound {
		t.Errorf("%s: the entry of what is not there: %v", key, err)
	}
	for i := range 2 {
		ok, err = d.CompareAndSwap(ctx, key, nil, number(2), 0)
		wants("create", ok, i == 0, err)
	}
	ok, err = d.CompareAndSwap(ctx, key, number(2), nil, 0)
	wants("swap to delete", ok, true, err)
	sum, err := d.Incr(ctx, key, -6, 7, 0)
	wants("incr what is not there", sum, 1, err)
}

// exerciseBatch does every batch operation to keys that hold 1, and to as many that are not there, and leaves them so.
func exerciseBatch(t *testing.T, d *Driver, keys []string) {
	t.Helper()
	ctx := testContext(t)
	all, entries := slices.Clone(keys), []store.Item{}
	for _, key := range keys {
		all = append(all, key+"-none")
		entries = append(entries, store.Item{Key: key, Value: []byte(key)})
	}
	values, err := d.GetMany(ctx, all)
	for i := range values {
		if there := i < len(keys); err != nil || there != bytes.Equal(values[i], number(1)) {
			t.Fatalf("get many: %s is %q, %v", all[i], values[i], err)
		}
	}
	if err := d.SetMany(ctx, entries, time.Hour); err != nil {
		t.Fatal(err)
	}
	values, err = d.GetMany(ctx, all)
	for i := range values {
		if there := i < len(keys); err != nil || there && string(values[i]) != keys[i] {
			t.Fatalf("get many: %s is %q, %v", all[i], values[i], err)
		}
	}
	for i := range 2 {
		if n, err := d.DeleteMany(ctx, all); err != nil || n != (1-i)*len(keys) {
			t.Errorf("delete many: %d, %v, want %d", n, err, (1-i)*len(keys))
		}
	}
	for i := range entries {
		entries[i].Value = number(1)
	}
	if err := d.SetMany(ctx, entries, 0); err != nil {
		t.Error(err)
	}
}

func TestCluster_MovingSlot_EveryOperationWorksOnce(t *testing.T) {
	c := redistest.SharedCluster(t)
	ctx, scripts := testContext(t), func() {
		for _, s := range c.Servers {
			s.Do(t, "SCRIPT", "FLUSH")
		}
	}
	var keys []string
	for i := range 12 {
		keys = append(keys, fmt.Sprintf("{foo}:%d", i), fmt.Sprint("other:", i))
	}
	d := openURL(t, c.URLOf(0)) // it learns the slots now
	put := func() {
		t.Helper()
		for _, key := range keys {
			if err := d.Set(ctx, key, number(1), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	each := func(state string) {
		t.Run(state, func(t *testing.T) {
			for _, some := range [][]string{{"{foo}:0"}, {"{foo}:2", "{foo}:3"}} { // one that moved, and others that did not
				for _, key := range some {
					scripts()
					exercise(t, d, key)
				}
			}
			exerciseBatch(t, d, keys)
		})
	}
	put()
	each("at rest")
	m := c.BeginMigration(t, fooSlot, 0)
	m.Move(t, "{foo}:0", "{foo}:1", "{foo}:4", "{foo}:5")
	stale := openURL(t, c.URLOf(1))
	each("half-way")
	m.MoveAll(t)
	each("all keys moved")
	m.Finish(t)
	each("moved")
	exercise(t, stale, "{foo}:9")
	exerciseBatch(t, stale, keys)
	if n := c.Servers[0].Do(t, "CLUSTER", "COUNTKEYSINSLOT", fmt.Sprint(fooSlot)); n != "12" {
		t.Errorf("the new primary has %s keys of the slot", n)
	}
	m = c.BeginMigration(t, fooSlot, fooOwner)
	m.Move(t, "{foo}:0", "{foo}:1", "{foo}:4", "{foo}:5")
	each("half-way back")
	m.MoveAll(t)
	m.Finish(t)
	each("moved back")
}

// An incrementer adds to counters all the time, with calls of its own, and knows what they answered.
type incrementer struct {
	mu         sync.Mutex
	ok, sent   map[string]int // increments that succeeded, and with them those that may have
	kinds      map[string]int // of errors
	lastErr    map[string]error
	longest    time.Duration
	stop       chan struct{}
	calls      sync.WaitGroup
	callBudget time.Duration
}

// startIncrementer increments each key with one worker until the test stops it. Each call has a budget.
func startIncrementer(d store.Driver, budget time.Duration, keys ...string) *incrementer {
	in := &incrementer{ok: map[string]int{}, sent: map[string]int{}, kinds: map[string]int{}, lastErr: map[string]error{}, stop: make(chan struct{}), callBudget: budget}
	for _, key := range keys {
		in.calls.Go(func() { in.run(d, key) })
	}
	return in
}

func (in *incrementer) run(d store.Driver, key string) {
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case <-in.stop:
			return
		case <-pause.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), in.callBudget)
		start := time.Now()
		_, err := d.(store.Counter).Incr(ctx, key, 1, 0, 0)
		in.note(key, err, time.Since(start))
		cancel()
	}
}

func (in *incrementer) note(key string, err error, took time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.longest = max(in.longest, took)
	switch kind := store.Kind(err); kind {
	case "":
		in.ok[key]++
		in.sent[key]++
	case "unknown_outcome":
		in.sent[key]++
		fallthrough
	default:
		in.kinds[kind]++
		in.lastErr[kind] = err
	}
}

// succeeded returns how many increments of each key did.
func (in *incrementer) succeeded() map[string]int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return maps.Clone(in.ok)
}

// end stops it and checks what it saw: no error but those that a server that is away may cause, every call within its budget, and
// no increment twice. lost tells whether acknowledged ones may be missing.
func (in *incrementer) end(t *testing.T, d store.Driver, lost bool) {
	t.Helper()
	close(in.stop)
	in.calls.Wait()
	for kind, n := range in.kinds {
		t.Logf("%d times %s, such as %v", n, kind, in.lastErr[kind])
		if kind != "unavailable" && kind != "timeout" && kind != "unknown_outcome" {
			t.Errorf("%s: %v", kind, in.lastErr[kind])
		}
	}
	// It is the longest of thousands, beside all else that runs: answerBound is for tests that measure what a busy machine adds.
	if over := in.longest - in.callBudget; over > boundtest.Scale(closeBound) {
		t.Errorf("a call took %v longer than it had", over)
	}
	for key, most := range in.sent {
		sum, err := d.(store.Counter).Incr(testContext(t), key, 0, 0, 0)
		if err != nil || int(sum) > most || !lost && int(sum) < in.ok[key] {
			t.Errorf("%s is %v, %v; %d increments succeeded, %d may have", key, sum, err, in.ok[key], most)
		}
		if missing := in.ok[key] - int(sum); missing > 0 {
			t.Logf("%s: %d of %d acknowledged increments are lost", key, missing, in.ok[key])
		}
	}
}

// spread returns n keys, so that every primary has some.
func spread(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint("n:", i))
	}
	return keys
}

func TestCluster_SlotsMoveUnderLoad_NothingIsLostOrDoneTwice(t *testing.T) {
	c := redistest.SharedCluster(t)
	d := openURL(t, c.URL())
	keys := append(spread(4), "{foo}:a", "{foo}:b")
	in := startIncrementer(d, 5*time.Second, keys...)
	for range 4 {
		for _, to := range []int{0, 1, fooOwner} {
			before := in.succeeded()
			c.Migrate(t, fooSlot, to)
			eventually(t, "all counters go on", func() bool {
				now := in.succeeded()
				return !slices.ContainsFunc(keys, func(key string) bool { return now[key] < before[key]+2 })
			})
		}
	}
	in.end(t, d, false)
	if len(in.kinds) > 0 {
		t.Errorf("errors: %v", in.lastErr)
	}
}

// startClusterPuppet is a puppet that says that it has all slots.
func startClusterPuppet(t *testing.T, reply func(p *puppet, command []string) string) *puppet {
	t.Helper()
	var p *puppet
	ready := make(chan struct{})
	p = startPuppet(t, nil, func(command []string) string {
		<-ready
		if strings.EqualFold(command[0], "CLUSTER") && strings.EqualFold(command[1], "SLOTS") {
			host, port, _ := net.SplitHostPort(p.addr)
			return "*1\r\n" + slotsReply(0, slotCount-1, host, port)
		}
		return reply(p, command)
	})
	close(ready)
	return p
}

// allFail makes every call, all at the same time, and checks that each fails with kind, in time.
func allFail(t *testing.T, d *Driver, kind, text string) {
	t.Helper()
	var calls sync.WaitGroup
	defer calls.Wait()
	for _, ops := range []map[string]func(context.Context, *Driver) error{reads, writes} {
		for name, op := range ops {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(testContext(t), boundtest.Scale(3*time.Second))
				defer cancel()
				err := op(ctx, d)
				if store.Kind(err) != kind || name != "list" && !strings.Contains(err.Error(), text) { // a listing asks nobody for a slot
					t.Errorf("%s: %v, want %s with %q", name, err, kind, text)
				}
				if ctx.Err() != nil {
					t.Errorf("%s: no answer within %v", name, boundtest.Scale(3*time.Second))
				}
			})
		}
	}
}

func TestCluster_RedirectionsWithoutEnd_EndWithUnavailable(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"MOVED", "ASK"} {
		t.Run(word+" to itself", func(t *testing.T) {
			t.Parallel()
			p := startClusterPuppet(t, func(p *puppet, command []string) string {
				if command[0] == "ASKING" {
					return "+OK\r\n"
				}
				return "-" + word + " 1 " + p.addr + "\r\n"
			})
			allFail(t, openURL(t, "redis+cluster://"+p.addr), "unavailable", "")
		})
		t.Run(word+" to and fro", func(t *testing.T) {
			t.Parallel()
			back := make(chan string, 1)
			b := startPuppet(t, nil, func(command []string) string {
				if command[0] == "ASKING" {
					return "+OK\r\n"
				}
				addr := <-back
				back <- addr
				return "-" + word + " 1 " + addr + "\r\n"
			})
			a := startClusterPuppet(t, func(_ *puppet, command []string) string { return "-" + word + " 1 " + b.addr + "\r\n" })
			back <- a.addr
			allFail(t, openURL(t, "redis+cluster://"+a.addr), "unavailable", "")
		})
	}
}

func TestCluster_RedirectionToNowhere_IsUnavailable(t *testing.T) {
	t.Parallel()
	away := refusingAddress(t)
	for reply, text := range map[string]string{
		"-MOVED": "", "-MOVED 1": "", "-MOVED 1 ": "", "-MOVED 1 x": "", "-MOVED 1 :0": "", "-MOVED 1 h:99999": "", "-MOVED 1 /tmp/socket:1": "", "-MOVED 1 h:1 2": "",
		"-MOVED 1 u@h:1": "", "-MOVED 1 a,b:1": "", "-ASK": "", "-ASK 1": "", "-ASK 1 \x00:1": "", "-ASK 1 []:]:1": "",
		"-MOVED 1 " + away: away + " (an address that the cluster announced)", "-ASK 1 " + away: away + " (an address that the cluster announced)",
		"-TRYAGAIN later": "", "-CLUSTERDOWN Hash slot not served": "", "-LOADING": "", "-READONLY": "",
	} {
		t.Run(fmt.Sprintf("%q", reply), func(t *testing.T) {
			t.Parallel()
			p := startClusterPuppet(t, func(*puppet, []string) string { return reply + "\r\n" })
			allFail(t, openURL(t, "redis+cluster://"+p.addr), "unavailable", text)
		})
	}
}

// refusingAddress is one where nobody listens.
func refusingAddress(t *testing.T) string {
	t.Helper()
	// No server of another test that listens on a port of the system's choice gets this one.
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(must(servertest.FreePort())(t)))
}

func TestNodes_EndlesslyManyServers_AreRefused(t *testing.T) {
	p := startClusterPuppet(t, func(*puppet, []string) string { return "+OK\r\n" })
	c := openURL(t, "redis+cluster://"+p.addr).servers.(*cluster)
	for i := range maxNodes {
		if _, err := c.nodes.at(fmt.Sprint("h", i, ":1")); (err == nil) != (i < maxNodes-1) {
			t.Fatalf("server %d: %v", i, err)
		}
	}
	if err := c.adopt([]slotRange{{0, slotCount - 1, p.addr, nil}}); err != nil || len(c.nodes.inUse) != 1 {
		t.Errorf("%d servers are in use after an inquiry, %v", len(c.nodes.inUse), err)
	}
}

func TestCluster_PrimaryThatHangs_IsLeftForItsSuccessor(t *testing.T) {
	t.Parallel()
	for name, deafen := range map[string]func(old *gate, deaf *atomic.Bool){
		"on a connection":        func(_ *gate, deaf *atomic.Bool) { deaf.Store(true) },
		"before it is connected": func(old *gate, _ *atomic.Bool) { old.become(t, isSilent) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var owner atomic.Value // address of the primary of all slots
			var deaf atomic.Bool
			reply := func(command []string) string {
				if command[0] != "CLUSTER" {
					return "$1\r\nv\r\n"
				}
				host, port := hostPort(owner.Load().(string))
				return "*1\r\n" + slotsReply(0, slotCount-1, host, port)
			}
			old := startGate(t, func(command []string) string {
				if deaf.Load() {
					return silence
				}
				return reply(command)
			})
			successor := startGate(t, reply)
			owner.Store(old.addr)
			d := openURL(t, "redis+cluster://"+old.addr+","+successor.addr)
			deafen(old, &deaf)
			first := make(chan error, 1)
			go func() { _, err := d.Get(testContext(t), "k:1"); first <- err }() // nothing but this call, which has a minute
			eventually(t, "the call is under way", func() bool { n, err := d.servers.of(t.Context(), "k:1"); return err == nil && len(n.slots) > 0 })
			owner.Store(successor.addr)
			start := time.Now()
			eventually(t, "the successor is known", func() bool {
				n, err := d.servers.of(t.Context(), "k:1")
				return err == nil && n.address == successor.addr
			})
			if took := time.Since(start); took > boundtest.Scale(4*time.Second) {
				t.Errorf("the successor is known after %v", took)
			}
			if _, err := d.Get(testContext(t), "k:1"); err != nil {
				t.Error(err)
			}
			if !deaf.Load() {
				if err := <-first; err != nil {
					t.Errorf("the call that waited for the connection: %v", err)
				}
				return
			}
			start = time.Now()
			d.Close()
			if err := <-first; store.Kind(err) != "unavailable" {
				t.Errorf("a call under way at Close: %v", err)
			}
			if took := time.Since(start); took > boundtest.Scale(closeBound) {
				t.Errorf("a call under way at Close, of a server that is not used any more, returned after %v", took)
			}
		})
	}
}
