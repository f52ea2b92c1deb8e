//go:build !race

// Under the race detector sync.Pool drops what it is given at random: counts of allocations mean nothing there.

package storelua

import (
	"context"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
)

// A caller calls the methods of a store as the virtual machine does, without the machine.
type caller struct {
	L  *lua.LState
	ud *lua.LUserData
}

// newCaller returns a caller of a store in memory that has the string "v" under "a:hit".
func newCaller(tb testing.TB) caller {
	reg := store.New(nil)
	if err := reg.Define("cache", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		tb.Fatal(err)
	}
	ctx, unit := reg.Begin(context.Background(), "")
	h, err := store.Get(ctx, "cache")
	if err != nil {
		tb.Fatal(err)
	}
	if err := h.Set(ctx, "a:hit", []byte{0xa1, 'v'}, 0); err != nil {
		tb.Fatal(err)
	}
	L := lua.NewState()
	L.SetContext(ctx)
	ud := L.NewUserData()
	ud.Value = h
	tb.Cleanup(func() {
		L.Close()
		if err := unit.End(); err != nil {
			tb.Error(err)
		}
		if err := reg.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return caller{L, ud}
}

// call calls a method and returns its first result.
func (c caller) call(method lua.LGFunction, arguments ...lua.LValue) lua.LValue {
	c.L.SetTop(0)
	c.L.Push(c.ud)
	for _, a := range arguments {
		c.L.Push(a)
	}
	n := method(c.L)
	return c.L.Get(-n)
}

func TestMethods_AllocateNothingBeyondWhatTheyReturn(t *testing.T) {
	c := newCaller(t)
	hit, miss, word := lua.LValue(lua.LString("a:hit")), lua.LValue(lua.LString("a:miss")), lua.LValue(lua.LString("d"))
	for _, m := range []struct {
		name   string
		call   func() lua.LValue
		result lua.LValue
		most   float64
	}{
		{"get that misses", func() lua.LValue { return c.call(get, miss) }, lua.LNil, 0},
		{"get that misses, with a default", func() lua.LValue { return c.call(get, miss, word) }, word, 0},
		{"get of a string", func() lua.LValue { return c.call(get, hit) }, lua.LString("v"), 1},
		{"has that hits", func() lua.LValue { return c.call(has, hit) }, lua.LTrue, 0},
		{"has that misses", func() lua.LValue { return c.call(has, miss) }, lua.LFalse, 0},
		{"delete that misses", func() lua.LValue { return c.call(remove, miss) }, lua.LFalse, 0},
		{"ttl that misses", func() lua.LValue { return c.call((&module{}).ttl, miss) }, lua.LNil, 0},
	} {
		if got := m.call(); got != m.result {
			t.Errorf("%s: got %v, want %v", m.name, got, m.result)
		}
		if n := testing.AllocsPerRun(1000, func() { m.call() }); n > m.most {
			t.Errorf("%s: %v allocations, want at most %v", m.name, n, m.most)
		}
	}
}

func TestEncode_OfAScalar_AllocatesItsBytesOnly(t *testing.T) {
	limits := store.Limits{}.WithDefaults().Value()
	for _, v := range []lua.LValue{lua.LString("sixteen bytes ok"), lua.LNumber(1.5), lua.LTrue} {
		if n := testing.AllocsPerRun(1000, func() { _, _ = Encode(v, limits) }); n > 1 {
			t.Errorf("%v: %v allocations, want 1", v, n)
		}
	}
}
