package store_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store"
)

// A nearby driver has what near holds at hand, whatever the backend says.
type nearby struct {
	store.Driver
	mu   *sync.Mutex
	near map[string][]byte
}

func (d nearby) Peek(key string) ([]byte, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.near[key]
	return v, ok
}

// nearStore returns a handle on a store whose driver has a:near at hand, events and all, and the calls that reach the backend.
func nearStore(t *testing.T, o store.Options, d store.Definition) (ctx context.Context, h *store.Handle, calls func() []string, events *[]store.Event) {
	t.Helper()
	b := newBackend()
	events = &[]store.Event{}
	o.Observe = func(_ context.Context, e store.Event) { *events = append(*events, e) }
	reg := store.New(&o)
	d.Open = store.Opener{Open: func(ctx context.Context) (store.Driver, error) {
		inner, err := b.open(ctx)
		return nearby{inner, &sync.Mutex{}, map[string][]byte{d.Prefix + ":a:near": {1}}}, err
	}}
	if err := reg.Define("s", d); err != nil {
		t.Fatal(err)
	}
	ctx, unit := reg.Begin(t.Context(), "unit")
	t.Cleanup(func() { unit.End(); reg.Close(context.Background()) })
	h, err := store.Get(ctx, "s")
	if err != nil {
		t.Fatal(err)
	}
	return ctx, h, func() (ops []string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.calls {
			ops = append(ops, c.op+" "+c.key)
		}
		b.calls = nil
		return ops
	}, events
}

func TestPeeker_ReadsOfWhatIsAtHand_DoNotReachTheBackend(t *testing.T) {
	ctx, h, calls, events := nearStore(t, store.Options{}, store.Definition{Prefix: "p"})
	if v, err := h.Get(ctx, "a:near"); string(v) != "\x01" || err != nil {
		t.Errorf("get: %q, %v", v, err)
	}
	if found, err := h.Has(ctx, "a:near"); !found || err != nil {
		t.Errorf("has: %v, %v", found, err)
	}
	if v, hit, err := h.Fetch(ctx, "a:near", 0, nil); string(v) != "\x01" || !hit || err != nil {
		t.Errorf("fetch: %q, %v, %v", v, hit, err)
	}
	if found, err := h.GetMany(ctx, []string{"a:near"}); string(found["a:near"]) != "\x01" || len(found) != 1 || err != nil {
		t.Errorf("get_many: %q, %v", found, err)
	}
	if reached := calls(); len(reached) > 0 {
		t.Errorf("%q reached the backend", reached)
	}
	for _, e := range (*events)[len(*events)-4:] {
		if e.PeekHits != 1 || e.PeekMisses != 0 || !e.Hit || e.Err != nil {
			t.Errorf("%+v, want one that was at hand", e)
		}
	}
}

func TestPeeker_WhatIsNotAtHand_IsReadFromTheBackend(t *testing.T) {
	ctx, h, calls, events := nearStore(t, store.Options{}, store.Definition{Prefix: "p"})
	if err := h.Set(ctx, "a:far", []byte{2}, 0); err != nil {
		t.Fatal(err)
	}
	calls()
	found, err := h.GetMany(ctx, []string{"a:far", "a:near", "a:none"})
	if err != nil || len(found) != 2 || string(found["a:far"]) != "\x02" || string(found["a:near"]) != "\x01" {
		t.Errorf("get_many: %q, %v", found, err)
	}
	if e := (*events)[len(*events)-1]; e.PeekHits != 1 || e.PeekMisses != 2 {
		t.Errorf("%+v, want one that was at hand and two that were not", e)
	}
	if v, err := h.Get(ctx, "a:far"); string(v) != "\x02" || err != nil {
		t.Errorf("get: %q, %v", v, err)
	}
	if found, err := h.Has(ctx, "a:none"); found || err != nil {
		t.Errorf("has: %v, %v", found, err)
	}
	if got, want := calls(), []string{"Get p:a:far", "Get p:a:none", "Get p:a:far", "Has p:a:none"}; !slices.Equal(got, want) {
		t.Errorf("%q reached the backend, want %q", got, want)
	}
}

// What a condition rests on comes from the backend, and so does what is asked about the entry itself.
func TestPeeker_IsNotAskedForWhatMustBeTrueNow(t *testing.T) {
	ctx, h, calls, events := nearStore(t, store.Options{}, store.Definition{Prefix: "p"})
	h.Entry(ctx, "a:near")
	h.TTL(ctx, "a:near")
	h.Incr(ctx, "a:near", 1, 0, 0)
	h.SetIfVersion(ctx, "a:near", []byte{3}, store.Version([]byte{1}), 0)
	h.Update(ctx, "a:near", store.KeepTTL, nil, func(old []byte) ([]byte, error) {
		if string(old) == "\x01" {
			t.Error("update began from what was at hand")
		}
		return []byte{4}, nil
	})
	if len(calls()) < 5 {
		t.Error("some were answered from memory")
	}
	for _, e := range *events {
		if e.PeekHits+e.PeekMisses > 0 {
			t.Errorf("%+v: the driver was asked for what it has at hand", e)
		}
	}
}

func TestPeeker_CallsThatMayNotBe_AreNotAnsweredFromMemory(t *testing.T) {
	denying := func(_ context.Context, a store.Access) error {
		if a.Key == "a:near" && a.Unit == "unit" {
			return store.ErrDenied
		}
		return nil
	}
	ctx, h, _, _ := nearStore(t, store.Options{Policy: denying}, store.Definition{Prefix: "p"})
	if v, err := h.Get(ctx, "a:near"); v != nil || store.Kind(err) != "denied" {
		t.Errorf("what the policy denies: %q, %v", v, err)
	}
	ctx, h, _, _ = nearStore(t, store.Options{}, store.Definition{Prefix: "p"})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for name, err := range map[string]error{
		"get":      ignore(h.Get(ended, "a:near")),
		"has":      ignore(h.Has(ended, "a:near")),
		"get_many": ignore(h.GetMany(ended, []string{"a:near"})),
	} {
		if store.Kind(err) != "canceled" {
			t.Errorf("%s with an ended context: %v", name, err)
		}
	}
	h.Release()
	if v, err := h.Get(ctx, "a:near"); v != nil || store.Kind(err) != "released" {
		t.Errorf("after release: %q, %v", v, err)
	}
}

func ignore[T any](_ T, err error) error { return err }

func TestPeeker_TimeoutOfTheStore_BoundsOnlyWhatAsksTheBackend(t *testing.T) {
	ctx, h, _, _ := nearStore(t, store.Options{}, store.Definition{Prefix: "p", Timeout: time.Second})
	if allocs := testing.AllocsPerRun(100, func() { h.Has(ctx, "a:near") }); allocs > 2 { // the stored key, and room for events
		t.Errorf("%v allocations for an answer from memory: a timeout was set up", allocs)
	}
}

func TestPeeker_OfAStoreWithoutAnythingElse_IsAsked(t *testing.T) {
	b := newBackend()
	reg := store.New(nil)
	defer reg.Close(context.Background())
	err := reg.Define("s", store.Definition{Open: store.Opener{Open: func(ctx context.Context) (store.Driver, error) {
		inner, err := b.open(ctx)
		return nearby{inner, &sync.Mutex{}, map[string][]byte{"a:near": {1}}}, err
	}}})
	if err != nil {
		t.Fatal(err)
	}
	err = reg.Do(t.Context(), func(ctx context.Context) error {
		h, err := store.Get(ctx, "s")
		if err != nil {
			return err
		}
		if v, err := h.Get(ctx, "a:near"); string(v) != "\x01" || err != nil {
			t.Errorf("get: %q, %v", v, err)
		}
		if found, err := h.Has(ctx, "a:near"); !found || err != nil {
			t.Errorf("has: %v, %v", found, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// An away driver reaches no backend for batches.
type away struct{ nearby }

func (away) GetMany(context.Context, []string) ([][]byte, error) { return nil, store.ErrUnavailable }

func (away) SetMany(context.Context, []store.Item, time.Duration) error { return store.ErrUnavailable }

func (away) DeleteMany(context.Context, []string) (int, error) { return 0, store.ErrUnavailable }

func TestPeeker_BackendThatIsAway_FailsABatchAsAWhole(t *testing.T) {
	b := newBackend()
	reg := store.New(nil)
	defer reg.Close(context.Background())
	if err := reg.Define("s", store.Definition{Open: store.Opener{Open: func(ctx context.Context) (store.Driver, error) {
		inner, err := b.open(ctx)
		return away{nearby{inner, &sync.Mutex{}, map[string][]byte{"a:near": {1}}}}, err
	}}}); err != nil {
		t.Fatal(err)
	}
	err := reg.Do(t.Context(), func(ctx context.Context) error {
		h, err := store.Get(ctx, "s")
		if err != nil {
			return err
		}
		if found, err := h.GetMany(ctx, []string{"a:near", "a:far"}); len(found) != 0 || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %q, %v, want nothing, as the error names no keys", found, err)
		}
		if found, err := h.GetMany(ctx, []string{"a:near"}); len(found) != 1 || err != nil {
			t.Errorf("got %q, %v, want what is at hand", found, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
