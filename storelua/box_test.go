package storelua

import (
	"fmt"
	"math"
	"runtime"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/value"
)

func TestBoxer_MakesWhatConversionMakes(t *testing.T) {
	x := boxer{left: 200}
	for i := range 400 {
		s, f := fmt.Sprint("s", i), float64(i)+0.25
		if got := x.string(s); got != lua.LValue(lua.LString(s)) || got.Type() != lua.LTString || got.String() != s {
			t.Fatalf("%d: got %#v", i, got)
		}
		if got := x.number(f); got != lua.LValue(lua.LNumber(f)) || got.Type() != lua.LTNumber {
			t.Fatalf("%d: got %#v", i, got)
		}
	}
	for _, f := range []float64{0, 1, 1023, 1024, -1, math.Inf(1), math.MaxFloat64} {
		if got := x.number(f); got != lua.LValue(lua.LNumber(f)) {
			t.Errorf("%v: got %#v", f, got)
		}
	}
	if got, ok := x.number(math.Copysign(0, -1)).(lua.LNumber); !ok || !math.Signbit(float64(got)) {
		t.Errorf("-0: got %v", got)
	}
	if got, ok := x.number(math.NaN()).(lua.LNumber); !ok || got == got {
		t.Errorf("NaN: got %v", got)
	}
}

// What a script keeps of a value lives as long as it does, whatever becomes of the rest.
func TestDecode_ElementsOutliveTheirTable(t *testing.T) {
	L := lua.NewState()
	defer L.Close()
	kept := map[string]lua.LValue{}
	for round := range 50 {
		stored := []byte{0xdc, 0, 200}
		for i := range 100 {
			stored = value.AppendNumber(value.AppendString(stored, fmt.Sprintf("%d/%d", round, i)), float64(round*1000+i)+0.5)
		}
		v, err := Decode(L, stored, value.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		i := round * 2 % 100
		kept[fmt.Sprintf("%d/%d", round, i)] = v.(*lua.LTable).RawGetInt(2*i + 1)
		kept[fmt.Sprint(float64(round*1000+i)+0.5)] = v.(*lua.LTable).RawGetInt(2*i + 2)
		runtime.GC()
	}
	for want, v := range kept {
		if v.String() != want {
			t.Errorf("kept %q, is %q", want, v.String())
		}
	}
}
