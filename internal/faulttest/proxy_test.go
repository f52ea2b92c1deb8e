package faulttest_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store/internal/faulttest"
)

// How long to wait for what must come, and for what must not.
const (
	patience = 10 * time.Second
	moment   = 200 * time.Millisecond
	aWhile   = 2 * time.Second // for what comes unless the fault strikes
)

// An echo is a server that returns each line.
type echo struct {
	listener net.Listener
	lines    atomic.Int64 // that arrived
}

func startEcho(t *testing.T) *echo {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go e.serve(conn)
		}
	}()
	return e
}

func (e *echo) serve(conn net.Conn) {
	defer conn.Close()
	for lines := bufio.NewReader(conn); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		e.lines.Add(1)
		if _, err := conn.Write(line); err != nil {
			return
		}
	}
}

// startProxy returns a proxy before an echo, and a connection through it that works.
func startProxy(t *testing.T) (*echo, *faulttest.Proxy, net.Conn) {
	t.Helper()
	e := startEcho(t)
	p := faulttest.StartProxy(t, e.listener.Addr().String(), 1)
	conn := dial(t, p)
	if err := say(conn, "hello\n", patience); err != nil {
		t.Fatal(err)
	}
	return e, p, conn
}

func dial(t *testing.T, p *faulttest.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// say sends a line and waits for it to come back.
func say(conn net.Conn, line string, wait time.Duration) error {
	conn.SetDeadline(time.Now().Add(wait))
	defer conn.SetDeadline(time.Time{})
	if _, err := io.WriteString(conn, line); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len(line)))
	return err
}

// sayUntil sends lines until one does not come back, and returns why.
func sayUntil(t *testing.T, conn net.Conn, wait time.Duration) error {
	t.Helper()
	for range 100 {
		if err := say(conn, "hello\n", wait); err != nil {
			return err
		}
	}
	t.Fatal("the fault does not strike")
	return nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.After(patience)
	for tick := time.NewTicker(time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestProxy_PassAndSplit_LetEverythingArrive(t *testing.T) {
	for _, mode := range []faulttest.Mode{faulttest.Pass, faulttest.Split} {
		_, p, conn := startProxy(t)
		p.Set(mode)
		text := bytes.Repeat([]byte(rand.Text()), 40_000)
		go conn.Write(append(text, '\n'))
		got := make([]byte, len(text)+1)
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got[:len(text)], text) {
			t.Errorf("%v: what arrives is not what was sent (%v)", mode, err)
		}
	}
}

func TestProxy_Split_CutsAnywhere(t *testing.T) {
	_, p, conn := startProxy(t)
	p.Set(faulttest.Split)
	line := append(bytes.Repeat([]byte("x"), 999), '\n')
	for range 20 { // a busy machine may read what comes in pieces as one
		if _, err := conn.Write(line); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(line))
		n, err := conn.Read(got)
		if n < len(line) && err == nil {
			return
		}
	}
	t.Error("every line arrived at once")
}

func TestProxy_DropReply_SwallowsAReplyAndCloses(t *testing.T) {
	e, p, conn := startProxy(t)
	p.Set(faulttest.DropReply)
	before := e.lines.Load()
	said := int64(1)
	for say(conn, "hello\n", patience) == nil {
		said++
	}
	if got := e.lines.Load() - before; got != said {
		t.Errorf("%d of %d requests arrived", got, said)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection was not closed: %v", err)
	}
}

func TestProxy_SwallowReply_StaysOpenUntilItEnds(t *testing.T) {
	e, p, conn := startProxy(t)
	p.Set(faulttest.SwallowReply)
	if err := sayUntil(t, conn, aWhile); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	before := e.lines.Load()
	if err := say(conn, "more\n", moment); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	eventually(t, "the request arrives", func() bool { return e.lines.Load() == before+1 })
	p.Set(faulttest.Pass)
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that lost something goes on")
	}
}

func TestProxy_Blackhole_KeepsEverythingUntilItEnds(t *testing.T) {
	e, p, conn := startProxy(t)
	p.Set(faulttest.Blackhole)
	before := e.lines.Load()
	fresh, gone := dial(t, p), dial(t, p)
	for _, c := range []net.Conn{conn, fresh} {
		if err := say(c, "hello\n", moment); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
	io.WriteString(gone, "of one that has gone\n")
	gone.Close()
	if got := e.lines.Load(); got != before {
		t.Fatalf("%d requests arrived", got-before)
	}
	p.Set(faulttest.Pass)
	eventually(t, "what was kept arrives", func() bool { return e.lines.Load() == before+3 })
	line := make([]byte, len("hello\n"))
	if _, err := io.ReadFull(fresh, line); err != nil {
		t.Errorf("the reply did not arrive: %v", err)
	}
}

func TestProxy_Reset_ResetsInTheMiddle(t *testing.T) {
	_, p, conn := startProxy(t)
	p.Set(faulttest.Reset)
	if err := sayUntil(t, conn, patience); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	eventually(t, "the connection is gone", func() bool { return p.Live() == 0 })
}

func TestProxy_Trickle_SendsByteByByte(t *testing.T) {
	_, p, conn := startProxy(t)
	p.Set(faulttest.Trickle)
	const line = "this takes a second or so\n"
	io.WriteString(conn, line)
	got := make([]byte, len(line))
	n, err := conn.Read(got)
	if n == len(line) || err != nil {
		t.Fatalf("%d bytes arrived at once, %v", n, err)
	}
	p.Set(faulttest.Pass) // and the rest at once
	if _, err := io.ReadFull(conn, got[n:]); err != nil || string(got) != line {
		t.Errorf("%q, %v", got, err)
	}
}

func TestProxy_SetLive_LeavesNewConnectionsAlone(t *testing.T) {
	_, p, conn := startProxy(t)
	p.SetLive(faulttest.Blackhole)
	if err := say(dial(t, p), "hello\n", patience); err != nil {
		t.Errorf("a new connection: %v", err)
	}
	if err := say(conn, "hello\n", moment); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an old connection: %v", err)
	}
}

func TestProxy_ServerThatIsDown_ResetsTheClient(t *testing.T) {
	e := startEcho(t)
	p := faulttest.StartProxy(t, e.listener.Addr().String(), 1)
	e.listener.Close()
	conn, err := net.Dial("tcp", p.Addr())
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestProxy_SameSeed_StrikesAtTheSameMoment(t *testing.T) {
	var counts []int64
	for range 2 {
		e := startEcho(t)
		p := faulttest.StartProxy(t, e.listener.Addr().String(), 7)
		p.Set(faulttest.DropReply)
		sayUntil(t, dial(t, p), patience)
		counts = append(counts, e.lines.Load())
	}
	if counts[0] != counts[1] {
		t.Errorf("after %d requests, and then after %d", counts[0], counts[1])
	}
}

func TestMode_HasAName(t *testing.T) {
	for m := faulttest.Pass; m <= faulttest.Split; m++ {
		if m.String() == "" {
			t.Errorf("mode %d has no name", int(m))
		}
	}
}
