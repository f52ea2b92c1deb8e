// Package jsonvalue is a form in JSON of stored values (package value) that loses nothing: [Parse] of what [Append] wrote are the
// same bytes again, whatever they are.
//
// Booleans, finite numbers, strings of UTF-8, arrays and tables whose keys are strings are what JSON has for them; a table keeps the
// order of its keys, and an empty one is []. A value with anything else in it is written as a whole in another way,
//
//	{"$stored": "base64 of the stored bytes"}
//
// which is for NaN and the infinities, strings that are no UTF-8, tables with keys of several types, values that another program wrote in a
// form that this module would not have, and one that is such an object itself. So is a value whose JSON is more than twice as long as
// its stored form and 32 KiB besides, which bounds what a reader has to take for one value.
package jsonvalue

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/luastore/store/value"
)

// wrapper is the key of an object that holds the stored bytes of a value.
const wrapper = "$stored"

// MaxLen returns the length that Append does not exceed for a value whose stored form has so many bytes.
func MaxLen(stored int) int { return 2*stored + slack }

// slack is how much longer than twice its stored form a value in JSON may be.
const slack = 32 << 10

// widest are the limits of the largest values that a store can be made to take.
var widest = value.Limits{Depth: 1000, Nodes: 1 << 30, Bytes: 1 << 30}

// Append appends a stored value to dst, on one line. Control characters and others that do not print are escaped: nothing in a value
// commands a terminal. Bytes that are no value are appended as well, in the form that Parse refuses.
func Append(dst, stored []byte) []byte {
	r, err := value.NewReader(stored, widest)
	p := printer{r: r, rest: stored, out: dst, most: len(dst) + MaxLen(len(stored))}
	if err == nil && p.whole() {
		return p.out
	}
	dst = append(dst, `{"`+wrapper+`":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, stored)
	return append(dst, `"}`...)
}

// A printer writes a value as long as that is what Parse would make the same bytes of.
type printer struct {
	r       value.Reader
	rest    []byte // what the reader has not read yet
	out     []byte
	most    int    // length of out that is too long
	scratch []byte // canonical form of what was read last
}

// whole writes the value from end to end and reports whether it could.
func (p *printer) whole() bool {
	kind, err := p.r.Next()
	if err != nil || kind == value.Map && p.r.Len == 1 && p.looksWrapped() {
		return false
	}
	return p.write(kind) && p.r.End() == nil && len(p.out) <= p.most
}

// looksWrapped reports whether the table whose header was read has the key of a wrapper first.
func (p *printer) looksWrapped() bool {
	ahead := p.r
	kind, err := ahead.Key()
	return err == nil && kind == value.String && ahead.Str == wrapper
}

// next writes the next value.
func (p *printer) next() bool {
	kind, err := p.r.Next()
	return err == nil && p.write(kind)
}

// write writes the value of which the first thing was read.
func (p *printer) write(kind value.Kind) bool {
	switch kind {
	case value.Bool:
		p.out = strconv.AppendBool(p.out, p.r.Bool)
		return p.canonical(value.AppendBool(p.scratch, p.r.Bool))
	case value.Number:
		return p.number()
	case value.String:
		return p.str()
	}
	if len(p.out) > p.most || p.r.Deeper() != nil {
		return false
	}
	defer p.r.Up()
	if kind == value.Array {
		return p.array(p.r.Len)
	}
	return p.table(p.r.Len)
}

// canonical reports whether form, the canonical one of what was read, is how it is stored.
func (p *printer) canonical(form []byte) bool {
	p.scratch = form[:0]
	if !bytes.HasPrefix(p.rest, form) {
		return false
	}
	p.rest = p.rest[len(form):]
	return true
}

func (p *printer) number() bool {
	f := p.r.Num
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return false
	}
	p.out = appendNumber(p.out, f)
	return p.canonical(value.AppendNumber(p.scratch, f))
}

// appendNumber writes a finite number so that it reads back as the same one: only what is an integer to a Lua script as well is written
// as one.
func appendNumber(dst []byte, f float64) []byte {
	size := math.Abs(f)
	switch {
	case f == 0 && math.Signbit(f):
		return append(dst, "-0"...)
	case f == math.Trunc(f) && size <= value.MaxInteger:
		return strconv.AppendInt(dst, int64(f), 10)
	case size > value.MaxInteger || size < 1e-6:
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

func (p *printer) str() bool {
	s := p.r.Str
	if !utf8.ValidString(s) {
		return false
	}
	p.out = AppendString(p.out, s)
	return p.canonical(value.AppendString(p.scratch, s))
}

func (p *printer) array(n int) bool {
	if !p.canonical(value.AppendArrayHeader(p.scratch, n)) {
		return false
	}
	p.out = append(p.out, '[')
	for i := range n {
		if i > 0 {
			p.out = append(p.out, ',')
		}
		if !p.next() {
			return false
		}
	}
	p.out = append(p.out, ']')
	return true
}

func (p *printer) table(n int) bool {
	if !p.canonical(value.AppendMapHeader(p.scratch, n)) {
		return false
	}
	seen := make(map[string]bool, n)
	p.out = append(p.out, '{')
	for i := range n {
		if i > 0 {
			p.out = append(p.out, ',')
		}
		kind, err := p.r.Key()
		if err != nil || kind != value.String || seen[p.r.Str] {
			return false
		}
		seen[p.r.Str] = true
		if !p.str() {
			return false
		}
		p.out = append(p.out, ':')
		if !p.next() {
			return false
		}
	}
	p.out = append(p.out, '}')
	return true
}

// AppendString appends a string of valid UTF-8 in quotes. Characters that do not print are escaped.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0 // where what is not written yet begins
	for i, r := range s {
		if r >= ' ' && r < utf8.RuneSelf && r != '"' && r != '\\' && r != 0x7f || r >= utf8.RuneSelf && unicode.IsPrint(r) {
			continue
		}
		dst = append(dst, s[plain:i]...)
		dst = appendEscape(dst, r)
		plain = i + utf8.RuneLen(r)
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

// short are the characters whose escape has a letter.
var short = map[rune]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}

func appendEscape(dst []byte, r rune) []byte {
	if letter, ok := short[r]; ok {
		return append(dst, '\\', letter)
	}
	if r > 0xffff {
		r -= 0x10000
		return appendUnit(appendUnit(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	return appendUnit(dst, r)
}

// appendUnit appends the escape of one unit of UTF-16.
func appendUnit(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&0xf], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
}
