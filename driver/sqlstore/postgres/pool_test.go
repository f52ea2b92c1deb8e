package postgres

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/pgtest"
)

// connections counts those of the role on the database of a server.
func connections(t *testing.T, server *pgtest.Server) string {
	t.Helper()
	return server.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'luastore'")
}

// burst makes as many calls at a time as there are connections, so that each is made.
func burst(t *testing.T, d *Driver, n int) {
	t.Helper()
	conns := make([]*conn, n)
	for i := range conns {
		conns[i] = must(d.pool.acquire(testContext(t)))(t)
	}
	for _, c := range conns {
		d.pool.release(c)
	}
}

func TestPool_IdleConnections_AreClosedAfterATime(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	burst(t, d, 8)
	if n := connections(t, server); n != "8" {
		t.Errorf("%s connections just after the burst, want 8", n)
	}
	d.pool.mu.Lock()
	d.pool.keep = 200 * time.Millisecond
	d.pool.pruner.Reset(d.pool.keep)
	d.pool.mu.Unlock()
	// One that is used stays.
	eventually(t, "one is left", func() bool {
		if err := d.Set(testContext(t), "k:k", nil, 0); err != nil {
			t.Error(err)
		}
		return connections(t, server) == "1"
	})
	eventually(t, "none is left", func() bool { return connections(t, server) == "0" })
	d.pool.mu.Lock()
	if d.pool.pruner.Stop() {
		t.Error("the timer runs though no connection is idle")
	}
	d.pool.mu.Unlock()
	if err := d.Set(testContext(t), "k:k", nil, 0); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestPool_ServerWithoutRoom_CallsWaitForAConnectionThatIsThere(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	server.Exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 2', current_database()); END $$`)
	ctx := testContext(t)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 20 {
				if _, err := d.Incr(ctx, fmt.Sprint("k:", i), 1, 0, 0); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	first, second := must(d.pool.acquire(ctx))(t), must(d.pool.acquire(ctx))(t)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := d.Set(short, "k:k", nil, 0); store.Kind(err) != "timeout" {
		t.Errorf("while both are in use: %v", err)
	}
	_, err := Opener(must(ParseURL(server.URL() + "?application_name=other"))(t)).Open(ctx)
	if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "too many connections") {
		t.Errorf("a driver that has none: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Set(ctx, "k:k", nil, 0) }()
	d.pool.release(first)
	if err := <-done; err != nil {
		t.Errorf("when one came back: %v", err)
	}
	d.pool.release(second)
}

// The server may refuse a call because it has just let another one in, which is not known here yet: the call must not fail, as where
// nobody has a connection, but wait for that one.
func TestPool_CallThatIsRefused_WaitsForAnAttemptThatIsUnderWay(t *testing.T) {
	p := newPool(2, time.Minute)
	var dials atomic.Int64
	proceed := make(chan struct{})
	p.dial = func(context.Context) (*conn, error) {
		if dials.Add(1) == 1 {
			<-proceed
		}
		return nil, &crowded{store.Errorf(store.ErrUnavailable, "no room")}
	}
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- second(p.acquire(testContext(t))) }()
	}
	eventually(t, "one of them waits for the other", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.back != nil || len(errs) > 0
	})
	if len(errs) > 0 {
		t.Error("one of them failed while the other one was at it")
	}
	close(proceed)
	for range cap(errs) {
		if err := <-errs; store.Kind(err) != "unavailable" {
			t.Errorf("where nobody got a connection: %v", err)
		}
	}
}

// silentFirst passes connections on, but leaves some of the first without an answer. It counts all.
func silentFirst(t *testing.T, target string, silent int64) (addr string, accepted *atomic.Int64) {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	accepted = new(atomic.Int64)
	var mute []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			if accepted.Add(1) <= silent {
				mute = append(mute, client)
				continue
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			go func() { io.Copy(server, client); server.Close() }()
			go func() { io.Copy(client, server); client.Close() }()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
		for _, c := range mute {
			c.Close()
		}
	})
	return listener.Addr().String(), accepted
}

func TestOpen_FirstTryIsNeverAnswered_AnotherIsMade(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	addr, accepted := silentFirst(t, server.Addr(), 1)
	d := openURL(t, strings.Replace(server.URL(), server.Addr(), addr, 1)+"?dial_timeout=10s&sslmode=disable")
	if err := d.Set(testContext(t), "k:k", nil, 0); err != nil || accepted.Load() < 2 {
		t.Errorf("%v after %d tries", err, accepted.Load())
	}
}

// A server, or what is before it, that takes connections and says nothing, before TLS or after.
func TestOpen_SilentServer_EndsWithTheDeadline(t *testing.T) {
	for name, greeting := range map[string]string{"at once": "", "in the TLS handshake": "S", "in the middle of a message": "R\x00\x00"} {
		for _, mode := range []string{"disable", "require"} {
			addr := greet(t, greeting)
			what := fmt.Sprintf("silent %s, sslmode=%s: opening with a deadline of 100 ms", name, mode)
			boundtest.AtMost(t, what, boundtest.Scale(150*time.Millisecond), func() time.Duration {
				ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
				defer cancel()
				begin := time.Now()
				if _, err := Opener(must(ParseURL("postgres://u:p@" + addr + "/d?sslmode=" + mode))(t)).Open(ctx); err == nil {
					t.Errorf("%s succeeded", what)
				}
				return time.Since(begin)
			})
		}
	}
}

// greet returns the address of a server that says something once and then nothing.
func greet(t *testing.T, greeting string) string {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, greeting)
				io.Copy(io.Discard, c)
			}()
		}
	}()
	return listener.Addr().String()
}

func TestDriver_ServerAway_FailsFastAndAsksSeldom(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, nil)
	addr, accepted := silentFirst(t, server.Addr(), 0)
	d := openURL(t, strings.Replace(server.URL(), server.Addr(), addr, 1)+"?sslmode=disable")
	server.Kill()
	ctx := testContext(t)
	before, begin := accepted.Load(), time.Now()
	for i := range 300 {
		if err := d.Set(ctx, "k:k", nil, 0); err == nil || store.Kind(err) == "timeout" {
			t.Fatalf("write %d: %v", i, err)
		}
	}
	if tries, most := accepted.Load()-before, int64(3+time.Since(begin)/redialGap); tries > most {
		t.Errorf("300 calls made %d connections in %v, want at most %d", tries, time.Since(begin), most)
	}
	server.Restart(t)
	eventually(t, "the driver is back", func() bool { return d.Set(ctx, "k:k", nil, 0) == nil })
}

// The number of broken connections says nothing about what is left of them.
func TestDriver_BrokenConnections_LeaveNothing(t *testing.T) {
	server := pgtest.Shared(t)
	m, url := through(t, server)
	goroutines := runtime.NumGoroutine()
	d := openURL(t, url)
	d.Set(testContext(t), "k:k", nil, 0)
	files := openFiles()
	const breaks = 60
	for range breaks {
		m.before(func(fromServer bool, kind byte) bool { return fromServer || kind != 'B' })
		if err := d.Set(testContext(t), "k:k", nil, 0); store.Kind(err) != "unknown_outcome" {
			t.Fatal(err)
		}
		m.before(nil)
		if _, err := d.Get(testContext(t), "k:k"); err != nil {
			t.Fatal(err)
		}
	}
	// Of each connection three are open here, of the driver and of the proxy.
	eventually(t, "the files of the broken ones are closed", func() bool { return openFiles() <= files+3 })
	// It forgets a broken one in the background, when that is closed.
	eventually(t, "the pool remembers one connection", func() bool {
		d.pool.mu.Lock()
		defer d.pool.mu.Unlock()
		return len(d.pool.wires) == 1
	})
	d.Close()
	eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= goroutines })
}

func TestClose_CallsUnderWay_End(t *testing.T) {
	server := pgtest.Shared(t)
	other, d := openURL(t, server.URL()), openURL(t, server.URL()+"?max_conns=3")
	ctx := testContext(t)
	d.Set(ctx, "k:k", nil, 0)
	_, release := hold(t, other, "k:k")
	defer release()
	const callers = 8
	errs := make(chan error, callers)
	for range callers {
		go func() { errs <- d.Set(ctx, "k:k", nil, 0) }()
	}
	eventually(t, "three wait for the row", func() bool {
		return server.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == "3"
	})
	begin := time.Now()
	d.Close()
	d.Close()
	if took := time.Since(begin); took > boundtest.Scale(2*time.Second) {
		t.Errorf("Close took %v", took)
	}
	kinds := map[string]int{}
	for range callers {
		kinds[store.Kind(<-errs)]++
	}
	if kinds["unknown_outcome"] != 3 || kinds["unavailable"] != callers-3 {
		t.Errorf("the calls answered %v", kinds)
	}
}

func TestIncr_WhileTheRowIsLocked_TimesOutAndSaysThatTheServerWasAsked(t *testing.T) {
	server := pgtest.Shared(t)
	other, d := openURL(t, server.URL()), openURL(t, server.URL())
	d.Incr(testContext(t), "k:n", 1, 0, 0)
	_, release := hold(t, other, "k:n")
	ctx, cancel := context.WithTimeout(testContext(t), time.Second) // a busy machine has asked by then
	defer cancel()
	_, err := d.Incr(ctx, "k:n", 1, 0, 0)
	if store.Kind(err) != "timeout" || strings.Contains(err.Error(), "before") || !strings.Contains(err.Error(), "no reply") {
		t.Errorf("got %v", err)
	}
	release()
	if n, err := d.Incr(testContext(t), "k:n", 1, 0, 0); n != 2 || err != nil {
		t.Errorf("then %v, %v", n, err)
	}
}
