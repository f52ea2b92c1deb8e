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

const benchSource = `local s = require("store").get("cache")
return s:get("k:1")`

func benchReg(b *testing.B) *store.Registry {
	reg := store.New(nil)
	if err := reg.Define("cache", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = reg.Close(context.Background()) })
	return reg
}

func BenchmarkUnit(b *testing.B) {
	p, err := script.Compile("b.lua", benchSource)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("pooled", func(b *testing.B) {
		r := script.New(benchReg(b), nil)
		b.ReportAllocs()
		for b.Loop() {
			if err := r.Exec(b.Context(), p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		r := script.New(benchReg(b), nil)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := r.Exec(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("bare", func(b *testing.B) {
		reg := benchReg(b)
		L := lua.NewState()
		defer L.Close()
		storelua.Preload(L)
		fn, err := L.LoadString(benchSource)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			err := reg.Do(b.Context(), func(ctx context.Context) error {
				L.SetContext(ctx)
				L.Push(fn)
				return L.PCall(0, 0, nil)
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("fresh", func(b *testing.B) {
		reg := benchReg(b)
		b.ReportAllocs()
		for b.Loop() {
			r := script.New(reg, nil)
			if err := r.Exec(b.Context(), p); err != nil {
				b.Fatal(err)
			}
		}
	})
}
