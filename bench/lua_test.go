package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/storelua"
)

// The values of the table, as Lua source.
var values = []struct{ name, source string }{
	{"16-byte string", `"0123456789abcdef"`},
	{"preferences", `{theme="dark",fontSize=14,notifications=true}`},
	{"session", `{user_id=42,last_access=1767225600,data={permissions={"read","write"}}}`},
	{"100 numbers", `{` + repeat(100, "1234,") + `}`},
	{"50 rows of 5 fields", `{` + repeat(50, `{id=1,name="item",price=9.95,quantity=3,active=true},`) + `}`},
}

func repeat(n int, s string) string {
	out := make([]byte, 0, n*len(s))
	for range n {
		out = append(out, s...)
	}
	return string(out)
}

// A host is one Lua state inside one unit of work, with a store "s" and an empty method "e:call(key)".
type host struct {
	L *lua.LState
}

func newHost(b *testing.B, open store.Opener) *host {
	b.Helper()
	reg := store.New(nil)
	if err := reg.Define("bench", store.Definition{Open: open}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { reg.Close(context.Background()) })
	return unitHost(b, reg)
}

// unitHost returns a host in a unit of reg, which ends with the benchmark.
func unitHost(b testing.TB, reg *store.Registry) *host {
	b.Helper()
	h := &host{L: lua.NewState()}
	// A deadline far away: what every script that runs under one has.
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	ctx, unit := reg.Begin(ctx, "bench")
	b.Cleanup(func() { unit.End(); cancel(); h.L.Close() })
	storelua.Preload(h.L)
	h.L.SetContext(ctx)
	h.L.SetGlobal("e", emptyMethod(h.L))
	if err := h.L.DoString(`s = assert(require("store").get("bench"))`); err != nil {
		b.Fatal(err)
	}
	return h
}

// emptyMethod returns a userdata whose method checks its arguments and does nothing: the floor for a method written in Go.
func emptyMethod(L *lua.LState) *lua.LUserData {
	mt := L.NewTable()
	L.SetField(mt, "__index", L.SetFuncs(L.NewTable(), map[string]lua.LGFunction{
		"call": func(L *lua.LState) int {
			L.CheckUserData(1)
			L.CheckString(2)
			return 0
		},
	}))
	ud := L.NewUserData()
	ud.Metatable = mt
	return ud
}

// loop returns a bench that runs a Lua statement n times. The statement sees what setup made local, and s and e.
func (h *host) loop(b *testing.B, setup, statement string) func(n int) {
	b.Helper()
	fn, err := h.L.LoadString(`local n = ...; local s, e = s, e; ` + setup + ` for i = 1, n do ` + statement + ` end`)
	if err != nil {
		b.Fatal(err)
	}
	return func(n int) {
		if err := h.L.CallByParam(lua.P{Fn: fn, Protect: true}, lua.LNumber(n)); err != nil {
			b.Fatal(err)
		}
	}
}

// luaTable measures the module from a Lua loop.
func luaTable(b *testing.B, title string, open store.Opener) *table {
	h := newHost(b, open)
	t := &table{title: title}
	t.add("empty Go method", h.loop(b, ``, `e:call("bench:key")`))
	t.add("miss", h.loop(b, ``, `s:get("bench:nil")`))
	t.add("has", h.loop(b, `s:set("bench:has", 1)`, `s:has("bench:has")`))
	for i, v := range values {
		key := fmt.Sprintf("%q", fmt.Sprintf("bench:k%02d", i)) // as long as that of the empty method
		t.add("literal "+v.name, h.loop(b, ``, `local v = `+v.source))
		t.add("set "+v.name, h.loop(b, `local v = `+v.source, `s:set(`+key+`, v)`))
		t.add("get "+v.name, h.loop(b, `assert(s:set(`+key+`, `+v.source+`))`, `s:get(`+key+`)`))
	}
	return t
}

// memoryTable is luaTable over memory, with what is to be reached there.
func memoryTable(b *testing.B, open store.Opener) *table {
	t := luaTable(b, "From a Lua loop, over memory", open)
	t.atMost(1.9, "get 16-byte string", "empty Go method")
	t.atMost(1.7, "miss", "empty Go method")
	for _, v := range values[1:] {
		t.atMost(1.35, "get "+v.name, "empty Go method", "literal "+v.name)
	}
	for _, v := range values[1:] {
		t.atMost(1, "set "+v.name, "empty Go method", "literal "+v.name)
	}
	return t
}
