package natsstore

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/natstest"
)

// A breaker stands before a real server and, when told, lets messages through and breaks the connection instead of returning a reply.
type breaker struct {
	addr  string
	armed atomic.Bool
	after atomic.Uint64        // so many messages of link it waits for, before it breaks a connection
	link  atomic.Pointer[link] // nil: it does not wait
}

func startBreaker(t testing.TB, target string) *breaker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &breaker{addr: listener.Addr().String()}
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
			go func() { io.Copy(server, conn); server.Close() }()
			go b.replies(conn, server)
		}
	}()
	return b
}

func (b *breaker) replies(conn, server net.Conn) {
	defer conn.Close()
	defer server.Close()
	p := make([]byte, 64<<10)
	for {
		n, err := server.Read(p)
		if err != nil {
			return
		}
		if strings.Contains(string(p[:n]), "MSG ") && b.armed.CompareAndSwap(true, false) {
			b.await()
			return
		}
		if _, err := conn.Write(p[:n]); err != nil {
			return
		}
	}
}

// await waits for the messages that are to be sent before the connection breaks, if it was told of any.
func (b *breaker) await() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for l := b.link.Load(); l != nil && l.conn.Stats().OutMsgs < b.after.Load(); {
		<-tick.C
	}
}

func TestLostReplies(t *testing.T) {
	server := natstest.Shared(t)
	address := strings.TrimPrefix(strings.TrimSuffix(server.URL(), "/"+server.Bucket), "nats://")
	b := startBreaker(t, address)
	d, beside := openURL(t, strings.Replace(server.URL(), address, b.addr, 1)), openURL(t, server.URL())
	ctx := testContext(t)
	up := func() { d.Has(ctx, "t:up") } // waits until it is connected again
	applied, unknown := 0, 0
	for i := range 9 {
		up()
		d.Has(ctx, "t:n") // what is there is known, so that an increment is one message
		b.armed.Store(i%3 == 0)
		switch _, err := d.Incr(ctx, "t:n", 1, 0, 0); store.Kind(err) {
		case "":
			applied++
		case "unknown_outcome":
			unknown++
		case "unavailable": // late news of the one before broke the connection: it was not sent, and must not count
		default:
			t.Fatal(err)
		}
	}
	n, err := beside.Incr(ctx, "t:n", 0, 0, 0)
	if n < float64(applied) || n > float64(applied+unknown) || unknown == 0 || err != nil {
		t.Errorf("%v increments, %d confirmed, %d unknown, %v", n, applied, unknown, err)
	}
	for name, change := range map[string]func() error{
		"delete": func() error { _, err := d.Delete(ctx, "t:k"); return err },
		"swap":   func() error { _, err := d.CompareAndSwap(ctx, "t:k", []byte("v"), []byte("w"), 0); return err },
		"touch":  func() error { _, err := d.Touch(ctx, "t:k", 0); return err },
		"set":    func() error { return d.Set(ctx, "t:k", []byte("w"), 0) },
	} {
		err := store.ErrUnavailable
		for store.Kind(err) == "unavailable" { // as long as late news of the Set break the connection before the change is sent
			up()
			if err := d.Set(ctx, "t:k", []byte("v"), 0); err != nil {
				t.Fatal(err)
			}
			d.Get(ctx, "t:k") // what is there is known, so that the change is one message
			b.armed.Store(true)
			err = change()
		}
		if store.Kind(err) != "unknown_outcome" {
			t.Errorf("%s whose reply was lost: %v", name, err)
		}
	}
	up()
	beside.Set(ctx, "t:k", []byte("v"), 0)
	for name, read := range map[string]func() error{
		"get":      func() error { _, err := d.Get(ctx, "t:k"); return err },
		"get many": func() error { _, err := d.GetMany(ctx, []string{"t:k", "t:n"}); return err },
		"list":     func() error { _, err := d.List(ctx, "t:", "", 10); return err },
	} {
		b.armed.Store(true)
		if err := read(); err != nil {
			t.Errorf("%s whose reply was lost was not sent again: %v", name, err)
		}
	}
	up()
	b.after.Store(d.sent() + 2) // else the second may go out on the next connection, and be confirmed
	b.link.Store(d.live.Load())
	b.armed.Store(true)
	err = d.SetMany(ctx, []store.Item{{Key: "t:1"}, {Key: "t:2"}}, 0)
	var batch *store.BatchError
	if !errors.As(err, &batch) || !slices.Contains(batch.Keys(), "t:2") || store.Kind(err) != "unknown_outcome" {
		t.Errorf("a batch whose replies were lost: %v", err)
	}
}

// Who hears that the connection broke, and sends again, must not find it.
func TestConnectionThatBroke_IsGoneBeforeItsRequestsEnd(t *testing.T) {
	p := startPuppet(t, func(came post) string {
		if came.is("STREAM.MSG.GET") {
			return silence
		}
		return ""
	})
	d := openURL(t, "nats://"+p.addr+"/b")
	l := d.live.Load()
	r := must(l.send(testContext(t), d.api+"STREAM.MSG.GET."+d.stream, nil, getRequest(d.subject("t:k"))))(t)
	d.mu.Lock() // which holds up who takes it away
	go l.fail(errHungUp)
	eventually(t, "the connection is gone", func() bool { return d.live.Load() == nil })
	early := len(r.reply)
	d.mu.Unlock()
	var broken *brokenLink
	if got := <-r.reply; early != 0 || !errors.As(got.err, &broken) {
		t.Errorf("%d replies before the connection was gone, then %v", early, got.err)
	}
}

// What the client holds in its buffers when a connection breaks must not go out on the next.
func TestWriteOnAConnectionThatBroke_IsNeverAppliedLater(t *testing.T) {
	server := natstest.Start(t, nil)
	d, ctx := openURL(t, server.URL()), testContext(t)
	d.Set(ctx, "t:k", []byte("before"), 0)
	server.Kill()
	failed := 0
	for range 200 {
		short, cancel := context.WithTimeout(ctx, 1e7)
		err := d.Set(short, "t:k", []byte("after"), 0)
		cancel()
		if kind := store.Kind(err); kind == "unavailable" || kind == "timeout" {
			failed++
		} else if kind != "unknown_outcome" {
			t.Fatalf("a write without a server: %v", err)
		}
	}
	server.Restart(t)
	eventually(t, "the driver recovered", func() bool { _, err := d.Get(ctx, "t:k"); return err == nil })
	if v, err := d.Get(ctx, "t:k"); string(v) != "before" || failed < 190 {
		t.Errorf("Get = %q, %v, after %d writes that failed for sure", v, err, failed)
	}
}
