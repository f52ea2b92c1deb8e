package faulttest

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// A Mode is what a [Proxy] does to a connection.
type Mode int

const (
	Pass         Mode = iota // everything arrives
	DropReply                // requests arrive; then a reply is swallowed and the connection closed
	SwallowReply             // requests arrive; from some reply on all are swallowed, and the connection stays open
	Blackhole                // nothing arrives, either way, nor from new connections, which are accepted; it is kept until the mode ends
	Reset                    // in the middle of a request or a reply the connection is reset
	Trickle                  // replies arrive byte by byte, so slowly that they take longer than a deadline
	Split                    // everything arrives, cut anywhere
)

var modeNames = []string{"Pass", "DropReply", "SwallowReply", "Blackhole", "Reset", "Trickle", "Split"}

// String returns the name of the constant.
func (m Mode) String() string { return modeNames[m] }

const (
	longestPause = 40 * time.Millisecond // between two bytes of Trickle; half of it on average
	splitPause   = time.Millisecond      // between two pieces of Split, at most
	dialTimeout  = 5 * time.Second       // of the server
	chunkBytes   = 64 << 10              // that are read at a time
)

// Chunks of a connection that a mode lets pass before it strikes, at most: so it hits new connections at any point of what client
// and server say at first, or after that.
const (
	liveGrace = 3
	newGrace  = 16
)

// A Proxy stands on the loopback interface before a server. It passes connections on and does to them what its mode says. The
// moments are random, from a seed. Its methods are safe for concurrent use.
type Proxy struct {
	target   string
	listener net.Listener
	closed   chan struct{}
	tasks    sync.WaitGroup

	mu     sync.Mutex
	random *rand.Rand
	mode   Mode // of new connections
	links  map[*link]struct{}
}

// StartProxy starts a proxy before the server at target, host:port, for the length of a test. It passes everything at first.
func StartProxy(t testing.TB, target string, seed uint64) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		target: target, listener: listener, closed: make(chan struct{}),
		random: rand.New(rand.NewPCG(seed, 0)), links: map[*link]struct{}{},
	}
	p.tasks.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Addr returns the address of the proxy, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set puts all connections into a mode, new ones too. What was kept is passed on with [Pass], and connections that lost something
// are closed.
func (p *Proxy) Set(m Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	p.setLive(m)
}

// SetLive puts the connections that there are into a mode, and leaves new ones alone.
func (p *Proxy) SetLive(m Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setLive(m)
}

func (p *Proxy) setLive(m Mode) {
	for l := range p.links {
		l.set(m, p.random.IntN(liveGrace+1))
	}
}

// Live returns the number of connections that there are.
func (p *Proxy) Live() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		if l := p.add(conn.(*net.TCPConn)); l != nil {
			p.tasks.Go(l.serve)
		}
	}
}

// add makes a link for a new connection; nil after close.
func (p *Proxy) add(client *net.TCPConn) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links == nil {
		client.Close()
		return nil
	}
	l := &link{proxy: p, client: client, changed: make(chan struct{}), gone: make(chan struct{})}
	l.mode, l.grace = p.mode, p.random.IntN(newGrace+1)
	p.links[l] = struct{}{}
	return l
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// upTo returns a random number from 0 to n.
func (p *Proxy) upTo(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.random.IntN(n + 1)
}

// close ends all connections and returns when nothing of the proxy runs any more.
func (p *Proxy) close() {
	p.listener.Close()
	close(p.closed)
	p.mu.Lock()
	links := p.links
	p.links = nil
	p.mu.Unlock()
	for l := range links {
		l.close()
	}
	p.tasks.Wait()
}
