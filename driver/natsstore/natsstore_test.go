package natsstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/natstest"
)

func TestDriver_StoresTheValueAndNothingElse(t *testing.T) {
	server := natstest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	for _, v := range [][]byte{{}, {0}, []byte("\r\n"), []byte("plain"), bytes.Repeat([]byte{0xff}, 5000)} {
		if err := d.Set(ctx, "t:k", v, 0); err != nil {
			t.Fatal(err)
		}
		m := must(stream(t, server).GetLastMsgForSubject(ctx, d.subject("t:k")))(t)
		if !bytes.Equal(m.Data, v) {
			t.Errorf("the server holds %q, want %q", m.Data, v)
		}
		got, err := d.Get(ctx, "t:k")
		if err != nil || !bytes.Equal(got, v) || got == nil {
			t.Errorf("Get = %q, %v, want %q and not nil", got, err, v)
		}
	}
}

func TestDriver_Close(t *testing.T) {
	server := natstest.Shared(t)
	before := goleak.IgnoreCurrent()
	d := must(open(testContext(t), must(ParseURL(server.URL()))(t).target()))(t)
	ctx := testContext(t)
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			for {
				var err error
				if i%2 == 0 {
					err = d.Set(ctx, "t:k", []byte("v"), time.Hour)
				} else {
					_, err = d.Incr(ctx, "t:n", 1, 0, 0)
				}
				if kind := store.Kind(err); err != nil {
					if kind != "unavailable" && kind != "unknown_outcome" {
						t.Errorf("a call beside Close: %v", err)
					}
					return
				}
			}
		})
	}
	d.Close()
	d.Close()
	wait.Wait()
	reads, writes := everyOp(ctx, d)
	for _, errs := range []map[string]error{reads, writes} {
		for op, err := range errs {
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s after Close: %v", op, err)
			}
		}
	}
	goleak.VerifyNone(t, before)
}

func TestDriver_ContextThatEndedBefore_SendsNothing(t *testing.T) {
	server := natstest.Shared(t)
	d := openURL(t, server.URL())
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	for kind, ctx := range map[string]context.Context{"canceled": canceled, "timeout": late} {
		reads, writes := everyOp(ctx, d)
		for _, errs := range []map[string]error{reads, writes} {
			for op, err := range errs {
				if store.Kind(err) != kind || !errors.Is(err, ctx.Err()) {
					t.Errorf("%s: %v, want %s", op, err, kind)
				}
			}
		}
	}
	if info := must(stream(t, server).Info(testContext(t)))(t); info.State.LastSeq != 0 {
		t.Error("something was written")
	}
}

func TestDriver_ManyCallers_ShareOneConnection(t *testing.T) {
	var wait sync.WaitGroup
	p := startPuppet(t, func(post) string { return "" })
	d := openURL(t, "nats://"+p.addr+"/b")
	for i := range 2_000 {
		wait.Go(func() {
			if err := d.Set(testContext(t), fmt.Sprint("t:", i), []byte("v"), 0); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := p.dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if l := d.live.Load(); len(l.slots) != 0 || len(l.waiting) != 0 {
		t.Errorf("%d slots are still taken, %d requests wait", len(l.slots), len(l.waiting))
	}
}

func TestDriver_WhileTheServerIsAway_DialsTwiceASecondAtMost(t *testing.T) {
	p := startPuppet(t, func(came post) string {
		if came.is("STREAM.INFO") {
			return ""
		}
		return hangUp
	})
	d := openURL(t, "nats://"+p.addr+"/b")
	before := p.dials.Load()
	start := time.Now()
	for time.Since(start) < 2*time.Second {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		d.Get(ctx, "t:k")
		cancel()
	}
	if n := float64(p.dials.Load() - before); n > 2*time.Since(start).Seconds()+1 {
		t.Errorf("%v dials in %v", n, time.Since(start))
	}
}

func TestOpen_WithoutAServer_FailsInTime(t *testing.T) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t) // takes connections, and says nothing
	defer listener.Close()
	gone := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	gone.Close()
	for address, kind := range map[string]string{gone.Addr().String(): "unavailable", listener.Addr().String(): "timeout"} {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := open(ctx, must(ParseURL("nats://"+address+"/b"))(t).target())
		cancel()
		if store.Kind(err) != kind || time.Since(start) > 2*time.Second {
			t.Errorf("%v after %v, want %s", err, time.Since(start), kind)
		}
	}
	_, err := open(testContext(t), must(ParseURL("nats://"+listener.Addr().String()+"?dial_timeout=100ms"))(t).target())
	if store.Kind(err) != "unavailable" {
		t.Errorf("with a dial timeout: %v, want unavailable", err)
	}
}

func TestOpen_OneOfSeveralServersIsEnough(t *testing.T) {
	gone := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	gone.Close()
	server := natstest.Shared(t)
	openURL(t, strings.Replace(server.URL(), "nats://", "nats://"+gone.Addr().String()+",", 1))
}

// startSlow stands before a server and delays each direction.
func startSlow(t testing.TB, target string, delay time.Duration) string {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				conn.Close()
				return
			}
			go copySlowly(conn, server, delay)
			go copySlowly(server, conn, delay)
		}
	}()
	return listener.Addr().String()
}

// copySlowly delays all by the same time, however much there is.
func copySlowly(to, from net.Conn, delay time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 1000)
	go func() {
		defer to.Close()
		for p := range pieces {
			<-time.After(time.Until(p.due))
			if _, err := to.Write(p.data); err != nil {
				return
			}
		}
	}()
	defer close(pieces)
	for {
		data := make([]byte, 32<<10)
		n, err := from.Read(data)
		if err != nil {
			return
		}
		pieces <- piece{data[:n], time.Now().Add(delay)}
	}
}

func TestBatches_TakeFewRoundTrips(t *testing.T) {
	const delay, most = 20 * time.Millisecond, 20
	server := natstest.Shared(t)
	address := strings.TrimPrefix(strings.TrimSuffix(server.URL(), "/"+server.Bucket), "nats://")
	d, ctx := openURL(t, strings.Replace(server.URL(), address, startSlow(t, address, delay), 1)), testContext(t)
	var entries []store.Item
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprintf("t:%03d", i))
		entries = append(entries, store.Item{Key: keys[i], Value: []byte("v")})
	}
	for _, step := range []struct {
		name string
		do   func() (int, error)
	}{
		{"SetMany", func() (int, error) { return 100, d.SetMany(ctx, entries, time.Hour) }},
		{"GetMany", func() (int, error) { values, err := d.GetMany(ctx, keys); return len(values), err }},
		{"List", func() (int, error) { page, err := d.List(ctx, "t:", "", 100); return len(page.Keys), err }},
		{"DeleteMany", func() (int, error) { return d.DeleteMany(ctx, keys) }},
	} {
		start := time.Now()
		n, err := step.do()
		if took := time.Since(start); n != 100 || err != nil || took > most*2*delay {
			t.Errorf("%s of 100 keys: %d, %v, took %v, that is %d round trips", step.name, n, err, took, took/(2*delay))
		}
	}
}

func TestChange_OfWhatWasJustReadOrWritten_IsOneMessage(t *testing.T) {
	server := natstest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	for name, change := range map[string]func() error{
		"swap after get": func() error {
			d.Get(ctx, "t:k")
			before := d.sent()
			swapped, err := d.CompareAndSwap(ctx, "t:k", []byte("v"), []byte("w"), 0)
			return d.sentOne(before, swapped, err)
		},
		"delete after set": func() error {
			d.Set(ctx, "t:k", []byte("v"), 0)
			before := d.sent()
			existed, err := d.Delete(ctx, "t:k")
			return d.sentOne(before, existed, err)
		},
		"create after delete": func() error {
			d.Delete(ctx, "t:k")
			before := d.sent()
			created, err := d.CompareAndSwap(ctx, "t:k", nil, []byte("v"), 0)
			return d.sentOne(before, created, err)
		},
		"incr after incr": func() error {
			d.Incr(ctx, "t:n", 1, 0, 0)
			before := d.sent()
			_, err := d.Incr(ctx, "t:n", 1, 0, 0)
			return d.sentOne(before, true, err)
		},
	} {
		d.Set(ctx, "t:k", []byte("v"), 0)
		if err := change(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sent counts the messages that the driver has sent on its connection.
func (d *Driver) sent() uint64 { return d.live.Load().conn.Stats().OutMsgs }

func (d *Driver) sentOne(before uint64, done bool, err error) error {
	if n := d.sent() - before; n != 1 || !done || err != nil {
		return fmt.Errorf("%d messages, %v, %w", n, done, err)
	}
	return nil
}

// What is remembered of an entry that others have changed since must not decide on anything.
func TestChange_OfWhatOthersHaveChangedSince_IsByWhatIsThere(t *testing.T) {
	server := natstest.Shared(t)
	d, other, ctx := openURL(t, server.URL()), openURL(t, server.URL()), testContext(t)
	d.Set(ctx, "t:k", []byte("mine"), 0)
	other.Set(ctx, "t:k", []byte("theirs"), 0)
	if swapped, err := d.CompareAndSwap(ctx, "t:k", []byte("mine"), []byte("x"), 0); swapped || err != nil {
		t.Errorf("a swap of what was there: %v, %v", swapped, err)
	}
	d.Set(ctx, "t:k", []byte("mine"), 0)
	other.Set(ctx, "t:k", []byte("theirs"), 0)
	if swapped, err := d.CompareAndSwap(ctx, "t:k", []byte("theirs"), []byte("x"), 0); !swapped || err != nil {
		t.Errorf("a swap of what is there: %v, %v", swapped, err)
	}
	other.Delete(ctx, "t:k")
	if existed, err := d.Delete(ctx, "t:k"); existed || err != nil {
		t.Errorf("Delete of what is gone: %v, %v", existed, err)
	}
	other.Set(ctx, "t:k", []byte("theirs"), 0)
	if existed, err := d.Touch(ctx, "t:k", time.Hour); !existed || err != nil {
		t.Errorf("Touch of what is back: %v, %v", existed, err)
	}
	if v, err := d.Get(ctx, "t:k"); string(v) != "theirs" || err != nil {
		t.Errorf("Get = %q, %v", v, err)
	}
	d.Incr(ctx, "t:n", 1, 0, 0)
	other.Set(ctx, "t:n", []byte("no number"), 0)
	if _, err := d.Incr(ctx, "t:n", 1, 0, 0); !errors.Is(err, store.ErrNotNumber) {
		t.Errorf("Incr of what is no number any more: %v", err)
	}
	other.Delete(ctx, "t:n")
	if sum, err := d.Incr(ctx, "t:n", 1, 10, 0); sum != 11 || err != nil {
		t.Errorf("Incr of what is gone: %v, %v", sum, err)
	}
}
