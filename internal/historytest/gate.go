package historytest

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store/internal/servertest"
)

// An absence is how a server is away.
type absence int

const (
	present absence = iota
	refused         // nobody listens
	hungUp          // connections are accepted and reset
	silent          // connections stay open, new ones are accepted, and nothing is ever said
	killed          // there is no gate: the target does it
)

// String names the absence in tests.
func (a absence) String() string {
	return [...]string{"Present", "Refused", "HungUp", "Silent", "Killed"}[a]
}

// A gate stands on the loopback interface before a server, counts connections, and takes the server away.
type gate struct {
	target string
	addr   string
	tasks  sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	away     absence
	conns    map[net.Conn]struct{}
	returned chan struct{} // closed when it is back
	dials    int           // while it was away
	closed   bool
}

// startGate starts a gate before the server at target, host:port, for the length of a test.
func startGate(t testing.TB, target string) *gate {
	t.Helper()
	port, err := servertest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{target: target, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), conns: map[net.Conn]struct{}{}}
	if err := g.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.close)
	return g
}

// listen accepts connections. Nobody else has taken the port meanwhile: it is one that is given once, and never by the system.
func (g *gate) listen() error {
	listener, err := net.Listen("tcp", g.addr)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listener = listener
	g.tasks.Go(func() { g.accept(listener) })
	return nil
}

func (g *gate) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		switch g.arrive(conn) {
		case present:
			g.tasks.Go(func() { g.serve(conn) })
		case hungUp:
			conn.(*net.TCPConn).SetLinger(0)
			g.drop(conn)
		}
	}
}

// arrive counts a connection, keeps it and says what to do with it.
func (g *gate) arrive(conn net.Conn) absence {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[conn] = struct{}{}
	if g.away != present {
		g.dials++
	}
	if g.closed {
		return hungUp
	}
	return g.away
}

// drop closes a connection.
func (g *gate) drop(conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, conn)
	conn.Close()
}

// serve passes on what client and server say.
func (g *gate) serve(client net.Conn) {
	defer g.drop(client)
	server, err := net.DialTimeout("tcp", g.target, time.Second)
	if err != nil {
		return
	}
	defer g.drop(server)
	if g.arriveServer(server) {
		g.tasks.Go(func() { g.pump(client, server) })
		g.pump(server, client)
	}
}

// pump passes on what one side says until either has gone, or the server is silent.
func (g *gate) pump(to, from net.Conn) {
	defer g.drop(to)
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if returned := g.silence(); returned != nil {
			<-returned
			return
		}
		if n > 0 {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// silence returns a channel that is closed with the silence of the server, nil if it is not silent.
func (g *gate) silence() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.away != silent || g.closed {
		return nil
	}
	return g.returned
}

// arriveServer keeps a connection to the server, and reports false where the server is away by now.
func (g *gate) arriveServer(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[conn] = struct{}{}
	return g.away == present && !g.closed
}

// leave takes the server away, in some way.
func (g *gate) leave(how absence) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away, g.returned = how, make(chan struct{})
	if how == refused {
		g.listener.Close()
	}
	if how != silent {
		g.dropAll()
	}
}

// dropAll closes all connections. The caller has the lock.
func (g *gate) dropAll() {
	for conn := range g.conns {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	clear(g.conns)
}

// back returns the server.
func (g *gate) back(t testing.TB) {
	t.Helper()
	if g.end() == refused {
		if err := g.listen(); err != nil {
			t.Fatal(err)
		}
	}
}

// end ends the absence, and all connections that know of it, and returns what it was.
func (g *gate) end() absence {
	g.mu.Lock()
	defer g.mu.Unlock()
	how := g.away
	if how != present {
		g.away = present
		close(g.returned)
		g.dropAll()
	}
	return how
}

// dialed returns how many connections came while the server was away.
func (g *gate) dialed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dials
}

// close ends everything and returns when nothing of the gate runs any more.
func (g *gate) close() {
	g.end()
	g.mu.Lock()
	g.closed = true
	g.listener.Close()
	g.dropAll()
	g.mu.Unlock()
	g.tasks.Wait()
}
