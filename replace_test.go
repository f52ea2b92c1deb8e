package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

func TestReplace_NewHandlesGetTheNew_OldOnesFinishOnTheOld(t *testing.T) {
	before, after := newBackend(), newBackend()
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: before.opener()})
	ctx1, unit1 := reg.Begin(t.Context(), "")
	ctx2, unit2 := reg.Begin(t.Context(), "")
	old1, old2 := acquire(t, ctx1, "s"), acquire(t, ctx2, "s")
	ok(t, reg.Replace(t.Context(), "s", store.Definition{Open: after.opener()}))

	young := acquire(t, ctx1, "s")
	ok(t, young.Set(ctx1, "a:b", num(2), 0))
	ok(t, old1.Set(ctx1, "a:b", num(1), 0))
	if e, _ := before.entry("a:b"); string(e.value) != string(num(1)) {
		t.Errorf("the old has %x", e.value)
	}
	if e, _ := after.entry("a:b"); string(e.value) != string(num(2)) {
		t.Errorf("the new has %x", e.value)
	}

	old1.Release()
	ok(t, unit1.End())
	if n := before.closes.Load(); n != 0 {
		t.Fatal("the old closed under a live lease")
	}
	ok(t, old2.Set(ctx2, "a:c", num(1), 0))
	ok(t, unit2.End())
	if o, n := before.closes.Load(), after.closes.Load(); o != 1 || n != 0 {
		t.Errorf("closed: old %d times, new %d times", o, n)
	}
}

func TestReplace_UnderLoad_FailsNobody(t *testing.T) {
	reg := newRegistry(t, nil)
	backends := make([]*backend, 20)
	for i := range backends {
		backends[i] = newBackend()
	}
	define(t, reg, "s", store.Definition{Open: backends[0].opener()})
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 8 {
		wg.Go(func() {
			for !stop.Load() {
				if err := reg.Do(t.Context(), func(ctx context.Context) error {
					h, err := store.Get(ctx, "s")
					if err != nil {
						return err
					}
					return h.Set(ctx, "a:b", num(1), 0)
				}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, b := range backends[1:] {
		ok(t, reg.Replace(t.Context(), "s", store.Definition{Open: b.opener()}))
	}
	stop.Store(true)
	wg.Wait()
	for i, b := range backends {
		if want := int64(1); i < len(backends)-1 && b.opens.Load() != b.closes.Load() || b.opens.Load() > want {
			t.Errorf("backend %d was opened %d times, closed %d times", i, b.opens.Load(), b.closes.Load())
		}
	}
}

func TestReplace_ThatFails_LeavesTheOldServing(t *testing.T) {
	b, bad := newBackend(), newBackend()
	bad.opening = func(context.Context) error { return errors.New("refused") }
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: b.opener()})
	ctx, _ := begin(t, reg)
	h := acquire(t, ctx, "s")
	err := reg.Replace(t.Context(), "s", store.Definition{Open: bad.opener()})
	kindIs(t, err, "unavailable")
	kindIs(t, reg.Replace(t.Context(), "s", store.Definition{}), "invalid")
	kindIs(t, reg.Replace(t.Context(), "other", store.Definition{Open: b.opener()}), "store_not_found")
	ok(t, h.Set(ctx, "a:b", num(1), 0))
	ok(t, acquire(t, ctx, "s").Set(ctx, "a:b", num(1), 0))
	if b.opens.Load() != 1 || b.closes.Load() != 0 {
		t.Errorf("opened %d times, closed %d times", b.opens.Load(), b.closes.Load())
	}
}

func TestReplace_OnTheSameConnection_KeepsItOpen(t *testing.T) {
	b := newBackend()
	b.connection = "same"
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: b.opener()})
	ctx, _ := begin(t, reg)
	acquire(t, ctx, "s").Release()
	ok(t, reg.Replace(t.Context(), "s", store.Definition{Open: b.opener(), Prefix: "new"}))
	ok(t, acquire(t, ctx, "s").Set(ctx, "a:b", num(1), 0))
	if _, exists := b.entry("new:a:b"); !exists || b.opens.Load() != 1 || b.closes.Load() != 0 {
		t.Errorf("opened %d times, closed %d times", b.opens.Load(), b.closes.Load())
	}
}

func TestReplace_OfAStoreThatNobodyUsed_NeverOpensIt(t *testing.T) {
	before, after := newBackend(), newBackend()
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: before.opener()})
	ok(t, reg.Replace(t.Context(), "s", store.Definition{Open: after.opener()}))
	if before.opens.Load() != 0 || after.opens.Load() != 1 {
		t.Errorf("opened: old %d times, new %d times", before.opens.Load(), after.opens.Load())
	}
}

func TestReplace_WhileTheOldOpens_GivesItsWaitersTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after, g := newBackend(), newBackend(), newGate()
		before.opening = g.wait
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: before.opener()})
		got := make(chan error)
		go func() {
			got <- reg.Do(t.Context(), func(ctx context.Context) error {
				h, err := store.Get(ctx, "s")
				if err != nil {
					return err
				}
				return h.Set(ctx, "a:b", num(1), 0)
			})
		}()
		synctest.Wait()
		ok(t, reg.Replace(t.Context(), "s", store.Definition{Open: after.opener()}))
		close(g.open)
		ok(t, <-got)
		synctest.Wait()
		if _, exists := after.entry("a:b"); !exists || before.live.Load() != 0 {
			t.Errorf("in the new: %v, %d of the old are open", exists, before.live.Load())
		}
	})
}

func TestReplace_GivenUp_LeavesNothingOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := newBackend(), newBackend()
		after.opening = func(context.Context) error { time.Sleep(time.Second); return nil } // virtual
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: before.opener()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		kindIs(t, reg.Replace(ctx, "s", store.Definition{Open: after.opener()}), "timeout")
		time.Sleep(time.Minute) // virtual
		if after.opens.Load() != 1 || after.live.Load() != 0 {
			t.Errorf("opened %d times, %d are open", after.opens.Load(), after.live.Load())
		}
	})
}

func TestReplace_ByMany_LeavesOneOpen(t *testing.T) {
	b := newBackend()
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: b.opener()})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			check(t, reg.Replace(t.Context(), "s", store.Definition{Open: b.opener()}))
		})
	}
	wg.Wait()
	if b.opens.Load() != 50 || b.live.Load() != 1 {
		t.Errorf("opened %d times, %d are open", b.opens.Load(), b.live.Load())
	}
}

func TestReplace_OfAStoreRemovedMeanwhile_SaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := newBackend(), newGate()
		b.opening = g.wait
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: newBackend().opener()})
		got := make(chan error)
		go func() { got <- reg.Replace(t.Context(), "s", store.Definition{Open: b.opener()}) }()
		synctest.Wait()
		ok(t, reg.Remove("s"))
		close(g.open)
		kindIs(t, <-got, "store_not_found")
		if b.opens.Load() != 1 || b.live.Load() != 0 {
			t.Errorf("opened %d times, %d are open", b.opens.Load(), b.live.Load())
		}
	})
}
