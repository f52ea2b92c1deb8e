package luatext

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// AppendString appends a string in double quotes. What people can read stays as it is; quotes, backslashes, control characters, bytes
// that are no UTF-8, and characters that have no width or turn the direction of the text are escaped.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if plain(r, size) {
			dst = append(dst, s[:size]...)
		} else {
			dst = escape(dst, s, size)
		}
		s = s[size:]
	}
	return append(dst, '"')
}

// AppendKey appends a string as the key of a table constructor, in front of its " = ": a name as it is, any other string as in ["x y"].
func AppendKey(dst []byte, key string) []byte {
	if isName(key) {
		return append(dst, key...)
	}
	dst = append(dst, '[')
	dst = AppendString(dst, key)
	return append(dst, ']')
}

// Printable reports whether a terminal shows all of a text and obeys none of it.
func Printable(s string) bool {
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") || !visible(r) {
			return false
		}
	}
	return true
}

// plain reports whether a character, which takes size bytes, stands for itself in a string of Lua.
func plain(r rune, size int) bool {
	broken := r == utf8.RuneError && size == 1
	return !broken && r != '"' && r != '\\' && visible(r)
}

// visible reports whether a terminal shows a character.
func visible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// escape appends the first size bytes of s as escapes.
func escape(dst []byte, s string, size int) []byte {
	for i := range size {
		dst = append(dst, '\\')
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, c)
		case '\n':
			dst = append(dst, 'n')
		case '\r':
			dst = append(dst, 'r')
		case '\t':
			dst = append(dst, 't')
		default:
			dst = appendCode(dst, c, i+1 < len(s) && isDigit(s[i+1]))
		}
	}
	return dst
}

// appendCode appends a byte in decimal, in three digits where another digit follows that would be taken for one of them.
func appendCode(dst []byte, c byte, digitFollows bool) []byte {
	if digitFollows {
		return append(dst, '0'+c/100, '0'+c/10%10, '0'+c%10)
	}
	return strconv.AppendUint(dst, uint64(c), 10)
}

// isName reports whether Lua takes s for a name.
func isName(s string) bool {
	for i := range len(s) {
		if !isLetter(s[i]) && (i == 0 || !isDigit(s[i])) {
			return false
		}
	}
	return s != "" && !isReserved(s)
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// isReserved reports whether s is a word of the language: of Lua 5.1, and goto, which gopher-lua has besides.
func isReserved(s string) bool {
	return slices.Contains([]string{
		"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil", "not", "or",
		"repeat", "return", "then", "true", "until", "while",
	}, s)
}
