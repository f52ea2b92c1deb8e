package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

// observed returns a registry with stores a, b and c, and what an observer sees of it.
func observed(t *testing.T) (*store.Registry, *recorder) {
	t.Helper()
	seen := new(recorder)
	reg := newRegistry(t, &store.Options{Observe: seen.observe})
	for _, id := range []string{"a", "b", "c"} {
		define(t, reg, id, store.Definition{Open: newBackend().opener()})
	}
	return reg, seen
}

// released returns the ids of the stores that were released, in order.
func (r *recorder) released() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for _, e := range r.events {
		if e.Op == store.OpRelease {
			ids = append(ids, e.Store)
		}
	}
	return ids
}

func TestUnit_End_ReleasesLastAcquiredFirst(t *testing.T) {
	var order []string
	reg := newRegistry(t, &store.Options{Observe: func(_ context.Context, e store.Event) {
		if e.Op == store.OpRelease {
			order = append(order, e.Store)
		}
	}})
	for _, id := range []string{"a", "b", "c"} {
		define(t, reg, id, store.Definition{Open: newBackend().opener()})
	}
	ctx, u := reg.Begin(t.Context(), "")
	note := func(s string) func() { return func() { order = append(order, s) } }
	acquire(t, ctx, "a")
	u.OnEnd(note("after a"))
	acquire(t, ctx, "b")
	early := acquire(t, ctx, "c")
	u.OnEnd(note("after c"))
	early.Release()
	acquire(t, ctx, "a")
	acquire(t, ctx, "c")
	ok(t, u.End())
	want := []string{"c", "c", "after c", "b", "after a", "a"}
	if !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
}

func TestDo_HoweverItEnds_ReleasesEverything(t *testing.T) {
	failure := errors.New("failed")
	for name, c := range map[string]struct {
		body func(ctx context.Context) error
		want error
	}{
		"return":  {func(context.Context) error { return nil }, nil},
		"error":   {func(context.Context) error { return failure }, failure},
		"panic":   {func(context.Context) error { panic(failure) }, nil},
		"Goexit":  {func(context.Context) error { runtime.Goexit(); return nil }, nil},
		"timeout": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg, seen := observed(t)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var handles []*store.Handle
				var err error
				ended := make(chan any)
				go func() {
					defer func() { ended <- recover() }()
					err = reg.Do(ctx, func(ctx context.Context) error {
						handles = append(handles, acquire(t, ctx, "a"), acquire(t, ctx, "b"))
						return c.body(ctx)
					})
					if got := seen.leases(); got != 0 {
						t.Errorf("%d leases are live when Do returns", got)
					}
				}()
				panicked := <-ended
				if (panicked == any(failure)) != (name == "panic") {
					t.Errorf("panicked with %v", panicked)
				}
				if !errors.Is(err, c.want) {
					t.Errorf("returned %v, want %v", err, c.want)
				}
				if got := seen.released(); !slices.Equal(got, []string{"b", "a"}) {
					t.Errorf("released %q", got)
				}
				for _, h := range handles {
					kindIs(t, h.Err(), "released")
				}
			})
		})
	}
}

func TestDo_Cancelled_ReleasesEverything(t *testing.T) {
	reg, seen := observed(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := reg.Do(ctx, func(ctx context.Context) error {
		h := acquire(t, ctx, "a")
		cancel()
		return second(h.Get(ctx, "a:b"))
	})
	kindIs(t, err, "canceled")
	if got := seen.leases(); got != 0 {
		t.Errorf("%d leases are live", got)
	}
}

func TestUnit_End_EndsItsContext(t *testing.T) {
	reg, _ := observed(t)
	ctx, u := reg.Begin(t.Context(), "job")
	if u.Name() != "job" {
		t.Errorf("name %q", u.Name())
	}
	if got, err := store.FromContext(ctx); got != u || err != nil {
		t.Errorf("the context carries %v, %v", got, err)
	}
	ok(t, ctx.Err())
	ok(t, u.End())
	if ctx.Err() == nil {
		t.Error("the context lives on")
	}
}

func TestUnit_CleanupThatMisbehaves_DoesNotStopTheOthers(t *testing.T) {
	for name, misbehave := range map[string]func(){
		"panics":               func() { panic("boom") },
		"panics with an error": func() { panic(errors.New("boom")) },
		"ends the goroutine":   runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			reg, seen := observed(t)
			var order []string
			returned := false
			var err error
			done := make(chan struct{})
			go func() {
				defer close(done)
				err = reg.Do(t.Context(), func(ctx context.Context) error {
					u, _ := store.FromContext(ctx)
					acquire(t, ctx, "a")
					u.OnEnd(func() { order = append(order, "first") })
					u.OnEnd(misbehave)
					u.OnEnd(misbehave)
					u.OnEnd(func() { order = append(order, "last") })
					acquire(t, ctx, "b")
					return nil
				})
				returned = true
			}()
			<-done
			if !slices.Equal(order, []string{"last", "first"}) || !slices.Equal(seen.released(), []string{"b", "a"}) {
				t.Errorf("cleanups %q, released %q", order, seen.released())
			}
			if panics := strings.HasPrefix(name, "panics"); returned != panics {
				t.Errorf("Do returned: %v", returned)
			} else if panics && strings.Count(fmt.Sprint(err), "cleanup panicked: boom") != 2 {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestUnit_CleanupsError_IsJoinedWithThatOfTheFunction(t *testing.T) {
	reg, _ := observed(t)
	failure := errors.New("failed")
	err := reg.DoNamed(t.Context(), "job", func(ctx context.Context) error {
		u, _ := store.FromContext(ctx)
		u.OnEnd(func() { panic("boom") })
		return failure
	})
	if !errors.Is(err, failure) || !strings.Contains(err.Error(), `unit "job": cleanup panicked: boom`) {
		t.Errorf("error %v", err)
	}
}

func TestUnit_DriverWhoseClosePanics_DoesNotStopTheOthers(t *testing.T) {
	reg, seen := observed(t)
	bad := newBackend()
	bad.closing = func() error { panic("boom") }
	define(t, reg, "bad", store.Definition{Open: bad.opener()})
	ok(t, reg.Do(t.Context(), func(ctx context.Context) error {
		acquire(t, ctx, "a")
		acquire(t, ctx, "bad")
		return reg.Remove("bad")
	}))
	if !slices.Equal(seen.released(), []string{"bad", "a"}) {
		t.Errorf("released %q", seen.released())
	}
}

func TestUnit_OnEndAfterTheEnd_RunsAtOnce(t *testing.T) {
	reg, _ := observed(t)
	_, u := reg.Begin(t.Context(), "")
	ran := 0
	u.OnEnd(func() { u.OnEnd(func() { ran++ }) })
	ok(t, u.End())
	u.OnEnd(func() { ran++ })
	u.OnEnd(func() { panic("boom") })
	if ran != 2 {
		t.Errorf("ran %d times", ran)
	}
}

func TestUnit_EndByMany_ReleasesOnce(t *testing.T) {
	reg, seen := observed(t)
	ctx, u := reg.Begin(t.Context(), "")
	acquire(t, ctx, "a")
	ran := 0
	u.OnEnd(func() { ran++; check(t, u.End()) })
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { check(t, u.End()) })
	}
	wg.Wait()
	ok(t, u.End())
	if ran != 1 || !slices.Equal(seen.released(), []string{"a"}) {
		t.Errorf("cleanup ran %d times, released %q", ran, seen.released())
	}
}

func TestUnit_FiftyThousandGets_HoldOneLease(t *testing.T) {
	reg, seen := observed(t)
	ctx, u := reg.Begin(t.Context(), "")
	for range 50_000 {
		acquire(t, ctx, "a")
	}
	if acquired := seen.count(store.OpAcquire); acquired != 1 {
		t.Errorf("%d leases", acquired)
	}
	ok(t, u.End())
	if !slices.Equal(seen.released(), []string{"a"}) {
		t.Errorf("released %q", seen.released())
	}
}

func TestUnit_ConcurrentGets_HoldOneLease(t *testing.T) {
	reg, seen := observed(t)
	for range 20 {
		ctx, u := reg.Begin(t.Context(), "")
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { check(t, second(store.Get(ctx, "a"))) })
		}
		wg.Wait()
		if live := seen.leases(); live != 1 {
			t.Errorf("%d leases", live)
		}
		ok(t, u.End())
		if live := seen.leases(); live != 0 {
			t.Errorf("%d leases after the end", live)
		}
	}
}

func TestUnit_GetsThatOpenAStoreTogether_HoldOneLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := newBackend(), newGate()
		b.opening = g.wait
		seen := new(recorder)
		reg := newRegistry(t, &store.Options{Observe: seen.observe})
		define(t, reg, "s", store.Definition{Open: b.opener()})
		ctx, u := reg.Begin(t.Context(), "")
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { check(t, second(u.Get(ctx, "s"))) })
		}
		synctest.Wait()
		close(g.open)
		wg.Wait()
		if live := seen.leases(); live != 1 {
			t.Errorf("%d leases", live)
		}
		ok(t, u.End())
		if live := seen.leases(); live != 0 {
			t.Errorf("%d leases after the end", live)
		}
	})
}

func TestUnit_GetBesideEnd_LeaksNothing(t *testing.T) {
	reg, seen := observed(t)
	for range 200 {
		ctx, u := reg.Begin(t.Context(), "")
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				h, err := u.Get(context.WithoutCancel(ctx), "a")
				if err != nil {
					if !errors.Is(err, store.ErrReleased) {
						t.Error(err)
					}
					return
				}
				h.Release()
			})
		}
		wg.Go(func() { check(t, u.End()) })
		wg.Wait()
	}
	if live := seen.leases(); live != 0 {
		t.Errorf("%d leases are live", live)
	}
}

func TestUnit_EndWhileAStoreOpens_LeaksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := newBackend(), newGate()
		b.opening = g.wait
		seen := new(recorder)
		reg := newRegistry(t, &store.Options{Observe: seen.observe})
		define(t, reg, "s", store.Definition{Open: b.opener()})
		ctx, u := reg.Begin(t.Context(), "")
		own, others := make(chan error, 1), make(chan error, 1)
		go func() { own <- second(u.Get(ctx, "s")) }()
		go func() { others <- second(u.Get(t.Context(), "s")) }() // with a context that does not end with the unit
		synctest.Wait()
		ok(t, u.End())
		kindIs(t, <-own, "canceled")
		close(g.open)
		kindIs(t, <-others, "released")
		if live := seen.leases(); live != 0 {
			t.Errorf("%d leases are live", live)
		}
	})
}

func TestHandle_ReleasedByMany_DropsTheCountByOne(t *testing.T) {
	reg, seen := observed(t)
	ctx, u := reg.Begin(t.Context(), "")
	first, other := acquire(t, ctx, "a"), acquire(t, ctx, "a")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(first.Release)
	}
	wg.Wait()
	if seen.leases() != 1 {
		t.Errorf("%d leases while a handle is held", seen.leases())
	}
	ok(t, other.Err())
	ok(t, other.Set(ctx, "a:b", num(1), 0))
	if !errors.Is(first.Err(), store.ErrReleased) {
		t.Errorf("released: %v", first.Err())
	}
	other.Release()
	if seen.leases() != 0 {
		t.Errorf("%d leases after the last", seen.leases())
	}
	ok(t, u.End())
	if !slices.Equal(seen.released(), []string{"a"}) {
		t.Errorf("released %q", seen.released())
	}
}

func TestHandle_ReleasedBesideTheEnd_ReleasesOnce(t *testing.T) {
	reg, seen := observed(t)
	for range 200 {
		ctx, u := reg.Begin(t.Context(), "")
		h := acquire(t, ctx, "a")
		var wg sync.WaitGroup
		wg.Go(h.Release)
		wg.Go(func() { check(t, u.End()) })
		wg.Wait()
		h.Release()
	}
	if a, r := seen.count(store.OpAcquire), seen.count(store.OpRelease); a != 200 || r != 200 {
		t.Errorf("%d acquired, %d released", a, r)
	}
}

func TestUnit_Nested_EndsAlone(t *testing.T) {
	reg, seen := observed(t)
	ok(t, reg.DoNamed(t.Context(), "outer", func(ctx context.Context) error {
		outer := acquire(t, ctx, "a")
		var inner *store.Handle
		ok(t, reg.DoNamed(ctx, "inner", func(ctx context.Context) error {
			inner = acquire(t, ctx, "a")
			u, err := store.FromContext(ctx)
			if u.Name() != "inner" || err != nil {
				t.Errorf("in unit %q, %v", u.Name(), err)
			}
			return outer.Set(ctx, "a:b", num(1), 0)
		}))
		kindIs(t, inner.Err(), "released")
		if seen.leases() != 1 {
			t.Errorf("%d leases", seen.leases())
		}
		return outer.Set(ctx, "a:b", num(2), 0)
	}))
	if seen.leases() != 0 {
		t.Errorf("%d leases", seen.leases())
	}
}

func TestGet_WithoutAUnit_SaysWhatIsMissing(t *testing.T) {
	var none context.Context
	for _, ctx := range []context.Context{none, t.Context()} {
		_, err := store.Get(ctx, "a")
		kindIs(t, err, "invalid")
		if !strings.Contains(err.Error(), "no unit of work") {
			t.Error(err)
		}
	}
}

func TestUnit_GetAfterTheEnd_IsReleased(t *testing.T) {
	reg, seen := observed(t)
	_, u := reg.Begin(t.Context(), "")
	ok(t, u.End())
	kindIs(t, second(u.Get(t.Context(), "a")), "released")
	if seen.leases() != 0 {
		t.Errorf("%d leases", seen.leases())
	}
}

func TestUnit_ManyStores_AreAllReleased(t *testing.T) {
	seen := new(recorder)
	b := newBackend()
	b.connection = "shared"
	reg := newRegistry(t, &store.Options{
		Observe: seen.observe,
		Default: func(id string) (store.Definition, bool) {
			return store.Definition{Open: b.opener(), Prefix: id}, true
		},
	})
	ok(t, reg.Do(t.Context(), func(ctx context.Context) error {
		for i := range 2000 {
			acquire(t, ctx, fmt.Sprint("s", i))
		}
		return nil
	}))
	if n := len(seen.released()); n != 2000 || seen.leases() != 0 {
		t.Errorf("%d released, %d live", n, seen.leases())
	}
}

// A context made from that of a unit learns of its end without a goroutine of its own, as from one of package context.
func TestUnit_ContextIsWatchedByNoGoroutine(t *testing.T) {
	reg := newRegistry(t, nil)
	ctx, u := reg.Begin(t.Context(), "job")
	before := runtime.NumGoroutine()
	children := make([]context.Context, 100)
	for i := range children {
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		children[i] = child
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines more", n-before)
	}
	check(t, u.End())
	for _, child := range children {
		if !errors.Is(child.Err(), context.Canceled) {
			t.Fatal("it has not ended")
		}
	}
}

// A unit that uses many stores finds each of them again, gives back what is released and the rest at its end, as one that uses few.
func TestUnit_OfManyStores_HoldsOneLeaseOnEach(t *testing.T) {
	const stores = 100
	reg, rec := observed(t)
	for i := range stores {
		define(t, reg, fmt.Sprint("s", i), store.Definition{Open: newBackend().opener()})
	}
	ctx, u := reg.Begin(t.Context(), "job")
	handles := make([]*store.Handle, stores)
	for i := range handles {
		handles[i] = acquire(t, ctx, fmt.Sprint("s", i))
	}
	for i := range handles {
		acquire(t, ctx, fmt.Sprint("s", i)).Release()
	}
	if got := rec.count(store.OpAcquire); got != stores {
		t.Errorf("%d leases were acquired, want %d", got, stores)
	}
	handles[7].Release()
	acquire(t, ctx, "s7")
	if err := reg.Replace(ctx, "s8", store.Definition{Open: newBackend().opener()}); err != nil {
		t.Fatal(err)
	}
	if acquire(t, ctx, "s8").Err() != nil || handles[8].Err() != nil {
		t.Error("a store that was replaced, or the one before, cannot be used")
	}
	if got := rec.count(store.OpAcquire); got != stores+2 {
		t.Errorf("%d leases were acquired, want two more", got)
	}
	check(t, u.End())
	if got := rec.count(store.OpRelease); got != stores+2 {
		t.Errorf("%d leases were released of %d", got, stores+2)
	}
}

func TestUnit_ContextCanBePrintedWhileTheUnitIsUsed(t *testing.T) {
	reg, _ := observed(t)
	ctx, _ := begin(t, reg)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			h, err := store.Get(ctx, "a")
			if err == nil {
				h.Release()
			}
		}
	}()
	for range 100 {
		if s := fmt.Sprintf("%s", ctx); !strings.HasSuffix(s, ".WithCancel.WithUnit") {
			t.Fatalf("it prints as %s", s)
		}
	}
	<-done
}
