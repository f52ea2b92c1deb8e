package script_test

import (
	"context"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/script"
)

// BenchmarkProtect sets what this package does in another way beside gopher-lua: an operation is one call in a loop of Lua.
func BenchmarkProtect(b *testing.B) {
	for _, c := range []struct{ name, source string }{
		{"pcall", `local f = function(a) return a end for i = 1, n do pcall(f, i) end`},
		{"pcall that fails", `for i = 1, n do pcall(error, i) end`},
		{"wrap and two yields", `
			local f = function() coroutine.yield(1) coroutine.yield(2) end
			for i = 1, n do local co = coroutine.wrap(f) co() co() co() end`},
		{"empty loop", `for i = 1, n do end`},
		{"globals", `local x for i = 1, n do x = math.floor(i) end`},
	} {
		b.Run(c.name+"/gopher-lua", func(b *testing.B) {
			L := lua.NewState()
			defer L.Close()
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			L.SetContext(ctx)
			fn, err := L.LoadString(c.source)
			if err != nil {
				b.Fatal(err)
			}
			L.SetGlobal("n", lua.LNumber(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			L.Push(fn)
			if err := L.PCall(0, 0, nil); err != nil {
				b.Fatal(err)
			}
		})
		b.Run(c.name+"/script", func(b *testing.B) {
			r := script.New(visited(b), &script.Options{Timeout: -1})
			p, err := script.Compile("bench.lua", "local n = ...\n"+c.source)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := r.Exec(b.Context(), p, b.N); err != nil {
				b.Fatal(err)
			}
		})
	}
}
