//go:build !race

package script

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/boundtest"
)

// hostile are calls of library functions that would take long or much, and the errors that they end with: "" for the unit's.
var hostile = []struct{ source, want string }{
	{`table.insert({}, -1e15, 1)`, ""},
	{`table.concat(far, "", 1, 1e15)`, "invalid value (nil) at index"},
	{`table.insert(far, 1, 1)`, ""},
	{`table.remove(far, 1)`, ""},
	{`table.sort(far)`, "attempt to compare"},
	{`table.sort(far, function(a, b) return false end)`, ""},
	{`unpack(far)`, "too many results to unpack"},
	{`unpack({}, -1/0, 1/0)`, "too many results to unpack"},
	{`while true do table.sort(numbers, rawequal) end`, ""},
	{`while true do table.sort(numbers) end`, ""},
	{`while true do table.maxn(numbers) end`, ""},
	{`while true do table.concat(numbers, ",") end`, ""},
	{`while true do unpack(numbers) end`, ""},
	{`for i = 1, 20 do numbers[i] = long .. i end while true do table.sort({ unpack(numbers, 1, 20) }) end`, ""},
	{`table.sort(numbers, function(a, b) return true end)`, "invalid order function for sorting"},
	{`for i = 1, 5000 do numbers[i] = long end table.concat(numbers)`, "string longer than"},
	{`table.concat({ 1, 2, 3 }, long:rep(20))`, "string longer than"},
	{`local function f() table.sort(numbers, f) end f()`, "overflow"},
	{`local m = {} local t = setmetatable({}, m) m.__lt = function() table.sort({ t, t }) end table.sort({ t, t })`, "overflow"},
	{`local t = setmetatable({}, { __tostring = tostring }) tostring(t)`, "overflow"},
	{`os.date(("%c" .. long):rep(40))`, "string longer than"},
	{`while true do os.date(("%c"):rep(1e5)) end`, ""},
	{`while true do math.floor(("1"):rep(1e6)) end`, "number expected, got string"},
	{`while true do tonumber(("1"):rep(1e6)) tonumber(("z"):rep(1e6), 36) tonumber((" "):rep(1e6)) end`, ""},
	{`while true do math.fmod(1e308, 3e-308) end`, ""},
}

func TestLibraries_HostileCalls_EndWithTheUnit(t *testing.T) {
	limitArrays(t, 1<<14)
	for _, c := range hostile {
		t.Run(c.source, func(t *testing.T) {
			want, timeout := c.want, time.Minute
			if want == "" {
				want, timeout = context.DeadlineExceeded.Error(), 100*time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			L := newLibraries(t, ctx)
			prepare(t, L)
			if err := L.DoString(c.source); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// prepare sets the globals that hostile uses: a list that seems to have 2^52 elements, one of 5000 numbers, and a long string.
func prepare(t *testing.T, L *lua.LState) {
	t.Helper()
	far, numbers := L.NewTable(), L.NewTable()
	for i := 1; i < lua.MaxArrayIndex; i++ {
		far.RawSetInt(i, lua.LNumber(i))
	}
	for i := lua.MaxArrayIndex; i <= maxInt; i *= 2 {
		far.RawSetInt(i, lua.LNumber(i))
	}
	for i := range 5000 {
		numbers.RawSetInt(i+1, lua.LNumber(i*7919%5000))
	}
	L.SetGlobal("far", far)
	L.SetGlobal("numbers", numbers)
	L.SetGlobal("long", lua.LString(strings.Repeat("a", 1<<20)))
}

func TestSort_InsideItself_TakesNoMemoryPerCall(t *testing.T) {
	L := newLibraries(t, t.Context())
	list := L.NewTable()
	for i := range 100_000 {
		list.RawSetInt(i+1, lua.LNumber(i))
	}
	L.SetGlobal("list", list)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := L.DoString(`local function f() table.sort(list, f) end f()`)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; err == nil || grown > 100<<20 {
		t.Errorf("allocated %d bytes, then %v", grown, err)
	}
}

func TestInsert_ListThatWasEmptied_TakesLinearTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), boundtest.Scale(15*time.Second)) // less than one, or more than twenty
	defer cancel()
	L := newLibraries(t, ctx)
	if err := L.DoString(`
		local t = {}
		for i = 1, 300000 do t[i] = i end
		for i = 1, 300000 do t[i] = nil end
		for i = 1, 300000 do table.insert(t, i) end
		for i = 1, 300000 do assert(table.remove(t) == 300001 - i) end
		assert(#t == 0)
	`); err != nil {
		t.Error(err)
	}
}
