package table

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/luastore/store"
)

func TestCheckName(t *testing.T) {
	for _, good := range []string{Default, "a", "_x9", "select", strings.Repeat("n", maxNameBytes)} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "9a", "A", "a-b", "a b", "a.b", `a"b`, "a`b", "a;b", "é", "a\x00", strings.Repeat("n", maxNameBytes+1)} {
		if err := CheckName(bad); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestAfter(t *testing.T) {
	for prefix, want := range map[string]string{
		"": "", "\xff": "", "\xff\xff": "", "a": "b", "a\xff": "b", "a\xff\xff": "b", "a:": "a;", "a\x00": "a\x01", "\xfe\xff": "\xff",
	} {
		if got := After(prefix); got != want {
			t.Errorf("%q: got %q, want %q", prefix, got, want)
		}
	}
}

// TestAfter_BoundsExactlyThePrefix compares the range with the prefix, over short keys of few bytes.
func TestAfter_BoundsExactlyThePrefix(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, random.IntN(4))
		for i := range b {
			b[i] = []byte{0, 1, 'a', 'b', 0xfe, 0xff}[random.IntN(6)]
		}
		return string(b)
	}
	for range 100_000 {
		prefix, key := word(), word()
		end := After(prefix)
		within := key >= prefix && (end == "" || key < end)
		if within != strings.HasPrefix(key, prefix) {
			t.Fatalf("prefix %q, key %q: in the range %v", prefix, key, within)
		}
	}
}

func TestCursor_RoundTrip(t *testing.T) {
	for _, c := range [][2]string{{"", "a:b"}, {"a:", "a:b"}, {"a:", "a:"}, {"a", "a\xff\x00"}} {
		cursor := Cursor(c[0], c[1])
		if cursor == "" {
			t.Errorf("%q: the cursor of the first page", c)
		}
		last, ok, err := ParseCursor(c[0], cursor)
		if last != c[1] || !ok || err != nil {
			t.Errorf("%q: got %q, %v, %v", c, last, ok, err)
		}
	}
}

func TestParseCursor_First_HasNoLastKey(t *testing.T) {
	if _, ok, err := ParseCursor("a", ""); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestParseCursor_Forged_StaysUnderThePrefix(t *testing.T) {
	for _, forged := range []string{"x", "secret:", "\x00", "."} {
		last, ok, err := ParseCursor("a:", forged)
		if err == nil && !(ok && strings.HasPrefix(last, "a:")) || err != nil && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%q: got %q, %v, %v", forged, last, ok, err)
		}
	}
	if !slices.IsSorted([]string{Cursor("a:", "a:b"), Cursor("a:", "a:c")}) {
		t.Error("cursors do not keep the order of keys")
	}
}
