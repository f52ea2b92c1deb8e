package value_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/value"
)

// hostile are bytes that are no value, made to cost as much as they can.
var hostile = []struct {
	name  string
	bytes []byte
}{
	{"an array of 4 Gi elements", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}},
	{"a map of 4 Gi elements", []byte{0xdf, 0xff, 0xff, 0xff, 0xff}},
	{"a string of 4 GiB", []byte{0xdb, 0xff, 0xff, 0xff, 0xff}},
	{"a bin of 4 GiB", []byte{0xc6, 0xff, 0xff, 0xff, 0xff}},
	{"a million tables inside each other", bytes.Repeat([]byte{0x91}, 1_000_000)},
	{"a million maps inside each other", bytes.Repeat([]byte{0x81, 0xc3}, 500_000)},
	{"50,000 one-key tables and a truncated tail", append([]byte{0xdd, 0, 0, 0xc3, 0x50},
		append(bytes.Repeat([]byte{0x81, 0xa1, 'k', 0x01}, 49_999), 0x81, 0xa1)...)},
	{"16 KiB of one-key tables and a truncated tail", append([]byte{0xdc, 0x0f, 0xff},
		append(bytes.Repeat([]byte{0x81, 0xa1, 'k', 0x01}, 4094), 0x81, 0xa1)...)},
	{"arrays that each announce all that is left", announcing(300_000)},
}

// announcing returns arrays inside arrays, each of which announces as many elements as there are bytes left.
func announcing(n int) []byte {
	b := make([]byte, n)
	for i := 0; i+5 <= n && i < 5*60; i += 5 {
		left := n - i - 5
		copy(b[i:], []byte{0xdd, byte(left >> 24), byte(left >> 16), byte(left >> 8), byte(left)})
	}
	return b
}

func TestValidate_HostileBytes_AreCorruptAndCheap(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			cheap(t, func() {
				if err := value.Validate(c.bytes, value.Limits{}); !errors.Is(err, value.ErrCorrupt) {
					t.Fatalf("got %v, want ErrCorrupt", err)
				}
			})
		})
	}
}

func TestUnmarshal_HostileBytes_AreCorruptAndCheap(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			cheap(t, func() {
				var v any
				if err := value.Unmarshal(c.bytes, &v, value.Limits{}); !errors.Is(err, value.ErrCorrupt) {
					t.Fatalf("got %v, want ErrCorrupt", err)
				}
			})
		})
	}
}

func TestUnmarshal_RandomKilobytes_AreCheap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 4096)
	cheap(t, func() {
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		for first := range 256 {
			b[0] = byte(first)
			var v any
			if err := value.Unmarshal(b, &v, value.Limits{}); err != nil && !errors.Is(err, value.ErrCorrupt) {
				t.Fatal(err)
			}
		}
	})
}

func TestValidate_RefusesWhatIsNoValue(t *testing.T) {
	for _, c := range []struct {
		name, stored, text string
	}{
		{"nothing", "", "corrupt value: cut short"},
		{"nil", "c0", "corrupt value: byte 0xc0 is no value"},
		{"nil in an array", "91 c0", "corrupt value: byte 0xc0 is no value"},
		{"nil as key", "81 c0 01", "corrupt value: byte 0xc0 is no value"},
		{"the byte that is never used", "c1", "corrupt value: byte 0xc1 is no value"},
		{"ext8", "c7 01 01 00", "corrupt value: byte 0xc7 is no value"},
		{"ext16", "c8 0001 01 00", "corrupt value: byte 0xc8 is no value"},
		{"ext32", "c9 00000001 01 00", "corrupt value: byte 0xc9 is no value"},
		{"fixext1", "d4 01 00", "corrupt value: byte 0xd4 is no value"},
		{"fixext2", "d5 01 00*2", "corrupt value: byte 0xd5 is no value"},
		{"fixext4, a timestamp", "d6 ff 00*4", "corrupt value: byte 0xd6 is no value"},
		{"fixext8", "d7 ff 00*8", "corrupt value: byte 0xd7 is no value"},
		{"fixext16", "d8 01 00*16", "corrupt value: byte 0xd8 is no value"},
		{"2^53+1", "cf 0020000000000001", "corrupt value: integer 9007199254740993 beyond 2^53"},
		{"2^64-1", "cf ffffffffffffffff", "corrupt value: integer 18446744073709551615 beyond 2^53"},
		{"2^53+1 as int64", "d3 0020000000000001", "corrupt value: integer 9007199254740993 beyond ±2^53"},
		{"-2^53-1", "d3 ffdfffffffffffff", "corrupt value: integer -9007199254740993 beyond ±2^53"},
		{"-2^63", "d3 8000000000000000", "corrupt value: integer -9223372036854775808 beyond ±2^53"},
		{"a table as key", "81 90 01", "corrupt value: a table as key"},
		{"a map as key", "81 80 01", "corrupt value: a table as key"},
		{"NaN as key", "81 cb 7ff8000000000001 01", "corrupt value: NaN as key"},
		{"float32 NaN as key", "81 ca 7fc00000 01", "corrupt value: NaN as key"},
		{"a byte behind the value", "01 02", "corrupt value: 1 bytes follow the value"},
		{"a value behind a table", "91 01 a161", "corrupt value: 2 bytes follow the value"},
		{"a map without its last element", "81 a161", "corrupt value: cut short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.stored)
			err := value.Validate(b, value.Limits{})
			if err == nil || err.Error() != c.text || !errors.Is(err, value.ErrCorrupt) {
				t.Errorf("Validate: got %v, want %s", err, c.text)
			}
			var v any
			if err := value.Unmarshal(b, &v, value.Limits{}); !errors.Is(err, value.ErrCorrupt) || v != nil {
				t.Errorf("Unmarshal: got %v, %v, want ErrCorrupt", v, err)
			}
		})
	}
}

// sample has every form in it.
func sample(t testing.TB) []byte {
	return unhex(t, "dd 0000000e"+ // 14 elements
		"81 a161 de 0001 a162 93 01 c2 c3"+
		"cc 80 cd 0100 ce 00010000 cf 0000000100000000"+
		"d0 80 d1 8000 d2 80000000 d3 ffffffff7fffffff"+
		"ca 3f000000 cb 3fb999999999999a"+
		"d9 01 61 da 0001 61 c5 0002 6162")
}

func TestValidate_TruncatedAtEveryByte_IsCorrupt(t *testing.T) {
	b := sample(t)
	if err := value.Validate(b, value.Limits{}); err != nil {
		t.Fatal(err)
	}
	for n := range len(b) {
		// The bytes behind the cut must not be looked at, though they are there.
		if err := value.Validate(b[:n], value.Limits{}); !errors.Is(err, value.ErrCorrupt) {
			t.Errorf("%d of %d bytes: got %v, want ErrCorrupt", n, len(b), err)
		}
	}
}

// nested returns n tables inside each other.
func nested(n int) []byte {
	return append(bytes.Repeat([]byte{0x91}, n-1), 0x90)
}

func TestValidate_HoldsLimits(t *testing.T) {
	str := func(n int) []byte { return value.AppendString(nil, strings.Repeat("a", n)) }
	array := func(n int) []byte { return append(value.AppendArrayHeader(nil, n), make([]byte, n)...) }
	for _, c := range []struct {
		name   string
		limits value.Limits
		good   []byte
		bad    []byte
		text   string
	}{
		{"depth 64", value.Limits{}, nested(64), nested(65), "corrupt value: tables nested too deep"},
		{"depth 64 of maps", value.Limits{}, inMaps(64), inMaps(65), "corrupt value: tables nested too deep"},
		{"depth 3", value.Limits{Depth: 3}, nested(3), nested(4), "corrupt value: tables nested too deep"},
		{"100,000 nodes", value.Limits{}, array(99_999), array(100_000), "corrupt value: too many elements"},
		{"5 nodes in an array", value.Limits{Nodes: 5}, array(4), array(5), "corrupt value: too many elements"},
		{"5 nodes, keys not counted", value.Limits{Nodes: 5}, marshal(t, boolsUnder(4)), marshal(t, boolsUnder(5)),
			"corrupt value: too many elements"},
		{"5 nodes, nested", value.Limits{Nodes: 5}, []byte{0x92, 0x92, 1, 2, 3}, []byte{0x92, 0x92, 1, 2, 0x91, 3},
			"corrupt value: too many elements"},
		{"1 node", value.Limits{Nodes: 1}, array(0), array(1), "corrupt value: too many elements"},
		{"1 MiB", value.Limits{}, str(1<<20 - 5), str(1<<20 - 4), "corrupt value: 1048577 bytes, limit 1048576"},
		{"10 bytes", value.Limits{Bytes: 10}, str(9), str(10), "corrupt value: 11 bytes, limit 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := value.Validate(c.good, c.limits); err != nil {
				t.Errorf("within the limit: %v", err)
			}
			if err := value.Validate(c.bad, c.limits); !errors.Is(err, value.ErrCorrupt) || err.Error() != c.text {
				t.Errorf("beyond the limit: got %v, want %s", err, c.text)
			}
		})
	}
}

// inMaps returns n maps inside each other.
func inMaps(n int) []byte {
	return append(bytes.Repeat([]byte{0x81, 0x01}, n), 0x01)
}

func TestValidate_AllocatesNothing(t *testing.T) {
	for name, b := range map[string][]byte{
		"every form": sample(t), "64 levels": nested(64), "65,536 elements": marshal(t, make([]int, 65536)),
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := value.Validate(b, value.Limits{}); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

func TestValidate_OfWhatIsCutShort_AllocatesNothing(t *testing.T) {
	b := sample(t)
	if n := testing.AllocsPerRun(100, func() {
		if value.Validate(b[:len(b)-1], value.Limits{}) == nil {
			t.Fatal("want an error")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestReader_StringsAliasTheBytes(t *testing.T) {
	b := []byte{0xa1, 'a'}
	r, err := value.NewReader(b, value.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if k, err := r.Next(); k != value.String || err != nil || r.Str != "a" {
		t.Fatalf("Next: %v, %v, %q", k, err, r.Str)
	}
	b[1] = 'b'
	if r.Str != "b" {
		t.Errorf("Str is %q: it was copied, which the hot path must not", r.Str)
	}
}

func TestReader_End_BeforeTheEnd_IsCorrupt(t *testing.T) {
	b := []byte{0x92, 0x01, 0x91, 0x02}
	r, err := value.NewReader(b, value.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if k, err := r.Next(); k != value.Array || r.Len != 2 || err != nil {
		t.Fatalf("Next: %v of %d, %v", k, r.Len, err)
	}
	if err := r.Skip(); err != nil {
		t.Error(err)
	}
	if err := r.End(); err == nil {
		t.Error("End is nil before the end")
	}
	if err := r.Skip(); err != nil || r.End() != nil {
		t.Errorf("Skip: %v, End: %v", err, r.End())
	}
}

func TestParseNumber_IsNumbersOnly(t *testing.T) {
	for _, c := range golden {
		b := unhex(t, c.stored)
		var v any
		if err := value.Unmarshal(b, &v, value.Limits{}); err != nil {
			t.Fatal(err)
		}
		want, isNumber := v.(float64)
		if got, ok := value.ParseNumber(b); ok != isNumber || got != want && want == want {
			t.Errorf("%s: got %v, %v, want %v, %v", c.name, got, ok, want, isNumber)
		}
	}
	for _, s := range []string{"", "c0", "cc", "01 01", "cf ffffffffffffffff", "a131", "cb 3ff0000000000000 00", "91 01"} {
		if got, ok := value.ParseNumber(unhex(t, s)); ok || got != 0 {
			t.Errorf("%q: got %v, %v, want 0, false", s, got, ok)
		}
	}
}

// cheap holds f to what reading one stored value may cost, whatever its bytes are: 50 ms and 16 MB.
func cheap(t *testing.T, f func()) {
	t.Helper()
	boundtest.Cheap(t, 50*time.Millisecond, 16<<20, f)
}

func TestShortString_IsWhatTheReaderReads(t *testing.T) {
	for n := range 300 {
		text := strings.Repeat("s", n)
		for _, b := range [][]byte{
			value.AppendString(nil, text), value.AppendString(nil, text+"\xff"), append(value.AppendString(nil, text), 0),
			value.AppendString(nil, text)[:n], value.AppendNumber(nil, float64(n)), {0x90}, {0xd9}, {0xc4, 1},
		} {
			var read string
			r, err := value.NewReader(b, value.Limits{})
			if err == nil {
				_, err = r.Next()
				read = r.Str
			}
			whole := err == nil && r.End() == nil
			s, ok := value.ShortString(b)
			if isString := len(b) > 0 && (b[0] >= 0xa0 && b[0] <= 0xbf || b[0] == 0xd9 || b[0] == 0xc4); ok != (isString && whole) || ok && s != read {
				t.Errorf("%x: %q, %v; the reader reads %q, %v", b, s, ok, read, err)
			}
		}
	}
}
