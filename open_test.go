package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

// gate holds openers back until it is opened, counting those that came.
type gate struct {
	arrived atomic.Int64
	open    chan struct{}
	err     error // what they then answer
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) wait(ctx context.Context) error {
	g.arrived.Add(1)
	select {
	case <-g.open:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestOpen_AThousandFirsts_OpenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := newBackend(), newGate()
		b.opening = g.wait
		seen := new(recorder)
		reg := newRegistry(t, &store.Options{Observe: seen.observe})
		define(t, reg, "s", store.Definition{Open: b.opener()})
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				check(t, reg.Do(t.Context(), func(ctx context.Context) error { return second(store.Get(ctx, "s")) }))
			})
		}
		synctest.Wait()
		close(g.open)
		wg.Wait()
		if opens, tried := b.opens.Load(), g.arrived.Load(); opens != 1 || tried != 1 {
			t.Errorf("opened %d times, tried %d times", opens, tried)
		}
		if seen.count(store.OpAcquire) != 1000 || seen.leases() != 0 {
			t.Errorf("%d leases, of which %d are live", seen.count(store.OpAcquire), seen.leases())
		}
	})
}

func TestOpen_TenThousandStoresOfOneConnection_ShareOneDriver(t *testing.T) {
	b := newBackend()
	b.connection = "shared"
	reg := newRegistry(t, nil)
	const stores = 10_000
	for i := range stores {
		define(t, reg, fmt.Sprint("s", i), store.Definition{Open: b.opener(), Prefix: fmt.Sprint("p", i)})
	}
	for i := range stores {
		ok(t, reg.Do(t.Context(), func(ctx context.Context) error {
			return acquire(t, ctx, fmt.Sprint("s", i)).Set(ctx, "a:b", num(float64(i)), 0)
		}))
	}
	if n := b.opens.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
	if e, _ := b.entry("p77:a:b"); string(e.value) != string(num(77)) || len(b.entries) != stores {
		t.Errorf("%d entries, one is %x", len(b.entries), e.value)
	}
	for i := range stores {
		ok(t, reg.Remove(fmt.Sprint("s", i)))
		if open := b.live.Load(); open != 1 && i < stores-1 {
			t.Fatalf("%d drivers are open with stores left", open)
		}
	}
	if open := b.live.Load(); open != 0 {
		t.Errorf("%d drivers are open after the last store has gone", open)
	}
}

func TestOpen_NilConnection_IsSharedWithNobody(t *testing.T) {
	b := newBackend()
	reg := newRegistry(t, nil)
	ctx, _ := begin(t, reg)
	for _, id := range []string{"one", "two"} {
		define(t, reg, id, store.Definition{Open: b.opener()})
		acquire(t, ctx, id)
	}
	if n := b.opens.Load(); n != 2 {
		t.Errorf("opened %d times", n)
	}
}

func TestOpen_Prefixes_KeepStoresApart(t *testing.T) {
	b := newBackend()
	b.connection = 1
	reg := newRegistry(t, nil)
	ctx, _ := begin(t, reg)
	var handles []*store.Handle
	for _, prefix := range []string{"a", "a.b", "ab", "b"} {
		define(t, reg, prefix, store.Definition{Open: b.opener(), Prefix: prefix})
		h := acquire(t, ctx, prefix)
		ok(t, h.Set(ctx, "a:b", str(prefix), 0))
		ok(t, h.Set(ctx, "b:a:b", str(prefix), 0))
		handles = append(handles, h)
	}
	for _, h := range handles {
		page, err := h.List(ctx, "", "", 0)
		if fmt.Sprint(page.Keys) != "[a:b b:a:b]" || err != nil {
			t.Errorf("%v lists %q, %v", h, page.Keys, err)
		}
		if got, err := store.Load[string](ctx, h, "b:a:b"); got != h.ID() || err != nil {
			t.Errorf("%v holds %q, %v", h, got, err)
		}
	}
}

func TestOpen_Failure_IsNotRemembered(t *testing.T) {
	b := newBackend()
	failing := true
	b.opening = func(context.Context) error {
		if failing {
			return errors.New("connection refused")
		}
		return nil
	}
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: b.opener()})
	ctx, _ := begin(t, reg)
	_, err := store.Get(ctx, "s")
	kindIs(t, err, "unavailable")
	if got, want := store.Message(err), `store "s": open: store unavailable: connection refused`; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	failing = false
	acquire(t, ctx, "s")
}

// Each attempt fails while somebody waits for it, and others arrive before they are all gone.
func TestOpen_FailureUnderAStreamOfArrivals_IsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		var attempts atomic.Int64
		b.opening = func(context.Context) error {
			time.Sleep(10 * time.Millisecond) // virtual
			if attempts.Add(1) < 5 {
				return errors.New("not yet")
			}
			return nil
		}
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		var wg sync.WaitGroup
		var failed, served atomic.Int64
		for range 200 {
			time.Sleep(time.Millisecond) // virtual
			wg.Go(func() {
				_ = reg.Do(t.Context(), func(ctx context.Context) error {
					if _, err := store.Get(ctx, "s"); err != nil {
						failed.Add(1)
						return nil
					}
					served.Add(1)
					return nil
				})
			})
		}
		wg.Wait()
		if attempts.Load() != 5 || b.opens.Load() != 1 || served.Load() < 100 || failed.Load() > 60 {
			t.Errorf("%d attempts, %d opened, %d served, %d failed", attempts.Load(), b.opens.Load(), served.Load(), failed.Load())
		}
	})
}

func TestOpen_WaitEndsWithItsContext_WhileOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := newBackend(), newGate()
		b.opening = g.wait
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		ctx, u := begin(t, reg)
		results := map[string]chan error{}
		get := func(name string, ctx context.Context) {
			results[name] = make(chan error, 1)
			go func() { results[name] <- second(u.Get(ctx, "s")) }()
			synctest.Wait()
		}
		first, cancel := context.WithCancel(ctx) // of the caller that begins the attempt
		get("first", first)
		short, cancelShort := context.WithTimeout(ctx, time.Second)
		defer cancelShort()
		get("short", short)
		get("patient", ctx)
		cancel()
		kindIs(t, <-results["first"], "canceled")
		kindIs(t, <-results["short"], "timeout")
		close(g.open)
		ok(t, <-results["patient"])
		if n := g.arrived.Load(); n != 1 {
			t.Errorf("%d attempts", n)
		}
	})
}

// Callers that each have less time than opening takes would otherwise never see the store open.
func TestOpen_WhenAllHaveLeft_GoesOnForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.opening = func(ctx context.Context) error {
			select {
			case <-time.After(3 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		unit, u := begin(t, reg)
		for range 2 {
			ctx, cancel := context.WithTimeout(unit, time.Second)
			kindIs(t, second(u.Get(ctx, "s")), "timeout")
			cancel()
		}
		ctx, cancel := context.WithTimeout(unit, 2*time.Second)
		defer cancel()
		ok(t, second(u.Get(ctx, "s")))
		if n := b.opens.Load(); n != 1 {
			t.Errorf("opened %d times", n)
		}
	})
}

func TestOpen_EndedContext_BeginsNothing(t *testing.T) {
	b, g := newBackend(), newGate()
	b.opening = g.wait
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: b.opener()})
	ctx, u := begin(t, reg)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	kindIs(t, second(u.Get(ended, "s")), "canceled")
	if n := g.arrived.Load(); n != 0 {
		t.Errorf("%d attempts", n)
	}
}

func TestOpen_Timeout_EndsTheAttempt(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: 5 * time.Second, time.Minute: time.Minute} {
		t.Run(want.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, g := newBackend(), newGate()
				b.opening = g.wait
				reg := newRegistry(t, nil)
				define(t, reg, "s", store.Definition{Open: b.opener(), OpenTimeout: timeout})
				ctx, u := begin(t, reg)
				start := time.Now()
				kindIs(t, second(u.Get(ctx, "s")), "timeout")
				if took := time.Since(start); took != want {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

func TestOpen_OpenerThatIgnoresItsContext_KeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		stuck := make(chan struct{})
		var attempts atomic.Int64
		b.opening = func(context.Context) error { attempts.Add(1); <-stuck; return nil }
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		ctx, u := begin(t, reg)
		for range 3 {
			start := time.Now()
			kindIs(t, second(u.Get(ctx, "s")), "timeout")
			if took := time.Since(start); took > 6*time.Second {
				t.Errorf("after %v", took)
			}
		}
		if n := attempts.Load(); n != 1 {
			t.Errorf("%d attempts at once", n)
		}
		close(stuck)
		synctest.Wait()
		acquire(t, ctx, "s") // what it opened in the end is as good as any
	})
}

func TestOpen_OpenerThatMisbehaves_IsAnErrorAndNotRemembered(t *testing.T) {
	type open = func(context.Context) (store.Driver, error)
	for name, c := range map[string]struct {
		open open
		text string
	}{
		"panics":          {func(context.Context) (store.Driver, error) { panic("boom") }, "open panicked: boom"},
		"ends goroutine":  {func(context.Context) (store.Driver, error) { runtime.Goexit(); return nil, nil }, "ended its goroutine"},
		"nothing":         {func(context.Context) (store.Driver, error) { return nil, nil }, "no driver"},
		"nil of a type":   {func(context.Context) (store.Driver, error) { return (*fakeDriver)(nil), nil }, "open panicked"},
		"key not found":   {func(context.Context) (store.Driver, error) { return nil, store.ErrNotFound }, "key not found"},
		"store not found": {func(context.Context) (store.Driver, error) { return nil, store.ErrStoreNotFound }, "store not found"},
		"released":        {func(context.Context) (store.Driver, error) { return nil, store.ErrReleased }, "store is released"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend()
			calls := 0
			reg := newRegistry(t, nil)
			define(t, reg, "s", store.Definition{Open: store.Opener{Open: func(ctx context.Context) (store.Driver, error) {
				if calls++; calls == 1 {
					return c.open(ctx)
				}
				return b.open(ctx)
			}}})
			ctx, _ := begin(t, reg)
			_, err := store.Get(ctx, "s")
			kindIs(t, err, "unavailable")
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %q in it", err, c.text)
			}
			acquire(t, ctx, "s")
		})
	}
}

func TestOpen_ErrorsOfTheOpener_KeepTheirKind(t *testing.T) {
	for _, want := range []error{store.ErrInvalid, store.ErrDenied, store.ErrUnavailable, store.ErrCorrupt, store.ErrTimeout} {
		b := newBackend()
		b.opening = func(context.Context) error { return fmt.Errorf("opener: %w", want) }
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		ctx, _ := begin(t, reg)
		if _, err := store.Get(ctx, "s"); !errors.Is(err, want) || store.Kind(err) != store.Kind(want) {
			t.Errorf("%v of kind %q, want %v", err, store.Kind(err), want)
		}
	}
}
