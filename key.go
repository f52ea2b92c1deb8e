package store

import (
	"strings"
	"unicode/utf8"
)

// CheckKey reports, as an [ErrInvalid], whether key is not of the form "namespace:name": split at the first colon, both
// parts non-empty, valid UTF-8 without control characters (C0, DEL, C1). Its length is limited elsewhere, see [Limits].
func CheckKey(key string) error {
	colon := -1
	ascii := true
	for i := 0; i < len(key); i++ {
		switch c := key[i]; {
		case c < 0x20 || c == 0x7f:
			return Errorf(ErrInvalid, "invalid key %s: control character at byte %d", quote(key), i)
		case c == ':' && colon < 0:
			colon = i
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if colon < 1 || colon == len(key)-1 {
		return Errorf(ErrInvalid, `invalid key %s: want "namespace:name"`, quote(key))
	}
	if !ascii {
		return checkText("key", key)
	}
	return nil
}

// plainKey reports whether key is valid and all ASCII, as nearly all keys are. False says nothing: see [CheckKey].
func plainKey(key string) bool {
	n := len(key)
	if colon := strings.IndexByte(key, ':'); colon < 1 || colon == n-1 {
		return false
	}
	if n < 8 {
		for i := range n {
			if key[i]-0x20 > 0x7e-0x20 {
				return false
			}
		}
		return true
	}
	var odd uint64
	for i := 0; i+8 < n; i += 8 {
		odd |= oddBytes(key[i : i+8])
	}
	return odd|oddBytes(key[n-8:]) == 0
}

// oddBytes returns 0 if the first eight bytes of s are all printable ASCII.
func oddBytes(s string) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	_ = s[7]
	x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	del := x ^ 0x7f*ones
	return (x | (x - 0x20*ones) | (del - ones)) & tops
}

// checkText reports whether text, which is a key or a prefix, is not valid UTF-8 or has a control character.
func checkText(what, text string) error {
	if !utf8.ValidString(text) {
		return Errorf(ErrInvalid, "invalid %s %s: not valid UTF-8", what, quote(text))
	}
	if strings.ContainsFunc(text, isControl) {
		return Errorf(ErrInvalid, "invalid %s %s: control character", what, quote(text))
	}
	return nil
}

// isControl reports whether r is a control character: C0, DEL or C1.
func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }
