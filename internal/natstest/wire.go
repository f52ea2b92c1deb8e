package natstest

import (
	"io"
	"net"
	"sync"
	"time"
)

// A wire is the way by which one server reaches another: it listens where the one connects to, and leads to the other. Its methods
// are safe for concurrent use.
type wire struct {
	listener net.Listener
	closed   chan struct{}
	tasks    sync.WaitGroup

	mu     sync.Mutex
	target string // host:port; "" as long as the other did not start
	cut    bool
	conns  map[net.Conn]struct{} // both ends of all that is connected
}

func newWire() (*wire, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{listener: listener, closed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	w.tasks.Go(w.accept)
	return w, nil
}

// addr is where the one connects to.
func (w *wire) addr() string { return w.listener.Addr().String() }

// lead makes the wire lead to target from now on.
func (w *wire) lead(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.target = target
}

// setCut cuts the wire, which closes all that is connected, or mends it.
func (w *wire) setCut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	if cut {
		for conn := range w.conns {
			conn.Close()
		}
	}
}

// close cuts the wire for good.
func (w *wire) close() {
	close(w.closed)
	w.listener.Close()
	w.setCut(true)
	w.tasks.Wait()
}

func (w *wire) accept() {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.tasks.Go(func() { w.connect(conn) })
	}
}

// connect passes on what near and the target say, until one closes.
func (w *wire) connect(near net.Conn) {
	defer near.Close()
	far := w.dial()
	if far == nil {
		return
	}
	defer far.Close()
	if !w.add(near, far) {
		return
	}
	defer w.drop(near, far)
	w.tasks.Go(func() { pass(far, near) })
	pass(near, far)
}

// pass copies until one end closes, and then closes both.
func pass(to, from net.Conn) {
	io.Copy(to, from)
	to.Close()
	from.Close()
}

// dial returns a connection to the target, nil when the wire is cut or nobody is there. Servers of a cluster start at a time; one that
// finds nobody tries again a second later. Here it waits a little for the other.
func (w *wire) dial() net.Conn {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(dialTimeout)
	for {
		target, ok := w.reach()
		if !ok {
			return nil
		}
		if conn, err := net.DialTimeout("tcp", target, dialTimeout); err == nil {
			return conn
		}
		select {
		case <-w.closed:
			return nil
		case <-deadline:
			return nil
		case <-tick.C:
		}
	}
}

// reach returns where the wire leads, false when it is cut.
func (w *wire) reach() (target string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.target, !w.cut
}

// add notes both ends of a connection, false when the wire was cut meanwhile.
func (w *wire) add(ends ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range ends {
		w.conns[conn] = struct{}{}
	}
	return !w.cut
}

// connections is how many connections the wire holds.
func (w *wire) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns) / 2
}

func (w *wire) drop(ends ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range ends {
		delete(w.conns, conn)
	}
}
