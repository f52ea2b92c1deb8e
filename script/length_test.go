package script

import (
	"context"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

func TestLength_IsThatOfLua(t *testing.T) {
	L := lua.NewState()
	defer L.Close()
	p, err := Compile("length.lua", `
		assert(#"" == 0 and #"abc" == 3 and #{} == 0 and #{ 1, 2, nil } == 2)
		local t = {}
		for i = 1, 140000 do t[#t + 1] = i end
		assert(#t == 140000 and t[131071] == 131071 and t[131072] == 131072 and t[140000] == 140000)
		for i = 1, 20000 do t[#t] = nil end
		assert(#t == 120000)
		local function two() return "four", 1 end
		assert(#two() == 4 and #(two()) == 4 and #two() + 1 == 5 and -#"x" == -1 and not (#"x" == 0))
		assert(select("#", #two()) == 1 and #{ #two(), #two() } == 2)
		local m = setmetatable({}, { __len = function(t) return t == nil and 0 or 42 end })
		assert(#m == 42)
		local ok, e = pcall(function() local n = nil return #n end)
		assert(not ok and e == "length.lua:13: attempt to get length of a nil value", e)
		ok, e = pcall(function() return # 5 end)
		assert(not ok and e == "length.lua:15: attempt to get length of a number value", e)`)
	if err != nil {
		t.Fatal(err)
	}
	L.Push(L.NewFunctionFromProto(p.proto))
	if err := L.PCall(0, 0, nil); err != nil {
		t.Error(err)
	}
}

func BenchmarkLength(b *testing.B) {
	for name, source := range map[string]string{
		"string": `local s = "abc" for i = 1, n do local l = #s end`,
		"table":  `local s = { 1, 2, 3 } for i = 1, n do local l = #s end`,
		"append": `local t = {} for i = 1, n do t[#t + 1] = i if i % 1000 == 0 then t = {} end end`,
	} {
		for _, side := range []string{"gopher-lua", "script"} {
			b.Run(name+"/"+side, func(b *testing.B) {
				L := lua.NewState()
				defer L.Close()
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				L.SetContext(ctx)
				fn, err := L.LoadString(source)
				if err != nil {
					b.Fatal(err)
				}
				if side == "script" {
					p, err := Compile("bench.lua", source)
					if err != nil {
						b.Fatal(err)
					}
					fn = L.NewFunctionFromProto(p.proto)
				}
				L.SetGlobal("n", lua.LNumber(b.N))
				b.ReportAllocs()
				b.ResetTimer()
				L.Push(fn)
				if err := L.PCall(0, 0, nil); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
