package redisstore

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/redistest"
)

// A breaker stands before a real server and, when told, lets a command through and breaks the connection instead of
// returning the reply.
type breaker struct {
	addr  string
	armed atomic.Bool
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
		if err != nil || b.armed.CompareAndSwap(true, false) {
			return
		}
		if _, err := conn.Write(p[:n]); err != nil {
			return
		}
	}
}

func TestLostReplies(t *testing.T) {
	server := redistest.Shared(t)
	b := startBreaker(t, server.Addr())
	url := strings.Replace(server.URL(), server.Addr(), b.addr, 1)
	eachWay(t, func(t *testing.T) *Driver { return openURL(t, url) }, func(t *testing.T, d *Driver) {
		ctx := testContext(t)
		server.Do(t, "DEL", "k:n", "k:d")
		d.Incr(ctx, "k:n", 0, 0, 0) // the server knows the script from here on
		applied, unknown := 0, 0
		for i := range 100 {
			d.Has(ctx, "k:n") // connects
			b.armed.Store(i%3 == 0)
			switch _, err := d.Incr(ctx, "k:n", 1, 0, 0); store.Kind(err) {
			case "":
				applied++
			case "unknown_outcome":
				unknown++
			default:
				t.Fatal(err)
			}
		}
		n, err := d.Incr(ctx, "k:n", 0, 0, 0)
		if int(n) != applied+unknown || unknown != 34 || err != nil {
			t.Errorf("%v increments, %d confirmed, %d unknown, %v", n, applied, unknown, err)
		}
		for range 10 {
			server.Do(t, "SET", "k:d", "v")
			d.Has(ctx, "k:d")
			b.armed.Store(true)
			if existed, err := d.Delete(ctx, "k:d"); store.Kind(err) != "unknown_outcome" {
				t.Errorf("a delete whose reply was lost: %v, %v", existed, err)
			}
			d.Has(ctx, "k:d") // connects
			b.armed.Store(true)
			if created, err := d.CompareAndSwap(ctx, "k:d", nil, []byte("v"), 0); store.Kind(err) != "unknown_outcome" {
				t.Errorf("a create whose reply was lost: %v, %v", created, err)
			}
			d.Has(ctx, "k:d")
			b.armed.Store(true)
			if v, err := d.Get(ctx, "k:d"); string(v) != "v" || err != nil {
				t.Errorf("a read whose reply was lost was not sent again: %q, %v", v, err)
			}
			b.armed.Store(true)
			if v, err := d.GetMany(ctx, []string{"k:d"}); err != nil || string(v[0]) != "v" {
				t.Errorf("a batch of reads whose reply was lost was not sent again: %q, %v", v, err)
			}
		}
		d.Has(ctx, "k:d")
		b.armed.Store(true)
		err = d.SetMany(ctx, []store.Item{{Key: "k:1"}, {Key: "k:2"}}, 0)
		var batch *store.BatchError
		if !errors.As(err, &batch) || !slices.Equal(batch.Keys(), []string{"k:1", "k:2"}) || store.Kind(err) != "unknown_outcome" {
			t.Errorf("a batch whose replies were lost: %v", err)
		}
	})
}

func TestBatch_CutInTheMiddle_NamesTheKeysWithoutAnswer(t *testing.T) {
	p := startPuppet(t, nil, func(command []string) string {
		switch command[1] {
		case "k:3":
			return "-OOM command not allowed\r\n"
		case "k:4":
			return hangUp
		case "k:pipe":
			return ":0\r\n"
		}
		return "+OK\r\n"
	})
	eachWay(t, func(t *testing.T) *Driver { return openURL(t, "redis://"+p.addr) }, func(t *testing.T, d *Driver) {
		var entries []store.Item
		for i := range 6 {
			entries = append(entries, store.Item{Key: fmt.Sprint("k:", i)})
		}
		err := d.SetMany(testContext(t), entries, 0)
		var batch *store.BatchError
		if !errors.As(err, &batch) || store.Kind(err) != "unknown_outcome" {
			t.Fatalf("got %v", err)
		}
		for _, i := range []int{3, 4, 5} {
			want := "unknown_outcome"
			if i == 3 && only(d).latest.Load().piped.Load() {
				want = "full"
			}
			if got := store.Kind(batch.Errs[entries[i].Key]); got != want && got != "full" {
				t.Errorf("%s: %v, want %s", entries[i].Key, batch.Errs[entries[i].Key], want)
			}
		}
	})
}
