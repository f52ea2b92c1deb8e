package store_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A backend is what fake drivers connect to: its entries outlive them, and it counts what is opened and closed.
type backend struct {
	connection any                             // of its opener; nil: not shared
	opening    func(ctx context.Context) error // called by each Open, when set
	closing    func() error                    // called by each Close, when set
	before     func(ctx context.Context, c fakeCall) error
	info       store.Info
	plain      bool // its drivers are neither Batcher nor Counter

	opens, closes, live atomic.Int64

	mu      sync.Mutex
	entries map[string]fakeEntry
	calls   []fakeCall
}

// A fakeEntry keeps the ttl that it was written with: no clock runs.
type fakeEntry struct {
	value []byte
	ttl   time.Duration
}

// A fakeCall is one call that reached a fake driver.
type fakeCall struct {
	op       string
	key      string // or keys, separated by spaces
	ttl      time.Duration
	deadline time.Time // of its context; zero: none
}

func newBackend() *backend { return &backend{entries: map[string]fakeEntry{}} }

func (b *backend) opener() store.Opener {
	return store.Opener{Connection: b.connection, Open: b.open}
}

func (b *backend) open(ctx context.Context) (store.Driver, error) {
	if b.opening != nil {
		if err := b.opening(ctx); err != nil {
			return nil, err
		}
	}
	b.opens.Add(1)
	b.live.Add(1)
	d := &fakeDriver{backend: b}
	if b.plain {
		return d, nil
	}
	return &fullDriver{d}, nil
}

// last returns the call that reached the drivers last.
func (b *backend) last(t *testing.T) fakeCall {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.calls) == 0 {
		t.Fatal("no call reached the driver")
	}
	return b.calls[len(b.calls)-1]
}

// put writes behind the back of the store.
func (b *backend) put(key string, v []byte, ttl time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries[key] = fakeEntry{v, ttl}
}

// outrun lets another writer come before every compare-and-swap of a:b, and returns how often one was tried.
func (b *backend) outrun() (tries func() int) {
	writes := 0
	b.before = func(_ context.Context, c fakeCall) error {
		if c.op == "CompareAndSwap" {
			writes++
			b.put("a:b", num(float64(writes)), 0)
		}
		return nil
	}
	return func() int { return writes }
}

// entry returns what is stored under a key.
func (b *backend) entry(key string) (fakeEntry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[key]
	return e, ok
}

// A fakeDriver keeps the plain contract of a driver over a map.
type fakeDriver struct {
	*backend
	closed atomic.Bool
}

// do notes a call, lets the test interfere, and runs f under the lock.
func (d *fakeDriver) do(ctx context.Context, c fakeCall, f func() error) error {
	c.deadline, _ = ctx.Deadline()
	d.mu.Lock()
	d.calls = append(d.calls, c)
	d.mu.Unlock()
	if d.before != nil {
		if err := d.before(ctx, c); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.closed.Load() {
		return store.ErrUnavailable
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return f()
}

// write stores a value, keeping the ttl of a present entry if it is to.
func (d *fakeDriver) write(key string, v []byte, ttl time.Duration) {
	if ttl == store.KeepTTL {
		ttl = d.entries[key].ttl
	}
	d.entries[key] = fakeEntry{v, ttl}
}

func (d *fakeDriver) Get(ctx context.Context, key string) (v []byte, err error) {
	v, _, err = d.read(ctx, "Get", key)
	return v, err
}

func (d *fakeDriver) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	return d.read(ctx, "Entry", key)
}

func (d *fakeDriver) TTL(ctx context.Context, key string) (ttl time.Duration, err error) {
	_, ttl, err = d.read(ctx, "TTL", key)
	return ttl, err
}

func (d *fakeDriver) read(ctx context.Context, op, key string) (v []byte, ttl time.Duration, err error) {
	err = d.do(ctx, fakeCall{op: op, key: key}, func() error {
		e, ok := d.entries[key]
		if !ok {
			return store.ErrNotFound
		}
		v, ttl = e.value, e.ttl
		return nil
	})
	return v, ttl, err
}

func (d *fakeDriver) Has(ctx context.Context, key string) (ok bool, err error) {
	err = d.do(ctx, fakeCall{op: "Has", key: key}, func() error {
		_, ok = d.entries[key]
		return nil
	})
	return ok, err
}

func (d *fakeDriver) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	return d.do(ctx, fakeCall{op: "Set", key: key, ttl: ttl}, func() error {
		d.write(key, v, ttl)
		return nil
	})
}

func (d *fakeDriver) Delete(ctx context.Context, key string) (existed bool, err error) {
	err = d.do(ctx, fakeCall{op: "Delete", key: key}, func() error {
		_, existed = d.entries[key]
		delete(d.entries, key)
		return nil
	})
	return existed, err
}

func (d *fakeDriver) Touch(ctx context.Context, key string, ttl time.Duration) (existed bool, err error) {
	err = d.do(ctx, fakeCall{op: "Touch", key: key, ttl: ttl}, func() error {
		var e fakeEntry
		if e, existed = d.entries[key]; existed {
			d.write(key, e.value, ttl)
		}
		return nil
	})
	return existed, err
}

func (d *fakeDriver) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (ok bool, err error) {
	err = d.do(ctx, fakeCall{op: "CompareAndSwap", key: key, ttl: ttl}, func() error {
		e, exists := d.entries[key]
		if ok = exists == (old != nil) && bytes.Equal(e.value, old); !ok {
			return nil
		}
		if new == nil {
			delete(d.entries, key)
			return nil
		}
		d.write(key, new, ttl)
		return nil
	})
	return ok, err
}

func (d *fakeDriver) List(ctx context.Context, prefix, cursor string, limit int) (page store.Page, err error) {
	err = d.do(ctx, fakeCall{op: "List", key: fmt.Sprint(prefix, " ", limit)}, func() error {
		if strings.HasPrefix(cursor, "forged") {
			return store.Errorf(store.ErrInvalid, "invalid cursor")
		}
		for k := range d.entries {
			if strings.HasPrefix(k, prefix) && k > cursor {
				page.Keys = append(page.Keys, k)
			}
		}
		slices.Sort(page.Keys)
		if len(page.Keys) > limit {
			page.Keys = page.Keys[:limit]
			page.Next = page.Keys[limit-1]
		}
		return nil
	})
	return page, err
}

func (d *fakeDriver) Info() store.Info { return d.info }

func (d *fakeDriver) Close() error {
	if d.closed.Swap(true) {
		panic("closed twice")
	}
	defer d.live.Add(-1)
	defer d.closes.Add(1)
	if d.closing != nil {
		return d.closing()
	}
	return nil
}

// A fullDriver is a fakeDriver that is a Batcher and a Counter too.
type fullDriver struct{ *fakeDriver }

func (d *fullDriver) GetMany(ctx context.Context, keys []string) (values [][]byte, err error) {
	values = make([][]byte, len(keys))
	err = d.do(ctx, fakeCall{op: "GetMany", key: strings.Join(keys, " ")}, func() error {
		for i, k := range keys {
			values[i] = d.entries[k].value
		}
		return nil
	})
	return values, err
}

func (d *fullDriver) SetMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	return d.do(ctx, fakeCall{op: "SetMany", key: strings.Join(keys, " "), ttl: ttl}, func() error {
		for _, e := range entries {
			d.write(e.Key, e.Value, ttl)
		}
		return nil
	})
}

func (d *fullDriver) DeleteMany(ctx context.Context, keys []string) (n int, err error) {
	err = d.do(ctx, fakeCall{op: "DeleteMany", key: strings.Join(keys, " ")}, func() error {
		for _, k := range keys {
			if _, ok := d.entries[k]; ok {
				n++
			}
			delete(d.entries, k)
		}
		return nil
	})
	return n, err
}

func (d *fullDriver) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (sum float64, err error) {
	err = d.do(ctx, fakeCall{op: "Incr", key: key, ttl: ttl}, func() error {
		base := initial
		if e, ok := d.entries[key]; ok {
			if base, ok = value.ParseNumber(e.value); !ok {
				return store.ErrNotNumber
			}
			ttl = store.KeepTTL
		}
		if math.Abs(base+delta) >= value.MaxInteger {
			return store.ErrOutOfRange
		}
		sum = base + delta
		d.write(key, value.AppendNumber(nil, sum), ttl)
		return nil
	})
	return sum, err
}

// A recorder is an observer that keeps all events.
type recorder struct {
	mu     sync.Mutex
	events []store.Event
}

func (r *recorder) observe(_ context.Context, e store.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// count returns how many operations of one kind succeeded.
func (r *recorder) count(op store.Op) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.events {
		if e.Op == op && e.Err == nil {
			n++
		}
	}
	return n
}

// last returns the event that came last.
func (r *recorder) last() store.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[len(r.events)-1]
}

// leases returns how many leases are live, by the events.
func (r *recorder) leases() int { return r.count(store.OpAcquire) - r.count(store.OpRelease) }

// newRegistry returns a registry that the end of the test closes, with no lease left.
func newRegistry(t testing.TB, o *store.Options) *store.Registry {
	t.Helper()
	reg := store.New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := reg.Close(ctx); err != nil {
			t.Errorf("close the registry: %v", err)
		}
	})
	return reg
}

// define adds a store or ends the test.
func define(t testing.TB, reg *store.Registry, id string, d store.Definition) {
	t.Helper()
	if err := reg.Define(id, d); err != nil {
		t.Fatal(err)
	}
}

// begin starts a unit that the test ends.
func begin(t testing.TB, reg *store.Registry) (context.Context, *store.Unit) {
	t.Helper()
	ctx, u := reg.Begin(t.Context(), "test")
	t.Cleanup(func() {
		if err := u.End(); err != nil {
			t.Errorf("end the unit: %v", err)
		}
	})
	return ctx, u
}

// acquire returns a handle or ends the test.
func acquire(t testing.TB, ctx context.Context, id string) *store.Handle {
	t.Helper()
	h, err := store.Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// openStore returns a handle on a store over b, of a registry and a unit of its own.
func openStore(t testing.TB, b *backend, d store.Definition, o *store.Options) (context.Context, *store.Handle) {
	t.Helper()
	reg := newRegistry(t, o)
	d.Open = b.opener()
	define(t, reg, "s", d)
	ctx, _ := begin(t, reg)
	return ctx, acquire(t, ctx, "s")
}

// kindIs ends the test unless err is of a kind.
func kindIs(t testing.TB, err error, kind string) {
	t.Helper()
	if got := store.Kind(err); got != kind {
		t.Fatalf("error %v is of kind %q, want %q", err, got, kind)
	}
}

// ok ends the test at an error.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bare reports whether err is one sentinel itself, not wrapped.
func bare(err, sentinel error) bool { return any(err) == any(sentinel) }

// check reports an error, from any goroutine.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func num(f float64) []byte { return value.AppendNumber(nil, f) }
func str(s string) []byte  { return value.AppendString(nil, s) }

// both runs a test over drivers with and without the optional interfaces.
func both(t *testing.T, f func(t *testing.T, b *backend)) {
	for _, plain := range []bool{false, true} {
		name := map[bool]string{false: "native", true: "fallback"}[plain]
		t.Run(name, func(t *testing.T) {
			b := newBackend()
			b.plain = plain
			f(t, b)
		})
	}
}
