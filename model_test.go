package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/luastore/store"
)

// The life of stores against a toy: what is open, and how often it was opened and closed, follows from who holds what.

// A world is a registry beside the toy that says how it must behave.
type world struct {
	reg      *store.Registry
	backends map[string]*backend
	broken   map[string]bool // connections that cannot be opened at present

	stores  map[string]*toyStore // present definition of each id
	all     []*toyStore
	opens   map[string]int64 // by connection
	closes  map[string]int64
	units   []*toyUnit
	handles []*toyHandle
	closed  bool
}

// A toyStore is one definition.
type toyStore struct {
	id, connection string
	open, retired  bool
	leases         int
}

// holds reports whether the connection of a definition is kept open on its behalf.
func (s *toyStore) holds() bool { return s.open && (!s.retired || s.leases > 0) }

type toyUnit struct {
	ctx    context.Context
	unit   *store.Unit
	ended  bool
	leases map[*toyStore]int // handles not released
}

type toyHandle struct {
	handle   *store.Handle
	unit     *toyUnit
	store    *toyStore
	released bool
}

var (
	connections = []string{"one", "two", "three"}
	ids         = []string{"a", "b", "c", "d"}
)

func newWorld() *world {
	w := &world{
		reg: store.New(nil), backends: map[string]*backend{}, broken: map[string]bool{}, stores: map[string]*toyStore{},
		opens: map[string]int64{}, closes: map[string]int64{},
	}
	for _, c := range connections {
		b := newBackend()
		b.connection = c
		b.opening = func(context.Context) error {
			if w.broken[c] {
				return errors.New("broken")
			}
			return nil
		}
		w.backends[c] = b
	}
	return w
}

// live reports whether a connection is open.
func (w *world) live(connection string) bool {
	return !w.closed && slices.ContainsFunc(w.all, func(s *toyStore) bool { return s.connection == connection && s.holds() })
}

// change makes a change and counts the connections that are closed by it.
func (w *world) change(f func()) {
	before := map[string]bool{}
	for _, c := range connections {
		before[c] = w.live(c)
	}
	f()
	for _, c := range connections {
		if before[c] && !w.live(c) {
			w.closes[c]++
		}
	}
}

// use opens a definition and says with which kind of error that ends.
func (w *world) use(s *toyStore) string {
	switch {
	case s.open:
		return ""
	case !w.live(s.connection) && w.broken[s.connection]:
		return "unavailable"
	case !w.live(s.connection):
		w.opens[s.connection]++
	}
	s.open = true
	return ""
}

// find says with which kind of error the use of an id ends, and what it stands for.
func (w *world) find(id string) (*toyStore, string) {
	if w.closed {
		return nil, "unavailable"
	}
	if s := w.stores[id]; s != nil {
		return s, ""
	}
	return nil, "store_not_found"
}

func (w *world) definition(connection string) store.Definition {
	return store.Definition{Open: w.backends[connection].opener(), Prefix: connection}
}

func wantKind(t *rapid.T, what string, err error, kind string) {
	t.Helper()
	if got := store.Kind(err); got != kind {
		t.Fatalf("%s answers %v, of kind %q, want %q", what, err, got, kind)
	}
}

func (w *world) define(t *rapid.T) {
	id, connection := rapid.SampledFrom(ids).Draw(t, "id"), rapid.SampledFrom(connections).Draw(t, "connection")
	err := w.reg.Define(id, w.definition(connection))
	switch {
	case w.closed:
		wantKind(t, "Define", err, "unavailable")
	case w.stores[id] != nil:
		wantKind(t, "Define", err, "invalid")
	default:
		wantKind(t, "Define", err, "")
		w.add(id, connection)
	}
}

func (w *world) add(id, connection string) *toyStore {
	s := &toyStore{id: id, connection: connection}
	w.all = append(w.all, s)
	w.stores[id] = s
	return s
}

func (w *world) replace(t *rapid.T) {
	id, connection := rapid.SampledFrom(ids).Draw(t, "id"), rapid.SampledFrom(connections).Draw(t, "connection")
	err := w.reg.Replace(t.Context(), id, w.definition(connection))
	old, kind := w.find(id)
	if kind == "" {
		young := &toyStore{id: id, connection: connection}
		if kind = w.use(young); kind == "" {
			w.change(func() {
				w.all = append(w.all, young)
				w.stores[id] = young
				old.retired = true
			})
		}
	}
	wantKind(t, "Replace", err, kind)
}

func (w *world) remove(t *rapid.T) {
	id := rapid.SampledFrom(ids).Draw(t, "id")
	err := w.reg.Remove(id)
	s := w.stores[id]
	if s == nil {
		wantKind(t, "Remove", err, "store_not_found")
		return
	}
	wantKind(t, "Remove", err, "")
	w.change(func() {
		delete(w.stores, id)
		s.retired = true
	})
}

func (w *world) check(t *rapid.T) {
	id := rapid.SampledFrom(ids).Draw(t, "id")
	err := w.reg.Check(t.Context(), id)
	s, kind := w.find(id)
	if kind == "" {
		kind = w.use(s)
	}
	wantKind(t, "Check", err, kind)
}

func (w *world) begin(t *rapid.T) {
	ctx, u := w.reg.Begin(t.Context(), "")
	w.units = append(w.units, &toyUnit{ctx: ctx, unit: u, leases: map[*toyStore]int{}})
}

func (w *world) get(t *rapid.T) {
	if len(w.units) == 0 {
		t.Skip("no unit")
	}
	u := rapid.SampledFrom(w.units).Draw(t, "unit")
	id := rapid.SampledFrom(ids).Draw(t, "id")
	h, err := u.unit.Get(context.WithoutCancel(u.ctx), id)
	s, kind := w.find(id)
	switch {
	case u.ended:
		kind = "released"
	case kind == "":
		kind = w.use(s)
	}
	wantKind(t, "Get", err, kind)
	if kind != "" {
		return
	}
	if u.leases[s] == 0 {
		s.leases++
	}
	u.leases[s]++
	w.handles = append(w.handles, &toyHandle{handle: h, unit: u, store: s})
}

func (w *world) release(t *rapid.T) {
	if len(w.handles) == 0 {
		t.Skip("no handle")
	}
	h := rapid.SampledFrom(w.handles).Draw(t, "handle")
	h.handle.Release()
	if h.released {
		return
	}
	h.released = true
	if h.unit.ended {
		return
	}
	w.change(func() {
		if h.unit.leases[h.store]--; h.unit.leases[h.store] == 0 {
			h.store.leases--
		}
	})
}

func (w *world) end(t *rapid.T) {
	if len(w.units) == 0 {
		t.Skip("no unit")
	}
	u := rapid.SampledFrom(w.units).Draw(t, "unit")
	wantKind(t, "End", u.unit.End(), "")
	if u.ended {
		return
	}
	u.ended = true
	w.change(func() {
		for s, handles := range u.leases {
			if handles > 0 {
				s.leases--
			}
		}
	})
}

func (w *world) breakOrMend(t *rapid.T) {
	c := rapid.SampledFrom(connections).Draw(t, "connection")
	w.broken[c] = !w.broken[c]
}

// close ends the registry now and then, by a context that has ended: it does not wait.
func (w *world) close(t *rapid.T) {
	if rapid.IntRange(0, 19).Draw(t, "close if 0") > 0 {
		t.Skip("not yet")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	live := 0
	for _, s := range w.all {
		live += s.leases
	}
	kind := ""
	if live > 0 {
		kind = "timeout"
	}
	wantKind(t, "Close", w.reg.Close(ctx), kind)
	w.change(func() { w.closed = true })
}

// agree compares the registry with the toy.
func (w *world) agree(t *rapid.T) {
	for _, c := range connections {
		b := w.backends[c]
		if b.opens.Load() != w.opens[c] || b.closes.Load() != w.closes[c] {
			t.Fatalf("connection %s was opened %d times and closed %d times, want %d and %d",
				c, b.opens.Load(), b.closes.Load(), w.opens[c], w.closes[c])
		}
	}
	for i, h := range w.handles {
		kind := ""
		switch {
		case h.released || h.unit.ended:
			kind = "released"
		case w.closed:
			kind = "unavailable"
		}
		wantKind(t, fmt.Sprint("handle ", i), h.handle.Set(context.WithoutCancel(h.unit.ctx), "a:b", num(1), 0), kind)
	}
}

func TestRegistry_AnySequence_OpensAndClosesAsTheToySays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		t.Repeat(map[string]func(*rapid.T){
			"Define": w.define, "Replace": w.replace, "Remove": w.remove, "Check": w.check, "Begin": w.begin, "Get": w.get,
			"Get again": w.get, "Release": w.release, "End": w.end, "break or mend": w.breakOrMend, "Close": w.close,
			"": w.agree,
		})
		for _, u := range w.units {
			wantKind(t, "End", u.unit.End(), "")
		}
		wantKind(t, "Close", w.reg.Close(t.Context()), "")
		for c, b := range w.backends {
			if b.live.Load() != 0 || b.opens.Load() != b.closes.Load() {
				t.Fatalf("%s: %d drivers left open", c, b.live.Load())
			}
		}
	})
}

// What the toy cannot say, how calls interleave, may change nothing of this: a connection is open once at a time, nobody fails who
// may not, and in the end nothing is open.
func TestRegistry_UnderRandomLoad_OpensEachConnectionOnceAtATime(t *testing.T) {
	seen := new(recorder)
	reg := store.New(&store.Options{Observe: seen.observe})
	backends := make([]*backend, 3)
	for i := range backends {
		b := newBackend()
		b.connection = i
		b.opening = func(context.Context) error {
			if n := b.live.Load(); n != 0 {
				t.Errorf("opened beside %d others", n)
			}
			return nil
		}
		backends[i] = b
	}
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 200 {
				check(t, anything(t.Context(), reg, random, backends))
			}
		})
	}
	wg.Wait()
	check(t, reg.Close(t.Context()))
	if seen.leases() != 0 || seen.count(store.OpOpen) != seen.count(store.OpClose) {
		t.Errorf("%d leases live, %d opened, %d closed", seen.leases(), seen.count(store.OpOpen), seen.count(store.OpClose))
	}
	for i, b := range backends {
		if b.live.Load() != 0 || b.opens.Load() == 0 {
			t.Errorf("connection %d: %d drivers left open of %d", i, b.live.Load(), b.opens.Load())
		}
	}
}

// anything does one thing to a registry, or runs a unit, and returns an error that should not have come.
func anything(ctx context.Context, reg *store.Registry, random *rand.Rand, backends []*backend) error {
	id := ids[random.IntN(len(ids))]
	d := store.Definition{Open: backends[random.IntN(len(backends))].opener()}
	var err error
	switch random.IntN(10) {
	case 0:
		err = reg.Remove(id)
	case 1:
		err = reg.Replace(ctx, id, d)
	case 2, 3:
		if err = reg.Define(id, d); errors.Is(err, store.ErrInvalid) {
			err = nil // defined already
		}
	default:
		err = reg.Do(ctx, func(ctx context.Context) error {
			h, err := store.Get(ctx, id)
			if err != nil {
				return err
			}
			if random.IntN(2) == 0 {
				defer h.Release()
			}
			return h.Set(ctx, "a:b", num(1), 0)
		})
	}
	if errors.Is(err, store.ErrStoreNotFound) {
		return nil
	}
	return err
}
