package redisstore

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A wire is a connection whose bytes a test sends. What is written to it goes nowhere.
type wire struct {
	net.Conn
	replies chan string
}

func (w *wire) Write(p []byte) (int, error) { return len(p), nil }
func (w *wire) Close() error                { return nil }
func (w *wire) Read(p []byte) (int, error)  { return copy(p, <-w.replies), nil }

// newWire returns a link over a wire, with one call on it.
func newWire() (*link, *wire) {
	w := &wire{replies: make(chan string, 1)}
	n := &node{slots: make(chan struct{}, maxCalls)}
	n.slots <- struct{}{}
	l := newLink(w, n)
	l.ready.Store(true)
	l.commands.Store(1)
	return l, w
}

func (w *wire) reply(t *testing.T, l *link, text string) {
	t.Helper()
	w.replies <- text
	if _, err := l.Read(make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, l *link, command string) {
	t.Helper()
	if _, err := l.Write([]byte(command)); err != nil {
		t.Fatal(err)
	}
}

const get = "*2\r\n$3\r\nGET\r\n$3\r\nk:1\r\n"

func TestLink_WithoutASignOfLife_IsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newWire()
		send(t, l, get)
		l.abandon(1)
		time.Sleep(maxSilence - time.Millisecond)
		send(t, l, get) // says nothing about the server
		synctest.Wait()
		if l.dead.Load() {
			t.Error("cut too early")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !l.dead.Load() || len(l.node.slots) != 0 {
			t.Errorf("dead %v, %d slots held", l.dead.Load(), len(l.node.slots))
		}
	})
}

func TestLink_ThatReceivesALongReply_IsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newWire()
		send(t, l, get)
		l.abandon(1)
		w.reply(t, l, "$4000\r\n")
		for range 4 {
			time.Sleep(maxSilence * 9 / 10)
			w.reply(t, l, strings.Repeat("v", 1000))
		}
		synctest.Wait()
		if l.dead.Load() {
			t.Fatal("cut while the reply came")
		}
		w.reply(t, l, "\r\n")
		if len(l.node.slots) != 0 {
			t.Error("the slot was not given back")
		}
	})
}

// The server has had no time to answer: what lies further back was no silence of its.
func TestLink_ThatWasIdle_IsNotCutForACommandJustSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newWire()
		send(t, l, get)
		w.reply(t, l, "$-1\r\n")
		l.commands.Store(2)
		l.abandon(1) // as its reply was already there
		time.Sleep(maxSilence - time.Millisecond)
		send(t, l, get)
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if l.dead.Load() {
			t.Error("cut 21 ms after the command was sent")
		}
		w.reply(t, l, "$-1\r\n")
		time.Sleep(2 * maxSilence)
		synctest.Wait()
		if l.dead.Load() || len(l.node.slots) != 0 {
			t.Errorf("dead %v, %d slots held", l.dead.Load(), len(l.node.slots))
		}
	})
}

func TestLink_LongCommand_ShowsThatItGoesOn(t *testing.T) {
	l, _ := newWire()
	send(t, l, get)
	before := l.signs.Load()
	send(t, l, "*3\r\n$3\r\nSET\r\n$3\r\nk:1\r\n$200000\r\n"+strings.Repeat("v", 200000)+"\r\n")
	if signs := l.signs.Load() - before; signs != 200000/pieceSize {
		t.Errorf("%d signs of life", signs)
	}
}
