package store

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlainKey_AgreesWithCheckKey(t *testing.T) {
	agree := func(key string) {
		t.Helper()
		ascii := strings.IndexFunc(key, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
		if got, want := plainKey(key), CheckKey(key) == nil && ascii; got != want {
			t.Fatalf("plainKey(%q) = %v, want %v", key, got, want)
		}
	}
	for n := range 27 { // more than three steps of eight bytes
		for i := range n {
			for c := range 256 {
				key := []byte(strings.Repeat("k", n))
				key[i] = byte(c)
				agree(string(key)) // without a colon, but for one
				key[n/2] = ':'
				agree(string(key))
				key[n/2], key[(i+1)%n] = 'k', 0x1f // a second byte that is odd, next to the first
				agree(string(key))
			}
		}
	}
}
