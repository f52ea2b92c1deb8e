package value_test

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/luastore/store/value"
)

// wantMarshal fails unless v is stored as the same table as want, a map or slice of plain values.
func wantMarshal(t *testing.T, v, want any) {
	t.Helper()
	if got, want := marshal(t, v), marshal(t, want); !bytes.Equal(got, want) {
		t.Errorf("%#v is stored as %x, want %x", v, got, want)
	}
}

type named struct {
	Bool   bool
	Int    int8
	Uint   uint16
	Float  float32
	String string
	Bytes  []byte
	Array  [2]int
	Map    map[string]int
	Inner  struct{ X int }
	secret int
}

func TestMarshal_StructsAreTablesOfTheirExportedFields(t *testing.T) {
	v := named{true, -8, 16, 0.5, "s", []byte{0xff}, [2]int{1, 2}, map[string]int{"a": 1}, struct{ X int }{3}, 4}
	wantMarshal(t, v, map[string]any{
		"Bool": true, "Int": -8, "Uint": 16, "Float": 0.5, "String": "s", "Bytes": "\xff", "Array": []int{1, 2},
		"Map": map[string]int{"a": 1}, "Inner": map[string]int{"X": 3},
	})
	var back named
	if err := value.Unmarshal(marshal(t, &v), &back, value.Limits{}); err != nil || back.String != "s" || back.secret != 0 {
		t.Errorf("read back as %+v, %v", back, err)
	}
}

func TestMarshal_TagsNameAndLeaveOutFields(t *testing.T) {
	type tagged struct {
		Renamed  int `store:"other"`
		Left     int `store:"-"`
		Zero     int `store:",omitempty"`
		NonZero  int `store:"kept,omitempty"`
		Pointer  *int
		Optional *int `store:",omitempty"`
		Any      any
		JSON     int `json:"ignored"`
	}
	one := 1
	wantMarshal(t, tagged{Renamed: 1, Left: 2, NonZero: 3}, map[string]any{"other": 1, "kept": 3, "JSON": 0})
	wantMarshal(t, tagged{Pointer: &one, Optional: &one, Any: &one}, map[string]any{
		"other": 0, "JSON": 0, "Pointer": 1, "Optional": 1, "Any": 1,
	})
	wantMarshal(t, struct{}{}, []int{})
	wantMarshal(t, struct {
		X *int
	}{}, []int{})
}

type Base struct{ ID, Shared int }

type inner struct{ Hidden int }

type tree struct {
	*tree
	Leaf int
}

func TestMarshal_FieldsOfEmbeddedStructsAreTakenUp(t *testing.T) {
	type Other struct{ Shared, Extra int }
	for _, c := range []struct {
		name    string
		v, want any
	}{
		{"by value", struct{ Base }{Base{1, 2}}, map[string]int{"ID": 1, "Shared": 2}},
		{"by pointer", struct{ *Base }{&Base{1, 2}}, map[string]int{"ID": 1, "Shared": 2}},
		{"by nil pointer", struct {
			*Base
			X int
		}{X: 1}, map[string]int{"X": 1}},
		{"unexported", struct{ inner }{inner{1}}, map[string]int{"Hidden": 1}},
		{"unexported, by pointer", struct{ *inner }{&inner{1}}, map[string]int{"Hidden": 1}},
		{"under a name", struct {
			Base `store:"base"`
		}{Base{1, 2}}, map[string]any{"base": map[string]int{"ID": 1, "Shared": 2}}},
		{"left out", struct {
			Base `store:"-"`
			X    int
		}{Base{1, 2}, 3}, map[string]int{"X": 3}},
		{"the outermost of a name counts", struct {
			Base
			Mine int `store:"ID"`
		}{Base{1, 2}, 3}, map[string]int{"ID": 3, "Shared": 2}},
		{"of two as far out the first counts", struct {
			Base
			Other
		}{Base{1, 2}, Other{3, 4}}, map[string]int{"ID": 1, "Shared": 2, "Extra": 4}},
		{"one under a name hides nothing of the other", struct {
			Base  `store:"base"`
			Other `store:""`
		}{Base{1, 2}, Other{3, 4}}, map[string]any{"base": map[string]int{"ID": 1, "Shared": 2}, "Shared": 3, "Extra": 4}},
		{"a pointer to itself", tree{&tree{nil, 1}, 2}, map[string]int{"Leaf": 2}},
	} {
		t.Run(c.name, func(t *testing.T) { wantMarshal(t, c.v, c.want) })
	}
}

func TestMarshal_TextMarshalersAreTheirText(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	const text = "2026-01-02T03:04:05.000000006Z"
	wantMarshal(t, at, text)
	wantMarshal(t, &at, text)
	wantMarshal(t, []time.Time{at}, []string{text})
	wantMarshal(t, map[string]any{"at": at}, map[string]string{"at": text})
	wantMarshal(t, map[time.Time]int{at: 1}, map[string]int{text: 1})
	wantMarshal(t, netip.MustParseAddr("::1"), "::1")
	wantMarshal(t, struct{ At *time.Time }{}, []int{})
	// The methods of big.Int are on its pointer, which a copy has too.
	wantMarshal(t, big.NewInt(7), "7")
	wantMarshal(t, *big.NewInt(7), "7")
	wantMarshal(t, struct{ N big.Int }{*big.NewInt(7)}, map[string]string{"N": "7"})
	wantMarshal(t, map[any]int{big.NewInt(7): 1}, map[string]int{"7": 1})
}

func TestMarshal_PointersAndInterfacesAreWhatTheyHold(t *testing.T) {
	s := "s"
	p := &s
	var a any = &p
	wantMarshal(t, p, "s")
	wantMarshal(t, &p, "s")
	wantMarshal(t, &a, "s")
	wantMarshal(t, map[any]any{any("k"): a}, map[string]string{"k": "s"})
}

func TestMarshal_NilIsLeftOutOfStructsAndMaps(t *testing.T) {
	var p *int
	var text *time.Time
	wantMarshal(t, map[string]any{"a": nil, "b": p, "c": &p, "d": text, "e": 1}, map[string]int{"e": 1})
	wantMarshal(t, struct {
		A any
		B **int
		C encoding.TextMarshaler
		D error
		E int
	}{B: &p, C: text, E: 1}, map[string]int{"E": 1})
	wantMarshal(t, map[int]any{1: "a", 2: nil}, []string{"a"})
}

func TestMarshal_NilSlicesAndMapsAreEmptyTables(t *testing.T) {
	wantMarshal(t, []int(nil), []int{})
	wantMarshal(t, map[string]int(nil), []int{})
	wantMarshal(t, []byte(nil), "")
	wantMarshal(t, []any{[]int(nil)}, []any{[]int{}})
}

type octet byte

func TestMarshal_BytesAreStrings(t *testing.T) {
	wantMarshal(t, []byte("a\xff"), "a\xff")
	wantMarshal(t, [2]byte{'a', 0xff}, "a\xff")
	wantMarshal(t, []octet{'a', 0xff}, "a\xff")
	wantMarshal(t, [2]octet{'a', 0xff}, "a\xff")
	wantMarshal(t, &[2]octet{'a', 0xff}, "a\xff")
	wantMarshal(t, []int8{1}, []int{1})
}

func TestMarshal_EqualValuesGiveEqualBytes(t *testing.T) {
	m := map[any]any{}
	for i := range 1000 {
		m[fmt.Sprint("k", i)] = i
		m[-i] = map[string]bool{"a": true, "b": false, "c": true}
	}
	want := marshal(t, m)
	for range 20 {
		again := map[any]any{}
		for k, v := range m {
			again[k] = v
		}
		if !bytes.Equal(marshal(t, again), want) {
			t.Fatal("two maps with the same elements are stored differently")
		}
	}
	wantMarshal(t, struct{ Long, B, A int }{1, 2, 3}, map[string]int{"A": 3, "B": 2, "Long": 1})
	wantMarshal(t, []any{1, uint8(1), 1.0, float32(1)}, []int{1, 1, 1, 1})
}

type pointerToItself *pointerToItself

type failingText struct{}

var errText = errors.New("no text today")

func (failingText) MarshalText() ([]byte, error) { return nil, errText }

// place puts v at .data.permissions[2].
func place(v any) any {
	return map[string]any{"data": struct {
		Permissions []any `store:"permissions"`
	}{[]any{"read", v}}}
}

func TestMarshal_WhatIsNoValueIsInvalidAndNamesThePlace(t *testing.T) {
	var p pointerToItself
	p = &p
	var nilPointer *int
	for _, c := range []struct {
		name string
		v    any
		text string
	}{
		{"nil", nil, "cannot store nil"},
		{"a nil pointer", nilPointer, "cannot store nil"},
		{"a pointer to a nil pointer", &nilPointer, "cannot store nil"},
		{"a nil text", (*time.Time)(nil), "cannot store nil"},
		{"a function", func() {}, "cannot store a func()"},
		{"a channel", make(chan int), "cannot store a chan int"},
		{"a complex", 1i, "cannot store a complex128"},
		{"an unsafe pointer", unsafe.Pointer(t), "cannot store a unsafe.Pointer"},
		{"no exported fields", struct{ x int }{}, "cannot store a struct { x int }, which has no exported fields"},
		{"2^53+1", int64(1<<53 + 1), "cannot store the integer 9007199254740993: beyond ±2^53"},
		{"-2^53-1", int64(-1<<53 - 1), "cannot store the integer -9007199254740993: beyond ±2^53"},
		{"2^64-1", uint64(math.MaxUint64), "cannot store the integer 18446744073709551615: beyond ±2^53"},
		{"a pointer to itself", p, "cannot store a pointer to itself"},
		{"a failing text", failingText{}, "cannot store a value_test.failingText: no text today"},
		{"a year of five digits", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
			"cannot store a time.Time: Time.MarshalText: year outside of range [0,9999]"},
		{"NaN as key", map[float64]int{math.NaN(): 1}, "cannot store NaN as key"},
		{"nil as key", map[any]int{nil: 1}, "cannot store nil as key"},
		{"a nil text as key", map[encoding.TextMarshaler]int{nil: 1}, "cannot store nil as key"},
		{"a nil pointer as key", map[*big.Int]int{nil: 1}, "cannot store nil as key"},
		{"a failing text as key", map[failingText]int{{}: 1}, "cannot store a value_test.failingText as key: no text today"},
		{"a struct as key", map[Base]int{{}: 1}, "cannot store a value_test.Base as key"},
		{"a pointer as key", map[*int]int{new(int): 1}, "cannot store a *int as key"},
		{"an integer as key beyond 2^53", map[int64]int{1<<53 + 1: 1}, "cannot store the integer 9007199254740993: beyond ±2^53"},
		{"two keys that are one in Lua", map[any]int{1: 1, 1.0: 2}, "cannot store a map with two keys that are equal in Lua at [1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := value.Marshal(c.v, value.Limits{})
			if b != nil || !errors.Is(err, value.ErrInvalid) || err.Error() != c.text {
				t.Errorf("got %x, %v, want %s", b, err, c.text)
			}
			what, key, _ := strings.Cut(c.text, " at ")
			_, err = value.Marshal(place(c.v), value.Limits{})
			if want := what + " at .data.permissions[2]" + key; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestMarshal_ErrorsWrapThoseOfTextMarshalers(t *testing.T) {
	for _, v := range []any{failingText{}, map[failingText]int{{}: 1}} {
		if _, err := value.Marshal(v, value.Limits{}); !errors.Is(err, errText) || !errors.Is(err, value.ErrInvalid) {
			t.Errorf("%T: got %v", v, err)
		}
	}
}

func TestMarshal_Places(t *testing.T) {
	f := func() {}
	for _, c := range []struct {
		v    any
		text string
	}{
		{[]any{f}, "[1]"},
		{map[any]any{1_000_000: f}, "[1000000]"},
		{map[any]any{-1.5: f}, "[-1.5]"},
		{map[any]any{1e300: f}, "[1e+300]"},
		{map[any]any{true: f}, "[true]"},
		{map[any]any{"name_1": f}, ".name_1"},
		{map[any]any{"1st": f}, `["1st"]`},
		{map[any]any{"": f}, `[""]`},
		{map[any]any{"a b": f}, `["a b"]`},
		{map[any]any{"\xff\n": f}, `["\xff\n"]`},
		{map[any]any{strings.Repeat("a", 64): f}, "." + strings.Repeat("a", 64)},
		{map[any]any{strings.Repeat("a", 65): f}, `["` + strings.Repeat("a", 64) + `"…]`},
		{[]any{[]any{map[string]any{"a": map[string]any{"b": []any{0, f}}}}}, "[1][1].a.b[2]"},
	} {
		_, err := value.Marshal(c.v, value.Limits{})
		if want := "cannot store a func() at " + c.text; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

type node struct {
	Next *node `store:"next"`
}

// A node2 is two nodes.
type node2 struct{ On bool }

// chain returns n structs inside each other.
func chain(n int) *node {
	if n == 0 {
		return nil
	}
	return &node{Next: chain(n - 1)}
}

func TestMarshal_HoldsLimits(t *testing.T) {
	cycle := &node{}
	cycle.Next = cycle
	slice := []any{nil}
	slice[0] = slice
	m := map[string]any{}
	m["m"] = m
	tooDeep := "value too large: tables nested deeper than 64 (a cycle?) at …"
	tooMany := "value too large: more than 100000 tables and elements"
	tooLong := "value too large: more than 1048576 bytes"
	for _, c := range []struct {
		name string
		v    any
		text string // "" for what is within limits
	}{
		{"64 levels", chain(64), ""},
		{"65 levels", chain(65), tooDeep + strings.Repeat(".next", 8)},
		{"a cycle of structs", cycle, tooDeep + strings.Repeat(".next", 8)},
		{"a slice in itself", slice, tooDeep + strings.Repeat("[1]", 8)},
		{"a map in itself", m, tooDeep + strings.Repeat(".m", 8)},
		{"100,000 nodes", make([]bool, 99_999), ""},
		{"100,001 nodes", make([]bool, 100_000), tooMany},
		{"100,001 nodes in a map", boolsUnder(100_000), tooMany},
		{"100,001 nodes, nested", []any{make([]bool, 50_000), make([]bool, 49_998)}, tooMany + " at [2]"},
		{"100,001 nodes in structs", make([]node2, 50_000), tooMany + " at [50000].On"},
		{"1 MiB", strings.Repeat("a", 1<<20-5), ""},
		{"more than 1 MiB", strings.Repeat("a", 1<<20-4), tooLong},
		{"more than 1 MiB, nested", []string{strings.Repeat("a", 1<<19), strings.Repeat("a", 1<<19)}, tooLong + " at [2]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := value.Marshal(c.v, value.Limits{})
			switch {
			case c.text != "" && (b != nil || err == nil || err.Error() != c.text || !errors.Is(err, value.ErrTooLarge)):
				t.Errorf("got %.20x, %v, want %s", b, err, c.text)
			case c.text == "" && err != nil:
				t.Error(err)
			case c.text == "" && value.Validate(b, value.Limits{}) != nil:
				t.Errorf("what was written cannot be read: %v", value.Validate(b, value.Limits{}))
			}
		})
	}
}

// What is used often and nested, each twice in the next, would be 2^64 elements when written out.
func TestMarshal_WhatIsSharedManyTimes_IsTooLargeSoon(t *testing.T) {
	var v any = []any{}
	for range 63 {
		v = []any{v, v}
	}
	cheap(t, func() {
		if _, err := value.Marshal(v, value.Limits{}); !errors.Is(err, value.ErrTooLarge) {
			t.Fatalf("got %v, want ErrTooLarge", err)
		}
	})
}
