package redisstore

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
)

// A puppet is a server that shakes hands like Redis and then answers each command as a test wants.
type puppet struct {
	addr  string
	dials atomic.Int64
	ping  atomic.Value // func() string: the reply to PING
}

// silence as a reply leaves the command without one; hangUp closes the connection after what comes before it.
const (
	silence = "\x00silence"
	hangUp  = "\x00hang up"
)

const helloReply = "%2\r\n+version\r\n+7.0.0\r\n+proto\r\n:3\r\n"

// startPuppet answers commands beyond the handshake with reply; a nil greet shakes hands properly.
func startPuppet(t testing.TB, greet, reply func(command []string) string) *puppet {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &puppet{addr: listener.Addr().String()}
	p.ping.Store(func() string { return "+PONG\r\n" })
	if greet == nil {
		greet = func(command []string) string {
			if command[0] == "HELLO" {
				return helloReply
			}
			return "+OK\r\n"
		}
	}
	var conns sync.Map
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.dials.Add(1)
			conns.Store(conn, nil)
			go p.serve(conn, greet, reply)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		conns.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
	})
	return p
}

func (p *puppet) serve(conn net.Conn, greet, reply func(command []string) string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		command, err := readCommand(r)
		if err != nil {
			return
		}
		answer := reply
		switch command[0] {
		case "HELLO", "CLIENT", "SELECT":
			answer = greet
		case "PING":
			answer = func([]string) string { return p.ping.Load().(func() string)() }
		}
		text, hang := strings.CutSuffix(answer(command), hangUp)
		if text != silence {
			io.WriteString(conn, text)
		}
		if hang {
			return
		}
	}
}

func readCommand(r *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	command := make([]string, n)
	for i := range command {
		size, err := number()
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		command[i] = string(b[:size])
	}
	return command, nil
}

func always(reply string) func([]string) string { return func([]string) string { return reply } }

// writes are all the ways to change something.
var writes = map[string]func(ctx context.Context, d *Driver) error{
	"set":     func(ctx context.Context, d *Driver) error { return d.Set(ctx, "k:1", []byte("v"), 0) },
	"delete":  func(ctx context.Context, d *Driver) error { _, err := d.Delete(ctx, "k:1"); return err },
	"touch":   func(ctx context.Context, d *Driver) error { _, err := d.Touch(ctx, "k:1", time.Hour); return err },
	"persist": func(ctx context.Context, d *Driver) error { _, err := d.Touch(ctx, "k:1", 0); return err },
	"swap": func(ctx context.Context, d *Driver) error {
		_, err := d.CompareAndSwap(ctx, "k:1", []byte("a"), []byte("b"), 0)
		return err
	},
	"create": func(ctx context.Context, d *Driver) error {
		_, err := d.CompareAndSwap(ctx, "k:1", nil, []byte("b"), 0)
		return err
	},
	"incr": func(ctx context.Context, d *Driver) error { _, err := d.Incr(ctx, "k:1", 1, 0, 0); return err },
	"set many": func(ctx context.Context, d *Driver) error {
		return d.SetMany(ctx, []store.Item{{Key: "k:1"}, {Key: "k:2"}}, 0)
	},
	"delete many": func(ctx context.Context, d *Driver) error {
		_, err := d.DeleteMany(ctx, []string{"k:1", "k:2"})
		return err
	},
}

var reads = map[string]func(ctx context.Context, d *Driver) error{
	"get":   func(ctx context.Context, d *Driver) error { _, err := d.Get(ctx, "k:1"); return err },
	"entry": func(ctx context.Context, d *Driver) error { _, _, err := d.Entry(ctx, "k:1"); return err },
	"ttl":   func(ctx context.Context, d *Driver) error { _, err := d.TTL(ctx, "k:1"); return err },
	"has":   func(ctx context.Context, d *Driver) error { _, err := d.Has(ctx, "k:1"); return err },
	"get many": func(ctx context.Context, d *Driver) error {
		_, err := d.GetMany(ctx, []string{"k:1", "k:2"})
		return err
	},
	"list": func(ctx context.Context, d *Driver) error { _, err := d.List(ctx, "k:", "", 10); return err },
	"is absent": func(ctx context.Context, d *Driver) error {
		_, err := d.CompareAndSwap(ctx, "k:1", nil, nil, 0)
		return err
	},
}

// eachWay runs a test on a connection with one caller, whose client reads replies itself, and on a piped one.
func eachWay(t *testing.T, d func(t *testing.T) *Driver, test func(t *testing.T, d *Driver)) {
	for _, piped := range []bool{false, true} {
		t.Run(fmt.Sprintf("piped=%v", piped), func(t *testing.T) {
			d := d(t)
			if piped {
				makePiped(t, d)
			}
			test(t, d)
		})
	}
}

// makePiped makes a call as if another were under way.
func makePiped(t *testing.T, d *Driver) {
	t.Helper()
	only(d).crowded.Store(true)
	d.Has(testContext(t), "k:pipe")
	if !only(d).live.Load().piped.Load() {
		t.Fatal("the link is not piped")
	}
}
