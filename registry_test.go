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

func TestClose_RefusesEverythingNew(t *testing.T) {
	b := newBackend()
	reg := store.New(&store.Options{Default: func(string) (store.Definition, bool) {
		t.Error("asked for a definition")
		return store.Definition{}, false
	}})
	define(t, reg, "s", store.Definition{Open: b.opener()})
	ok(t, reg.Close(t.Context()))
	ok(t, reg.Close(t.Context()))
	for name, err := range map[string]error{
		"Get":       reg.Do(t.Context(), func(ctx context.Context) error { return second(store.Get(ctx, "s")) }),
		"Get other": reg.Do(t.Context(), func(ctx context.Context) error { return second(store.Get(ctx, "other")) }),
		"Define":    reg.Define("t", store.Definition{Open: b.opener()}),
		"Replace":   reg.Replace(t.Context(), "s", store.Definition{Open: b.opener()}),
		"Check":     reg.Check(t.Context(), "s"),
	} {
		if store.Kind(err) != "unavailable" {
			t.Errorf("%s answers %v", name, err)
		}
	}
	if n := b.opens.Load(); n != 0 {
		t.Errorf("opened %d times", n)
	}
}

func TestClose_WaitsForLiveLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		reg := store.New(nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		ctx, u := reg.Begin(t.Context(), "")
		h := acquire(t, ctx, "s")
		closed := make(chan error)
		for range 3 {
			go func() { closed <- reg.Close(t.Context()) }()
		}
		synctest.Wait()
		ok(t, h.Set(ctx, "a:b", num(1), 0))
		kindIs(t, second(u.Get(ctx, "s")), "unavailable")
		ok(t, u.End())
		for range 3 {
			ok(t, <-closed)
		}
		if n := b.closes.Load(); n != 1 {
			t.Errorf("closed %d times", n)
		}
	})
}

func TestClose_WhenItsContextEnds_ClosesUnderLiveLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		reg := store.New(nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		unit, u := reg.Begin(t.Context(), "")
		h := acquire(t, unit, "s")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := reg.Close(ctx)
		kindIs(t, err, "timeout")
		if !strings.Contains(err.Error(), "1 leases were live") || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		kindIs(t, second(h.Get(unit, "a:b")), "unavailable")
		ok(t, u.End())
		ok(t, reg.Close(t.Context()))
		if n := b.closes.Load(); n != 1 {
			t.Errorf("closed %d times", n)
		}
	})
}

func TestClose_EndsAttemptsToOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := newBackend(), newGate()
		b.opening = g.wait
		reg := store.New(nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		got := make(chan error)
		go func() { got <- reg.Check(t.Context(), "s") }()
		synctest.Wait()
		start := time.Now()
		ok(t, reg.Close(t.Context()))
		kindIs(t, <-got, "unavailable")
		if time.Since(start) != 0 || b.opens.Load() != 0 {
			t.Errorf("after %v, with %d opened", time.Since(start), b.opens.Load())
		}
	})
}

func TestClose_BesideAnOpenerThatIgnoresIt_LeavesNothingOpenInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		stuck := make(chan struct{})
		b.opening = func(context.Context) error { <-stuck; return nil }
		seen := new(recorder)
		reg := store.New(&store.Options{Observe: seen.observe})
		define(t, reg, "s", store.Definition{Open: b.opener()})
		got := make(chan error)
		go func() { got <- reg.Check(t.Context(), "s") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := reg.Close(ctx)
		kindIs(t, err, "timeout")
		if !strings.Contains(err.Error(), "1 stores were being opened") {
			t.Error(err)
		}
		close(stuck)
		kindIs(t, <-got, "unavailable")
		synctest.Wait()
		if n := b.live.Load(); n != 0 {
			t.Errorf("%d drivers are open after the registry was closed", n)
		}
		ok(t, reg.Close(t.Context()))
		if b.opens.Load() != 1 || b.live.Load() != 0 {
			t.Errorf("opened %d times, %d are open", b.opens.Load(), b.live.Load())
		}
		if seen.count(store.OpOpen) != 1 || seen.count(store.OpClose) != 1 {
			t.Errorf("events %+v", seen.events)
		}
	})
}

func TestClose_WaitsForWhatOthersAreClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, closing := newBackend(), newGate()
		b.closing = func() error { return closing.wait(context.Background()) }
		reg := store.New(nil)
		define(t, reg, "s", store.Definition{Open: b.opener()})
		ok(t, reg.Check(t.Context(), "s"))
		removed, closed := make(chan error, 1), make(chan error, 1)
		go func() { removed <- reg.Remove("s") }()
		synctest.Wait()
		go func() { closed <- reg.Close(t.Context()) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed while a driver was still closing")
		default:
		}
		close(closing.open)
		ok(t, <-removed)
		ok(t, <-closed)
	})
}

func TestClose_ReturnsWhatClosingReported(t *testing.T) {
	reg := store.New(nil)
	failing, panicking, sound := newBackend(), newBackend(), newBackend()
	failing.closing = func() error { return errors.New("disk full") }
	panicking.closing = func() error { panic("boom") }
	for id, b := range map[string]*backend{"failing": failing, "panicking": panicking, "sound": sound} {
		define(t, reg, id, store.Definition{Open: b.opener()})
		ok(t, reg.Check(t.Context(), id))
	}
	err := reg.Close(t.Context())
	for _, want := range []string{`store "failing": close: disk full`, `store "panicking": close: close panicked: boom`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	if sound.closes.Load() != 1 {
		t.Error("one that fails kept the others open")
	}
	ok(t, reg.Close(t.Context()))
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
