package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

func TestHandle_Observer_IsToldOfEveryOperation(t *testing.T) {
	everyOperation(t, func(t *testing.T, b *backend, o operation) {
		synctest.Test(t, func(t *testing.T) {
			b.before = func(context.Context, fakeCall) error { time.Sleep(time.Second); return nil } // virtual
			seen := new(recorder)
			ctx, h := openStore(t, b, store.Definition{Prefix: "pre"}, &store.Options{Observe: seen.observe})
			ok(t, o.call(ctx, h))
			e := seen.last()
			if e.Unit != "test" || e.Store != "s" || e.Op != o.op || e.Err != nil {
				t.Errorf("the observer saw %+v", e)
			}
			if e.Duration < time.Second {
				t.Errorf("duration %v", e.Duration)
			}
			if want := len(o.keys); e.Keys != want {
				t.Errorf("%d keys, want %d", e.Keys, want)
			}
			if single := len(o.keys) == 1; single && e.Key != o.keys[0] || !single && e.Key != "" {
				t.Errorf("key %q", e.Key)
			}
		})
	})
}

func TestHandle_Observer_SeesBytesAndHits(t *testing.T) {
	b := newBackend()
	seen := new(recorder)
	ctx, h := openStore(t, b, store.Definition{}, &store.Options{Observe: seen.observe})
	long := str("0123456789") // 11 bytes
	for _, c := range []struct {
		name  string
		call  func()
		bytes int
		hit   bool
	}{
		{"a miss", func() { h.Get(ctx, "a:b") }, 0, false},
		{"has not", func() { h.Has(ctx, "a:b") }, 0, false},
		{"set", func() { h.Set(ctx, "a:b", long, 0) }, 11, false},
		{"a hit", func() { h.Get(ctx, "a:b") }, 11, true},
		{"entry", func() { h.Entry(ctx, "a:b") }, 11, true},
		{"ttl", func() { h.TTL(ctx, "a:b") }, 0, true},
		{"has", func() { h.Has(ctx, "a:b") }, 0, true},
		{"touch", func() { h.Touch(ctx, "a:b", 0) }, 0, true},
		{"swap", func() { h.CompareAndSwap(ctx, "a:b", long, long, 0) }, 11, true},
		{"no swap", func() { h.CompareAndSwap(ctx, "a:b", nil, long, 0) }, 11, false},
		{"set many", func() { h.SetMany(ctx, []store.Item{{"a:b", long}, {"a:c", long}}, 0) }, 22, false},
		{"get many", func() { h.GetMany(ctx, []string{"a:b", "a:c", "a:d"}) }, 22, true},
		{"get none", func() { h.GetMany(ctx, []string{"a:e"}) }, 0, false},
		{"list", func() { h.List(ctx, "a:", "", 0) }, 0, true},
		{"list none", func() { h.List(ctx, "b:", "", 0) }, 0, false},
		{"delete many", func() { h.DeleteMany(ctx, []string{"a:c", "a:d"}) }, 0, true},
		{"delete", func() { h.Delete(ctx, "a:b") }, 0, true},
		{"delete none", func() { h.Delete(ctx, "a:b") }, 0, false},
	} {
		c.call()
		if e := seen.last(); e.Bytes != c.bytes || e.Hit != c.hit {
			t.Errorf("%s: %d bytes, hit %v, want %d, %v", c.name, e.Bytes, e.Hit, c.bytes, c.hit)
		}
	}
}

func TestHandle_Observer_SeesWhatWasRefused(t *testing.T) {
	b := newBackend()
	seen := new(recorder)
	ctx, h := openStore(t, b, store.Definition{ReadOnly: true}, &store.Options{
		Observe: seen.observe,
		Policy:  func(context.Context, store.Access) error { return errors.New("no") },
	})
	for _, c := range []struct {
		name string
		call func()
		kind string
	}{
		{"denied", func() { h.Get(ctx, "a:b") }, "denied"},
		{"denied batch", func() { h.GetMany(ctx, []string{"a:b"}) }, "denied"},
		{"denied listing", func() { h.List(ctx, "a:", "", 0) }, "denied"},
		{"read-only", func() { h.Set(ctx, "a:b", num(1), 0) }, "denied"},
		{"invalid key", func() { h.Get(ctx, "ab") }, "invalid"},
		{"invalid ttl", func() { h.Touch(ctx, "a:b", -9) }, "invalid"},
		{"value that cannot be stored", func() { store.Save(ctx, h, "a:b", func() {}, 0) }, "invalid"},
		{"released", func() { h.Release(); h.Get(ctx, "a:b") }, "released"},
	} {
		c.call()
		if e := seen.last(); store.Kind(e.Err) != c.kind {
			t.Errorf("%s: the observer saw %+v", c.name, e)
		}
	}
}

func TestHandle_Observer_GetsTheContextOfTheCaller(t *testing.T) {
	type key struct{}
	b := newBackend()
	b.info.Network = true
	called := false
	ctx, h := openStore(t, b, store.Definition{}, &store.Options{Observe: func(ctx context.Context, e store.Event) {
		if e.Op != store.OpHas {
			return
		}
		called = true
		if ctx.Value(key{}) != "mine" || ctx.Err() != nil {
			t.Errorf("value %v, %v", ctx.Value(key{}), ctx.Err())
		}
	}})
	ok(t, second(h.Has(context.WithValue(ctx, key{}, "mine"), "a:b")))
	if !called {
		t.Error("the observer was not called")
	}
}

func TestHandle_ObserverThatPanics_HarmsNothing(t *testing.T) {
	b := newBackend()
	ctx, h := openStore(t, b, store.Definition{}, &store.Options{
		Observe: func(context.Context, store.Event) { panic("observer") },
	})
	ok(t, h.Set(ctx, "a:b", num(1), 0))
	ok(t, second(h.Get(ctx, "a:b")))
}
