package redisstore

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/redistest"
)

func TestSilentServer_IsGivenUp_AndItsQueueFreed(t *testing.T) {
	p := startPuppet(t, nil, func(command []string) string {
		if command[1] == "k:pipe" {
			return ":0\r\n"
		}
		return silence
	})
	d := openURL(t, "redis://"+p.addr)
	makePiped(t, d)
	first := only(d).live.Load()
	start := time.Now()
	giveUp(t, d, 2*maxCalls, "k:1")
	// Long before the client's own ping gives up.
	eventually(t, "the connection was given up", first.dead.Load)
	if took := time.Since(start); took < maxSilence {
		t.Errorf("given up after %v, want no less than %v", took, maxSilence)
	}
	eventually(t, "no command was held after the end of the connection", func() bool { return first.commands.Load() == 0 })
}

// giveUp makes calls that are cancelled when as many as may be were sent.
func giveUp(t *testing.T, d *Driver, calls int, key string) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	var wait sync.WaitGroup
	for range calls {
		wait.Go(func() {
			if err := d.Set(ctx, key, nil, 0); err == nil {
				t.Error("a write without a reply was confirmed")
			}
		})
	}
	link := only(d).live.Load()
	eventually(t, "the calls were sent", func() bool { return link.written.Load()-link.answered.Load() >= maxCalls })
	cancel()
	wait.Wait()
}

// startSlow answers nothing while held, and everything once released.
func startSlow(t *testing.T) (d *Driver, p *puppet, release func()) {
	held := make(chan struct{})
	p = startPuppet(t, nil, func(command []string) string {
		if command[1] != "k:pipe" {
			<-held
		}
		if command[0] == "SET" {
			return "+OK\r\n"
		}
		return ":0\r\n"
	})
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	d = openURL(t, "redis://"+p.addr)
	makePiped(t, d)
	return d, p, release
}

func TestSlowServer_FirstCallAfterItsRecovery_Succeeds(t *testing.T) {
	d, p, release := startSlow(t)
	giveUp(t, d, maxCalls+200, "k:1")
	if held := len(only(d).slots); held != maxCalls {
		t.Errorf("%d slots are held, want %d: the commands are still in the queue", held, maxCalls)
	}
	release()
	if err := d.Set(testContext(t), "k:2", nil, 0); err != nil {
		t.Errorf("the first call after the recovery: %v", err)
	}
	eventually(t, "the slots are free", func() bool {
		return len(only(d).slots) == 0 && only(d).live.Load().commands.Load() == 0
	})
	if p.dials.Load() != 1 {
		t.Errorf("%d dials: a slow server is not a dead one", p.dials.Load())
	}
}

// A server that always answers too late answers all the same: what was given up leaves the queue as it does.
func TestSlowServer_CallsGivenUpAllTheTime_HoldNoMoreSlotsThanWaitForReplies(t *testing.T) {
	step := make(chan struct{})
	p := startPuppet(t, nil, func(command []string) string {
		if command[1] != "k:pipe" {
			<-step
		}
		return ":0\r\n"
	})
	d := openURL(t, "redis://"+p.addr)
	t.Cleanup(func() { close(step) })
	makePiped(t, d)
	l := only(d).live.Load()
	const behind = 3
	for i := range maxCalls + 50 {
		ctx, cancel := context.WithCancel(testContext(t))
		done := make(chan struct{})
		go func() { d.Has(ctx, "k:1"); close(done) }()
		written := l.answered.Load() + int64(min(i, behind)) + 1
		eventuallySoon(t, "the command was sent", func() bool { return l.written.Load() >= written })
		cancel()
		<-done
		if held, waiting := len(only(d).slots), l.written.Load()-l.answered.Load(); int64(held) < waiting {
			t.Fatalf("%d slots are held, and %d commands wait for replies", held, waiting)
		}
		if i < behind {
			continue
		}
		answered := l.answered.Load()
		step <- struct{}{}
		eventuallySoon(t, "a reply came", func() bool { return l.answered.Load() > answered })
		eventuallySoon(t, "its slot was given back", func() bool { return len(only(d).slots) <= behind+1 })
	}
}

// eventuallySoon is eventually for what takes microseconds.
func eventuallySoon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(20 * time.Microsecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

func TestCallsGivenUpBeforeTheyWereSent_HoldNoSlotForLong(t *testing.T) {
	d := openURL(t, redistest.Shared(t).URL())
	makePiped(t, d)
	first := only(d).live.Load()
	for range maxCalls {
		ctx, cancel := context.WithCancel(context.Background())
		c, err := only(d).begin(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		c.leave(only(d).client.Do(c.handed, only(d).client.B().Ping().Build()).NonRedisError())
	}
	if err := d.Set(testContext(t), "k:1", nil, 0); err != nil || only(d).live.Load() != first {
		t.Errorf("%v, or the connection was given up", err)
	}
}

func TestManyCancelledAtOnce_HurtNobodyElse(t *testing.T) {
	d, p, release := startSlow(t)
	ctx, cancel := context.WithCancel(context.Background())
	var wait, others sync.WaitGroup
	for range 400 {
		wait.Go(func() { d.Has(ctx, "k:1") })
	}
	for range 20 {
		others.Go(func() {
			if err := d.Set(testContext(t), "k:2", nil, 0); err != nil {
				t.Error(err)
			}
		})
	}
	link := only(d).live.Load()
	eventually(t, "all is sent", func() bool { return link.commands.Load() == 420 })
	cancel()
	wait.Wait()
	release()
	others.Wait()
	if p.dials.Load() != 1 {
		t.Errorf("%d dials, want 1", p.dials.Load())
	}
}

func TestFirstMeeting_CancellationOfOneCall_DoesNotBreakTheOther(t *testing.T) {
	p := startPuppet(t, nil, func(command []string) string {
		if command[1] == "k:slow" {
			return silence
		}
		return "+OK\r\n"
	})
	d := openURL(t, "redis://"+p.addr)
	link := only(d).live.Load()
	written := link.written.Load()
	ctx, cancel := context.WithCancel(testContext(t))
	var wait sync.WaitGroup
	wait.Go(func() { d.Get(ctx, "k:slow") })
	eventually(t, "the first call was sent", func() bool { return link.written.Load() > written })
	wait.Go(func() {
		if err := d.Set(testContext(t), "k:1", nil, 0); err != nil {
			t.Errorf("the other call: %v", err)
		}
	})
	eventually(t, "the other call has begun", func() bool { return len(only(d).slots) == 2 })
	if _, err := d.Get(testContextShort(t), "k:1"); store.Kind(err) != "timeout" {
		t.Errorf("a call that waits for the first one: %v, want timeout", err)
	}
	cancel()
	wait.Wait()
}

// The client has noticed that a connection broke, and has not yet come so far as to close it: calls still take it. Nothing was sent, so
// that all of them, writes too, go to the next connection.
func TestConnectionThatBrokeBeforeACallWasSent_TheNextOneIsTaken(t *testing.T) {
	server := redistest.Start(t, nil)
	d := openURL(t, server.URL())
	for name, call := range map[string]func(ctx context.Context) error{
		"get": func(ctx context.Context) error { _, err := d.Get(ctx, "k:1"); return err },
		"set": func(ctx context.Context) error { return d.Set(ctx, "k:1", []byte("v"), 0) },
		"swap": func(ctx context.Context) error {
			_, err := d.CompareAndSwap(ctx, "k:1", []byte("v"), nil, 0)
			return err
		},
		"get many": func(ctx context.Context) error { _, err := d.GetMany(ctx, []string{"k:1", "k:2"}); return err },
		"set many": func(ctx context.Context) error {
			return d.SetMany(ctx, []store.Item{{Key: "k:1", Value: []byte("v")}, {Key: "k:2", Value: []byte("v")}}, 0)
		},
	} {
		ctx := testContext(t)
		if err := d.SetMany(ctx, []store.Item{{Key: "k:1", Value: []byte("v")}}, 0); err != nil {
			t.Fatal(err)
		}
		n := only(d)
		l := n.live.Load()
		l.Close()
		eventually(t, "the client has noticed", func() bool {
			r := n.client.Do(ctx, n.client.B().Del().Key("k:other").Build())
			return errors.Is(r.NonRedisError(), errStale)
		})
		n.live.Store(l)
		if err := call(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n.live.Load() == l {
			t.Errorf("%s: the broken connection is still there to be taken", name)
		}
	}
}

// Calls take a connection, and it breaks before they reach the client, which then has none.
func TestConnectionThatBreaksUnderACall_AndIsNotMadeAnew_EndsTheCallAtOnce(t *testing.T) {
	var mute atomic.Bool
	p := startPuppet(t, func(command []string) string {
		switch {
		case mute.Load():
			return silence
		case command[0] == "HELLO":
			return helloReply
		}
		return "+OK\r\n"
	}, always(":1\r\n"))
	d := openURL(t, "redis://"+p.addr)
	makePiped(t, d)
	stale := must(only(d).begin(testContext(t), 1))(t)
	queued := must(only(d).begin(testContext(t), 1))(t)
	mute.Store(true)
	stale.link.Close()
	link := stale.link
	eventually(t, "the client has noticed", func() bool {
		r := only(d).client.Do(testContext(t), only(d).client.B().Del().Key("k:1").Build())
		return errors.Is(r.NonRedisError(), errStale)
	})
	// The connection is made anew by a call that comes later, but not before these have left.
	var wait sync.WaitGroup
	ctx, cancel := context.WithCancel(testContext(t))
	wait.Go(func() { d.Delete(ctx, "k:1") })
	eventually(t, "the new connection is wanted", func() bool { only(d).mu.Lock(); defer only(d).mu.Unlock(); return only(d).dialing != nil })
	for _, c := range []call{stale, queued} {
		start := time.Now()
		err := only(d).client.Do(c.handed, only(d).client.B().Del().Key("k:1").Build()).NonRedisError()
		c.leave(err)
		if took := time.Since(start); took > boundtest.Scale(closeBound) {
			t.Errorf("returned after %v", took)
		}
		if kind := store.Kind(d.writeError(context.Background(), err)); kind != "unavailable" {
			t.Errorf("%v (%s), want unavailable: nothing was sent", err, kind)
		}
	}
	cancel()
	wait.Wait()
	select {
	case <-link.gone:
	case <-testContext(t).Done():
		t.Error("the calls have left, and the link does not know")
	}
	eventually(t, "the server is dialed", func() bool { return p.dials.Load() == 2 })
}

// A deadliner records the latest deadline that the client sets.
type deadliner struct {
	net.Conn
	latest atomic.Int64
}

func (c *deadliner) SetDeadline(at time.Time) error {
	c.latest.Store(at.UnixNano())
	return c.Conn.SetDeadline(at)
}

func TestCallWithMoreThanTenSeconds_KeepsThem(t *testing.T) {
	p := startPuppet(t, nil, always(":1\r\n"))
	d := openURL(t, "redis://"+p.addr)
	link := only(d).live.Load()
	conn := &deadliner{Conn: link.Conn}
	link.Conn = conn
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	if _, err := d.Has(ctx, "k:1"); err != nil {
		t.Fatal(err)
	}
	want, _ := ctx.Deadline()
	if got := time.Unix(0, conn.latest.Load()); !got.Equal(want.Truncate(0)) {
		t.Errorf("the connection ends at %v, the context at %v", got, want)
	}
}
