package store_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// TestLease_TakenAsItsStoreEnds lets units come and go at the moment in which their store ends, by each of the ways there are: who gets a
// handle finds the driver open, who does not is told why, and no driver is left open. No lock is taken for a lease; the moments move
// from round to round.
func TestLease_TakenAsItsStoreEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(reg *store.Registry) error{
		"Remove": func(reg *store.Registry) error { return reg.Remove("s") },
		"Replace": func(reg *store.Registry) error {
			return reg.Replace(context.Background(), "s", store.Definition{Open: newBackend().opener()})
		},
		"Close": func(reg *store.Registry) error { return reg.Close(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			rounds := 40_000
			if boundtest.Race {
				rounds = 5_000
			}
			for i := range rounds {
				endAsUnitsCome(t, end, i)
				if t.Failed() {
					t.Fatalf("in round %d", i)
				}
			}
		})
	}
}

func endAsUnitsCome(t *testing.T, end func(*store.Registry) error, i int) {
	t.Helper()
	b, reg := newBackend(), store.New(nil)
	define(t, reg, "s", store.Definition{Open: b.opener()})
	ok(t, reg.Check(t.Context(), "s"))
	var ready atomic.Int32
	meet := func(spins int) {
		ready.Add(1)
		for ready.Load() < 2 {
			runtime.Gosched()
		}
		for range spins {
			ready.Load()
		}
	}
	var group sync.WaitGroup
	group.Go(func() {
		meet(i % 97 * 16)
		if err := end(reg); err != nil {
			t.Error(err)
		}
	})
	meet(i % 89 * 4)
	for range 4 {
		err := reg.Do(t.Context(), func(ctx context.Context) error {
			h, err := store.Get(ctx, "s")
			if err != nil {
				return err
			}
			if _, err := h.Has(ctx, "a:b"); err != nil {
				t.Errorf("with a handle: %v", err)
			}
			return nil
		})
		if kind := store.Kind(err); kind != "" && kind != "store_not_found" && kind != "unavailable" {
			t.Error(err)
		}
	}
	group.Wait()
	if n := b.live.Load(); n != 0 {
		t.Errorf("%d drivers are open that nothing uses", n)
	}
	ok(t, reg.Close(t.Context()))
}
