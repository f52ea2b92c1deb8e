package value_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/luastore/store/value"
)

func FuzzValidate(f *testing.F) {
	for _, c := range golden {
		if b := unhex(f, c.stored); len(b) < 1000 {
			f.Add(b)
		}
	}
	f.Add(sample(f))
	f.Add(nested(65))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v any
		err := value.Validate(b, value.Limits{})
		if failed := value.Unmarshal(b, &v, value.Limits{}); (failed == nil) != (err == nil) {
			t.Fatalf("Validate says %v, Unmarshal %v", err, failed)
		}
		if err != nil {
			if !errors.Is(err, value.ErrCorrupt) {
				t.Fatalf("%v is no ErrCorrupt", err)
			}
			return
		}
		canonical := marshal(t, v)
		if err := value.Validate(canonical, value.Limits{Bytes: 10 << 20}); err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		var again any
		if err := value.Unmarshal(canonical, &again, value.Limits{Bytes: 10 << 20}); err != nil {
			t.Fatal(err)
		}
		if twice := marshal(t, again); !bytes.Equal(twice, canonical) {
			t.Fatalf("written as %x, then as %x", canonical, twice)
		}
	})
}

func FuzzParseNumber(f *testing.F) {
	for _, c := range golden {
		if b := unhex(f, c.stored); len(b) < 12 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := value.ParseNumber(b)
		var v any
		err := value.Unmarshal(b, &v, value.Limits{})
		want, isNumber := v.(float64)
		if ok != (err == nil && isNumber) || ok && got != want && want == want {
			t.Fatalf("got %v, %v, Unmarshal %v, %v", got, ok, v, err)
		}
		if !ok {
			return
		}
		if back, ok := value.ParseNumber(value.AppendNumber(nil, got)); !ok || back != got && got == got {
			t.Fatalf("%v comes back as %v, %v", got, back, ok)
		}
	})
}
