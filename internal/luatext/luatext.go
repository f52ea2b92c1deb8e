// Package luatext writes values as Lua literals: a person reads them, and Lua reads them back. Nothing that a value holds reaches a
// terminal as a command.
package luatext

import (
	"errors"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/luastore/store/value"
)

// Options say how a literal is laid out. Nil means the defaults.
type Options struct {
	// Width is how many columns a line may have. A table that does not end within them is spread over lines, one for each element.
	// Strings are never broken. Default: everything stands in one line.
	Width int
	// Limits bound what is read. Default: those of package value.
	Limits value.Limits
}

// Append appends a stored value as a Lua literal. Evaluated by package script, as far as that compiles a source of the size, it is the
// value again: number for number and byte for byte, its keys in their order as far as Lua keeps one. One value has one text.
//
// Bytes that are no value within the limits are a [value.ErrCorrupt], and then dst is returned as it was. Columns are counted from the
// end of dst.
func Append(dst, stored []byte, o *Options) ([]byte, error) {
	if o == nil {
		o = &Options{}
	}
	b, err := appendValue(dst, stored, o, false)
	if errors.Is(err, errRepeated) {
		b, err = appendValue(dst, stored, o, true)
	}
	if err != nil {
		return dst, err
	}
	return b, nil
}

func appendValue(dst, stored []byte, o *Options, explicit bool) ([]byte, error) {
	r, err := value.NewReader(stored, o.Limits)
	if err != nil {
		return nil, err
	}
	p := printer{b: dst, r: r, width: o.Width, line: len(dst), flat: o.Width == 0, explicit: explicit}
	if err := p.value(); err != nil {
		return nil, err
	}
	return p.b, p.r.End()
}

// AppendNumber appends a number in the fewest digits that read back as the same: integers up to 2^53 in full, NaN as 0/0, the infinities
// by math.huge, -0 by tonumber.
func AppendNumber(dst []byte, f float64) []byte {
	switch {
	case f != f:
		return append(dst, "0/0"...)
	case math.IsInf(f, 1):
		return append(dst, "math.huge"...)
	case math.IsInf(f, -1):
		return append(dst, "-math.huge"...)
	case f == 0 && math.Signbit(f):
		return append(dst, `tonumber("-0.0")`...) // gopher-lua takes the constants -0 and 0 for one, and computes no -0
	}
	if size := math.Abs(f); size > value.MaxInteger || size < 1e-4 && f != 0 {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// Why a table has to be written in another way.
var (
	errWide     = errors.New("the table does not fit the line")
	errRepeated = errors.New("a map has one of its positions twice")
)

// A printer writes one value.
type printer struct {
	b        []byte
	r        value.Reader
	width    int  // columns of a line, 0 for any number
	line     int  // where in b the present line begins
	indent   int  // tables around the present place that are spread over lines
	flat     bool // lines are not broken
	explicit bool // no key of a map is left out
}

// value writes the next value and everything in it.
func (p *printer) value() error {
	kind, err := p.r.Next()
	if err != nil {
		return err
	}
	switch kind {
	case value.Bool:
		p.b = strconv.AppendBool(p.b, p.r.Bool)
	case value.Number:
		p.b = AppendNumber(p.b, p.r.Num)
	case value.String:
		return p.string(AppendString)
	default:
		return p.table(kind, p.r.Len)
	}
	return p.fits()
}

// string writes the string that was just read, unless it is far too long for the line.
func (p *printer) string(write func(dst []byte, s string) []byte) error {
	if p.bounded() && len(p.r.Str) > p.width*utf8.UTFMax {
		return errWide
	}
	p.b = write(p.b, p.r.Str)
	return p.fits()
}

// bounded reports whether what is written has to end within the line.
func (p *printer) bounded() bool { return p.flat && p.width > 0 }

// fits reports, as errWide, that the line has become too long for a table that has to end within it.
func (p *printer) fits() error {
	if p.bounded() && len(p.b)-p.line > p.width && utf8.RuneCount(p.b[p.line:]) > p.width {
		return errWide
	}
	return nil
}

// table writes the table of n elements whose header was just read: in this line if it fits.
func (p *printer) table(kind value.Kind, n int) error {
	if n == 0 {
		p.b = append(p.b, "{}"...)
		return p.fits()
	}
	if err := p.r.Deeper(); err != nil {
		return err
	}
	err := p.laidOut(kind, n)
	p.r.Up()
	return err
}

// laidOut tries whether a table fits the line, and spreads it over several where it does not.
func (p *printer) laidOut(kind value.Kind, n int) error {
	if p.flat {
		return p.elements(kind, n)
	}
	start, from := len(p.b), p.r
	p.flat = true
	err := p.elements(kind, n)
	p.flat = false
	if !errors.Is(err, errWide) {
		return err
	}
	p.b, p.r = p.b[:start], from
	p.indent++
	return p.elements(kind, n)
}

// elements writes the n elements of a table, and its braces.
func (p *printer) elements(kind value.Kind, n int) error {
	p.b = append(p.b, '{')
	run := positions{ended: p.explicit}
	for i := range n {
		p.separate(i)
		if kind == value.Map {
			if err := p.key(&run); err != nil {
				return err
			}
		}
		if err := p.value(); err != nil {
			return err
		}
	}
	if p.flat {
		p.b = append(p.b, " }"...)
		return p.fits()
	}
	p.indent--
	p.b = append(p.b, ',')
	p.newLine()
	p.b = append(p.b, '}')
	return nil
}

// separate writes what stands before the element at i, counted from 0.
func (p *printer) separate(i int) {
	if i > 0 {
		p.b = append(p.b, ',')
	}
	if p.flat {
		p.b = append(p.b, ' ')
		return
	}
	p.newLine()
}

// newLine begins a line, two columns further in for each table around it.
func (p *printer) newLine() {
	p.b = append(p.b, '\n')
	p.line = len(p.b)
	for range p.indent {
		p.b = append(p.b, "  "...)
	}
}

// positions are the keys 1, 2, 3 … that a map begins with. They need not be written.
type positions struct {
	n     int
	ended bool
}

// next reports whether key is the one that follows.
func (s *positions) next(key float64) bool {
	if s.ended || key != float64(s.n+1) {
		s.ended = true
		return false
	}
	s.n++
	return true
}

// holds reports whether key was left out before. Lua sets such elements last, so that what is written later under their keys is lost.
func (s *positions) holds(key float64) bool {
	return key >= 1 && key <= float64(s.n) && key == math.Trunc(key)
}

// key writes the next key of a map, unless its position says it.
func (p *printer) key(run *positions) error {
	kind, err := p.r.Key()
	if err != nil {
		return err
	}
	switch kind {
	case value.Number:
		if run.next(p.r.Num) {
			return nil
		}
		if run.holds(p.r.Num) {
			return errRepeated
		}
		p.b = append(p.b, '[')
		p.b = AppendNumber(p.b, p.r.Num+0) // -0 and 0 are one key
		p.b = append(p.b, ']')
	case value.Bool:
		run.ended = true
		p.b = append(p.b, '[')
		p.b = strconv.AppendBool(p.b, p.r.Bool)
		p.b = append(p.b, ']')
	default:
		run.ended = true
		if err := p.string(AppendKey); err != nil {
			return err
		}
	}
	p.b = append(p.b, " = "...)
	return nil
}
