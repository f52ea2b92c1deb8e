package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
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
	t.atMost(1.6, "get 16-byte string", "empty Go method")
	t.atMost(1.4, "miss", "empty Go method")
	for _, v := range values[1:] {
		t.atMost(1.2, "get "+v.name, "empty Go method", "literal "+v.name)
	}
	for _, v := range values[1:] {
		t.add("encode "+v.name, encoding(b, v.source))
		t.atMost(1.5, "set "+v.name, "empty Go method", "encode "+v.name)
	}
	return t
}

// encoding returns a bench of nothing but the encoding of a value.
func encoding(b *testing.B, source string) func(n int) {
	L := lua.NewState()
	b.Cleanup(L.Close)
	if err := L.DoString("return " + source); err != nil {
		b.Fatal(err)
	}
	v := L.Get(-1)
	return func(n int) {
		for range n {
			if _, err := storelua.Encode(v, value.Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// beyond prints how many allocations a get takes that its literal does not: at most two are to be reached.
func (t *table) beyond(name string) {
	get, literal := t.find("get "+name), t.find("literal "+name)
	more, met := median(get.mem)-median(literal.mem), "met"
	if more > 2.4 { // those of the loop and of the runtime vary by some tenths
		met = "MISSED"
	}
	fmt.Printf("  %.1f allocations (to reach: ≤ 2, %s)  get %s beyond its literal\n", more, met, name)
}

// threadsTable measures what one Lua state does alone, and beside another one on a second thread, on one store over memory. Each has keys
// of its own: two that write one key all the time wait for each other, whatever holds it.
func threadsTable(b *testing.B) *table {
	reg := store.New(nil)
	b.Cleanup(func() { reg.Close(context.Background()) })
	if err := reg.Define("bench", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		b.Fatal(err)
	}
	hosts := [2]*host{unitHost(b, reg), unitHost(b, reg)}
	t := &table{title: "From Lua loops, over memory, on one thread and on two: time for each operation of all threads"}
	both := func(name, setup, statement string) {
		var loops [2]func(n int)
		for i, h := range hosts {
			loops[i] = h.loop(b, fmt.Sprintf("local key = \"thread%d:%s\" ", i, name)+setup, statement)
		}
		t.add(name+", 1 thread", loops[0])
		t.add(name+", 2 threads", func(n int) { together(loops, n) })
	}
	both("miss", ``, `s:get(key)`)
	for _, v := range values {
		both("empty call + literal "+v.name, ``, `e:call(key) local v = `+v.source)
		both("set "+v.name, `local v = `+v.source, `s:set(key, v)`)
		both("get "+v.name, `assert(s:set(key, `+v.source+`))`, `s:get(key)`)
	}
	return t
}

// together does n calls, half of them on a thread of their own.
func together(loops [2]func(n int), n int) {
	var wg sync.WaitGroup
	for _, loop := range loops {
		wg.Go(func() { loop((n + 1) / 2) })
	}
	wg.Wait()
}

// scaling prints how well an operation scales to two threads beside what has no store in it.
func (t *table) scaling(name, beside string) {
	gain := func(name string, round int) float64 {
		return t.find(name + ", 1 thread").ns[round] / t.find(name + ", 2 threads").ns[round]
	}
	var each, own []float64
	for round := range t.find(name + ", 1 thread").ns {
		own = append(own, gain(name, round))
		each = append(each, gain(name, round)/gain(beside, round))
	}
	met := "met"
	if median(each) < 0.9 {
		met = "MISSED"
	}
	fmt.Printf("  %.2f× (to reach: ≥ 0.90×, %s)  gain of %s by a second thread, %.2f× / that of %s\n", median(each), met, name, median(own), beside)
}
