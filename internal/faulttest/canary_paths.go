package faulttest

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// openings opens the driver on servers that are not what it wants.
func (c *canary[O]) openings(t *testing.T) {
	t.Helper()
	c.open("TLS that the server does not speak", c.TLSURL)
	wrong := *c.parsed
	c.open("a wrong password", strings.Replace(c.URL, c.password, "wrong"+c.password, 1))
	wrong.Path = "/999999"
	c.open("a wrong database", wrong.String())
	for name, addr := range map[string]string{
		"no such host":           "nosuch.invalid:1",
		"refused":                refusing(t),
		"a server that hangs up": serve(t, func(net.Conn) {}),
		"a server that repeats":  serve(t, func(conn net.Conn) { io.Copy(conn, conn) }),
		"a server that talks otherwise": serve(t, func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.0 400 Bad Request\r\n\r\n")
			io.Copy(io.Discard, conn)
		}),
		"a server that talks in numbers": serve(t, func(conn net.Conn) { conn.Write(make([]byte, 4096)); io.Copy(io.Discard, conn) }),
	} {
		c.open(name, c.at(addr))
	}
	for mode := DropReply; mode <= Trickle; mode++ {
		p := StartProxy(t, c.parsed.Host, 1)
		p.Set(mode)
		c.open("through a proxy: "+mode.String(), c.at(p.Addr()))
	}
}

// at returns the URL with another address.
func (c *canary[O]) at(addr string) string {
	u := *c.parsed
	u.Host = addr
	return u.String()
}

// refusing returns an address that nobody listens on.
func refusing(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	return listener.Addr().String()
}

// serve returns the address of a server that does something to each connection and closes it.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// operations are the calls of a driver, by name.
var operations = map[string]func(ctx context.Context, d store.Driver) error{
	"Get":   func(ctx context.Context, d store.Driver) error { _, err := d.Get(ctx, "key"); return present(err) },
	"Entry": func(ctx context.Context, d store.Driver) error { _, _, err := d.Entry(ctx, "key"); return present(err) },
	"TTL":   func(ctx context.Context, d store.Driver) error { _, err := d.TTL(ctx, "key"); return present(err) },
	"Has":   func(ctx context.Context, d store.Driver) error { _, err := d.Has(ctx, "key"); return err },
	"Set":   func(ctx context.Context, d store.Driver) error { return d.Set(ctx, "key", []byte("v"), 0) },
	"Delete": func(ctx context.Context, d store.Driver) error {
		_, err := d.Delete(ctx, "key")
		return err
	},
	"Touch": func(ctx context.Context, d store.Driver) error { _, err := d.Touch(ctx, "key", time.Hour); return err },
	"CompareAndSwap": func(ctx context.Context, d store.Driver) error {
		_, err := d.CompareAndSwap(ctx, "key", []byte("old"), []byte("new"), 0)
		return err
	},
	"List": func(ctx context.Context, d store.Driver) error { _, err := d.List(ctx, "", "", 10); return err },
	"Incr": func(ctx context.Context, d store.Driver) error {
		_, err := d.(store.Counter).Incr(ctx, "count", 1, 0, 0)
		return err
	},
	"GetMany": func(ctx context.Context, d store.Driver) error {
		_, err := d.(store.Batcher).GetMany(ctx, []string{"key", "other"})
		return err
	},
	"SetMany": func(ctx context.Context, d store.Driver) error {
		return d.(store.Batcher).SetMany(ctx, []store.Item{{Key: "key"}, {Key: "other"}}, 0)
	},
	"DeleteMany": func(ctx context.Context, d store.Driver) error {
		_, err := d.(store.Batcher).DeleteMany(ctx, []string{"key", "other"})
		return err
	},
}

// present takes the answer that there is no such key as none of a failure.
func present(err error) error {
	if store.Kind(err) == "not_found" {
		return nil
	}
	return err
}

// calls makes each call fail in each way that comes after the driver is open, and prints the driver in the end.
func (c *canary[O]) calls(t *testing.T) {
	t.Helper()
	p := StartProxy(t, c.parsed.Host, 2)
	o, err := c.ParseURL(c.at(p.Addr()))
	if err != nil {
		t.Fatal("the URL is refused; its text is not shown because it may hold the password")
	}
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	d, err := c.Opener(o).Open(ctx)
	if err != nil {
		t.Fatalf("the server does not serve (%s): nothing can be looked at", store.Kind(err))
	}
	defer d.Close()
	ended, end := context.WithCancel(ctx)
	end()
	for name, operation := range operations {
		c.failed(name+" of an ended context", operation(ended, d))
		for _, mode := range []Mode{Reset, DropReply, Blackhole} {
			p.Set(mode)
			ctx, cancel := context.WithTimeout(ctx, deadline/4)
			c.failed(name+" through a proxy: "+mode.String(), operation(ctx, d))
			cancel()
			p.Set(Pass)
		}
	}
	d.Close()
	for name, operation := range operations {
		c.failed(name+" of a closed driver", operation(ctx, d))
	}
	if !boundtest.Race { // which takes it amiss that package fmt looks at locks, where timers of contexts may still use them
		c.print("a closed driver", d)
	}
}
