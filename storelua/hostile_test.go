package storelua_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/storelua"
	"github.com/luastore/store/value"
)

// tableOf returns the stored table {[key] = true, …}, its keys in the given order.
func tableOf(keys ...int) []byte {
	b := value.AppendMapHeader(nil, len(keys))
	for _, k := range keys {
		b = append(value.AppendNumber(b, float64(k)), 0xc3)
	}
	return b
}

// span returns the integers from first to last, step apart.
func span(first, last, step int) []int {
	var keys []int
	for k := first; step > 0 && k <= last || step < 0 && k >= last; k += step {
		keys = append(keys, k)
	}
	return keys
}

func shuffled(keys []int) []int {
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

// each returns an array of n times the value b.
func each(n int, b []byte) []byte {
	return append(value.AppendArrayHeader(nil, n), bytes.Repeat(b, n)...)
}

var hostile = []struct {
	name  string
	bytes []byte
}{
	{"an array of 4 Gi elements", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}},
	{"a map of 4 Gi elements", []byte{0xdf, 0xff, 0xff, 0xff, 0xff}},
	{"a string of 4 GiB", []byte{0xdb, 0xff, 0xff, 0xff, 0xff}},
	{"a million tables inside each other", bytes.Repeat([]byte{0x91}, 1_000_000)},
	{"16 KiB of tables inside each other", bytes.Repeat([]byte{0x91}, 16<<10)},
	{"50,000 one-key tables and a truncated tail", cut(each(50_000, []byte{0x81, 0xa1, 'k', 0x01}))},
	{"16 KiB of one-key tables and a truncated tail", cut(each(4095, []byte{0x81, 0xa1, 'k', 0x01}))},
	{"16 KiB of one-position tables and a truncated tail", cut(each(5460, []byte{0x81, 0x01, 0xc3}))},
	{"16 KiB of one-boolean tables and a truncated tail", cut(each(5460, []byte{0x81, 0xc2, 0xc3}))},
	{"16 KiB of small arrays and a truncated tail", cut(each(8000, []byte{0x91, 0xc3}))},
	{"arrays that each announce all that is left", announcing(16 << 10)},
	{"{10000000: true}", tableOf(10_000_000)},
	{"67108863, the largest position", tableOf(67_108_863)},
	{"many tables with positions left empty", each(1000, tableOf(1000))},
	{"positions far apart", tableOf(span(1, 10_000_000, 1000)...)},
	{"positions far apart, descending", tableOf(span(10_000_000, 1, -1000)...)},
	{"positions far apart, in no order", tableOf(shuffled(span(1, 10_000_000, 1000))...)},
	{"the most positions, and one far away", tableOf(append(span(1, 99_998, 1), 10_000_000)...)},
	{"one far away, and the most positions", tableOf(append([]int{10_000_000}, span(1, 99_998, 1)...)...)},
}

func cut(b []byte) []byte { return b[:len(b)-1] }

// announcing returns arrays inside arrays, each of which announces as many elements as there are bytes left.
func announcing(n int) []byte {
	b := make([]byte, n)
	for i := 0; i+5 <= n && i < 5*60; i += 5 {
		left := n - i - 5
		copy(b[i:], []byte{0xdd, byte(left >> 24), byte(left >> 16), byte(left >> 8), byte(left)})
	}
	return b
}

func TestDecode_HostileBytes_AreCorruptAndCheap(t *testing.T) {
	L := newState(t)
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			cheap(t, func() {
				if v, err := storelua.Decode(L, c.bytes, value.Limits{}); v != nil || !errors.Is(err, value.ErrCorrupt) {
					t.Fatalf("got %v, %v, want ErrCorrupt", v, err)
				}
			})
		})
	}
}

// Holes are counted when all keys are known: tables whose keys come in another order than Lua would write are no worse.
func TestDecode_PositionsInAnyOrder_LeaveTheSameHoles(t *testing.T) {
	L := newState(t)
	half := span(1, 1<<16, 2) // leaves 32,767 positions empty
	for name, keys := range map[string][]int{"ascending": half, "descending": span(1<<16-1, 1, -2), "no order": shuffled(slices.Clone(half))} {
		three, err := storelua.Decode(L, each(3, tableOf(keys...)), value.Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(encode(t, three), each(3, tableOf(half...))) {
			t.Errorf("%s: not the same table", name)
		}
	}
}

// Positions within bounds are read, whatever it takes to find out, at no more cost than corrupt ones.
func TestDecode_SparsePositions_AreCheapInAnyOrder(t *testing.T) {
	L := newState(t)
	for _, c := range []struct {
		name string
		keys []int
	}{
		{"one", []int{100_000}},
		{"the farthest", []int{1<<17 + 1}},
		{"two apart", span(1, 1<<17, 2)},
		{"two apart, descending", span(1<<17, 1, -2)},
		{"two apart, in no order", shuffled(span(1, 1<<17, 2))},
		{"all", span(1, 99_999, 1)},
		{"all, descending", span(99_999, 1, -1)},
		{"all, in no order", shuffled(span(1, 99_999, 1))},
		{"the most, far up", span(1<<17, 1<<17+99_998, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := tableOf(c.keys...)
			var v lua.LValue
			var err error
			cheap(t, func() { v, err = storelua.Decode(L, b, value.Limits{}) })
			if err != nil {
				t.Fatal(err)
			}
			tbl := v.(*lua.LTable)
			for _, k := range c.keys {
				if tbl.RawGetInt(k) != lua.LTrue {
					t.Fatalf("[%d] is %v", k, tbl.RawGetInt(k))
				}
			}
		})
	}
}

// cheap holds f to what reading one stored value may cost, whatever its bytes are: 50 ms and 16 MB.
func cheap(t *testing.T, f func()) {
	t.Helper()
	boundtest.Cheap(t, 50*time.Millisecond, 16<<20, f)
}
