package faulttest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/servertest"
	"github.com/luastore/store/value"
)

// A request is what the toy driver asks its server.
type request struct {
	Op       string
	Key      string
	Old, New []byte
}

// A reply is what the server answers.
type reply struct {
	OK    bool
	Sum   float64
	Value []byte
}

// A toyServer keeps entries in a map, also while it is down.
type toyServer struct {
	addr string

	mu       sync.Mutex
	entries  map[string][]byte
	listener net.Listener
	conns    []net.Conn
}

func startToy(t testing.TB) *toyServer {
	t.Helper()
	port, err := servertest.FreePort() // nobody else is given it while the server is down
	if err != nil {
		t.Fatal(err)
	}
	s := &toyServer{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), entries: map[string][]byte{}}
	s.listen(t)
	t.Cleanup(s.kill)
	return s
}

func (s *toyServer) listen(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = listener
	go s.accept(listener)
}

func (s *toyServer) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		go s.serve(conn)
	}
}

func (s *toyServer) serve(conn net.Conn) {
	defer conn.Close()
	requests, replies := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var r request
		if requests.Decode(&r) != nil || replies.Encode(s.answer(r)) != nil {
			return
		}
	}
}

func (s *toyServer) answer(r request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, there := s.entries[r.Key]
	switch r.Op {
	case "get":
		return reply{OK: there, Value: old}
	case "set":
		s.entries[r.Key] = r.New
	case "delete":
		delete(s.entries, r.Key)
		return reply{OK: there}
	case "incr":
		n, _ := value.ParseNumber(old)
		s.entries[r.Key] = value.AppendNumber(nil, n+1)
		return reply{OK: true, Sum: n + 1}
	case "swap":
		if there != (r.Old != nil) || string(old) != string(r.Old) {
			return reply{}
		}
		s.entries[r.Key] = r.New
	}
	return reply{OK: true}
}

func (s *toyServer) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener.Close()
	for _, conn := range s.conns {
		conn.Close()
	}
	s.conns = nil
}

func (s *toyServer) restart(t testing.TB) {
	s.kill()
	s.listen(t)
}

// toy is a correct driver of a toyServer, as far as the runs need one. A fault changes what it does.
type toy struct {
	store.Driver
	addr  string
	fault fault

	mu     sync.Mutex
	idle   []net.Conn
	closed bool
	failed time.Time // when a call failed at last
}

func openToy(addr string, f fault) *toy { return &toy{addr: addr, fault: f} }

func (d *toy) Has(ctx context.Context, key string) (bool, error) {
	r, err := d.call(ctx, request{Op: "get", Key: key})
	return r.OK, err
}

func (d *toy) Get(ctx context.Context, key string) ([]byte, error) {
	r, err := d.call(ctx, request{Op: "get", Key: key})
	if err == nil && !r.OK {
		err = store.ErrNotFound
	}
	return r.Value, err
}

func (d *toy) Set(ctx context.Context, key string, v []byte, _ time.Duration) error {
	_, err := d.call(ctx, request{Op: "set", Key: key, New: v})
	return err
}

func (d *toy) Delete(ctx context.Context, key string) (bool, error) {
	r, err := d.call(ctx, request{Op: "delete", Key: key})
	return r.OK, err
}

func (d *toy) CompareAndSwap(ctx context.Context, key string, old, v []byte, _ time.Duration) (bool, error) {
	r, err := d.call(ctx, request{Op: "swap", Key: key, Old: old, New: v})
	return r.OK, err
}

func (d *toy) Incr(ctx context.Context, key string, _, _ float64, _ time.Duration) (float64, error) {
	r, err := d.call(ctx, request{Op: "incr", Key: key})
	return r.Sum, err
}

func (d *toy) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, conn := range d.idle {
		conn.Close()
	}
	d.idle = nil
	return nil
}

// call asks the server, wrongly where there is a fault.
func (d *toy) call(ctx context.Context, r request) (reply, error) {
	if d.fault.call != nil {
		return d.fault.call(ctx, d, r)
	}
	return d.exchange(ctx, r)
}

// exchange asks the server once.
func (d *toy) exchange(ctx context.Context, r request) (reply, error) {
	conn, err := d.connect(ctx)
	if err != nil {
		return reply{}, unsent(ctx, err)
	}
	end, _ := ctx.Deadline()
	conn.SetDeadline(end)
	var answer reply
	err = json.NewEncoder(conn).Encode(r)
	if err == nil {
		err = json.NewDecoder(conn).Decode(&answer)
	}
	if err != nil {
		conn.Close()
		if r.Op == "get" {
			return reply{}, unsent(ctx, err)
		}
		return reply{}, store.Errorf(store.ErrUnknownOutcome, "unknown outcome: %w", err)
	}
	d.keep(conn)
	return answer, nil
}

func unsent(ctx context.Context, err error) error {
	var timeout net.Error
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return store.Errorf(store.ErrTimeout, "timeout: %w", err)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: %w", err)
}

func (d *toy) connect(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, errors.New("closed")
	}
	if n := len(d.idle); n > 0 {
		conn := d.idle[n-1]
		d.idle = d.idle[:n-1]
		d.mu.Unlock()
		return conn, nil
	}
	d.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, "tcp", d.addr)
}

func (d *toy) keep(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		conn.Close()
		return
	}
	d.idle = append(d.idle, conn)
}
