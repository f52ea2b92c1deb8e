package script_test

import (
	"context"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/script"
	"github.com/luastore/store/storelua"
)

// visit is the unit whose cost is measured: it opens a store and reads one entry.
const visit = `local s = require("store").get("cache")
return s:get("k:1")`

// visited returns a registry with the store that visit reads.
func visited(tb testing.TB) *store.Registry {
	tb.Helper()
	reg := store.New(nil)
	if err := reg.Define("cache", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = reg.Close(context.Background()) })
	return reg
}

// pooled returns what runs visit as a unit of a runner.
func pooled(tb testing.TB) func() {
	tb.Helper()
	r := script.New(visited(tb), nil)
	return running(tb, func() *script.Runner { return r })
}

// fresh returns what runs visit as a unit in a state of its own.
func fresh(tb testing.TB) func() {
	tb.Helper()
	reg := visited(tb)
	return running(tb, func() *script.Runner { return script.New(reg, nil) })
}

func running(tb testing.TB, runner func() *script.Runner) func() {
	tb.Helper()
	p, err := script.Compile("visit.lua", visit)
	if err != nil {
		tb.Fatal(err)
	}
	return func() {
		if err := runner().Exec(context.Background(), p); err != nil {
			tb.Fatal(err)
		}
	}
}

// bare returns what runs visit as a unit, in one state that is never cleaned and bounded by nothing.
func bare(tb testing.TB) func() {
	tb.Helper()
	reg := visited(tb)
	L := lua.NewState()
	tb.Cleanup(L.Close)
	storelua.Preload(L)
	fn, err := L.LoadString(visit)
	if err != nil {
		tb.Fatal(err)
	}
	return func() {
		err := reg.Do(context.Background(), func(ctx context.Context) error {
			L.SetContext(ctx)
			L.Push(fn)
			return L.PCall(0, 0, nil)
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func BenchmarkUnit(b *testing.B) {
	for name, make := range map[string]func(testing.TB) func(){"pooled": pooled, "bare": bare, "fresh": fresh} {
		b.Run(name, func(b *testing.B) {
			unit := make(b)
			b.ReportAllocs()
			for b.Loop() {
				unit()
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		unit := pooled(b)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				unit()
			}
		})
	})
}
