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
	out     strings.Builder
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
	f := formatting{library: l, L: L}
	format := checkString(L, 1, "format")
	f.out.Grow(min(len(format)+expectedItem*L.GetTop(), firstRoom))
	for arg := 2; ; f.count() {
		i := strings.IndexByte(format, '%')
		if i < 0 {
			break
		}
		f.add(format[:i])
		if format = format[i+1:]; format != "" && format[0] == '%' {
			f.add("%")
			format = format[1:]
			continue
		}
		if arg > L.GetTop() {
			argumentError(L, arg, "format", "no value")
		}
		format = f.directive(format, arg)
		arg++
	}
	f.add(format)
	L.Push(lua.LString(f.out.String()))
	return 1
}

// count polls every few items.
func (f *formatting) count() {
	if f.items++; f.items%256 == 0 {
		f.library.guard.poll(f.L)
	}
}

// directive adds an argument as the format says where it begins, and returns the rest of the format.
func (f *formatting) directive(format string, arg int) string {
	d, rest := f.scan(format)
	verb := ""
	if rest != "" {
		verb, rest = rest[:1], rest[1:]
	}
	switch verb {
	case "c":
		f.addString(d, string([]byte{charOf(checkNumber(f.L, arg, "format"))}))
	case "d", "i":
		f.addSigned(d, cInteger(checkNumber(f.L, arg, "format")))
	case "o", "u", "x", "X":
		f.addUnsigned(d, verb[0], twosComplement(checkNumber(f.L, arg, "format")))
	case "e", "E", "f", "g", "G":
		f.addFloat(d, verb[0], checkNumber(f.L, arg, "format"))
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
		f.add(s)
		f.add(padding)
		return
	}
	f.add(padding)
	f.add(s)
}

// quote adds a string as Lua reads it back.
func (f *formatting) quote(s string) {
	f.add(`"`)
	for from := 0; from < len(s); from += pieceBytes {
		f.library.guard.poll(f.L)
		f.quotePiece(s[from:min(from+pieceBytes, len(s))])
	}
	f.add(`"`)
}

func (f *formatting) quotePiece(s string) {
	for s != "" {
		i := strings.IndexAny(s, "\"\\\n\r\x00")
		if i < 0 {
			break
		}
		f.add(s[:i])
		switch c := s[i]; c {
		case '\r':
			f.add(`\r`)
		case 0:
			f.add(`\000`)
		default:
			f.add(`\`)
			f.add(s[i : i+1])
		}
		s = s[i+1:]
	}
	f.add(s)
}

func (f *formatting) add(s string) {
	f.library.guard.room(f.L, f.out.Len()+len(s))
	f.out.WriteString(s)
}
