package value_test

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/luastore/store/value"
)

// Go values as Unmarshal into any returns them, of every kind and up to three levels deep.

func anyString() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringN(0, 40, -1), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }))
}

func anyNumber() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Float64(),
		rapid.Map(rapid.Int64Range(-value.MaxInteger, value.MaxInteger), func(i int64) float64 { return float64(i) }),
		rapid.Map(rapid.IntRange(-300, 70000), func(i int) float64 { return float64(i) }),
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), 1 << 53, -1 << 53, 1<<53 + 2, 0.1}),
	)
}

func anyScalar() *rapid.Generator[any] {
	return rapid.OneOf(rapid.Bool().AsAny(), anyNumber().AsAny(), anyString().AsAny())
}

func anyValue(depth int) *rapid.Generator[any] {
	if depth == 0 {
		return anyScalar()
	}
	elem := rapid.Deferred(func() *rapid.Generator[any] { return anyValue(depth - 1) })
	key := rapid.OneOf(rapid.Bool().AsAny(), anyString().AsAny(),
		rapid.Map(anyNumber(), func(f float64) any { return f + 0 })) // -0 is 0
	return rapid.OneOf(
		anyScalar(),
		rapid.SliceOfN(elem, 0, 20).AsAny(),
		rapid.MapOfN(anyString(), elem, 1, 20).AsAny(),
		rapid.Map(rapid.MapOfN(key, elem, 1, 20), asRead),
	)
}

// asRead returns m as Unmarshal into any would: with the type that its keys ask for.
func asRead(m map[any]any) any {
	list := make([]any, len(m))
	strings := map[string]any{}
	for k, v := range m {
		if f, ok := k.(float64); ok && f >= 1 && f <= float64(len(m)) && f == math.Trunc(f) {
			list[int(f)-1] = v
		}
		if s, ok := k.(string); ok {
			strings[s] = v
		}
	}
	if len(strings) == len(m) {
		return strings
	}
	for _, v := range list {
		if v == nil {
			return m
		}
	}
	return list
}

func TestRoundTrip_OfAnyValue_IsTheValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyValue(3).Draw(t, "value")
		b, err := value.Marshal(want, value.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := value.Validate(b, value.Limits{}); err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		var got any
		if err := value.Unmarshal(b, &got, value.Limits{}); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
		again, err := value.Marshal(got, value.Limits{})
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("written again as %x, %v, want %x", again, err, b)
		}
	})
}

// A record has a field of every kind.
type record struct {
	B   bool
	I   int64
	I8  int8
	U   uint64
	U16 uint16
	F   float64
	S   string `store:"s"`
	Raw []byte
	Arr [3]int16
	L   []string
	M   map[string]float64
	N   map[int32]bool
	P   *record `store:"p,omitempty"`
	E
}

// E is embedded in a record.
type E struct {
	In []map[string]string
}

func anyRecord(depth int) *rapid.Generator[record] {
	return rapid.Custom(func(t *rapid.T) record {
		r := record{
			B:   rapid.Bool().Draw(t, "B"),
			I:   rapid.Int64Range(-value.MaxInteger, value.MaxInteger).Draw(t, "I"),
			I8:  rapid.Int8().Draw(t, "I8"),
			U:   rapid.Uint64Range(0, value.MaxInteger).Draw(t, "U"),
			U16: rapid.Uint16().Draw(t, "U16"),
			F:   anyNumber().Draw(t, "F"),
			S:   anyString().Draw(t, "S"),
			Raw: []byte(anyString().Draw(t, "Raw")),
			Arr: [3]int16{rapid.Int16().Draw(t, "Arr")},
			L:   rapid.SliceOfN(anyString(), 0, 5).Draw(t, "L"),
			M:   rapid.MapOfN(anyString(), anyNumber(), 0, 5).Draw(t, "M"),
			N:   rapid.MapOfN(rapid.Int32(), rapid.Bool(), 0, 5).Draw(t, "N"),
			E:   E{rapid.SliceOfN(rapid.MapOfN(anyString(), anyString(), 0, 3), 0, 3).Draw(t, "In")},
		}
		if depth > 0 && rapid.Bool().Draw(t, "P") {
			p := anyRecord(depth-1).Draw(t, "p")
			r.P = &p
		}
		return r
	})
}

func TestRoundTrip_OfAStruct_IsTheStruct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRecord(2).Draw(t, "record")
		b, err := value.Marshal(want, value.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var got record
		if err := value.Unmarshal(b, &got, value.Limits{}); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
		var plain any
		if err := value.Unmarshal(b, &plain, value.Limits{}); err != nil {
			t.Fatal(err)
		}
		if again, err := value.Marshal(plain, value.Limits{}); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("as plain values it is written as %x, %v, want %x", again, err, b)
		}
	})
}
