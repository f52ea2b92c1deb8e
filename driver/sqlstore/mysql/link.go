package mysql

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
)

// A link is the network connection of one session. It knows whether a statement went out: the protocol frames statements by
// length, and a server does nothing about one whose last byte it never got.
type link struct {
	net.Conn
	links *links

	// Of the goroutine that has the session.
	written int64 // bytes that went out
	failed  bool  // a write did not go out in full
}

// Write implements [net.Conn].
func (l *link) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	l.written += int64(n)
	l.failed = l.failed || err != nil || n < len(p)
	return n, err
}

// Close implements [net.Conn].
func (l *link) Close() error {
	l.links.forget(l)
	return l.Conn.Close()
}

// SyscallConn lets the client see whether the server has hung up.
func (l *link) SyscallConn() (syscall.RawConn, error) {
	c, ok := l.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return c.SyscallConn()
}

// links are the network connections of a driver, so that Close can end what is under way on them.
type links struct {
	mu     sync.Mutex
	open   map[*link]struct{}
	closed bool
}

// dial connects, unless the driver is closed.
func (ls *links) dial(ctx context.Context, network, address string) (*link, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l := &link{Conn: conn, links: ls}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		conn.Close()
		return nil, errClosed
	}
	if ls.open == nil {
		ls.open = make(map[*link]struct{})
	}
	ls.open[l] = struct{}{}
	return l, nil
}

func (ls *links) forget(l *link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.open, l)
}

// cut breaks all connections and lets no other come about.
func (ls *links) cut() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	for l := range ls.open {
		l.Conn.Close()
	}
}
