package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/pgtest"
	"github.com/luastore/store/value"
)

// messages passes whole messages of the protocol on, both ways, and asks before each.
type messages struct {
	listener net.Listener
	target   string

	mu  sync.Mutex
	ask func(fromServer bool, kind byte) bool // false cuts the connection; nil passes all
}

// through returns the URL of a server without TLS behind a proxy of messages.
func through(t *testing.T, server *pgtest.Server) (m *messages, url string) {
	t.Helper()
	m = &messages{listener: must(net.Listen("tcp", "127.0.0.1:0"))(t), target: server.Addr()}
	t.Cleanup(func() { m.listener.Close() })
	go m.accept()
	return m, strings.Replace(server.URL(), server.Addr(), m.listener.Addr().String(), 1) + "?sslmode=disable"
}

func (m *messages) before(ask func(fromServer bool, kind byte) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ask = ask
}

func (m *messages) accept() {
	for {
		client, err := m.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", m.target)
		if err != nil {
			client.Close()
			continue
		}
		var both sync.Once
		cut := func() { both.Do(func() { client.Close(); server.Close() }) }
		go func() {
			defer cut()
			if m.pass(server, client, 0, false) {
				for m.pass(server, client, 1, false) {
				}
			}
		}()
		go func() {
			defer cut()
			for m.pass(client, server, 1, true) {
			}
		}()
	}
}

// pass passes one message on, whose kind is so many bytes; the first of a client has none.
func (m *messages) pass(to io.Writer, from io.Reader, kindBytes int, fromServer bool) bool {
	head := make([]byte, kindBytes+4)
	if _, err := io.ReadFull(from, head); err != nil {
		return false
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[kindBytes:])-4)
	if _, err := io.ReadFull(from, rest); err != nil {
		return false
	}
	m.mu.Lock()
	ask := m.ask
	m.mu.Unlock()
	if ask != nil && !ask(fromServer, head[0]) {
		return false
	}
	_, err := to.Write(append(head, rest...))
	return err == nil
}

// cutAt cuts the connection before the n-th message from now. The function that it returns ends that, and tells whether it came to it.
func (m *messages) cutAt(n int) (cut func() bool) {
	var mu sync.Mutex
	done := false
	m.before(func(bool, byte) bool {
		mu.Lock()
		defer mu.Unlock()
		if n--; n == 0 {
			done = true
			return false
		}
		return true
	})
	return func() bool {
		m.before(nil)
		mu.Lock()
		defer mu.Unlock()
		return done
	}
}

// Whatever the message at which the connection breaks, an error tells the truth about what was applied.
func TestDriver_ConnectionCutAtAnyMessage_TellsTheTruth(t *testing.T) {
	server := pgtest.Shared(t)
	m, url := through(t, server)
	d, beside := openURL(t, url+"&max_conns=1"), openURL(t, server.URL())
	ctx := testContext(t)
	one := value.AppendNumber(nil, 1)
	for name, w := range map[string]struct {
		do   func(ctx context.Context) error
		want string // what is stored when it was done
	}{
		"set": {func(ctx context.Context) error { return d.Set(ctx, "k", []byte("new"), 0) }, "new"},
		"set_many": {func(ctx context.Context) error {
			return d.SetMany(ctx, []store.Item{{Key: "k", Value: []byte("new")}}, 0)
		}, "new"},
		"cas":    {func(ctx context.Context) error { return wanted(d.CompareAndSwap(ctx, "k", one, []byte("new"), 0)) }, "new"},
		"drop":   {func(ctx context.Context) error { return wanted(d.CompareAndSwap(ctx, "k", one, nil, 0)) }, ""},
		"delete": {func(ctx context.Context) error { return wanted(d.Delete(ctx, "k")) }, ""},
		"incr":   {func(ctx context.Context) error { _, err := d.Incr(ctx, "k", 1, 0, 0); return err }, string(value.AppendNumber(nil, 2))},
	} {
		t.Run(name, func(t *testing.T) {
			unknown, clean := 0, 0
			for n, more := 1, true; more; n++ {
				beside.Set(ctx, "k", one, 0)
				if err := w.do(ctx); err != nil { // so that the statements are prepared
					t.Fatal(err)
				}
				beside.Set(ctx, "k", one, 0)
				cut := m.cutAt(n)
				err := w.do(ctx)
				more = cut()
				stored, _ := beside.Get(ctx, "k")
				done := string(stored) == w.want
				if !done && string(stored) != string(one) {
					t.Errorf("cut at message %d: stored %q", n, stored)
				}
				switch kind := store.Kind(err); {
				case err == nil && !done:
					t.Errorf("cut at message %d: acknowledged, and not done", n)
				case err == nil:
					clean++
				case kind == "unknown_outcome":
					unknown++
				case kind != "unavailable" || done:
					t.Errorf("cut at message %d: %v; done: %t", n, err, done)
				}
			}
			t.Logf("%d with an unknown outcome, %d done", unknown, clean)
			if unknown == 0 || clean == 0 {
				t.Error("nothing was tested")
			}
		})
	}
}

// wanted is an error where a call that must succeed answers false.
func wanted(done bool, err error) error {
	if err == nil && !done {
		return fmt.Errorf("answered false")
	}
	return err
}

func TestIncr_BrokenBeforeTheCommit_IsMadeAgain(t *testing.T) {
	server := pgtest.Shared(t)
	m, url := through(t, server)
	d := openURL(t, url)
	ctx := testContext(t)
	d.Incr(ctx, "k", 1, 0, 0)
	cut := m.cutAt(9) // BEGIN is answered, or the lock
	n, err := d.Incr(ctx, "k", 1, 0, 0)
	if !cut() || n != 2 || err != nil {
		t.Errorf("%v, %v", n, err)
	}
}

// A read is judged by the time before the server chose what it sees: another one may have touched the entry since.
func TestGet_EntryTouchedWhileItIsRead_IsThere(t *testing.T) {
	server := pgtest.Shared(t)
	m, url := through(t, server)
	d, beside := openURL(t, url), openURL(t, server.URL())
	ctx := testContext(t)
	for name, read := range map[string]func() (bool, error){
		"get": func() (bool, error) { v, err := d.Get(ctx, "k"); return string(v) == "v", err },
		"has": func() (bool, error) { return d.Has(ctx, "k") },
		"many": func() (bool, error) {
			v, err := d.GetMany(ctx, []string{"k"})
			return err == nil && string(v[0]) == "v", err
		},
		"list": func() (bool, error) { page, err := d.List(ctx, "", "", 9); return len(page.Keys) == 1, err },
	} {
		beside.Set(ctx, "k", []byte("v"), 0)
		read()
		throughout := false
		for soon := 150 * time.Millisecond; !throughout; soon *= 2 { // a slow machine needs longer to touch it in time
			if soon > 20*time.Second {
				t.Fatal("an entry cannot be touched in time")
			}
			beside.Set(ctx, "k", []byte("v"), soon)
			var touched atomic.Bool
			once := sync.OnceFunc(func() {
				was, _ := beside.Touch(ctx, "k", time.Hour)
				touched.Store(was)
				<-time.After(soon)
			})
			m.before(func(fromServer bool, kind byte) bool {
				if !fromServer && kind == 'E' {
					// The server has the Bind before it by now.
					eventually(t, "the server has chosen what to see", func() bool {
						return server.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'luastore' AND backend_xmin IS NOT NULL") != "0"
					})
					once()
				}
				return true
			})
			found, err := read()
			m.before(nil)
			if throughout = touched.Load(); throughout && (!found || err != nil) {
				t.Errorf("%s of an entry that was there throughout: %t, %v", name, found, err)
			}
		}
	}
}
