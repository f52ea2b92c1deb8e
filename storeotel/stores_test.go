package storeotel_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/storeotel"
)

// namespaces returns the stores that are named in lines, sorted.
func namespaces(lines []string) []string {
	var all []string
	for _, line := range lines {
		_, name, _ := strings.Cut(line, "db.namespace=")
		name, _, _ = strings.Cut(name, ",")
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestTelemetry_StoresThatScriptsAskForInVain_BecomeNoLabels(t *testing.T) {
	h := newHost(t, storeotel.Options{}, store.Options{Default: func(id string) (store.Definition, bool) {
		if id == "badly-defined" {
			return store.Definition{Open: memstore.Opener(nil), Prefix: "two:parts"}, true
		}
		return store.Definition{}, false
	}})
	var kept context.Context
	ok(t, h.reg.Do(t.Context(), func(ctx context.Context) error {
		kept = ctx
		for _, id := range []string{"guessed", "guessed-again", "", "control\x00character", strings.Repeat("long", 1000), "badly-defined"} {
			if _, err := store.Get(ctx, id); err == nil {
				t.Errorf("store %q was found", id)
			}
		}
		return nil
	}))
	if _, err := store.Get(kept, "after-the-end"); store.Kind(err) != "released" {
		t.Error(err)
	}
	ok(t, h.reg.Close(t.Context()))
	_ = h.reg.Do(t.Context(), func(ctx context.Context) error { _, err := store.Get(ctx, "after-close"); return err })
	same(t, "measured", h.lines(), []string{
		"luastore.store.errors{db.namespace=_unknown,db.operation.name=acquire,db.system.name=luastore,error.type=invalid} 3",
		"luastore.store.errors{db.namespace=_unknown,db.operation.name=acquire,db.system.name=luastore,error.type=released} 1",
		"luastore.store.errors{db.namespace=_unknown,db.operation.name=acquire,db.system.name=luastore,error.type=store_not_found} 3",
		"luastore.store.errors{db.namespace=_unknown,db.operation.name=acquire,db.system.name=luastore,error.type=unavailable} 1",
	})
}

func TestTelemetry_StoreThatWasRemoved_KeepsItsLabel(t *testing.T) {
	h := newHost(t, storeotel.Options{}, store.Options{Default: func(string) (store.Definition, bool) { return store.Definition{}, false }})
	ok(t, h.reg.Define("gone", store.Definition{Open: memstore.Opener(nil)}))
	h.unit("gone", func(context.Context, *store.Handle) {})
	ok(t, h.reg.Remove("gone"))
	_ = h.reg.Do(t.Context(), func(ctx context.Context) error { _, err := store.Get(ctx, "gone"); return err })
	same(t, "errors", of(h.lines(), "luastore.store.errors"), []string{
		"{db.namespace=gone,db.operation.name=acquire,db.system.name=luastore,error.type=store_not_found} 1",
	})
}

func TestTelemetry_StoresBeyondTheMaximum_ShareALabel(t *testing.T) {
	h := newHost(t, storeotel.Options{MaxStores: 2}, store.Options{})
	for range 2 {
		for _, id := range []string{"a", "b", "c", "d"} {
			h.unit(id, func(ctx context.Context, s *store.Handle) { ok(t, s.Set(ctx, "a:b", numberOf(1), 0)) })
		}
	}
	lines := h.lines()
	same(t, "stores", namespaces(lines), []string{"_other", "a", "b"})
	same(t, "writes", of(lines, "db.client.operation.duration"), []string{
		"{db.namespace=_other,db.operation.name=set,db.system.name=luastore} 4",
		"{db.namespace=a,db.operation.name=set,db.system.name=luastore} 2",
		"{db.namespace=b,db.operation.name=set,db.system.name=luastore} 2",
	})
}

func TestTelemetry_LongIDs_ShareALabel(t *testing.T) {
	h := newHost(t, storeotel.Options{}, store.Options{})
	for _, length := range []int{128, 129, 100_000} {
		h.unit(strings.Repeat("x", length), func(context.Context, *store.Handle) {})
	}
	same(t, "leases", of(h.lines(), "luastore.store.leases"), []string{
		"{db.namespace=_other,db.system.name=luastore} 0",
		"{db.namespace=" + strings.Repeat("x", 128) + ",db.system.name=luastore} 0",
	})
}

// Units that begin on stores at the moment at which the labels run out must end under the label under which they began.
func TestTelemetry_WhileLabelsRunOut_LeasesStayBalanced(t *testing.T) {
	const most, ids, callers = 50, 100, 4
	for range 20 {
		h := newHost(t, storeotel.Options{MaxStores: most}, store.Options{})
		var wait sync.WaitGroup
		for range callers {
			wait.Go(func() {
				for i := range ids {
					e := store.Event{Store: fmt.Sprint("s", i), Op: store.OpAcquire}
					h.telemetry.Observe(t.Context(), e)
					e.Op = store.OpRelease
					h.telemetry.Observe(t.Context(), e)
				}
			})
		}
		wait.Wait()
		leases := of(h.lines(), "luastore.store.leases")
		for _, line := range leases {
			if !strings.HasSuffix(line, " 0") {
				t.Errorf("after all: %s", line)
			}
		}
		if len(leases) != most+1 {
			t.Fatalf("%d labels, want %d and one for the others", len(leases), most)
		}
	}
}

func TestTelemetry_System_IsAskedOnceForEachStore(t *testing.T) {
	var asked []string
	h := newHost(t, storeotel.Options{System: func(id string) string {
		asked = append(asked, id)
		return map[string]string{"cache": "redis"}[id]
	}}, store.Options{})
	for range 3 {
		for _, id := range []string{"cache", "scratch"} {
			h.unit(id, func(context.Context, *store.Handle) {})
		}
	}
	same(t, "asked", asked, []string{"cache", "scratch"})
	same(t, "opens", of(h.lines(), "luastore.store.opens"), []string{
		"{db.namespace=cache,db.system.name=redis} 1",
		"{db.namespace=scratch,db.system.name=luastore} 1",
	})
}

func TestTelemetry_SystemThatPanics_HarmsNoOtherStore(t *testing.T) {
	var logged atomic.Int32
	h := newHost(t, storeotel.Options{System: func(id string) string {
		if id == "bad" {
			panic("system")
		}
		return ""
	}}, store.Options{Logger: slog.New(counting{&logged})})
	for _, id := range []string{"bad", "good"} {
		h.unit(id, func(ctx context.Context, s *store.Handle) { ok(t, s.Set(ctx, "a:b", numberOf(1), 0)) })
	}
	same(t, "stores", namespaces(h.lines()), []string{"good"})
	if logged.Load() == 0 {
		t.Error("the panics were not logged")
	}
}

// counting counts errors that are logged.
type counting struct{ n *atomic.Int32 }

func (counting) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (c counting) Handle(context.Context, slog.Record) error      { c.n.Add(1); return nil }
func (c counting) WithAttrs([]slog.Attr) slog.Handler             { return c }
func (c counting) WithGroup(string) slog.Handler                  { return c }
