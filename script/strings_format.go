package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// expectedItem is how long items are expected to be.
const expectedItem = 8

// A formatting is one call of string.format.
type formatting struct {
	library *stringLibrary
	L       *lua.LState
	out     result
	items   int // so far
}

// A directive is one item of a format, such as "%-5.2f".
type directive struct {
	minus, plus, space, sharp, zero bool

	width     int
	precision int // or -1
}

// format formats as sprintf of C does, within the bounds of Lua 5.1. What Lua 5.1 loses is kept: what is behind a NUL byte in a
// string for "%s", and a NUL byte that "%c" makes.
func (l *stringLibrary) format(L *lua.LState) int {
	f := formatting{library: l, L: L, out: result{guard: l.guard, L: L}}
	format := checkString(L, 1, "format")
	f.out.expect(len(format) + expectedItem*L.GetTop())
	for arg := 2; ; f.count() {
		i := strings.IndexByte(format, '%')
		if i < 0 {
			break
		}
		f.out.add(format[:i])
		if format = format[i+1:]; format != "" && format[0] == '%' {
			f.out.add("%")
			format = format[1:]
			continue
		}
		if arg > L.GetTop() {
			argumentError(L, arg, "format", "no value")
		}
		format = f.directive(format, arg)
		arg++
	}
	f.out.add(format)
	L.Push(f.out.text())
	return 1
}

// count polls every few items.
func (f *formatting) count() {
	if f.items++; f.items%256 == 0 {
		f.library.guard.poll(f.L)
	}
}

// directive adds an argument as the format says where it begins, behind the "%", and returns the rest of the format. The numbers
// that the directives take are those of C on 64-bit machines: integers are cut, and wrap where there is no sign.
func (f *formatting) directive(format string, arg int) string {
	d, rest := f.scan(format)
	verb := ""
	if rest != "" {
		verb, rest = rest[:1], rest[1:]
	}
	switch verb {
	case "c":
		f.addString(d, string([]byte{charOf(f.number(arg))}))
	case "d", "i":
		f.addSigned(d, cInteger(f.number(arg)))
	case "o", "u", "x", "X":
		f.addUnsigned(d, verb[0], twosComplement(f.number(arg)))
	case "e", "E", "f", "g", "G":
		f.addFloat(d, verb[0], f.number(arg))
	case "q":
		f.quote(checkString(f.L, arg, "format"))
	case "s":
		s := checkString(f.L, arg, "format")
		if d.precision >= 0 {
			s = s[:min(len(s), d.precision)]
		}
		f.addString(d, s)
	default:
		raise(f.L, "invalid option '%%%s' to 'format'", strings.Trim(verb, "\x00"))
	}
	return rest
}

// number returns a number argument. To read a string as one may take as long as many directives.
func (f *formatting) number(arg int) float64 {
	if s, ok := f.L.Get(arg).(lua.LString); ok && len(s) > shortBytes {
		f.library.guard.poll(f.L)
	}
	return checkNumber(f.L, arg, "format")
}

// scan reads flags, width and precision, of two digits each at most.
func (f *formatting) scan(format string) (d directive, rest string) {
	rest = strings.TrimLeft(format, "-+ #0")
	flags := format[:len(format)-len(rest)]
	if len(flags) > len("-+ #0") {
		raise(f.L, "invalid format (repeated flags)")
	}
	has := func(flag byte) bool { return strings.IndexByte(flags, flag) >= 0 }
	d = directive{minus: has('-'), plus: has('+'), space: has(' '), sharp: has('#'), zero: has('0'), precision: -1}
	d.width, rest = twoDigits(rest)
	if strings.HasPrefix(rest, ".") {
		d.precision, rest = twoDigits(rest[1:])
	}
	if rest != "" && formatDigit(rest[0]) {
		raise(f.L, "invalid format (width or precision too long)")
	}
	return d, rest
}

// twoDigits reads a number of up to two digits, or of none.
func twoDigits(s string) (n int, rest string) {
	for i := 0; i < 2 && s != "" && formatDigit(s[0]); i++ {
		n, s = n*10+int(s[0]-'0'), s[1:]
	}
	return n, s
}

func formatDigit(c byte) bool { return '0' <= c && c <= '9' }

// addString adds a string of the width that is wanted.
func (f *formatting) addString(d directive, s string) {
	padding := padSpaces[:max(d.width-len(s), 0)]
	if d.minus {
		f.out.add(s)
		f.out.add(padding)
		return
	}
	f.out.add(padding)
	f.out.add(s)
}

// quote adds a string as Lua reads it back.
func (f *formatting) quote(s string) {
	f.out.add(`"`)
	for from := 0; from < len(s); from += pieceBytes {
		f.library.guard.poll(f.L)
		f.quotePiece(s[from:min(from+pieceBytes, len(s))])
	}
	f.out.add(`"`)
}

// quotePiece adds what bytes are between quotes. Lua reads a "\" before a line break as the line break.
func (f *formatting) quotePiece(s string) {
	for s != "" {
		i := strings.IndexAny(s, "\"\\\n\r\x00")
		if i < 0 {
			break
		}
		f.out.add(s[:i])
		switch c := s[i]; c {
		case '\r':
			f.out.add(`\r`)
		case 0:
			f.out.add(`\000`)
		default:
			f.out.add(`\`)
			f.out.add(s[i : i+1])
		}
		s = s[i+1:]
	}
	f.out.add(s)
}
