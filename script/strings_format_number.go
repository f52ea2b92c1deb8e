package script

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// longestNumber is more than the digits of any number: 309 before the point, and 99 behind it.
const longestNumber = 512

// padSpaces and zeros are as long as the largest width and precision.
var padSpaces, zeros = strings.Repeat(" ", 99), strings.Repeat("0", 99)

// charOf is the byte that C makes of a number for "%c".
func charOf(f float64) byte {
	if f > math.MinInt32-1 && f < math.MaxInt32+1 {
		return byte(int32(f))
	}
	return 0
}

// twosComplement is what C makes of a number for "%u" and its like.
func twosComplement(f float64) uint64 {
	if f >= 1<<63 {
		return uint64(cInteger(f-1<<63)) ^ 1<<63
	}
	return uint64(cInteger(f))
}

// addSigned adds an integer for "%d".
func (f *formatting) addSigned(d directive, n int) {
	magnitude := uint64(n)
	if n < 0 {
		magnitude = -magnitude
	}
	var buffer [longestNumber]byte
	f.addInteger(d, d.sign(n < 0), strconv.AppendUint(buffer[:0], magnitude, 10))
}

// addUnsigned adds an integer for "%o", "%u", "%x" or "%X".
func (f *formatting) addUnsigned(d directive, verb byte, n uint64) {
	var buffer [longestNumber]byte
	digits := buffer[:0]
	switch verb {
	case 'o':
		f.addInteger(d, d.octalPrefix(n), strconv.AppendUint(digits, n, 8))
	case 'u':
		f.addInteger(d, "", strconv.AppendUint(digits, n, 10))
	case 'x':
		f.addInteger(d, d.hexPrefix("0x", n), strconv.AppendUint(digits, n, 16))
	case 'X':
		f.addInteger(d, d.hexPrefix("0X", n), bytes.ToUpper(strconv.AppendUint(digits, n, 16)))
	}
}

// octalPrefix returns the zero that "#" wants before an octal number, where there is none.
func (d directive) octalPrefix(n uint64) string {
	digits := (bits.Len64(n) + 2) / 3
	if d.sharp && d.precision <= digits && (n != 0 || d.precision == 0) {
		return "0"
	}
	return ""
}

// hexPrefix returns the prefix where "#" wants it.
func (d directive) hexPrefix(prefix string, n uint64) string {
	if d.sharp && n != 0 {
		return prefix
	}
	return ""
}

// addInteger adds the digits of an integer behind what stands before them. The precision is how many there are at least; with 0 the
// number 0 has none.
func (f *formatting) addInteger(d directive, prefix string, digits []byte) {
	if digits[0] == '0' && d.precision == 0 {
		digits = nil
	}
	leading := 0
	if d.precision >= 0 {
		leading, d.zero = max(d.precision-len(digits), 0), false
	}
	f.addNumber(d, prefix, zeros[:leading], digits)
}

// addNumber adds digits of the width that is wanted, behind a prefix. Padding is before the prefix, or behind the digits; zeros are
// between them.
func (f *formatting) addNumber(d directive, prefix, leading string, digits []byte) {
	padding := max(d.width-len(prefix)-len(leading)-len(digits), 0)
	before, behind := 0, 0
	switch {
	case d.minus:
		behind = padding
	case d.zero:
		leading = zeros[:padding]
	default:
		before = padding
	}
	f.out.add(padSpaces[:before])
	f.out.add(prefix)
	f.out.add(leading)
	f.out.addBytes(digits)
	f.out.add(padSpaces[:behind])
}

// sign returns what stands before the digits of a number that has a sign.
func (d directive) sign(negative bool) string {
	switch {
	case negative:
		return "-"
	case d.plus:
		return "+"
	case d.space:
		return " "
	}
	return ""
}

// addFloat adds a number for "%e", "%f", "%g" and their like. Go writes the digits as C does; what is not finite, and what "#" asks
// for, it does not.
func (f *formatting) addFloat(d directive, verb byte, x float64) {
	sign := d.sign(math.Signbit(x))
	x = math.Abs(x)
	if d.precision < 0 {
		d.precision = 6
	}
	var buffer [longestNumber]byte
	digits := buffer[:0]
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		d.zero = false
		digits = append(digits, notFinite(verb, x)...)
	case d.sharp:
		digits = appendSharp(digits, verb, x, d.precision)
	case verb == 'g' || verb == 'G':
		digits = strconv.AppendFloat(digits, x, verb, max(d.precision, 1), 64)
	default:
		digits = strconv.AppendFloat(digits, x, verb, d.precision, 64)
	}
	f.addNumber(d, sign, "", digits)
}

// notFinite returns how C writes infinity, and what is no number.
func notFinite(verb byte, x float64) string {
	text := "inf"
	if math.IsNaN(x) {
		text = "nan"
	}
	if verb == 'E' || verb == 'G' {
		return strings.ToUpper(text)
	}
	return text
}

// appendSharp writes x with a point in any case, and for "%g" with the zeros at its end.
func appendSharp(b []byte, verb byte, x float64, precision int) []byte {
	if verb == 'g' || verb == 'G' {
		precision = max(precision, 1)
		verb -= 'g' - 'e'
		scientific := strconv.AppendFloat(nil, x, verb, precision-1, 64)
		exponent, _ := strconv.Atoi(string(scientific[bytes.IndexAny(scientific, "eE")+1:]))
		if exponent >= -4 && exponent < precision {
			verb, precision = 'f', precision-1-exponent
		} else {
			precision--
		}
	}
	b = strconv.AppendFloat(b, x, verb, precision, 64)
	if precision > 0 {
		return b
	}
	if i := bytes.IndexAny(b, "eE"); i >= 0 {
		return append(b[:i:i], append([]byte{'.'}, b[i:]...)...)
	}
	return append(b, '.')
}
