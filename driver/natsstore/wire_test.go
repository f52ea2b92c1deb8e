package natsstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// pair returns a wire and the other end of its connection.
func pair(t testing.TB) (*wire, net.Conn) {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer listener.Close()
	conn := must(net.Dial("tcp", listener.Addr().String()))(t)
	peer := must(listener.Accept())(t)
	t.Cleanup(func() {
		conn.Close()
		peer.Close()
	})
	return &wire{Conn: conn}, peer
}

func TestWire_ToAServerThatDoesNotRead_TakesAllAndSendsItInOrder(t *testing.T) {
	boundtest.AtMost(t, "the longest write took", boundtest.Scale(100*time.Millisecond), func() time.Duration { return fillAndRead(t) })
}

// fillAndRead writes more than a connection holds before the other end reads, and returns how long the longest write took.
func fillAndRead(t *testing.T) (longest time.Duration) {
	t.Helper()
	w, peer := pair(t)
	var all []byte
	for i := range 200 {
		p := bytes.Repeat([]byte{byte(i)}, 100_000)
		all = append(all, p...)
		start := time.Now()
		if n, err := w.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		longest = max(longest, time.Since(start))
	}
	moved := w.reserve(1)
	if moved == nil {
		t.Fatal("there is room all the same")
	}
	got := make([]byte, len(all))
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, all) {
		t.Errorf("something else came, or %v", err)
	}
	<-moved
	eventually(t, "there is room again", func() bool { return w.reserve(1) == nil })
	w.release(1)
	if n, err := w.Write([]byte("x")); n != 1 || err != nil {
		t.Error(n, err)
	}
	return longest
}

func TestWire_ThatBreaks_SendsNothingMore(t *testing.T) {
	w, peer := pair(t)
	big := make([]byte, 32<<20)
	if _, err := w.Write(big); err != nil {
		t.Fatal(err)
	}
	moved := w.reserve(1)
	peer.Close()
	<-moved
	eventually(t, "the break is noticed", func() bool { _, err := w.Write([]byte("x")); return err != nil })
	if w.reserve(1) != nil {
		t.Error("calls would wait for room for ever")
	}
}

func TestWire_Room_IsForAsManyAsItIsReservedFor(t *testing.T) {
	w, _ := pair(t)
	if w.reserve(maxBacklog) != nil {
		t.Fatal("there is no room in the beginning")
	}
	moved := w.reserve(1)
	if moved == nil {
		t.Fatal("the room was given twice")
	}
	w.release(maxBacklog)
	<-moved
	if w.reserve(1) != nil {
		t.Error("there is no room again")
	}
}

// A server that reads nothing must not hold calls beyond their deadlines, however much they send.
func TestCalls_ToAServerThatReadsNothing_ReturnInTime(t *testing.T) {
	stuck := make(chan struct{})
	defer close(stuck)
	p := startPuppet(t, func(came post) string {
		if !came.is("STREAM.INFO") {
			<-stuck
		}
		return ""
	})
	const deadline = 200 * time.Millisecond
	what := fmt.Sprintf("the longest of calls with a deadline of %v took", deadline)
	boundtest.AtMost(t, what, boundtest.Scale(deadline+50*time.Millisecond), func() time.Duration { return callInVain(t, p, deadline) })
}

// callInVain makes many calls on a new connection to a server that reads nothing, and returns how long the longest took.
func callInVain(t *testing.T, p *puppet, deadline time.Duration) (longest time.Duration) {
	t.Helper()
	d := openURL(t, "nats://"+p.addr+"/b")
	v := make([]byte, 500_000)
	type result struct {
		err  error
		took time.Duration
	}
	results := make(chan result)
	const calls = 100
	for range calls {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			start := time.Now()
			err := d.Set(ctx, "t:k", v, 0)
			results <- result{err, time.Since(start)}
		}()
	}
	kinds := map[string]int{}
	for range calls {
		r := <-results
		kinds[store.Kind(r.err)]++
		longest = max(longest, r.took)
	}
	if kinds["timeout"] == 0 || kinds["unknown_outcome"] == 0 || kinds["timeout"]+kinds["unknown_outcome"]+kinds["unavailable"] != calls {
		t.Errorf("the calls answer %v", kinds)
	}
	return longest
}
