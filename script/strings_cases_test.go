package script

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// stringCases generates calls of the string library: patterns that often match and sometimes are malformed, subjects of few
// different bytes, formats with all directives, and wrong arguments now and then.
type stringCases struct {
	*rand.Rand

	repeats int // left for the pattern at hand: each multiplies what there is to try
}

var (
	alphabets  = []string{"a", "ab", "abc", "ab 1_", "a\x80\xff", "a\x00b", "()[]%", "aA1 \n\t.-", "abc\x00\xe4"}
	integers   = []float64{0, 1, 2, 3, 4, 5, 6, 7, 10, -1, -2, -3, -4, -5, -10, 20, -20}
	oddNumbers = []float64{
		0.5, 1.5, 2.5, -0.5, -1.5, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(math.NaN(), -1),
	}
	bigNumbers = []float64{
		1e15, 1 << 53, 1<<53 + 2, 1 << 62, 1 << 63, -1 << 63, 1 << 64, 1e19, -1e19, 1e300, 1e-300, math.MaxFloat64,
		math.SmallestNonzeroFloat64, 123456789, 1234567.5, 0.1, 1.0 / 3, 99999.95, 9.5, 0.0001, 0.00001234, 100000, 1e6, 1e100,
	}
	numerals = []string{
		"10", "0x1f", " 7 ", "1e1", "-3", "+2", "1.5", "abc", "", "0x", "1e", "1_0", "inf", "nan", "-nan", "010", "1 2", "\v3\r",
	}
)

// pick returns one of several.
func pick[T any](g *stringCases, of []T) T { return of[g.IntN(len(of))] }

// one reports true once in n times.
func (g *stringCases) one(n int) bool { return g.IntN(n) == 0 }

func (g *stringCases) next() stringCase {
	c := g.call()
	if g.one(50) && len(c.args) > 0 { // something is wrong with an argument
		switch i := g.IntN(len(c.args)); g.IntN(3) {
		case 0:
			c.args[i] = pick(g, []any{named("ni"), named("t1"), named("f1")})
		case 1:
			c.args = c.args[:i]
		default:
			c.args[i] = pick(g, []any{7.0, -1.5, "x", "12"})
		}
	}
	return c
}

func (g *stringCases) call() stringCase {
	switch n := g.IntN(100); {
	case n < 25:
		return stringCase{"find", g.matching(true)}
	case n < 40:
		return stringCase{"match", g.matching(false)}
	case n < 50:
		return stringCase{"gmatch", []any{g.subject(), g.pattern()}}
	case n < 75:
		return stringCase{"gsub", g.substituting()}
	case n < 90:
		return stringCase{"format", g.formatting()}
	}
	return g.simple()
}

func (g *stringCases) subject() string {
	alphabet := pick(g, alphabets)
	b := make([]byte, g.IntN(16))
	for i := range b {
		b[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(b)
}

// index returns a number that may be a position in a string, or a string that reads as one, or neither.
func (g *stringCases) index() any {
	switch g.IntN(20) {
	case 0:
		return pick(g, oddNumbers)
	case 1:
		return pick(g, bigNumbers)
	case 2:
		return pick(g, numerals)
	case 3:
		return named("ni")
	}
	return pick(g, integers)
}

func (g *stringCases) matching(mayBePlain bool) []any {
	args := []any{g.subject(), g.pattern()}
	if g.one(4) {
		args = append(args, g.index())
		if mayBePlain && g.one(2) {
			args = append(args, pick(g, []any{1.0, named("ni"), "true"}))
		}
	}
	return args
}

func (g *stringCases) substituting() []any {
	args := []any{g.subject(), g.pattern(), g.replacement()}
	if g.one(4) {
		n := g.index()
		if f, ok := n.(float64); !ok || math.Abs(f) < 1<<31 { // Lua 5.1 cuts more to 32 bits
			args = append(args, n)
		}
	}
	return args
}

func (g *stringCases) replacement() any {
	if g.one(2) {
		return pick(g, []any{
			named("t1"), named("t2"), named("t3"), named("f1"), named("f2"), named("f3"), named("f4"), named("f5"), 12.5,
		})
	}
	var b strings.Builder
	for range g.IntN(5) {
		b.WriteString(pick(g, []string{"x", "<", "%0", "%1", "%1", "%2", "%%", "%x", "\x00", "\xff"}))
	}
	if g.one(30) {
		b.WriteByte('%')
	}
	return b.String()
}

// pattern returns a pattern that is short enough for any subject here.
func (g *stringCases) pattern() string {
	var b strings.Builder
	if g.one(6) {
		b.WriteByte('^')
	}
	g.repeats = 4
	g.sequence(&b, 2)
	if g.one(6) {
		b.WriteByte('$')
	}
	if p := b.String(); !g.one(20) || p == "" {
		return p
	} else if i := g.IntN(len(p)); g.one(2) { // something is missing
		return p[:i] + p[i+1:]
	} else { // something is more
		return p[:i] + pick(g, []string{"%", "[", "]", "(", ")", "\x00", "*", "-", "^", "$", "%f", "%b", "%9", "%0"}) + p[i:]
	}
}

func (g *stringCases) sequence(b *strings.Builder, depth int) {
	for range 1 + g.IntN(3) {
		switch n := g.IntN(20); {
		case n < 3 && depth > 0:
			b.WriteByte('(')
			g.sequence(b, depth-1)
			b.WriteByte(')')
		case n == 3:
			b.WriteString("()")
		case n == 4:
			b.WriteString(pick(g, []string{"%b()", "%bab", "%baa", "%b[]"}))
		case n == 5:
			b.WriteString("%f" + g.set())
		case n == 6:
			b.WriteString(pick(g, []string{"%1", "%1", "%2"}))
		default:
			b.WriteString(g.single())
			if g.repeats > 0 && g.one(2) {
				g.repeats--
				b.WriteString(pick(g, []string{"*", "+", "-", "?"}))
			}
		}
	}
}

// single returns an item that stands for one byte.
func (g *stringCases) single() string {
	switch g.IntN(5) {
	case 0:
		return "."
	case 1:
		return g.class()
	case 2:
		return g.set()
	}
	return pick(g, []string{"a", "a", "b", "c", "A", "1", " ", "_", "\x80", "\xff", "%(", "%)", "%%", "%.", "$", "]", "\xe4"})
}

func (g *stringCases) class() string {
	return "%" + pick(g, strings.Split("a c d l p s u w x z A C D L P S U W X Z q \x80 _", " "))
}

func (g *stringCases) set() string {
	var b strings.Builder
	b.WriteByte('[')
	if g.one(3) {
		b.WriteByte('^')
	}
	for range 1 + g.IntN(4) {
		switch g.IntN(4) {
		case 0:
			b.WriteString(g.class())
		case 1:
			b.WriteString(pick(g, []string{"a-b", "a-z", "%-", "-", "\x80-\xff", "b-a", "+-%", "]", "%]", "^", "a-", " -~", "\x01-\x7f"}))
		default:
			b.WriteString(pick(g, []string{"a", "b", "c", "1", " ", "\xff", "\x80", "(", "["}))
		}
	}
	b.WriteByte(']')
	return b.String()
}

// formatting returns a format and arguments for it. What Lua 5.1 loses, strings and characters with a NUL byte, is left out.
func (g *stringCases) formatting() []any {
	var b strings.Builder
	args := []any{""}
	for range 1 + g.IntN(3) {
		b.WriteString(pick(g, []string{"", "", "x", "%%", "\x00"}))
		b.WriteByte('%')
		for range g.IntN(3) {
			b.WriteByte("-+ #0"[g.IntN(5)])
		}
		b.WriteString(pick(g, []string{"", "", "", "1", "5", "12", "99", "00", "100"}))
		b.WriteString(pick(g, []string{"", "", "", ".", ".0", ".1", ".3", ".10", ".99", ".100"}))
		verb := "ddiouxXeEfgGgcqs"[g.IntN(16)]
		if g.one(60) {
			verb = "aFlnp\x00 5"[g.IntN(8)]
		}
		b.WriteByte(verb)
		args = append(args, g.formatted(verb))
	}
	args[0] = b.String()
	return args
}

// formatted returns an argument for a directive.
func (g *stringCases) formatted(verb byte) any {
	switch verb {
	case 'q':
		return g.subject() + pick(g, []string{"", "\r", "\n", "\"", "\\"})
	case 's':
		if g.one(8) {
			return pick(g, slices.Concat(integers, []float64{0.5, -1.5, math.Inf(1), math.Inf(-1), math.NaN()}))
		}
		return strings.ReplaceAll(g.subject(), "\x00", "") + strings.Repeat("long", g.IntN(2)*g.IntN(30))
	case 'c':
		return pick(g, []float64{65, 97, 255, 321, 66.7, -1, -100})
	}
	switch g.IntN(5) {
	case 0:
		return pick(g, oddNumbers)
	case 1:
		return pick(g, bigNumbers)
	case 2:
		return (g.Float64() - 0.5) * math.Pow10(g.IntN(40)-20)
	case 3:
		return pick(g, []any{"10", "0x1f", "1e2", "-3.5", "abc", "inf"})
	}
	return pick(g, integers)
}

func (g *stringCases) simple() stringCase {
	s := g.subject()
	switch name := pick(g, []string{"byte", "char", "len", "lower", "rep", "reverse", "sub", "upper"}); name {
	case "byte", "sub":
		args := []any{s, g.index()}
		if g.one(2) {
			args = append(args, g.index())
		}
		return stringCase{name, args}
	case "rep":
		return stringCase{name, []any{s, pick(g, slices.Concat(integers, []float64{0.9, 2.9, -0.5}))}}
	case "char":
		args := make([]any, g.IntN(4))
		for i := range args {
			args[i] = pick(g, []any{0.0, 65.0, 255.0, 256.0, -1.0, 97.9, "66", "x", -0.5})
		}
		return stringCase{name, args}
	default:
		return stringCase{name, []any{s}}
	}
}
