package storelua_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
)

// newState returns a state with all libraries, which ends with the test.
func newState(tb testing.TB) *lua.LState {
	L := lua.NewState()
	tb.Cleanup(L.Close)
	return L
}

// eval returns what a Lua expression, or a chunk that returns something, gives.
func eval(tb testing.TB, L *lua.LState, code string) lua.LValue {
	tb.Helper()
	if !strings.Contains(code, "return") {
		code = "return " + code
	}
	top := L.GetTop()
	if err := L.DoString(code); err != nil {
		tb.Fatalf("%s: %v", code, err)
	}
	v := L.Get(top + 1)
	L.SetTop(top)
	return v
}

func encode(tb testing.TB, v lua.LValue) []byte {
	tb.Helper()
	b, err := storelua.Encode(v, value.Limits{})
	if err != nil {
		tb.Fatalf("Encode(%s): %v", dump(v), err)
	}
	return b
}

func decode(tb testing.TB, L *lua.LState, b []byte) lua.LValue {
	tb.Helper()
	v, err := storelua.Decode(L, b, value.Limits{})
	if err != nil {
		tb.Fatalf("Decode(%.60x): %v", b, err)
	}
	return v
}

// setMaxArrayIndex sets the global of gopher-lua for one test.
func setMaxArrayIndex(tb testing.TB, n int) {
	before := lua.MaxArrayIndex
	lua.MaxArrayIndex = n
	tb.Cleanup(func() { lua.MaxArrayIndex = before })
}

// dump writes out all that a script can learn of a value: of a table its length, how far ipairs goes, what pairs visits, and
// whether indexing finds the same.
func dump(v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return fmt.Sprintf("%q", string(v))
	case lua.LNumber:
		if v != v {
			return "nan"
		}
		return fmt.Sprintf("%v(%x)", float64(v), math.Float64bits(float64(v)))
	case *lua.LTable:
		return dumpTable(v)
	case nil:
		return "no value"
	}
	return v.String()
}

func dumpTable(t *lua.LTable) string {
	var elements []string
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		if n, ok := k.(lua.LNumber); ok {
			k = n + 0 // -0 is the key 0
		}
		element := fmt.Sprintf("[%s]=%s", dump(k), dump(v))
		if t.RawGet(k) == lua.LNil {
			element += ", which indexing does not find"
		}
		elements = append(elements, element)
	}
	slices.Sort(elements) // pairs has no order to rely on
	ipairs := 0
	for t.RawGetInt(ipairs+1) != lua.LNil {
		ipairs++
	}
	holes := 0
	for i := 1; i <= t.Len(); i++ {
		if t.RawGet(lua.LNumber(i)) == lua.LNil {
			holes++
		}
	}
	return fmt.Sprintf("{#=%d ipairs=%d holes=%d %s}", t.Len(), ipairs, holes, strings.Join(elements, " "))
}

// wantSame fails unless a script cannot tell got from want.
func wantSame(tb interface {
	Helper()
	Fatalf(string, ...any)
}, got, want lua.LValue) {
	tb.Helper()
	if g, w := dump(got), dump(want); g != w {
		tb.Fatalf("got  %s\nwant %s", g, w)
	}
}
