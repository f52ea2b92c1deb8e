package mysql

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/luastore/store/internal/mariadbtest"
)

// A breaker stands before a real server. Armed with n, it passes on n-1 replies and then breaks the connection instead of
// returning the next. It counts the bytes of the replies.
type breaker struct {
	addr    string
	armed   atomic.Int64
	replied atomic.Int64
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
				continue
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
		if err != nil || b.armed.Load() > 0 && b.armed.Add(-1) == 0 {
			return
		}
		b.replied.Add(int64(n))
		if _, err := conn.Write(p[:n]); err != nil {
			return
		}
	}
}

// openBroken opens a driver with one connection through a breaker.
func openBroken(t testing.TB, server *mariadbtest.Server) (*Driver, *breaker) {
	t.Helper()
	b := startBreaker(t, server.Addr())
	return openURL(t, strings.Replace(server.URL(), server.Addr(), b.addr, 1)+"?max_conns=1"), b
}
