package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

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
