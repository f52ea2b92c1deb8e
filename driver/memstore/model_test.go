package memstore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// A model is what a store is meant to be: a map, and a bound on the entries in it.
type model struct {
	entries map[string]modelEntry
	limit   int
}

type modelEntry struct {
	value   []byte
	expires time.Time // zero: never
}

func (m *model) get(key string) (modelEntry, bool) {
	e, ok := m.entries[key]
	if ok && !e.expires.IsZero() && !time.Now().Before(e.expires) {
		delete(m.entries, key)
		return modelEntry{}, false
	}
	return e, ok
}

func (m *model) keys(prefix string) (keys []string) {
	for key := range m.entries {
		if _, ok := m.get(key); ok && len(key) >= len(prefix) && key[:len(prefix)] == prefix {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (m *model) set(key string, value []byte, ttl time.Duration) (full bool) {
	e, ok := m.get(key)
	if !ok && len(m.keys("")) >= m.limit {
		return true
	}
	e.value = value
	if ttl != store.KeepTTL {
		e.expires = m.expiry(ttl)
	}
	m.entries[key] = e
	return false
}

func (m *model) expiry(ttl time.Duration) time.Time {
	if ttl <= 0 {
		return time.Time{}
	}
	return time.Now().Add(ttl)
}

func TestModel(t *testing.T) {
	for name, o := range map[string]*Options{"unbounded": nil, "refuse": {MaxEntries: 8}} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				rapid.SyncTest(rt, func(rt *rapid.T) { compareWithMap(rt, o) })
			})
		})
	}
}

func compareWithMap(t *rapid.T, o *Options) {
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m := &machine{d: d, m: model{map[string]modelEntry{}, 1 << 30}}
	if o != nil {
		m.m.limit = int(o.MaxEntries)
	}
	t.Repeat(rapid.StateMachineActions(m))
}

// A machine does each operation on driver and model and compares. Its methods are the operations.
type machine struct {
	d *Driver
	m model
}

var (
	drawKey   = rapid.Map(rapid.IntRange(0, 14), func(i int) string { return fmt.Sprintf("k%d:%d", i%3, i) })
	drawTTL   = rapid.SampledFrom([]time.Duration{0, store.KeepTTL, time.Millisecond, 30 * time.Millisecond, time.Second, time.Hour})
	drawValue = rapid.Map(rapid.IntRange(-2, 300), func(i int) []byte { return value.AppendNumber(nil, float64(i)) })
)

func (x *machine) Check(t *rapid.T) { verify(rapidTB{t: t}, x.d) }

func (x *machine) Sleep(t *rapid.T) {
	time.Sleep(rapid.SampledFrom([]time.Duration{1, time.Millisecond, 29 * time.Millisecond, time.Second, time.Hour}).Draw(t, "time"))
}

func (x *machine) Set(t *rapid.T) {
	key, v, ttl := drawKey.Draw(t, "key"), drawValue.Draw(t, "value"), drawTTL.Draw(t, "ttl")
	full := x.m.set(key, v, ttl)
	if err := x.d.Set(ctx, key, v, ttl); full != errors.Is(err, store.ErrFull) || !full && err != nil {
		t.Fatalf("full %v: %v", full, err)
	}
}

func (x *machine) Read(t *rapid.T) {
	key := drawKey.Draw(t, "key")
	e, ok := x.m.get(key)
	var left time.Duration
	if !e.expires.IsZero() {
		left = max(time.Until(e.expires), store.MinTTL)
	}
	v, ttl, err := x.d.Entry(ctx, key)
	if !bytes.Equal(v, e.value) || ttl != left || (err == nil) != ok {
		t.Fatalf("Entry is %x %v %v, want %x %v", v, ttl, err, e.value, left)
	}
	if v, err := x.d.Get(ctx, key); !bytes.Equal(v, e.value) || (err == nil) != ok {
		t.Fatalf("Get is %x %v", v, err)
	}
	if ttl, err := x.d.TTL(ctx, key); ttl != left || (err == nil) != ok {
		t.Fatalf("TTL is %v %v", ttl, err)
	}
	if got, err := x.d.Has(ctx, key); got != ok || err != nil {
		t.Fatalf("Has is %v %v", got, err)
	}
}

func (x *machine) Delete(t *rapid.T) {
	key := drawKey.Draw(t, "key")
	_, ok := x.m.get(key)
	delete(x.m.entries, key)
	if existed, err := x.d.Delete(ctx, key); existed != ok || err != nil {
		t.Fatalf("got %v %v, want %v", existed, err, ok)
	}
}

func (x *machine) Touch(t *rapid.T) {
	key, ttl := drawKey.Draw(t, "key"), drawTTL.Draw(t, "ttl")
	e, ok := x.m.get(key)
	if ok && ttl != store.KeepTTL {
		e.expires = x.m.expiry(ttl)
		x.m.entries[key] = e
	}
	if existed, err := x.d.Touch(ctx, key, ttl); existed != ok || err != nil {
		t.Fatalf("got %v %v, want %v", existed, err, ok)
	}
}

func (x *machine) Swap(t *rapid.T) {
	key, ttl := drawKey.Draw(t, "key"), drawTTL.Draw(t, "ttl")
	e, ok := x.m.get(key)
	old, next := drawValue.Draw(t, "old"), drawValue.Draw(t, "new")
	if rapid.Bool().Draw(t, "present") {
		old = e.value
	}
	if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
		next = nil
	}
	want, full := ok == (old != nil) && bytes.Equal(old, e.value), false
	if want && next == nil {
		delete(x.m.entries, key)
	} else if want {
		full = x.m.set(key, next, ttl)
	}
	got, err := x.d.CompareAndSwap(ctx, key, old, next, ttl)
	if got != (want && !full) || full != errors.Is(err, store.ErrFull) || !full && err != nil {
		t.Fatalf("got %v %v, want %v, full %v", got, err, want, full)
	}
}

func (x *machine) Incr(t *rapid.T) {
	key, ttl := drawKey.Draw(t, "key"), drawTTL.Draw(t, "ttl")
	e, ok := x.m.get(key)
	want := 1.0
	if ok {
		n, _ := value.ParseNumber(e.value)
		want, ttl = n+1, store.KeepTTL
	}
	full := x.m.set(key, value.AppendNumber(nil, want), ttl)
	got, err := x.d.Incr(ctx, key, 1, 0, ttl)
	if full != errors.Is(err, store.ErrFull) || !full && (err != nil || got != want) {
		t.Fatalf("got %v %v, want %v, full %v", got, err, want, full)
	}
}

func (x *machine) List(t *rapid.T) {
	prefix, limit := rapid.SampledFrom([]string{"", "k", "k1:", "x"}).Draw(t, "prefix"), rapid.IntRange(1, 9).Draw(t, "limit")
	var got []string
	for cursor := ""; ; {
		page, err := x.d.List(ctx, prefix, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Keys...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if want := x.m.keys(prefix); !slices.Equal(got, want) {
		t.Fatalf("listed %q, want %q", got, want)
	}
}

// A rapidTB lets verify report to rapid.
type rapidTB struct {
	testing.TB
	t *rapid.T
}

func (r rapidTB) Helper()                      {}
func (r rapidTB) Error(args ...any)            { r.t.Error(args...) }
func (r rapidTB) Errorf(f string, args ...any) { r.t.Errorf(f, args...) }
