package value_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/luastore/store/value"
)

// golden pairs Go values with the one form in which they are stored. "xx*n" in the form stands for n times the byte xx.
var golden = []struct {
	name   string
	value  any
	stored string
}{
	{"false", false, "c2"},
	{"true", true, "c3"},

	{"0", 0, "00"},
	{"127, the largest of one byte", 127, "7f"},
	{"128", 128, "cc 80"},
	{"255, the largest uint8", 255, "cc ff"},
	{"256", 256, "cd 0100"},
	{"65535, the largest uint16", 65535, "cd ffff"},
	{"65536", 65536, "ce 00010000"},
	{"2^32-1, the largest uint32", 1<<32 - 1, "ce ffffffff"},
	{"2^32", 1 << 32, "cf 0000000100000000"},
	{"2^53-1", 1<<53 - 1, "cf 001fffffffffffff"},
	{"2^53, the largest integer", 1 << 53, "cf 0020000000000000"},
	{"2^53+2, a float", float64(1<<53 + 2), "cb 4340000000000001"},
	{"-1", -1, "ff"},
	{"-32, the smallest of one byte", -32, "e0"},
	{"-33", -33, "d0 df"},
	{"-128, the smallest int8", -128, "d0 80"},
	{"-129", -129, "d1 ff7f"},
	{"-32768, the smallest int16", -32768, "d1 8000"},
	{"-32769", -32769, "d2 ffff7fff"},
	{"-2^31, the smallest int32", -1 << 31, "d2 80000000"},
	{"-2^31-1", -1<<31 - 1, "d3 ffffffff7fffffff"},
	{"-2^53, the smallest integer", -1 << 53, "d3 ffe0000000000000"},
	{"-2^53-2, a float", -float64(1<<53 + 2), "cb c340000000000001"},

	{"1.0 as integer", 1.0, "01"},
	{"1.5", 1.5, "cb 3ff8000000000000"},
	{"0.1", 0.1, "cb 3fb999999999999a"},
	{"a float32 as float64", float32(0.5), "cb 3fe0000000000000"},
	{"-0", math.Copysign(0, -1), "cb 8000000000000000"},
	{"+inf", math.Inf(1), "cb 7ff0000000000000"},
	{"-inf", math.Inf(-1), "cb fff0000000000000"},
	{"NaN", math.NaN(), "cb 7ff8000000000001"},
	{"a NaN with other bits", math.Float64frombits(0xfff8000000000042), "cb 7ff8000000000001"},
	{"the smallest float", math.SmallestNonzeroFloat64, "cb 0000000000000001"},
	{"the largest float", math.MaxFloat64, "cb 7fefffffffffffff"},

	{"an empty string", "", "a0"},
	{"a string of 31 bytes, the longest fixstr", strings.Repeat("a", 31), "bf 61*31"},
	{"a string of 32 bytes", strings.Repeat("a", 32), "d9 20 61*32"},
	{"a string of 255 bytes, the longest str8", strings.Repeat("a", 255), "d9 ff 61*255"},
	{"a string of 256 bytes", strings.Repeat("a", 256), "da 0100 61*256"},
	{"a string of 65535 bytes, the longest str16", strings.Repeat("a", 65535), "da ffff 61*65535"},
	{"a string of 65536 bytes", strings.Repeat("a", 65536), "db 00010000 61*65536"},
	{"UTF-8", "é€😀", "a9 c3a9 e282ac f09f9880"},
	{"a zero byte is UTF-8", "\x00", "a1 00"},
	{"what is no UTF-8", "\xff", "c4 01 ff"},
	{"half of a character", "é"[:1], "c4 01 c3"},
	{"a surrogate", "\xed\xa0\x80", "c4 03 eda080"},
	{"255 bytes, the longest bin8", strings.Repeat("\xff", 255), "c4 ff ff*255"},
	{"256 bytes", strings.Repeat("\xff", 256), "c5 0100 ff*256"},
	{"65535 bytes, the longest bin16", strings.Repeat("\xff", 65535), "c5 ffff ff*65535"},
	{"65536 bytes", strings.Repeat("\xff", 65536), "c6 00010000 ff*65536"},

	{"an empty array", []int{}, "90"},
	{"an empty map", map[string]int{}, "90"},
	{"an array of 15, the longest fixarray", make([]int, 15), "9f 00*15"},
	{"an array of 16", make([]int, 16), "dc 0010 00*16"},
	{"an array of 65535, the longest array16", make([]int, 65535), "dc ffff 00*65535"},
	{"an array of 65536", make([]int, 65536), "dd 00010000 00*65536"},
	{"nested empty tables", []any{[]any{}, map[string]any{}}, "92 90 90"},
	{"keys 1 to n are an array", map[int]string{2: "b", 1: "a", 3: "c"}, "93 a161 a162 a163"},
	{"keys 1 to n as floats are an array", map[float64]bool{1: true, 2: false}, "92 c3 c2"},
	{"keys with a gap are a map", map[int]int{1: 1, 3: 3}, "82 01 01 03 03"},
	{"keys from 0 are a map", map[int]int{0: 0, 1: 1}, "82 00 00 01 01"},
	{"keys 1 to n and another are a map", map[any]int{1: 1, "a": 2}, "82 01 01 a161 02"},
	{"string keys are sorted by their stored form", map[string]int{"b": 1, "a": 2, "aa": 3}, "83 a161 02 a162 01 a26161 03"},
	{"keys of each kind", map[any]int{false: 1, true: 2, -1: 3, 1.5: 4, "k": 5}, "85 a16b 05 c2 01 c3 02 cb 3ff8000000000000 04 ff 03"},
	{"the key -0 is 0", map[float64]int{math.Copysign(0, -1): 1}, "81 00 01"},
	{"the key 2.0 is 2", map[float64]int{2: 1}, "81 02 01"},
	{"the key inf", map[float64]int{math.Inf(1): 1}, "81 cb 7ff0000000000000 01"},
	{"a key that is no UTF-8", map[string]int{"\xff": 1}, "81 c401ff 01"},
	{"a map of 15, the largest fixmap", boolsUnder(15), "8f" + pairs(15)},
	{"a map of 16", boolsUnder(16), "de 0010" + pairs(16)},
}

// boolsUnder returns {-1 = true, …, -n = true}.
func boolsUnder(n int) map[int]bool {
	m := map[int]bool{}
	for i := range n {
		m[-1-i] = true
	}
	return m
}

// pairs returns the stored pairs of boolsUnder(n), for n up to 32.
func pairs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " %02x c3", 0x100-n+i)
	}
	return b.String()
}

// unhex returns the bytes that a stored form of the table above stands for.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for _, word := range strings.Fields(s) {
		n := 1
		if digits, count, repeated := strings.Cut(word, "*"); repeated {
			word = digits
			if _, err := fmt.Sscan(count, &n); err != nil {
				t.Fatal(err)
			}
		}
		b, err := hex.DecodeString(word)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Repeat(b, n)...)
	}
	return out
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := value.Marshal(v, value.Limits{})
	if err != nil {
		t.Fatalf("Marshal(%#v): %v", v, err)
	}
	return b
}

func TestMarshal_WritesGoldenBytes(t *testing.T) {
	for _, c := range golden {
		t.Run(c.name, func(t *testing.T) {
			want := unhex(t, c.stored)
			if got := marshal(t, c.value); !bytes.Equal(got, want) {
				t.Errorf("got %.60x, want %.60x", got, want)
			}
		})
	}
}

func TestMarshal_MapsOfEachHeader(t *testing.T) {
	for n, head := range map[int]string{65535: "de ffff", 65536: "df 00010000"} {
		got := marshal(t, boolsUnder(n))
		if want := unhex(t, head); !bytes.HasPrefix(got, want) {
			t.Errorf("a map of %d begins with %x, want %x", n, got[:5], want)
		}
		if err := value.Validate(got, value.Limits{}); err != nil {
			t.Errorf("a map of %d: %v", n, err)
		}
	}
}

func TestUnmarshal_GoldenBytesReadBackAndAreWrittenTheSame(t *testing.T) {
	for _, c := range golden {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.stored)
			var got any
			if err := value.Unmarshal(b, &got, value.Limits{}); err != nil {
				t.Fatal(err)
			}
			if again := marshal(t, got); !bytes.Equal(again, b) {
				t.Errorf("%.60x was read as %.100v and written as %.60x", b, got, again)
			}
			same := reflect.New(reflect.TypeOf(c.value))
			if err := value.Unmarshal(b, same.Interface(), value.Limits{}); err != nil {
				t.Fatal(err)
			}
			if again := marshal(t, same.Interface()); !bytes.Equal(again, b) {
				t.Errorf("%.60x was read as %.100v and written as %.60x", b, same.Elem(), again)
			}
		})
	}
}

// What other writers of MessagePack write is read wherever it means a value, and written again in the one form.
func TestUnmarshal_ReadsEveryForm(t *testing.T) {
	for _, c := range []struct {
		name, stored, canonical string
	}{
		{"uint8", "cc 01", "01"},
		{"uint16", "cd 0001", "01"},
		{"uint32", "ce 00000001", "01"},
		{"uint64", "cf 0000000000000001", "01"},
		{"positive int8", "d0 01", "01"},
		{"positive int16", "d1 0001", "01"},
		{"positive int32", "d2 00000001", "01"},
		{"positive int64", "d3 0000000000000001", "01"},
		{"negative int8", "d0 ff", "ff"},
		{"negative int16", "d1 ffff", "ff"},
		{"negative int32", "d2 ffffffff", "ff"},
		{"negative int64", "d3 ffffffffffffffff", "ff"},
		{"a whole float64", "cb 3ff0000000000000", "01"},
		{"a whole float32", "ca 3f800000", "01"},
		{"a broken float32", "ca 3f000000", "cb 3fe0000000000000"},
		{"float32 inf", "ca 7f800000", "cb 7ff0000000000000"},
		{"float32 NaN", "ca 7fc00001", "cb 7ff8000000000001"},
		{"float32 -0", "ca 80000000", "cb 8000000000000000"},
		{"str8", "d9 01 61", "a161"},
		{"str16", "da 0001 61", "a161"},
		{"str32", "db 00000001 61", "a161"},
		{"bin that is UTF-8", "c4 01 61", "a161"},
		{"bin16", "c5 0001 61", "a161"},
		{"bin32", "c6 00000001 61", "a161"},
		{"str that is no UTF-8", "a1 ff", "c4 01 ff"},
		{"array16", "dc 0001 01", "91 01"},
		{"array32", "dd 00000001 01", "91 01"},
		{"map16", "de 0001 a161 01", "81 a161 01"},
		{"map32", "df 00000001 a161 01", "81 a161 01"},
		{"an empty map", "80", "90"},
		{"an empty map32", "df 00000000", "90"},
		{"an array as a map", "82 02 a162 01 a161", "92 a161 a162"},
		{"the key -0", "81 cb 8000000000000000 01", "81 00 01"},
		{"a key twice: the last counts", "82 a161 01 a161 02", "81 a161 02"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got any
			if err := value.Unmarshal(unhex(t, c.stored), &got, value.Limits{}); err != nil {
				t.Fatal(err)
			}
			if again, want := marshal(t, got), unhex(t, c.canonical); !bytes.Equal(again, want) {
				t.Errorf("read as %v and written as %x, want %x", got, again, want)
			}
		})
	}
}
