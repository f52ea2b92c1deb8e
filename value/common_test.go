package value

import (
	"math/rand/v2"
	"testing"
)

// agrees fails where the short way takes what the long one does not.
func agrees(t *testing.T, b []byte, limits Limits) (taken bool) {
	t.Helper()
	taken = common(b, limits.WithDefaults())
	if err := validateAny(b, limits); taken && err != nil {
		t.Fatalf("taken as common: %x with %+v, but %v", b, limits, err)
	}
	return taken
}

func TestCommon_TakesNothingThatIsNotValid(t *testing.T) {
	limits := Limits{Depth: 2, Nodes: 4, Bytes: 40}
	for i := range 1 << 16 {
		agrees(t, []byte{byte(i >> 8), byte(i)}, limits)
		agrees(t, []byte{byte(i >> 8), byte(i), 0x01, 0xc2}, limits)
	}
	heads := []byte{0x00, 0x81, 0x82, 0x90, 0x91, 0x92, 0xa0, 0xa1, 0xa2, 0xc0, 0xc1, 0xc2, 0xc4, 0xc5, 0xc7, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd3, 0xd4, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff}
	rnd := rand.New(rand.NewPCG(8, 8))
	taken := 0
	for range 300_000 {
		b := make([]byte, 1+rnd.IntN(24))
		for i := range b {
			b[i] = heads[rnd.IntN(len(heads))]
		}
		if agrees(t, b, limits) {
			taken++
		}
	}
	if taken == 0 {
		t.Error("none was common")
	}
}

func TestCommon_TakesWhatIsWrittenMost(t *testing.T) {
	for _, v := range []any{
		true, 0, -1, 127, 128, -129, 70000, 1.5, "", "v", string(make([]byte, 200)), string(make([]byte, 300)),
		map[string]any{"theme": "dark", "size": 14, "rows": []any{map[string]any{"price": 9.95, "on": false}, []any{}}},
		make([]bool, 20), make([]int, 300), map[float64]bool{3: true, 500: false},
	} {
		b, err := Marshal(v, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !agrees(t, b, Limits{}) {
			t.Errorf("%v takes the long way: %x", v, b)
		}
		for i := range b {
			if agrees(t, b[:i], Limits{}) {
				t.Errorf("%v cut after %d bytes is taken", v, i)
			}
		}
	}
}
