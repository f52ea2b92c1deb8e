package value_test

import (
	"errors"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store/value"
)

// wantUnmarshal fails unless what v stores is read as want into a variable of its type.
func wantUnmarshal(t *testing.T, v, want any) {
	t.Helper()
	got := reflect.New(reflect.TypeOf(want))
	if err := value.Unmarshal(marshal(t, v), got.Interface(), value.Limits{}); err != nil {
		t.Errorf("%v into a %T: %v", v, want, err)
	} else if !reflect.DeepEqual(got.Elem().Interface(), want) {
		t.Errorf("%v into a %T: got %#v, want %#v", v, want, got.Elem(), want)
	}
}

func TestUnmarshal_IntoEachKind(t *testing.T) {
	type (
		myBool   bool
		myString string
		myInt    int16
		myFloat  float32
	)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	one := 1
	for _, c := range []struct{ v, want any }{
		{true, true},
		{true, myBool(true)},
		{"s", "s"},
		{"s", myString("s")},
		{"\xff\x00", "\xff\x00"},
		{"s\xff", []byte("s\xff")},
		{"", []byte{}},
		{"s\xff", []octet{'s', 0xff}},
		{"s\xff", [2]byte{'s', 0xff}},
		{"s\xff", [2]octet{'s', 0xff}},
		{1, 1.0},
		{1.5, myFloat(1.5)},
		{0.1, float32(0.1)},
		{math.Inf(1), float32(math.Inf(1))},
		{-128, int8(-128)},
		{255, uint8(255)},
		{-5, myInt(-5)},
		{1 << 53, int64(1 << 53)},
		{-1 << 53, int64(-1 << 53)},
		{1 << 53, uint64(1 << 53)},
		{math.Copysign(0, -1), 0},
		{1, &one},
		{[]int{1, 2}, []int{1, 2}},
		{[]int{1, 2}, [2]int{1, 2}},
		{[]int{1, 2}, []byte{1, 2}},
		{[]int{1, 2}, map[int]float64{1: 1, 2: 2}},
		{[]int{1, 2}, map[any]any{1.0: 1.0, 2.0: 2.0}},
		{[]string{"a"}, map[uint8]string{1: "a"}},
		{map[string]int{"a": 1}, map[string]int{"a": 1}},
		{map[string]int{"a": 1}, map[myString]int{"a": 1}},
		{map[int]int{-1: 1}, map[int8]int{-1: 1}},
		{map[bool]int{true: 1}, map[bool]int{true: 1}},
		{map[float64]int{1.5: 1}, map[float64]int{1.5: 1}},
		{map[string]int{"ID": 1, "Shared": 2}, Base{1, 2}},
		{map[string]int{"ID": 1}, struct{ *Base }{&Base{1, 0}}},
		{map[string]int{"Hidden": 1}, struct{ inner }{inner{1}}},
		{map[any]any{"ID": 1, "more": []any{1}, 5: 5, true: 1}, Base{1, 0}},
		{map[string]int{"id": 1}, Base{}},
		{at, at},
		{at, &at},
		{[]any{at}, []time.Time{at}},
		{map[string]int{"::1": 1}, map[netip.Addr]int{netip.MustParseAddr("::1"): 1}},
		{"7", *big.NewInt(7)},
		{"7", big.NewInt(7)},
	} {
		wantUnmarshal(t, c.v, c.want)
	}
}

func TestUnmarshal_AnEmptyTableReadsIntoSliceMapAndStruct(t *testing.T) {
	for _, want := range []any{
		[]int{}, []byte{}, [0]int{}, map[string]int{}, map[int]bool{}, map[any]any{}, Base{}, struct{}{}, &Base{},
	} {
		wantUnmarshal(t, []int{}, want)
	}
}

func TestUnmarshal_IntoAny(t *testing.T) {
	for _, c := range []struct{ v, want any }{
		{true, true},
		{1, 1.0},
		{"\xff", "\xff"},
		{[]any{}, []any{}},
		{[]any{1, "a", []any{}}, []any{1.0, "a", []any{}}},
		{map[string]any{"a": map[string]any{"b": 1}}, map[string]any{"a": map[string]any{"b": 1.0}}},
		{map[any]any{"a": 1, 2: "b", true: 1.5}, map[any]any{"a": 1.0, 2.0: "b", true: 1.5}},
		{map[int]int{0: 1}, map[any]any{0.0: 1.0}},
	} {
		var got any = "what was there before"
		if err := value.Unmarshal(marshal(t, c.v), &got, value.Limits{}); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: got %#v, %v, want %#v", c.v, got, err, c.want)
		}
	}
}

func TestUnmarshal_ReplacesSlicesAndMapsAndKeepsOtherFields(t *testing.T) {
	v := struct {
		Slice []int
		Map   map[string]int
		Other string
	}{[]int{1, 2, 3}, map[string]int{"old": 1}, "kept"}
	err := value.Unmarshal(marshal(t, map[string]any{"Slice": []int{9}, "Map": map[string]int{"new": 1}}), &v, value.Limits{})
	if err != nil || !reflect.DeepEqual(v.Slice, []int{9}) || !reflect.DeepEqual(v.Map, map[string]int{"new": 1}) || v.Other != "kept" {
		t.Errorf("got %+v, %v", v, err)
	}
}

type failingTextReader struct{}

func (*failingTextReader) UnmarshalText([]byte) error { return errText }

func TestUnmarshal_WhatDoesNotFitIsInvalidAndNamesThePlace(t *testing.T) {
	for _, c := range []struct {
		name string
		v    any
		into any // a pointer
		text string
	}{
		{"a boolean into a string", true, new(string), "cannot read a boolean into a string"},
		{"a string into a number", "1", new(float64), "cannot read a string into a float64"},
		{"a number into a string", 1, new(string), "cannot read a number into a string"},
		{"a number into a boolean", 1, new(bool), "cannot read a number into a bool"},
		{"a string into an array of another length", "abc", new([2]byte), "cannot read a string into a [2]uint8"},
		{"a fraction into an integer", 1.5, new(int), "cannot read the number 1.5 into a int"},
		{"256 into a uint8", 256, new(uint8), "cannot read the number 256 into a uint8"},
		{"-129 into an int8", -129, new(int8), "cannot read the number -129 into a int8"},
		{"-1 into a uint", -1, new(uint), "cannot read the number -1 into a uint"},
		{"2^53+2 into an int64", float64(1<<53 + 2), new(int64), "cannot read the number 9.007199254740994e+15 into a int64"},
		{"1e300 into a uint64", 1e300, new(uint64), "cannot read the number 1e+300 into a uint64"},
		{"inf into an integer", math.Inf(1), new(int), "cannot read the number +Inf into a int"},
		{"NaN into an integer", math.NaN(), new(int), "cannot read the number NaN into a int"},
		{"1e300 into a float32", 1e300, new(float32), "cannot read the number 1e+300 into a float32"},
		{"a string into a slice", "s", new([]int), "cannot read a string into a []int"},
		{"an array into a struct", []int{1}, new(Base), "cannot read an array into a value_test.Base"},
		{"an array into a string", []int{1}, new(string), "cannot read an array into a string"},
		{"an array into one of another length", []int{1}, new([2]int), "cannot read an array of 1 into a [2]int"},
		{"a table into a slice", map[string]int{"a": 1}, new([]int), "cannot read a table into a []int"},
		{"a number into a time", 1, new(time.Time), "cannot read a number into a time.Time"},
		{"a number into a pointer to a time", 1, new(*time.Time), "cannot read a number into a time.Time"},
		{"a table into a time", map[string]int{"a": 1}, new(time.Time), "cannot read a table into a time.Time"},
		{"an empty table into a time", []int{}, new(time.Time), "cannot read an array into a time.Time"},
		{"what is no time", "noon", new(failingTextReader), "cannot read a string into a value_test.failingTextReader: no text today"},
		{"a number into an interface", 1, new(error), "cannot read a number into a error"},
		{"a number into a channel", 1, new(chan int), "cannot read a number into a chan int"},
		{"a string key into an integer", map[string]int{"a": 1}, new(map[int]int), "cannot read a string into a int at .a"},
		{"a number key into a string", map[int]int{5: 1}, new(map[string]int), "cannot read a number into a string at [5]"},
		{"a boolean key into a string", map[bool]int{true: 1}, new(map[string]int), "cannot read a boolean into a string at [true]"},
		{"a position into a string key", []int{1}, new(map[string]int), "cannot read a number into a string at [1]"},
		{"position 256 into a uint8 key", make([]int, 256), new(map[uint8]int), "cannot read the number 256 into a uint8 at [256]"},
		{"a key that is no text", map[string]int{"a": 1}, new(map[failingTextReader]int),
			"cannot read a string into a value_test.failingTextReader: no text today at .a"},
		{"into an embedded pointer that is not exported", map[string]int{"Hidden": 1}, new(struct{ *inner }),
			"cannot read into a nil *value_test.inner, which is not exported at .Hidden"},
		{"a pointer to itself", 1, new(pointerToItself), "cannot read into a value_test.pointerToItself: a pointer to itself"},
		{"deep inside", map[string]any{"data": map[string]any{"permissions": []any{"read", 2}}},
			new(map[string]map[string][]string), "cannot read a number into a string at .data.permissions[2]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := value.Unmarshal(marshal(t, c.v), c.into, value.Limits{})
			if !errors.Is(err, value.ErrInvalid) || err.Error() != c.text {
				t.Errorf("got %v, want %s", err, c.text)
			}
			if strings.Contains(c.text, errText.Error()) && !errors.Is(err, errText) {
				t.Error("the error of the text is not wrapped")
			}
		})
	}
}

func TestUnmarshal_WantsAPointer(t *testing.T) {
	for text, into := range map[string]any{
		"cannot read into a <nil>: want a pointer":           nil,
		"cannot read into a int: want a pointer":             1,
		"cannot read into a map[string]int: want a pointer":  map[string]int{},
		"cannot read into a nil *int: want one that is not":  (*int)(nil),
		"cannot read into a nil *bool: want one that is not": (*bool)(nil),
	} {
		if err := value.Unmarshal([]byte{0x01}, into, value.Limits{}); !errors.Is(err, value.ErrInvalid) || err.Error() != text {
			t.Errorf("got %v, want %s", err, text)
		}
	}
}

func TestUnmarshal_HoldsLimits(t *testing.T) {
	var v any
	for _, c := range []struct {
		b      []byte
		limits value.Limits
	}{
		{nested(65), value.Limits{}},
		{nested(3), value.Limits{Depth: 2}},
		{[]byte{0x92, 1, 2}, value.Limits{Nodes: 2}},
		{[]byte{0x92, 1, 2}, value.Limits{Bytes: 2}},
	} {
		if err := value.Unmarshal(c.b, &v, c.limits); !errors.Is(err, value.ErrCorrupt) {
			t.Errorf("%.10x within %+v: got %v, want ErrCorrupt", c.b, c.limits, err)
		}
	}
}

func TestUnmarshal_NothingReadAliasesTheBytes(t *testing.T) {
	b := marshal(t, map[string]any{"key": "text", "list": []any{"element"}})
	var v any
	var m map[string]any
	var s struct {
		Key []byte `store:"key"`
	}
	for _, into := range []any{&v, &m, &s} {
		if err := value.Unmarshal(b, into, value.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range b {
		b[i] = 'X'
	}
	want := map[string]any{"key": "text", "list": []any{"element"}}
	if !reflect.DeepEqual(v, want) || !reflect.DeepEqual(m, want) || string(s.Key) != "text" {
		t.Errorf("changed with the bytes: %v, %v, %s", v, m, s.Key)
	}
}
