package jsonvalue

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/luastore/store/value"
)

// A lexer reads the words of a text in JSON (RFC 8259), strictly: a string is valid UTF-8, and an escape in it never half a character.
type lexer struct {
	text []byte
	pos  int
}

// invalid returns the error for what is at a position.
func (l *lexer) invalid(pos int, format string, args ...any) error {
	args = append([]any{pos + 1}, args...)
	return value.Errorf(value.ErrInvalid, "invalid JSON at column %d: "+format, args...)
}

// want returns the error for what is not there.
func (l *lexer) want(what string) error {
	if l.pos >= len(l.text) {
		return l.invalid(l.pos, "want %s, but the text ends", what)
	}
	r, _ := utf8.DecodeRune(l.text[l.pos:])
	return l.invalid(l.pos, "want %s, not %s", what, strconv.QuoteRune(r))
}

// end reports what follows the value.
func (l *lexer) end() error {
	if l.space(); l.pos < len(l.text) {
		return l.want("nothing after the value")
	}
	return nil
}

// space passes over white space.
func (l *lexer) space() {
	for l.pos < len(l.text) && bytes.IndexByte([]byte(" \t\r\n"), l.text[l.pos]) >= 0 {
		l.pos++
	}
}

// peek returns the next byte, 0 at the end.
func (l *lexer) peek() byte {
	if l.pos < len(l.text) {
		return l.text[l.pos]
	}
	return 0
}

// take passes over c if it is next.
func (l *lexer) take(c byte) bool {
	if l.peek() != c || l.pos >= len(l.text) {
		return false
	}
	l.pos++
	return true
}

// takeWord passes over a word if it is next.
func (l *lexer) takeWord(word string) bool {
	if !bytes.HasPrefix(l.text[l.pos:], []byte(word)) {
		return false
	}
	l.pos += len(word)
	return true
}

// quoted reads a string, behind white space.
func (l *lexer) quoted() (string, error) {
	if l.space(); !l.take('"') {
		return "", l.want(`a string in "quotes"`)
	}
	start, escaped := l.pos, false
	for ; l.peek() != '"'; l.pos++ {
		switch c := l.peek(); {
		case l.pos >= len(l.text):
			return "", l.want(`the end of a string, "`)
		case c < ' ':
			return "", l.invalid(l.pos, "want control characters in strings escaped, this one as \\u%04x", c)
		case c == '\\':
			escaped = true
			l.pos++ // what follows is no end of the string
		}
	}
	raw := l.text[start:l.pos]
	l.pos++
	if !utf8.Valid(raw) {
		return "", l.invalid(start, "want strings in UTF-8, this one is not")
	}
	if !escaped {
		return string(raw), nil
	}
	return l.unescape(raw, start)
}

// unescape returns a string, of which the text begins at start, with the characters that its escapes mean.
func (l *lexer) unescape(raw []byte, start int) (string, error) {
	s := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		plain := bytes.IndexByte(raw[i:], '\\')
		if plain < 0 {
			return string(append(s, raw[i:]...)), nil
		}
		s = append(s, raw[i:i+plain]...)
		i += plain
		r, size := escape(raw[i:])
		if size == 0 {
			return "", l.invalid(start+i, `want \n, \t, \", \\ or \u and four hexadecimal digits, of both halves where a character has two`)
		}
		s = utf8.AppendRune(s, r)
		i += size
	}
	return string(s), nil
}

// escape reads an escape and returns what it means and how long it is: 0 if it means nothing.
func escape(raw []byte) (r rune, size int) {
	if len(raw) < 2 {
		return 0, 0
	}
	switch c := raw[1]; c {
	case 'u':
		return escapedRune(raw)
	case '/':
		return '/', 2
	default:
		for r, letter := range short {
			if letter == c {
				return r, 2
			}
		}
	}
	return 0, 0
}

// escapedRune is escape for one or two units of UTF-16.
func escapedRune(raw []byte) (r rune, size int) {
	first, ok := unit(raw)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := unit(raw[6:])
	if r = utf16.DecodeRune(first, second); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// unit reads the escape of one unit of UTF-16.
func unit(raw []byte) (rune, bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	return rune(u), err == nil
}

// digits reads a number and tells whether it is written as an integer.
func (l *lexer) digits() (text string, integer bool, err error) {
	start := l.pos
	l.take('-')
	switch {
	case l.take('0'): // nothing follows it
	case l.run() == 0:
		return "", false, l.want("a digit")
	}
	integer = true
	if l.take('.') {
		integer = false
		if l.run() == 0 {
			return "", false, l.want("a digit after the point")
		}
	}
	if l.take('e') || l.take('E') {
		integer = false
		if !l.take('+') {
			l.take('-')
		}
		if l.run() == 0 {
			return "", false, l.want("a digit of the exponent")
		}
	}
	return string(l.text[start:l.pos]), integer, nil
}

// run passes over digits and returns how many there were.
func (l *lexer) run() int {
	start := l.pos
	for c := l.peek(); c >= '0' && c <= '9'; c = l.peek() {
		l.pos++
	}
	return l.pos - start
}
