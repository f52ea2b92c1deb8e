package natsstore

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// writePatience is how long a write to a connection may take before what is left of it is written in the background: the client
	// writes while everyone else waits for it.
	writePatience = 5 * time.Millisecond
	// maxBacklog is how much may wait to be written before calls wait for room.
	maxBacklog = 4 << 20
	// pieceSize is how much of that is written at a time, so that a long message shows that it goes on.
	pieceSize = 64 << 10
)

// A wire is a connection below the client whose writes return soon, also when the server reads nothing. What it holds back goes
// out in order, or never: it ends with the connection.
type wire struct {
	net.Conn
	signs atomic.Int64 // of life: changes as bytes come, and as held back ones go out

	mu       sync.Mutex
	backlog  []byte
	draining bool
	reserved int // bytes that are about to be written
	broken   error
	moved    chan struct{} // closed when there is less of either; nil: nobody waits for that
}

// Write writes what it can at once.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return 0, w.broken
	}
	if w.draining {
		w.backlog = append(w.backlog, p...)
		return len(p), nil
	}
	w.Conn.SetWriteDeadline(time.Now().Add(writePatience))
	n, err := w.Conn.Write(p)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		w.broken = err
		return n, err
	}
	w.backlog = append(w.backlog, p[n:]...)
	w.draining = true
	go w.drain()
	return len(p), nil
}

// drain writes the backlog until there is none.
func (w *wire) drain() {
	w.Conn.SetWriteDeadline(time.Time{})
	piece := make([]byte, 0, pieceSize)
	for {
		piece = w.next(piece[:0])
		if len(piece) == 0 {
			return
		}
		if _, err := w.Conn.Write(piece); err != nil {
			w.fail(err)
			return
		}
		w.signs.Add(1)
	}
}

// next takes a piece of the backlog. Without one it ends the draining.
func (w *wire) next(piece []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.backlog), pieceSize)
	piece = append(piece, w.backlog[:n]...)
	w.backlog = w.backlog[n:]
	if n == 0 {
		w.draining, w.backlog = false, nil
	}
	w.wake()
	return piece
}

func (w *wire) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken, w.backlog = err, nil
	w.wake()
}

// wake tells those who wait for room. The lock is held.
func (w *wire) wake() {
	if w.moved != nil {
		close(w.moved)
		w.moved = nil
	}
}

// reserve makes room for a message of n bytes, until release, or returns what is closed when there may be some.
func (w *wire) reserve(n int) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.backlog)+w.reserved < maxBacklog {
		w.reserved += n
		return nil
	}
	if w.moved == nil {
		w.moved = make(chan struct{})
	}
	return w.moved
}

// release gives room back: the message is in the backlog, or gone.
func (w *wire) release(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reserved -= n
	w.wake()
}

// Read notes that something came.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.signs.Add(int64(n))
	return n, err
}

// SetWriteDeadline does nothing: no write blocks, and the deadlines of the connection are those of Write.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline bounds reads.
func (w *wire) SetDeadline(t time.Time) error { return w.SetReadDeadline(t) }
