package redisstore

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luastore/store/driver/redisstore/internal/near"
)

const (
	// maxSilence is how long a server may leave commands of calls that were given up without a sign of life before it is taken
	// for dead.
	maxSilence = time.Second
	// pieceSize is how much is written at a time, so that a long command shows that it goes on.
	pieceSize = 64 << 10
)

var (
	errUnasked = errors.New("the server answered what nobody asked")
	errHungUp  = errors.New("the server takes connections and closes them before it answers a command")
)

// An errHandshake is an error of a link before its handshake was over: no command of a caller has been sent on it.
type errHandshake struct{ cause error }

func (e *errHandshake) Error() string { return e.cause.Error() }

// A link is one connection to a server, under the client. It counts commands and replies, refuses what is no reply, and
// knows when commands that callers have given up are out of the queue of the client.
type link struct {
	net.Conn
	node   *node
	dialed time.Time

	in, out  frames
	written  atomic.Int64 // commands
	answered atomic.Int64 // replies
	greeted  atomic.Int64 // of them, before any caller used the link
	signs    atomic.Int64 // of life: changes as bytes come, as a long command goes out, and when an idle link begins to wait
	commands atomic.Int64 // of calls that are or may be in the client
	ready    atomic.Bool  // the handshake is over
	piped    atomic.Bool  // the client reads replies on a goroutine of its own, so that calls notice the end of their context
	dead     atomic.Bool
	source   atomic.Pointer[near.Source] // of what is read on it for the near cache; not nil

	alone   chan struct{} // held by a call that reads its own reply; all others wait until it is done
	gone    chan struct{} // closed once the link is dead and no call that began on it is in the client any more
	goneNow sync.Once

	mu      sync.Mutex
	owed    []owed
	watched bool
}

// An owed is a call that left without its replies: its commands may still be in the queue of the client, and it keeps its slot.
type owed struct {
	until    int64 // the queue has passed them once this many replies have come
	commands int64
}

func newLink(conn net.Conn, n *node) *link {
	l := &link{Conn: conn, node: n, dialed: time.Now(), alone: make(chan struct{}, 1), gone: make(chan struct{})}
	l.source.Store(&near.Source{})
	l.in.pushes = n.login.near != nil
	return l
}

// Write sends commands.
func (l *link) Write(p []byte) (int, error) {
	n, err := l.out.feed(p)
	if err != nil {
		return 0, l.explain(err)
	}
	if l.written.Add(int64(n))-int64(n) == l.answered.Load() {
		l.signs.Add(1) // whatever it did before, the server is silent from now on at the earliest
	}
	n, err = l.writePieces(p)
	return n, l.explain(err)
}

func (l *link) writePieces(p []byte) (done int, err error) {
	for len(p)-done > pieceSize {
		n, err := l.Conn.Write(p[done : done+pieceSize])
		if done += n; err != nil {
			return done, err
		}
		l.signs.Add(1)
	}
	n, err := l.Conn.Write(p[done:])
	return done + n, err
}

// Read receives replies. A link that broke the protocol answers nothing more.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.signs.Add(int64(n))
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

// explain marks errors of the handshake. Deadlines are not told from other errors there: the client would hide the mark. A
// link that a deadline ended, that of a call, was not broken by the server.
func (l *link) explain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.cut()
	}
	if err == nil || l.ready.Load() {
		return err
	}
	return &errHandshake{err}
}

func (l *link) progress(answered int64) {
	if !l.ready.Load() && answered == l.written.Load() {
		l.ready.Store(true)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	passed := 0
	for passed < len(l.owed) && l.owed[passed].until <= answered {
		passed++
	}
	l.settle(passed)
}

// settle gives back what the first n of the calls that were given up hold.
func (l *link) settle(n int) {
	for _, o := range l.owed[:n] {
		l.release(o.commands)
	}
	if l.owed = l.owed[n:]; len(l.owed) == 0 {
		l.owed = nil
	}
}

// release ends a call for the link, and gives its slot back.
func (l *link) release(commands int64) {
	l.forget(commands)
	l.node.giveSlot()
}

// forget ends a call for the link.
func (l *link) forget(commands int64) {
	if l.commands.Add(-commands) == 0 {
		l.leftAll()
	}
}

// leftAll closes gone if it is time. A call that begins counts its commands before it looks whether the link is still live.
func (l *link) leftAll() {
	if l.dead.Load() && l.node.live.Load() != l && l.commands.Load() == 0 {
		l.goneNow.Do(func() { close(l.gone) })
	}
}

// abandon keeps the slot of a call that left without its replies until the queue of the client has passed its commands: those
// in the queue belong to calls that are counted, so that after as many replies they all have passed.
func (l *link) abandon(commands int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead.Load() {
		l.release(commands)
		return
	}
	l.owed = append(l.owed, owed{until: l.commands.Load() + l.answered.Load(), commands: commands})
	if !l.watched {
		l.watched = true
		l.watch()
	}
}

// watch breaks the link if it stays silent. It also frees calls that were given up before their commands reached the queue:
// these add to the replies that the calls behind them wait for, but get none.
func (l *link) watch() {
	before := l.signs.Load()
	time.AfterFunc(maxSilence, func() {
		l.mu.Lock()
		if l.answered.Load() == l.written.Load() {
			l.settle(len(l.owed))
		}
		l.watched = len(l.owed) > 0
		again := l.watched
		l.mu.Unlock()
		switch {
		case again && l.signs.Load() == before:
			l.cut()
		case again:
			l.watch()
		}
	})
}

// Close breaks the connection: the client fails what waits on it. The client calls it where the server broke it. One that does
// so again and again before it answers anything is not asked more often than one that is away.
func (l *link) Close() error {
	if !l.dead.Load() && l.answered.Load() == l.greeted.Load() {
		l.node.pause(l.dialed.Add(redialGap), l.node.unreachable(errHungUp))
	}
	return l.cut()
}

// cut is Close for a link that the driver itself gives up.
func (l *link) cut() error {
	l.dead.Store(true)
	l.loseNear() // before the next connection can be made, on which what changed meanwhile can be read
	l.node.live.CompareAndSwap(l, nil)
	l.mu.Lock()
	l.settle(len(l.owed))
	l.mu.Unlock()
	l.leftAll()
	return l.Conn.Close()
}

// join waits until no call on the link reads its own reply, and keeps others from doing so.
func (l *link) join(ctx context.Context) error {
	select {
	case l.alone <- struct{}{}:
		return nil
	default:
	}
	l.node.crowded.Store(true)
	select {
	case l.alone <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &notSent{l.node.ended(ctx)}
	}
}
