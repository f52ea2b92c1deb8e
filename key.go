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
