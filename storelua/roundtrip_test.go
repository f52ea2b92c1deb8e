package storelua_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"pgregory.net/rapid"

	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
)

func anyString() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringN(0, 40, -1), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }))
}

func anyNumber() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Float64(),
		rapid.Map(rapid.Int64Range(-value.MaxInteger, value.MaxInteger), func(i int64) float64 { return float64(i) }),
		rapid.Map(rapid.IntRange(-300, 70000), func(i int) float64 { return float64(i) }),
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), 1 << 53, -1 << 53, 1<<53 + 2, 0.1}),
	)
}

func anyScalar() *rapid.Generator[lua.LValue] {
	return rapid.OneOf(
		rapid.Map(rapid.Bool(), func(b bool) lua.LValue { return lua.LBool(b) }),
		rapid.Map(anyNumber(), func(f float64) lua.LValue { return lua.LNumber(f) }),
		rapid.Map(anyString(), func(s string) lua.LValue { return lua.LString(s) }),
	)
}

// anyKey is of every kind, and often a position near those that are taken.
func anyKey() *rapid.Generator[lua.LValue] {
	return rapid.OneOf(
		rapid.Map(rapid.IntRange(-2, 30), func(i int) lua.LValue { return lua.LNumber(i) }),
		rapid.Map(rapid.IntRange(-2, 500), func(i int) lua.LValue { return lua.LNumber(i) }),
		rapid.SampledFrom([]lua.LValue{
			lua.LNumber(0), lua.LNumber(math.Copysign(0, -1)), lua.LNumber(0.5), lua.LNumber(math.Inf(-1)), lua.LNumber(math.Inf(1)),
			lua.LNumber(67_108_864), lua.LNumber(1e10), lua.LNumber(1 << 53), lua.LNumber(1e300), lua.LTrue, lua.LFalse, lua.LString("k"),
		}),
		anyScalar().Filter(func(v lua.LValue) bool {
			n, isNumber := v.(lua.LNumber)
			return !isNumber || n == n && (n < 1 || n >= 67_108_864) // neither NaN nor far up in the array part
		}),
	)
}

// A builder makes tables as scripts do: step by step, with elements removed and set to nil again.
type builder struct {
	t *rapid.T
	L *lua.LState
}

func (b builder) value(depth int) lua.LValue {
	if depth == 0 || rapid.IntRange(0, 3).Draw(b.t, "scalar") > 0 {
		return anyScalar().Draw(b.t, "value")
	}
	return b.table(depth - 1)
}

func (b builder) table(depth int) *lua.LTable {
	t := b.L.NewTable()
	var taken []lua.LValue
	for range rapid.IntRange(0, 40).Draw(b.t, "steps") {
		grows := t.MaxN() < lua.MaxArrayIndex-2 // beyond, table.insert makes tables that Lua itself cannot read
		switch step := rapid.IntRange(0, 11).Draw(b.t, "step"); {
		case step < 5:
			key := anyKey().Draw(b.t, "key")
			taken = append(taken, key)
			t.RawSet(key, b.value(depth))
		case step < 8 && grows:
			t.Append(b.value(depth))
		case step == 8 && grows:
			t.Insert(rapid.IntRange(1, t.Len()+1).Draw(b.t, "position"), b.value(depth))
		case step == 9:
			t.Remove(rapid.IntRange(1, t.Len()+1).Draw(b.t, "position"))
		case step > 9 && len(taken) > 0:
			t.RawSet(rapid.SampledFrom(taken).Draw(b.t, "taken"), lua.LNil)
		}
	}
	return t
}

func TestRoundTrip_OfAnyValue_CannotBeToldFromTheOriginal(t *testing.T) {
	for _, most := range []int{lua.MaxArrayIndex, 1000, 20, 3, 2, 1} {
		t.Run(fmt.Sprint("MaxArrayIndex ", most), func(t *testing.T) {
			setMaxArrayIndex(t, most)
			L := newState(t)
			rapid.Check(t, func(t *rapid.T) {
				want := builder{t, L}.value(3)
				b, err := storelua.Encode(want, value.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if err := value.Validate(b, value.Limits{}); err != nil {
					t.Fatalf("what was written is refused: %v", err)
				}
				got, err := storelua.Decode(L, b, value.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				wantSame(t, got, want)
				if again, err := storelua.Encode(got, value.Limits{}); err != nil || !bytes.Equal(again, b) {
					t.Fatalf("written again as %x, %v, want %x", again, err, b)
				}
			})
		})
	}
}

// toGo returns the Go value that is like a Lua value of scalars and arrays.
func toGo(v lua.LValue) any {
	switch v := v.(type) {
	case lua.LBool:
		return bool(v)
	case lua.LNumber:
		return float64(v)
	case lua.LString:
		return string(v)
	}
	list := []any{}
	v.(*lua.LTable).ForEach(func(_, e lua.LValue) { list = append(list, toGo(e)) })
	return list
}

func (b builder) list(depth int) lua.LValue {
	t := b.L.NewTable()
	for range rapid.IntRange(0, 20).Draw(b.t, "length") {
		if depth > 0 && rapid.Bool().Draw(b.t, "nested") {
			t.Append(b.list(depth - 1))
			continue
		}
		t.Append(anyScalar().Draw(b.t, "element"))
	}
	return t
}

func TestEncode_OfScalarsAndArrays_WritesWhatGoWrites(t *testing.T) {
	L := newState(t)
	rapid.Check(t, func(t *rapid.T) {
		for _, v := range []lua.LValue{anyScalar().Draw(t, "scalar"), builder{t, L}.list(2)} {
			got, err := storelua.Encode(v, value.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			want, err := value.Marshal(toGo(v), value.Limits{})
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: got %x, want %x, %v", dump(v), got, want, err)
			}
		}
	})
}
