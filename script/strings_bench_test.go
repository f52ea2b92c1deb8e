package script

import (
	"context"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// BenchmarkStrings runs calls from Lua, with our string library and with that of gopher-lua, as base for them.
func BenchmarkStrings(b *testing.B) {
	const setup = `
		local words = ("the quick brown fox jumps over the lazy dog "):rep(20)
		local line = "2024-05-17 12:30:45 GET /index.html?x=1 200"
		local names = {quick = "slow", lazy = "busy"}
		local function upper(w) return "x" end
		local find, match, gmatch, gsub = string.find, string.match, string.gmatch, string.gsub
		local format, rep, byte, char, sub = string.format, string.rep, string.byte, string.char, string.sub
		local lower, reverse = string.lower, string.reverse
		for i = 1, ... do `
	for _, c := range []struct{ name, code string }{
		{"find plain", `find(words, "lazy", 1, true)`},
		{"find plain far", `find(words, "missing", 1, true)`},
		{"find pattern", `find(line, "%d+:%d+:%d+")`},
		{"find pattern far", `find(words, "[x-z]og%d")`},
		{"match captures", `match(line, "^(%d+)-(%d+)-(%d+) (%S+) (%u+)")`},
		{"match set", `match("key_1 = value", "^([%w_]+)%s*=%s*(.-)$")`},
		{"gmatch words", `for w in gmatch(words, "%a+") do end`},
		{"gmatch sets", `for k, v in gmatch("a=1, b=2, c=3", "([^=, ]+)=([^,]+)") do end`},
		{"gsub string", `gsub(words, "quick", "slow")`},
		{"gsub captures", `gsub(words, "(%a+) (%a+)", "%2 %1")`},
		{"gsub table", `gsub(words, "%a+", names)`},
		{"gsub function", `gsub(words, "%a+", upper)`},
		{"gsub trim", `gsub("  some text  ", "^%s+", "")`},
		{"format", `format("%s=%d", "key", i)`},
		{"format float", `format("%.2f %5d %x", 3.14159, 42, 255)`},
		{"rep", `rep("abc", 10)`},
		{"rep long", `rep("abc", 10000)`},
		{"byte", `byte("hello", 2)`},
		{"char", `char(104, 101, 108)`},
		{"sub", `sub(line, 3, -3)`},
		{"lower", `lower("Hello World")`},
		{"reverse", `reverse("hello world")`},
	} {
		b.Run(c.name+"/ours", func(b *testing.B) {
			L := lua.NewState()
			defer L.Close()
			strings := L.GetGlobal("string").(*lua.LTable)
			for name, f := range stringFunctions(&guard{ctx: context.Background()}) {
				strings.RawSetString(name, L.NewFunction(f))
			}
			benchmarkLua(b, L, setup+c.code+" end")
		})
		b.Run(c.name+"/gopher-lua", func(b *testing.B) {
			L := lua.NewState()
			defer L.Close()
			benchmarkLua(b, L, setup+c.code+" end")
		})
	}
}

// benchmarkLua runs code with the number of times that it is to be done.
func benchmarkLua(b *testing.B, L *lua.LState, code string) {
	f, err := L.LoadString(code)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	L.Push(f)
	L.Push(lua.LNumber(b.N))
	if err := L.PCall(1, 0, nil); err != nil {
		b.Fatal(err)
	}
}
