package redisstore

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// maxSilent is how many calls in a row may be given up on a link without any reply: then the server is taken for dead.
const maxSilent = 256

var errUnasked = errors.New("the server answered what nobody asked")

// An errHandshake is an error of a link before its handshake was over: no command of a caller has been sent on it.
type errHandshake struct{ cause error }

func (e *errHandshake) Error() string { return e.cause.Error() }

// A link is one connection to a server, under the client. It counts commands and replies, refuses what is no reply, and
// knows when commands that callers have given up are out of the queue of the client.
type link struct {
	net.Conn
	driver *Driver

	in, out  frames
	written  atomic.Int64 // commands
	answered atomic.Int64 // replies
	ready    atomic.Bool  // the handshake is over
	piped    atomic.Bool  // the client reads replies on a goroutine of its own, so that calls notice the end of their context
	turn     atomic.Int64 // changes when a call that reads its own reply begins, ends or is cut

	owing     atomic.Bool // owed > 0
	mu        sync.Mutex
	dead      bool
	owed      int   // slots of calls that were given up and may still be in the queue of the client
	owedCmds  int64 // their commands
	owedUntil int64 // the queue has passed them once this many replies have come
	silent    int   // calls given up since the last reply
	heard     int64 // replies when the last call was given up
}

// Write sends commands.
func (l *link) Write(p []byte) (int, error) {
	n, err := l.out.feed(p)
	if err != nil {
		return 0, l.explain(err)
	}
	l.written.Add(int64(n))
	n, err = l.Conn.Write(p)
	return n, l.explain(err)
}

// Read receives replies. A link that broke the protocol answers nothing more.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	replies, broken := l.in.feed(p[:n])
	answered := l.answered.Add(int64(replies))
	if broken == nil && answered > l.written.Load() {
		broken = errUnasked
	}
	if broken != nil {
		l.Close()
		return 0, l.explain(broken)
	}
	if replies > 0 {
		l.progress(answered)
	}
	return n, l.explain(err)
}

// explain marks errors of the handshake. Deadlines are not told from other errors there: the client would hide the mark.
func (l *link) explain(err error) error {
	if err == nil || l.ready.Load() {
		return err
	}
	return &errHandshake{err}
}

func (l *link) progress(answered int64) {
	if !l.ready.Load() && answered == l.written.Load() {
		l.ready.Store(true)
	}
	if l.owing.Load() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if answered >= l.owedUntil {
			l.settle()
		}
	}
}

// Close breaks the connection: the client fails what waits on it.
func (l *link) Close() error {
	l.mu.Lock()
	l.dead = true
	l.settle()
	l.mu.Unlock()
	l.driver.live.CompareAndSwap(l, nil)
	return l.Conn.Close()
}

func (l *link) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// settle gives back the slots of calls that were given up.
func (l *link) settle() {
	for range l.owed {
		<-l.driver.slots
	}
	l.driver.commands.Add(-l.owedCmds)
	l.owed, l.owedCmds = 0, 0
	l.owing.Store(false)
}

// abandon keeps the slot of a call that left without its reply until the queue of the client has passed its commands.
func (l *link) abandon(commands int) {
	l.mu.Lock()
	l.owed++
	l.owedCmds += int64(commands)
	if l.dead {
		l.settle()
		l.mu.Unlock()
		return
	}
	l.owing.Store(true)
	l.owedUntil = l.written.Load() + l.driver.commands.Load()
	answered := l.answered.Load()
	if l.heard != answered {
		l.heard, l.silent = answered, 0
	}
	l.silent++
	silent := l.silent >= maxSilent
	l.mu.Unlock()
	if silent {
		l.Close()
	}
}

// cut returns a function that breaks the link if the call of that turn still reads its reply.
func (l *link) cut(turn int64) func() {
	return func() {
		if l.turn.CompareAndSwap(turn, turn+1) {
			l.Close()
		}
	}
}
