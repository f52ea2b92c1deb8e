package luatext_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"pgregory.net/rapid"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/luatext"
	"github.com/luastore/store/script"
	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
)

// layouts are the ways to write one value.
func layouts() []*luatext.Options {
	return []*luatext.Options{nil, {Width: 1}, {Width: 30}, {Width: 100}}
}

// evaluate returns what Lua makes of an expression, in its stored form.
func evaluate(t interface{ Fatalf(string, ...any) }, runner *script.Runner, expression string) []byte {
	program, err := script.Compile("literal", "return "+expression)
	if err != nil {
		t.Fatalf("%s\n%v", expression, err)
	}
	results, err := runner.Run(context.Background(), program)
	if err != nil || len(results) != 1 {
		t.Fatalf("%s\n%v, %v", expression, results, err)
	}
	return results[0]
}

// asLua returns a stored value as Lua writes it when a script has read it.
func asLua(b []byte) ([]byte, error) {
	L := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer L.Close()
	v, err := storelua.Decode(L, b, value.Limits{})
	if err != nil {
		return nil, err
	}
	return storelua.Encode(v, value.Limits{})
}

func newRunner(t testing.TB) *script.Runner {
	t.Helper()
	reg := store.New(nil)
	t.Cleanup(func() {
		if err := reg.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return script.New(reg, nil)
}

// anyStored draws stored values that Lua writes, and others that mean the same.
func anyStored(depth int) *rapid.Generator[[]byte] {
	number := rapid.OneOf(rapid.Float64(), rapid.Map(rapid.IntRange(-3, 3), func(i int) float64 { return float64(i) }),
		rapid.SampledFrom([]float64{math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), 1 << 53, -1 << 53, 1<<53 + 2, 0.1, 1e-7}))
	str := rapid.OneOf(rapid.StringN(0, 12, -1), rapid.StringMatching(`[a-z_0-9]{0,4}`),
		rapid.SampledFrom([]string{"end", "goto", "1", "\x1b9", "\u202e"}),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) }))
	return rapid.Custom(func(t *rapid.T) []byte {
		switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
		case kind == 0:
			return value.AppendBool(nil, rapid.Bool().Draw(t, "bool"))
		case kind == 1:
			return value.AppendNumber(nil, number.Draw(t, "number"))
		case kind == 2 || depth == 0:
			return value.AppendString(nil, str.Draw(t, "string"))
		case kind == 3:
			list := rapid.SliceOfN(anyStored(depth-1), 0, 5).Draw(t, "array")
			return bytes.Join(append([][]byte{value.AppendArrayHeader(nil, len(list))}, list...), nil)
		}
		n := rapid.IntRange(0, 6).Draw(t, "pairs")
		b := value.AppendMapHeader(nil, n)
		for range n {
			switch k := number.Draw(t, "key"); {
			case rapid.Bool().Draw(t, "string key"):
				b = value.AppendString(b, str.Draw(t, "name"))
			case k != k || k > 1000 && k <= 1<<26: // such positions Lua cannot hold, or not at a bearable cost
				b = value.AppendBool(b, k != k)
			default:
				b = value.AppendNumber(b, k)
			}
			b = append(b, anyStored(depth-1).Draw(t, "element")...)
		}
		return b
	})
}

func TestAppend_Evaluated_IsTheValueAgain(t *testing.T) {
	runner := newRunner(t)
	rapid.Check(t, func(t *rapid.T) {
		b := anyStored(3).Draw(t, "stored")
		want, err := asLua(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range layouts() {
			text, err := luatext.Append(nil, b, o)
			if err != nil {
				t.Fatalf("%x: %v", b, err)
			}
			if got := evaluate(t, runner, string(text)); !bytes.Equal(got, want) {
				t.Fatalf("%x as %+v:\n%s\nis %x", b, o, text, got)
			}
		}
	})
}

// TestAppend_WhatCompilersGetWrong_IsTheValueAgain has constants that are equal and not the same, elements under keys that are taken, and
// tables that do not end within one batch of registers.
func TestAppend_WhatCompilersGetWrong_IsTheValueAgain(t *testing.T) {
	runner := newRunner(t)
	many := map[any]any{"x": "y"}
	for i := range 120 {
		many[i+1] = i
	}
	zeros := []any{0, math.Copysign(0, -1), 0, math.Inf(-1), math.NaN(), math.Copysign(0, -1)}
	for name, b := range map[string][]byte{
		"zeros":                        stored(t, zeros),
		"negative zero":                stored(t, math.Copysign(0, -1)),
		"NaN":                          stored(t, math.NaN()),
		"a long map":                   stored(t, many),
		"a long array":                 stored(t, make([]int, 20000)),
		"a position twice":             {0x83, 0x01, 0xa1, 'a', 0xa1, 'k', 0xa1, 'v', 0x01, 0xa1, 'b'},
		"a position in an outer table": {0x93, 0x01, 0x82, 0x01, 0x01, 0x01, 0x02, 0x81, 0x01, 0x03},
		"a name twice":                 {0x82, 0xa1, 'a', 0x01, 0xa1, 'a', 0x02},
		"array keys out of order":      {0x83, 0x02, 0x0b, 0x03, 0x0c, 0x01, 0x0a},
		"a float32":                    {0xca, 0x3f, 0x80, 0x00, 0x00},
		"a bin as key":                 {0x81, 0xc4, 0x02, 0xff, '1', 0x01},
		"64 tables":                    []byte(strings.Repeat("\x91", 63) + "\x90"),
	} {
		want, err := asLua(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range layouts() {
			if got := evaluate(t, runner, text(t, b, o)); !bytes.Equal(got, want) {
				t.Errorf("%s as %+v: got %x, want %x", name, o, got, want)
			}
		}
	}
}

// The table within is tried on each of the lines around it.
func TestAppend_OfDeepAndLongTables_TriesLittle(t *testing.T) {
	inner := stored(t, make([]int, 50_000))
	for range 60 {
		inner = append([]byte{0x81, 0x01}, inner...)
	}
	b := text(t, inner, &luatext.Options{Width: 100})
	if lines := strings.Count(b, "\n"); lines != 2*61-1+50_000 {
		t.Errorf("%d lines", lines)
	}
	allocated := testing.AllocsPerRun(1, func() { text(t, inner, &luatext.Options{Width: 100}) })
	if allocated > 200 {
		t.Errorf("%v allocations", allocated)
	}
}

func FuzzAppend(f *testing.F) {
	for _, v := range []any{true, 1.5, math.NaN(), "a\x00b", []any{1, "x", []any{}}, map[any]any{1: 2, "end": 3, false: -4.5}} {
		f.Add(stored(f, v), 20)
	}
	f.Add([]byte{0x83, 0x01, 0xa1, 'a', 0xa1, 'k', 0xa1, 'v', 0x01, 0xa1, 'b'}, 0)
	runner := newRunner(f)
	f.Fuzz(func(t *testing.T, b []byte, width int) {
		if len(b) > 2000 { // more may not compile
			b = b[:2000]
		}
		text, err := luatext.Append(nil, b, &luatext.Options{Width: width & 127})
		if failed := value.Validate(b, value.Limits{}); (failed == nil) != (err == nil) {
			t.Fatalf("Append says %v, Validate %v", err, failed)
		}
		want, unreadable := asLua(b)
		if err != nil || unreadable != nil {
			return
		}
		if !luatext.Printable(strings.ReplaceAll(string(text), "\n", "")) {
			t.Fatalf("a terminal would obey %q", text)
		}
		if got := evaluate(t, runner, string(text)); !bytes.Equal(got, want) {
			t.Fatalf("%s\nis %x, want %x", text, got, want)
		}
	})
}

func ExampleAppend() {
	v, err := value.Marshal(map[string]any{"theme": "dark", "sizes": []int{12, 14}, "e-mail": "ann@example.org"}, value.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := luatext.Append(nil, v, nil)
	fmt.Println(string(text), err)
	// Output: { sizes = { 12, 14 }, theme = "dark", ["e-mail"] = "ann@example.org" } <nil>
}
