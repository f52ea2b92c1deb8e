package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

func TestGet_OfNoStore_SaysWhich(t *testing.T) {
	reg := newRegistry(t, nil)
	ctx, _ := begin(t, reg)
	_, err := store.Get(ctx, "nosuch")
	kindIs(t, err, "store_not_found")
	if got := store.Message(err); got != `store not found: "nosuch"` {
		t.Errorf("message %q", got)
	}
	for _, id := range []string{"", "\x00", "\xff"} {
		_, err := store.Get(ctx, id)
		kindIs(t, err, "invalid")
	}
}

func TestRemove_HidesAtOnceAndClosesAtTheLastRelease(t *testing.T) {
	b := newBackend()
	reg := newRegistry(t, nil)
	define(t, reg, "s", store.Definition{Open: b.opener()})
	ctx, _ := begin(t, reg)
	h := acquire(t, ctx, "s")
	ok(t, reg.Remove("s"))
	kindIs(t, reg.Remove("s"), "store_not_found")
	kindIs(t, second(store.Get(ctx, "s")), "store_not_found")
	ok(t, h.Set(ctx, "a:b", num(1), 0))
	if b.closes.Load() != 0 {
		t.Error("closed under a live lease")
	}
	h.Release()
	if b.closes.Load() != 1 {
		t.Errorf("closed %d times", b.closes.Load())
	}
}

func TestRemove_WhileItOpens_LeavesNothingOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := newBackend(), newGate()
		b.opening = g.wait
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		got := make(chan error, 10)
		for range 10 {
			go func() {
				got <- reg.Do(t.Context(), func(ctx context.Context) error { return second(store.Get(ctx, "s")) })
			}()
		}
		synctest.Wait()
		ok(t, reg.Remove("s"))
		close(g.open)
		for range 10 {
			kindIs(t, <-got, "store_not_found")
		}
		synctest.Wait()
		if b.opens.Load() != 1 || b.live.Load() != 0 {
			t.Errorf("opened %d times, %d are open", b.opens.Load(), b.live.Load())
		}
	})
}

func TestRemove_WhileASharedConnectionOpens_LeavesNothingOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := newBackend(), newGate()
		b.connection = "shared"
		b.opening = g.wait
		reg := newRegistry(t, nil)
		got := make(chan error, 2)
		for _, id := range []string{"first", "other"} {
			define(t, reg, id, store.Definition{Open: b.opener()})
			go func() { got <- reg.Check(t.Context(), id) }()
			synctest.Wait()
		}
		ok(t, reg.Remove("other"))
		close(g.open)
		if errs := fmt.Sprint(<-got, <-got); !strings.Contains(errs, "<nil>") || !strings.Contains(errs, "store not found") {
			t.Errorf("answers %s", errs)
		}
		ok(t, reg.Remove("first"))
		if b.opens.Load() != 1 || b.live.Load() != 0 {
			t.Errorf("opened %d times, %d are open", b.opens.Load(), b.live.Load())
		}
	})
}

// A file that one driver has locked cannot be opened by the next before the first has let go.
func TestDefine_AfterRemove_WaitsUntilTheOldConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, closing := newBackend(), newGate()
		b.connection = "file"
		b.closing = func() error { return closing.wait(context.Background()) }
		b.opening = func(context.Context) error {
			if n := b.live.Load(); n != 0 {
				t.Errorf("opened beside %d others", n)
			}
			return nil
		}
		reg := newRegistry(t, nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		ctx, _ := begin(t, reg)
		acquire(t, ctx, "s").Release()
		removed := make(chan error)
		go func() { removed <- reg.Remove("s") }()
		synctest.Wait()

		define(t, reg, "s", store.Definition{Open: b.opener()})
		got := make(chan error)
		go func() { got <- second(store.Get(ctx, "s")) }()
		synctest.Wait()
		if n := b.opens.Load(); n != 1 {
			t.Errorf("opened %d times while the old was closing", n)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		kindIs(t, second(store.Get(short, "s")), "timeout")
		close(closing.open)
		ok(t, <-got)
		ok(t, <-removed)
		if n := b.opens.Load(); n != 2 {
			t.Errorf("opened %d times", n)
		}
	})
}

func TestCheck_OpensAndAsksTheBackend(t *testing.T) {
	b := newBackend()
	b.info.Network = true
	reg := newRegistry(t, &store.Options{Policy: func(context.Context, store.Access) error { return errors.New("no") }})
	define(t, reg, "s", store.Definition{Open: b.opener(), Prefix: "pre"})
	ok(t, reg.Check(t.Context(), "s"))
	if c := b.last(t); c.op != "Has" || !strings.HasPrefix(c.key, "pre:") || c.deadline.IsZero() {
		t.Errorf("asked %+v", c)
	}
	b.before = func(context.Context, fakeCall) error { return store.ErrUnavailable }
	kindIs(t, reg.Check(t.Context(), "s"), "unavailable")
	kindIs(t, reg.Check(t.Context(), "other"), "store_not_found")
	ok(t, reg.Remove("s"))
	if b.live.Load() != 0 {
		t.Error("a check left a lease behind")
	}
}

func TestDefault_SuppliesWhatWasNotDefined(t *testing.T) {
	b := newBackend()
	reg := newRegistry(t, &store.Options{Default: func(id string) (store.Definition, bool) {
		return store.Definition{Open: b.opener()}, strings.HasPrefix(id, "tmp")
	}})
	ctx, u := begin(t, reg)
	ok(t, acquire(t, ctx, "tmp1").Set(ctx, "a:b", num(1), 0))
	acquire(t, ctx, "tmp1")
	kindIs(t, second(u.Get(ctx, "other")), "store_not_found")
	kindIs(t, second(u.Get(ctx, "")), "invalid")
	kindIs(t, reg.Define("tmp1", store.Definition{Open: b.opener()}), "invalid")
	ok(t, reg.Remove("tmp1"))
	acquire(t, ctx, "tmp1")
	if n := b.opens.Load(); n != 2 {
		t.Errorf("opened %d times", n)
	}
}

func TestDefault_AskedByManyAtOnce_KeepsOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		var turn atomic.Int64
		reg := newRegistry(t, &store.Options{Default: func(string) (store.Definition, bool) {
			time.Sleep(time.Duration(turn.Add(1)) * time.Second) // virtual: each answers when the one before is in use
			return store.Definition{Open: b.opener()}, true
		}})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				check(t, reg.Do(t.Context(), func(ctx context.Context) error { return second(store.Get(ctx, "s")) }))
			})
		}
		wg.Wait()
		if n := b.opens.Load(); n != 1 || turn.Load() != 10 {
			t.Errorf("opened %d times, asked %d times", n, turn.Load())
		}
	})
}

func TestDefault_BadDefinition_IsAnswered(t *testing.T) {
	reg := newRegistry(t, &store.Options{Default: func(string) (store.Definition, bool) { return store.Definition{}, true }})
	ctx, _ := begin(t, reg)
	kindIs(t, second(store.Get(ctx, "s")), "invalid")
}

func TestRegistry_DriverWhoseCloseMisbehaves_BlocksNobody(t *testing.T) {
	b := newBackend()
	b.connection = "same"
	b.closing = func() error { panic("boom") }
	reg := newRegistry(t, nil)
	for range 3 {
		define(t, reg, "s", store.Definition{Open: b.opener()})
		ok(t, reg.Check(t.Context(), "s"))
		ok(t, reg.Remove("s"))
	}
	if b.opens.Load() != 3 || b.live.Load() != 0 {
		t.Errorf("opened %d times, %d are open", b.opens.Load(), b.live.Load())
	}
}

func TestRegistry_Events_TellTheLifeOfAStore(t *testing.T) {
	b := newBackend()
	seen := new(recorder)
	reg := store.New(&store.Options{Observe: seen.observe})
	define(t, reg, "s", store.Definition{Open: b.opener()})
	ok(t, reg.DoNamed(t.Context(), "job", func(ctx context.Context) error {
		acquire(t, ctx, "s")
		acquire(t, ctx, "s")
		_, err := store.Get(ctx, "other")
		kindIs(t, err, "store_not_found")
		return nil
	}))
	ok(t, reg.Close(t.Context()))
	var got []string
	for _, e := range seen.events {
		got = append(got, fmt.Sprintf("%s %s %s %s", e.Op, e.Store, e.Unit, store.Kind(e.Err)))
	}
	want := []string{"open s  ", "acquire s job ", "acquire other job store_not_found", "release s job ", "close s  "}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestRegistry_Logger_GetsWhatHasNoCaller(t *testing.T) {
	var out strings.Builder
	reg := store.New(&store.Options{
		Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	b := newBackend()
	b.closing = func() error { return errors.New("disk full") }
	define(t, reg, "s", store.Definition{Open: b.opener()})
	ctx, u := reg.Begin(t.Context(), "")
	acquire(t, ctx, "s")
	ok(t, reg.Remove("s"))
	u.OnEnd(func() { panic("cleanup of mine") })
	_ = u.End()
	ok(t, reg.Close(t.Context()))
	for _, want := range []string{
		"store opened", "store failed to close", "disk full", "cleanup panicked", "cleanup of mine", "registry_test.go",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, out.String())
		}
	}
}
