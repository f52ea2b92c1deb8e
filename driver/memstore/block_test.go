package memstore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// indexed returns the keys of an index from a position on.
func indexed(x *index, from string) (keys []string) {
	x.ascend(from, func(key []byte) bool { keys = append(keys, string(key)); return true })
	return keys
}

// verifyIndex fails unless the leaves of an index are those that it says to keep, and hold those keys.
func verifyIndex(tb testing.TB, x *index, want map[string]bool) {
	tb.Helper()
	sorted := slices.Sorted(maps.Keys(want))
	if got := indexed(x, ""); !slices.Equal(got, sorted) {
		tb.Fatalf("the index holds %q, want %q", got, sorted)
	}
	for _, from := range sorted {
		x.ascend(from+"\x00", func(key []byte) bool {
			if string(key) <= from {
				tb.Fatalf("after %q comes %q", from, key)
			}
			return false
		})
	}
	first := true
	x.tree.Scan(func(l leaf) bool {
		r := reader{b: l.keys}
		keys := 0
		for ; r.next(); keys++ {
			if string(r.key) < l.from {
				tb.Fatalf("the leaf from %q holds %q", l.from, r.key)
			}
		}
		// A removal may leave a key longer than it was: it no longer has its neighbour to share with.
		if len(l.keys.data) > blockBytes+1100 && keys > 1 {
			tb.Fatalf("the leaf from %q has %d bytes for %d keys", l.from, len(l.keys.data), keys)
		}
		if (l.from == "") != first || !first && len(l.keys.data) == 0 {
			tb.Fatalf("leaf from %q with %d bytes", l.from, len(l.keys.data))
		}
		first = false
		return true
	})
}

// keyKinds are keys that share much, little, or all but their length.
var keyKinds = map[string]func(r *rand.Rand) string{
	"numbers": func(r *rand.Rand) string { return fmt.Sprintf("session:%06d", r.IntN(5000)) },
	"bytes": func(r *rand.Rand) string {
		return strings.Repeat("ab\xff"[r.IntN(3):][:1], r.IntN(40)) + fmt.Sprint(r.IntN(4))
	},
	"prefixes": func(r *rand.Rand) string { return strings.Repeat("k", 1+r.IntN(300)) },
	"long":     func(r *rand.Rand) string { return strings.Repeat("k", 900+r.IntN(100)) + fmt.Sprint(r.IntN(100)) },
	"few":      func(r *rand.Rand) string { return string(rune('a' + r.IntN(8))) },
}

func TestIndex_OfKeysThatComeAndGo_HoldsWhatIsLeftInOrder(t *testing.T) {
	for name, key := range keyKinds {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			var x index
			x.init()
			want := map[string]bool{}
			for round := range 6 {
				for range 1000 {
					k := key(r)
					if r.IntN(6) < 5-round { // grows at first and shrinks in the end
						x.add(k)
						want[k] = true
					} else {
						x.remove(k)
						delete(want, k)
					}
				}
				verifyIndex(t, &x, want)
			}
			for k := range want {
				x.remove(k)
			}
			verifyIndex(t, &x, nil)
			if n := x.tree.Len(); n != 1 {
				t.Errorf("%d leaves are left of no keys, want the first", n)
			}
		})
	}
}

// An index that lost nearly all of its keys must not keep the memory of all.
func TestIndex_OfWhichLittleIsLeft_IsSmall(t *testing.T) {
	var x index
	x.init()
	const n = 50_000
	for i := range n {
		x.add(fmt.Sprintf("session:%08d", i))
	}
	full := x.tree.Len()
	for i := range n {
		if i%100 != 0 {
			x.remove(fmt.Sprintf("session:%08d", i))
		}
	}
	if left := x.tree.Len(); left*20 > full {
		t.Errorf("%d of %d leaves are left for a hundredth of the keys", left, full)
	}
}

func TestIndex_OfCountingKeys_TakesFewBytesForEach(t *testing.T) {
	var x index
	x.init()
	const n = 50_000
	for _, i := range rand.Perm(n) {
		x.add(fmt.Sprintf("session:%08d", i))
	}
	bytes := 0
	x.tree.Scan(func(l leaf) bool { bytes += cap(l.keys.data); return true })
	if each := bytes / n; each > 8 {
		t.Errorf("a key takes %d bytes, want at most 8", each)
	}
}

// FuzzIndex takes each byte pair as an operation: what to do and on which of a few keys that share bytes.
func FuzzIndex(f *testing.F) {
	f.Add("a0b1", "key", uint8(3))
	f.Add("\x00\x01\x02\x81\x82", strings.Repeat("x", 200), uint8(200))
	f.Fuzz(func(t *testing.T, steps, text string, cut uint8) {
		var x index
		x.init()
		want := map[string]bool{}
		for i := range len(steps) {
			b := steps[i]
			key := text[:min(int(b&0x3f)*int(cut)/16, len(text))] + string(rune(b&7))
			if b < 0xc0 {
				x.add(key)
				want[key] = true
			} else {
				x.remove(key)
				delete(want, key)
			}
		}
		verifyIndex(t, &x, want)
	})
}
