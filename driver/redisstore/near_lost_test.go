package redisstore

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/redisstore/internal/near"
	"github.com/luastore/store/internal/faulttest"
	"github.com/luastore/store/internal/redistest"
)

func TestNear_ConnectionLost_EmptiesTheCacheAtOnce(t *testing.T) {
	server := redistest.Start(t, nil)
	proxy := faulttest.StartProxy(t, server.Addr(), 1)
	d := openNear(t, strings.Replace(server.URL(), server.Addr(), proxy.Addr(), 1))
	server.Do(t, "SET", "k:1", "v")
	for name, lose := range map[string]func(){
		"cut here":     func() { only(d.Driver).live.Load().cut() },
		"killed":       func() { server.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
		"server ended": func() { server.Restart(t); server.Do(t, "SET", "k:1", "v") },
	} {
		keepNear(t, d, "k:1")
		lose()
		eventually(t, name+": the cache is empty", func() bool { _, ok := d.Peek("k:1"); return !ok })
	}
	keepNear(t, d, "k:1")
	d.Close()
	wantNoPeek(t, d, "k:1")
	if _, err := d.Get(testContext(t), "k:1"); store.Kind(err) != "unavailable" {
		t.Errorf("after Close: %v", err)
	}
}

// The connection stands, but nothing comes any more.
func TestNear_ServerCutOffWithoutAWord_EmptiesTheCacheSoon(t *testing.T) {
	t.Parallel() // it waits most of the time
	server := redistest.Start(t, nil)
	proxy := faulttest.StartProxy(t, server.Addr(), 1)
	d := openNear(t, strings.Replace(server.URL(), server.Addr(), proxy.Addr(), 1))
	server.Do(t, "SET", "k:1", "v")
	keepNear(t, d, "k:1")
	proxy.Set(faulttest.Blackhole)
	proxy.SetLive(faulttest.Blackhole)
	// Long before the client's own ping gives up.
	eventually(t, "the cache is empty", func() bool { _, ok := d.Peek("k:1"); return !ok })
	proxy.Set(faulttest.Pass)
	proxy.SetLive(faulttest.Pass)
	server.Do(t, "SET", "k:1", "w")
	eventually(t, "all is well again", func() bool {
		ctx, cancel := context.WithTimeout(testContext(t), callBudget)
		defer cancel()
		d.Get(ctx, "k:1")
		v, _ := d.Peek("k:1")
		return string(v) == "w"
	})
}

func TestNear_QuietLink_IsNotTrustedAfterThreeSecondsWithoutASign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := near.New(near.MinBytes)
		w := &wire{replies: make(chan string, 1)}
		l := newLink(w, &node{login: login{near: cache}, slots: make(chan struct{}, 1), retired: make(chan struct{}), closing: context.Background()})
		l.ready.Store(true)
		keep := func() { cache.Begin("k:1", l.source.Load()).Keep([]byte("v"), 0) }
		kept := func() bool { _, ok := cache.Get("k:1"); return ok }
		keep()
		l.watchNear(nil)
		for range 10 { // the pings of an idle connection
			time.Sleep(2 * maxSilence)
			send(t, l, get)
			w.reply(t, l, "$1\r\nv\r\n")
		}
		synctest.Wait()
		if !kept() {
			t.Error("a server that answers each two seconds was not trusted")
		}
		time.Sleep((maxBehind + 1) * maxSilence)
		synctest.Wait()
		if kept() {
			t.Error("a server that does not answer was trusted for four seconds")
		}
		send(t, l, get)
		w.reply(t, l, "$1\r\nv\r\n")
		if keep(); !kept() {
			t.Error("nothing is kept though the server answers again")
		}
		l.cut()
		if kept() {
			t.Error("a link that was cut is trusted")
		}
		time.Sleep(2 * maxSilence) // its watch ends
	})
}

// The news may be behind what comes.
func TestNear_LongReplyOnASlowLine_IsNoSignThatTheCacheIsUpToDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := near.New(near.MinBytes)
		w := &wire{replies: make(chan string, 1)}
		l := newLink(w, &node{login: login{near: cache}, slots: make(chan struct{}, 1), retired: make(chan struct{}), closing: context.Background()})
		l.ready.Store(true)
		cache.Begin("k:1", l.source.Load()).Keep([]byte("v"), 0)
		l.watchNear(nil)
		send(t, l, get)
		w.reply(t, l, "$5000\r\n")
		late := cache.Begin("k:2", l.source.Load())
		for range 5 {
			time.Sleep(maxSilence * 9 / 10)
			w.reply(t, l, strings.Repeat("v", 1000))
		}
		synctest.Wait()
		if _, ok := cache.Get("k:1"); ok {
			t.Error("answered though no command was answered for more than four seconds")
		}
		if w.reply(t, l, "\r\n"); late.Keep([]byte("v"), 0) {
			t.Error("what took more than four seconds to read is kept")
		}
		l.cut()
		time.Sleep(2 * maxSilence) // its watch ends
	})
}

// The next connection may show what changed meanwhile.
func TestNear_LinkThatIsCut_AnswersNothingAnyMoreWhenTheNextCanBeMade(t *testing.T) {
	answered := 0
	for range 2_000 {
		cache := near.New(near.MinBytes)
		n := &node{login: login{near: cache}, slots: make(chan struct{}, 1), retired: make(chan struct{}), closing: context.Background()}
		l := newLink(&wire{}, n)
		n.live.Store(l)
		cache.Begin("k:1", l.source.Load()).Keep([]byte("v"), 0)
		var cuts sync.WaitGroup
		cuts.Go(func() { l.cut() })
		cuts.Go(func() { l.cut() })
		for n.live.Load() != nil {
			runtime.Gosched()
		}
		if _, ok := cache.Get("k:1"); ok {
			answered++
		}
		cuts.Wait()
	}
	if answered > 0 {
		t.Errorf("answered %d times", answered)
	}
}

func TestNear_FlushWhileALinkIsCut_LeavesNothingOfIt(t *testing.T) {
	for range 500 {
		cache := near.New(near.MinBytes)
		l := newLink(&wire{}, &node{login: login{near: cache}, slots: make(chan struct{}, 1), retired: make(chan struct{}), closing: context.Background()})
		var both sync.WaitGroup
		both.Go(func() { l.cut() })
		both.Go(l.loseNear)
		both.Wait()
		if cache.Begin("k:1", l.source.Load()).Keep([]byte("v"), 0) {
			t.Fatal("a dead link keeps what it reads")
		}
	}
}

// The client would wait for its answer for a minute, and connect no other time.
func TestNear_ConnectionThatDoesNotAnswerAtFirst_IsGivenUp(t *testing.T) {
	k := startTracker(t)
	// Long enough to connect in on a busy machine: the dials are to succeed.
	d := openNear(t, "redis://"+k.addr+"?dial_timeout=500ms")
	k.ping.Store(func() string { return silence })
	first := only(d.Driver).live.Load()
	first.cut()
	if _, err := d.Get(testContext(t), "k:1"); store.Kind(err) != "unavailable" {
		t.Errorf("%v, want unavailable", err)
	}
	if second := only(d.Driver).latest.Load(); second == first || !second.dead.Load() {
		t.Error("a connection that does not answer is kept")
	}
	k.ping.Store(func() string { return "+PONG\r\n" })
	eventually(t, "all is well again", func() bool { _, err := d.Get(testContext(t), "k:1"); return err == nil })
}

// Keys move between servers; what their old one told of last is not the end of it.
func TestNear_ClusterSlotsMove_ChangesOnTheirNewServersAreSeen(t *testing.T) {
	c := redistest.SharedCluster(t)
	d, other := openNear(t, c.URL()), openURL(t, c.URL())
	ctx := testContext(t)
	n := byte(0)
	for range 2 {
		for _, to := range []int{0, 1, fooOwner} {
			keepAny(t, d, other, "{foo}:a", &n)
			c.Migrate(t, fooSlot, to)
			n++
			if err := other.Set(ctx, "{foo}:a", []byte{n}, 0); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the new value shows", func() bool { v, ok := d.Peek("{foo}:a"); return !ok || v[0] == n })
			if v, err := d.Get(ctx, "{foo}:a"); err != nil || v[0] != n {
				t.Fatalf("%v, %v, want %d", v, err, n)
			}
		}
	}
}

// keepAny writes a key anew through another driver and waits until it is in the near cache.
func keepAny(t *testing.T, d *nearDriver, other store.Driver, key string, n *byte) {
	t.Helper()
	*n++
	if err := other.Set(testContext(t), key, []byte{*n}, 0); err != nil {
		t.Fatal(err)
	}
	keepNear(t, d, key)
}

func TestNear_Failover_NothingOfTheOldPrimaryIsAnswered(t *testing.T) {
	s := redistest.SharedSentinel(t)
	d, other := openNear(t, s.URL()), openURL(t, s.URL())
	n := byte(0)
	keepAny(t, d, other, "k:1", &n)
	s.Failover(t)
	eventually(t, "a write succeeds", func() bool {
		ctx, cancel := context.WithTimeout(testContext(t), callBudget)
		defer cancel()
		return other.Set(ctx, "k:1", []byte{n + 1}, 0) == nil
	})
	eventually(t, "the new value shows", func() bool { v, ok := d.Peek("k:1"); return !ok || v[0] == n+1 })
	eventually(t, "the new primary is read", func() bool { v, err := d.Get(testContext(t), "k:1"); return err == nil && v[0] == n+1 })
	keepAny(t, d, other, "k:1", &n)
}

// The old primary goes on to answer, and those who are answered from memory do not ask it, nor anyone.
func TestNear_ClusterPrimaryReplaced_NothingOfItIsAnsweredThoughNobodyAsks(t *testing.T) {
	var owner atomic.Value // address of the primary of all slots
	reply := func(command []string) string {
		switch command[0] {
		case "GET":
			return "$1\r\nv\r\n"
		case "PTTL":
			return ":-1\r\n"
		}
		host, port := hostPort(owner.Load().(string))
		return "*1\r\n" + slotsReply(0, slotCount-1, host, port)
	}
	old, successor := startPuppet(t, nil, reply), startPuppet(t, nil, reply)
	owner.Store(old.addr)
	d := openNear(t, "redis+cluster://"+old.addr+","+successor.addr)
	keepNear(t, d, "k:1")
	link := must(d.servers.of(t.Context(), "k:1"))(t).live.Load()
	owner.Store(successor.addr)
	eventually(t, "the cache is empty", func() bool { _, ok := d.Peek("k:1"); return !ok })
	eventually(t, "what is read from a primary that was replaced is not kept", func() bool {
		return !d.near.Begin("k:1", link.source.Load()).Keep([]byte("v"), 0)
	})
	keepNear(t, d, "k:1")
	if n := must(d.servers.of(t.Context(), "k:1"))(t); n.address != successor.addr {
		t.Errorf("%s is read, want its successor", n)
	}
}

// It refuses reads, but those who are answered from memory do not ask it.
func TestNear_ClusterPrimaryLosesTheOthers_NothingOfItIsAnsweredThoughNobodyAsks(t *testing.T) {
	var addr, state atomic.Value
	state.Store("ok")
	p := startPuppet(t, nil, func(command []string) string {
		switch command[0] {
		case "GET":
			return "$1\r\nv\r\n"
		case "PTTL":
			return ":-1\r\n"
		}
		if len(command) > 1 && command[1] == "INFO" {
			return "+cluster_state:" + state.Load().(string) + "\r\n"
		}
		host, port := hostPort(addr.Load().(string))
		return "*1\r\n" + slotsReply(0, slotCount-1, host, port)
	})
	addr.Store(p.addr)
	d := openNear(t, "redis+cluster://"+p.addr)
	keepNear(t, d, "k:1")
	state.Store("fail")
	eventually(t, "the cache is empty", func() bool { _, ok := d.Peek("k:1"); return !ok })
}
