package value

import (
	"math"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// nan is how every NaN is stored: the bits that Go's math.NaN has.
var nan = math.NaN()

// AppendBool appends a boolean.
func AppendBool(b []byte, v bool) []byte { return msgp.AppendBool(b, v) }

// AppendNumber appends a number in its canonical form.
func AppendNumber(b []byte, f float64) []byte {
	if i := int64(f); float64(i) == f && i >= -MaxInteger && i <= MaxInteger && (i != 0 || !math.Signbit(f)) {
		if uint64(i) <= 0x7f {
			return append(b, byte(i))
		}
		if i >= 0 {
			return msgp.AppendUint64(b, uint64(i))
		}
		return msgp.AppendInt64(b, i)
	}
	if f != f {
		f = nan
	}
	return msgp.AppendFloat64(b, f)
}

// AppendString appends a string: as str where it is valid UTF-8, else as bin. A string of 4 GiB and more cannot be written:
// the caller's limits keep it from coming here.
func AppendString(b []byte, s string) []byte {
	switch {
	case len(s) <= 0x1f && (ascii(s) || utf8.ValidString(s)):
		return append(append(b, 0xa0|byte(len(s))), s...)
	case len(s) > 0x1f && utf8.ValidString(s):
		return msgp.AppendString(b, s)
	}
	return append(msgp.AppendBytesHeader(b, uint32(len(s))), s...)
}

// ascii reports whether a string is all ASCII. For the few bytes that keys have, this is faster than [utf8.ValidString].
func ascii(s string) bool {
	var all byte
	for i := range len(s) {
		all |= s[i]
	}
	return all < utf8.RuneSelf
}

// AppendArrayHeader appends the header of an array; n elements must follow.
func AppendArrayHeader(b []byte, n int) []byte { return msgp.AppendArrayHeader(b, uint32(n)) }

// AppendMapHeader appends the header of a map; n pairs of a key and an element must follow. An empty map is written as an empty
// array.
func AppendMapHeader(b []byte, n int) []byte {
	if n == 0 {
		return AppendArrayHeader(b, 0)
	}
	return msgp.AppendMapHeader(b, uint32(n))
}
