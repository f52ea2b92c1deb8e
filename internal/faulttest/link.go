package faulttest

import (
	"net"
	"sync"
	"time"
)

// A link is one connection through a proxy: from a client, and on to the server.
type link struct {
	proxy  *Proxy
	client *net.TCPConn
	once   sync.Once
	gone   chan struct{} // closed with the link

	mu      sync.Mutex
	server  *net.TCPConn // nil until dialed
	mode    Mode
	changed chan struct{} // closed when mode changes
	grace   int           // chunks that the mode lets pass
	lost    bool          // something was swallowed: what follows makes no sense
}

// set puts the link into a mode, which lets some chunks pass first.
func (l *link) set(m Mode, grace int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m == Pass && l.lost {
		l.proxy.tasks.Go(l.close)
		return
	}
	l.mode, l.grace = m, grace
	close(l.changed)
	l.changed = make(chan struct{})
}

// now returns the mode, and a channel that is closed when it changes.
func (l *link) now() (Mode, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mode, l.changed
}

// pastBlackhole waits while the mode is Blackhole. It reports false when the link has ended.
func (l *link) pastBlackhole() bool {
	for {
		mode, changed := l.now()
		if mode != Blackhole {
			return true
		}
		select {
		case <-changed:
		case <-l.gone:
			return false
		}
	}
}

// strikes counts a chunk and reports whether the mode takes effect at it.
func (l *link) strikes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grace--
	return l.grace < 0
}

// serve connects to the server and passes on what either says.
func (l *link) serve() {
	defer l.close()
	if !l.pastBlackhole() {
		return
	}
	conn, err := net.DialTimeout("tcp", l.proxy.target, dialTimeout)
	if err != nil {
		l.client.SetLinger(0) // as a server that is not there
		return
	}
	server := conn.(*net.TCPConn)
	if !l.connected(server) {
		return
	}
	var replies sync.WaitGroup
	replies.Go(func() { l.pump(server, l.client, l.reply) })
	l.pump(l.client, server, l.request)
	replies.Wait()
}

// connected keeps the connection to the server, or closes it and reports false when the link has ended.
func (l *link) connected(server *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.gone:
		server.Close()
		return false
	default:
		l.server = server
		return true
	}
}

// pump gives what comes from one side to carry, which writes it to the other, and ends the link with either side.
func (l *link) pump(from, to *net.TCPConn, carry func(to *net.TCPConn, chunk []byte) bool) {
	defer l.close()
	buf := make([]byte, chunkBytes)
	for {
		n, err := from.Read(buf)
		if n > 0 && !carry(to, buf[:n]) {
			return
		}
		if err != nil {
			l.pastBlackhole() // the end of one side does not arrive either
			return
		}
	}
}

// request passes a chunk to the server as the mode says. It reports false when the link must end. A chunk that Blackhole kept
// arrives even if the client has gone, as one does that a network delayed.
func (l *link) request(to *net.TCPConn, chunk []byte) bool {
	if !l.pastBlackhole() {
		return false
	}
	switch mode, _ := l.now(); {
	case mode == Reset && l.strikes():
		return l.reset(to, chunk)
	case mode == Split:
		return l.split(to, chunk)
	}
	return write(to, chunk)
}

// reply passes a chunk to the client as the mode says.
func (l *link) reply(to *net.TCPConn, chunk []byte) bool {
	if !l.pastBlackhole() {
		return false
	}
	switch mode, _ := l.now(); {
	case l.hasLost():
		return true
	case mode == DropReply && l.strikes():
		return false
	case mode == SwallowReply && l.strikes():
		l.loses()
		return true
	case mode == Reset && l.strikes():
		return l.reset(to, chunk)
	case mode == Trickle:
		return l.trickle(to, chunk)
	case mode == Split:
		return l.split(to, chunk)
	}
	return write(to, chunk)
}

func (l *link) hasLost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

func (l *link) loses() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = true
}

// reset passes some of a chunk, perhaps all or nothing, and then resets both connections.
func (l *link) reset(to *net.TCPConn, chunk []byte) bool {
	write(to, chunk[:l.proxy.upTo(len(chunk))])
	l.client.SetLinger(0)
	l.server.SetLinger(0)
	return false
}

// trickle passes single bytes until the mode changes, and then the rest at once.
func (l *link) trickle(to *net.TCPConn, chunk []byte) bool {
	for len(chunk) > 0 {
		mode, changed := l.now()
		if mode != Trickle {
			return write(to, chunk)
		}
		if !l.pause(longestPause, changed) || !write(to, chunk[:1]) {
			return false
		}
		chunk = chunk[1:]
	}
	return true
}

// split passes a chunk in pieces of random sizes.
func (l *link) split(to *net.TCPConn, chunk []byte) bool {
	for len(chunk) > 0 {
		n := 1 + l.proxy.upTo(len(chunk)-1)
		if !write(to, chunk[:n]) {
			return false
		}
		chunk = chunk[n:]
		if len(chunk) > 0 && !l.pause(splitPause, nil) {
			return false
		}
	}
	return true
}

// pause waits for a random time up to longest, or until changed is closed. It reports false when the link has ended.
func (l *link) pause(longest time.Duration, changed <-chan struct{}) bool {
	select {
	case <-time.After(time.Duration(l.proxy.upTo(int(longest)))):
	case <-changed:
	case <-l.gone:
		return false
	}
	return true
}

func write(to *net.TCPConn, chunk []byte) bool {
	_, err := to.Write(chunk)
	return err == nil
}

// close ends both connections.
func (l *link) close() {
	l.once.Do(func() {
		l.proxy.remove(l)
		l.mu.Lock()
		defer l.mu.Unlock()
		close(l.gone)
		l.client.Close()
		if l.server != nil {
			l.server.Close()
		}
	})
}
