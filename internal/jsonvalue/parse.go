package jsonvalue

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/luastore/store/value"
)

// Parse returns the stored form of a value in JSON, as [Append] writes it or a person does; {} is the empty table as [] is. What JSON
// has and a value cannot be is refused with its place: null, integers beyond ±2^53, which a number would not hold exactly, a key that
// comes twice. The error is a [value.ErrInvalid], or a [value.ErrTooLarge] for a value beyond limits.
func Parse(text []byte, limits value.Limits) (stored []byte, err error) {
	p := parser{lexer: lexer{text: text}, limits: limits.WithDefaults()}
	if stored, err = p.whole(); err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return stored, nil
}

// Members calls do with each member of an object in JSON, in order: its name, and its value in stored form as Parse returns it, with the
// place in errors beginning at the name. No name comes twice. An error of do ends it and is returned as it is.
func Members(text []byte, limits value.Limits, do func(name string, stored []byte) error) error {
	p := parser{lexer: lexer{text: text}, limits: limits.WithDefaults()}
	if p.space(); !p.take('{') {
		return p.want("an object, {")
	}
	seen := map[string]bool{}
	for first := true; ; first = false {
		name, more, err := p.key(seen, first)
		if err != nil {
			return err
		}
		if !more {
			return p.end()
		}
		stored, err := p.whole()
		if err != nil {
			return value.AtKey(err, name)
		}
		if err := do(name, stored); err != nil {
			return err
		}
	}
}

// A parser makes a stored value of the text that its lexer reads.
type parser struct {
	lexer
	limits value.Limits
	depth  int    // tables around what is read
	nodes  int    // read so far
	out    []byte // the stored form
}

// whole reads one value that is in no table.
func (p *parser) whole() ([]byte, error) {
	p.out, p.depth, p.nodes = nil, 0, 0
	p.space()
	if text, ok := p.wrapped(); ok {
		return p.unwrap(text)
	}
	if err := p.value(); err != nil {
		return nil, err
	}
	if len(p.out) > p.limits.Bytes {
		return nil, value.TooLong(p.limits.Bytes)
	}
	return p.out, nil
}

// wrapped reads an object that holds the stored bytes of a value, and nothing if there is another.
func (p *parser) wrapped() (text string, ok bool) {
	ahead := p.lexer
	if !ahead.take('{') {
		return "", false
	}
	name, err := ahead.quoted()
	if ahead.space(); err != nil || name != wrapper || !ahead.take(':') {
		return "", false
	}
	text, err = ahead.quoted()
	if ahead.space(); err != nil || !ahead.take('}') {
		return "", false
	}
	p.lexer = ahead
	return text, true
}

// unwrap returns the stored bytes that a text of base64 holds.
func (p *parser) unwrap(text string) ([]byte, error) {
	if base64.StdEncoding.DecodedLen(len(text)) > p.limits.Bytes+2 { // of padding
		return nil, value.TooLong(p.limits.Bytes)
	}
	stored, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, value.Errorf(value.ErrInvalid, "invalid %q: want the stored bytes of a value in base64: %v", wrapper, err)
	}
	if len(stored) > p.limits.Bytes {
		return nil, value.TooLong(p.limits.Bytes)
	}
	if err := value.Validate(stored, p.limits); err != nil {
		return nil, value.Errorf(value.ErrInvalid, "invalid %q: not the stored bytes of a value: %v", wrapper, err)
	}
	return stored, nil
}

// value reads the next value.
func (p *parser) value() error {
	if p.nodes++; p.nodes > p.limits.Nodes {
		return value.TooMany(p.limits.Nodes)
	}
	if len(p.out) > p.limits.Bytes {
		return value.TooLong(p.limits.Bytes)
	}
	p.space()
	switch c := p.peek(); {
	case c == '"':
		s, err := p.quoted()
		p.out = value.AppendString(p.out, s)
		return err
	case c == '[':
		return p.nested(p.array)
	case c == '{':
		return p.nested(p.object)
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	return p.word()
}

// word reads true, false or null.
func (p *parser) word() error {
	switch {
	case p.takeWord("true"):
		p.out = value.AppendBool(p.out, true)
	case p.takeWord("false"):
		p.out = value.AppendBool(p.out, false)
	case p.takeWord("null"):
		return value.Unstorable("null")
	default:
		return p.want("a value")
	}
	return nil
}

// nested reads a table.
func (p *parser) nested(table func() error) error {
	if p.depth == p.limits.Depth {
		return value.TooDeep(p.limits.Depth)
	}
	p.depth++
	defer func() { p.depth-- }()
	p.pos++
	return table()
}

// array reads an array behind its bracket.
func (p *parser) array() error {
	start, n := p.open(), 0
	for p.space(); !p.take(']'); p.space() {
		if n > 0 && !p.take(',') {
			return p.want(", or ]")
		}
		n++
		if err := p.value(); err != nil {
			return value.AtIndex(err, float64(n))
		}
	}
	p.close(start, value.AppendArrayHeader(nil, n))
	return nil
}

// object reads an object behind its brace.
func (p *parser) object() error {
	start, seen := p.open(), map[string]bool{}
	for {
		name, more, err := p.key(seen, len(seen) == 0)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		p.out = value.AppendString(p.out, name)
		if err := p.value(); err != nil {
			return value.AtKey(err, name)
		}
	}
	p.close(start, value.AppendMapHeader(nil, len(seen)))
	return nil
}

// key reads what comes before the value of a member, or the end of the object, after which there is no more.
func (p *parser) key(seen map[string]bool, first bool) (name string, more bool, err error) {
	if p.space(); p.take('}') {
		return "", false, nil
	}
	if !first && !p.take(',') {
		return "", false, p.want(", or }")
	}
	if name, err = p.quoted(); err != nil {
		return "", false, err
	}
	if p.space(); !p.take(':') {
		return "", false, p.want(":")
	}
	if seen[name] {
		return "", false, value.AtKey(value.Unstorable("two elements under one key"), name)
	}
	seen[name] = true
	return name, true, nil
}

// open leaves room for the shortest header of a table.
func (p *parser) open() (start int) {
	p.out = append(p.out, 0)
	return len(p.out) - 1
}

// close puts the header of a table where it begins.
func (p *parser) close(start int, header []byte) {
	p.out = slices.Replace(p.out, start, start+1, header...)
}

func (p *parser) number() error {
	text, integer, err := p.digits()
	if err != nil {
		return err
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return value.Unstorable(fmt.Sprintf("%s, which is beyond the largest number", abbreviated(text)))
	}
	// 2^53+1 is rounded to 2^53, but has other digits.
	if integer && (math.Abs(f) > value.MaxInteger || math.Abs(f) == value.MaxInteger && strconv.FormatFloat(f, 'f', -1, 64) != text) {
		return value.Unstorable(fmt.Sprintf("%s exactly, an integer beyond ±2^53 (in quotes it is text)", abbreviated(text)))
	}
	p.out = value.AppendNumber(p.out, f)
	return nil
}

// abbreviated returns a number for a message, in which thousands of digits help nobody.
func abbreviated(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}
