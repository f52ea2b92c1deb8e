package script

import (
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// pieceBytes is how many bytes simple loops in Go work on between two polls.
const pieceBytes = 1 << 16

// shortBytes is up to where strings are worked on without a buffer on the heap.
const shortBytes = 64

// maxValues bounds how many values one call may return.
const maxValues = 500_000

// A stringLibrary is the string library of one Lua state. It is that of Lua 5.1 to the letter of its results and errors, on bytes,
// but for what is said at its functions. Every loop polls, and every new string asks for room.
//
// What it keeps from one call to the next no script can see: matchers, with the sets of their last pattern.
type stringLibrary struct {
	guard    *guard
	matchers []*stringMatcher // that no call works with
}

// stringFunctions returns the functions of the string library but dump.
func stringFunctions(g *guard) map[string]lua.LGFunction {
	l := &stringLibrary{guard: g}
	return map[string]lua.LGFunction{
		"byte": l.byte, "char": l.char, "find": l.find, "format": l.format, "gfind": l.gmatch, "gmatch": l.gmatch, "gsub": l.gsub,
		"len": l.len, "lower": l.lower, "match": l.match, "rep": l.rep, "reverse": l.reverse, "sub": l.sub, "upper": l.upper,
	}
}

// len counts bytes.
func (l *stringLibrary) len(L *lua.LState) int {
	L.Push(lua.LNumber(len(checkString(L, 1, "len"))))
	return 1
}

// sub returns a part of its argument, which shares its memory.
func (l *stringLibrary) sub(L *lua.LState) int {
	s := checkString(L, 1, "sub")
	start, end := fromStart(cInt(L, 2, "sub"), len(s)), fromStart(cIntOr(L, 3, "sub", -1), len(s))
	start, end = max(start, 1), min(end, len(s))
	if start > end {
		L.Push(lua.LString(""))
		return 1
	}
	L.Push(lua.LString(s[start-1 : end]))
	return 1
}

// fromStart returns a position in a string of n bytes, counted from 1, where a negative one was counted from the end.
func fromStart(position, n int) int {
	if position < 0 {
		position += n + 1
	}
	return max(position, 0)
}

// byteValues are the numbers of all bytes, made once.
var byteValues = func() (values [256]lua.LValue) {
	for c := range values {
		values[c] = lua.LNumber(c)
	}
	return values
}()

// byte refuses what would fill half of a state's stack.
func (l *stringLibrary) byte(L *lua.LState) int {
	s := checkString(L, 1, "byte")
	start := fromStart(cIntOr(L, 2, "byte", 1), len(s))
	end := fromStart(cIntOr(L, 3, "byte", start), len(s))
	start, end = max(start, 1), min(end, len(s))
	if start > end {
		return 0
	}
	if end-start >= maxValues {
		raise(L, "string slice too long")
	}
	for _, c := range []byte(s[start-1 : end]) {
		L.Push(byteValues[c])
	}
	return end - start + 1
}

func (l *stringLibrary) char(L *lua.LState) int {
	n := L.GetTop()
	l.guard.room(L, n)
	var out strings.Builder
	out.Grow(n)
	for i := 1; i <= n; i++ {
		c := cInt(L, i, "char")
		if c != int(byte(c)) {
			argumentError(L, i, "char", "invalid value")
		}
		out.WriteByte(byte(c))
	}
	L.Push(lua.LString(out.String()))
	return 1
}

// rep asks for room before it multiplies: both factors are up to the script.
func (l *stringLibrary) rep(L *lua.LState) int {
	s, n := checkString(L, 1, "rep"), max(cInt(L, 2, "rep"), 0)
	if s == "" {
		n = 0
	} else if n > MaxString/len(s) {
		l.guard.room(L, MaxString+1)
	}
	l.guard.room(L, n*len(s))
	L.Push(lua.LString(strings.Repeat(s, n)))
	return 1
}

// reverse turns bytes around, not characters.
func (l *stringLibrary) reverse(L *lua.LState) int {
	s := checkString(L, 1, "reverse")
	l.guard.room(L, len(s))
	var short [shortBytes]byte
	out := append(short[:0], s...)
	for left := len(s); left > 0; left-- {
		if left%pieceBytes == 0 {
			l.guard.poll(L)
		}
		out[len(s)-left] = s[left-1]
	}
	L.Push(lua.LString(out))
	return 1
}

// lowerCase and upperCase say what letters of the C locale become.
var lowerCase, upperCase = shifted('A', 'Z', 'a'-'A'), shifted('a', 'z', 'A'-'a')

// shifted returns all bytes, those from one to another moved.
func shifted(from, to byte, by int) (table [256]byte) {
	for c := range table {
		table[c] = byte(c)
		if from <= byte(c) && byte(c) <= to {
			table[c] = byte(c + by)
		}
	}
	return table
}

func (l *stringLibrary) lower(L *lua.LState) int {
	return l.translate(L, checkString(L, 1, "lower"), &lowerCase)
}

func (l *stringLibrary) upper(L *lua.LState) int {
	return l.translate(L, checkString(L, 1, "upper"), &upperCase)
}

// translate pushes what the bytes of a string become.
func (l *stringLibrary) translate(L *lua.LState, s string, table *[256]byte) int {
	l.guard.room(L, len(s))
	var short [shortBytes]byte
	out := append(short[:0], s...)
	for i, c := range out {
		if (i+1)%pieceBytes == 0 {
			l.guard.poll(L)
		}
		out[i] = table[c]
	}
	L.Push(lua.LString(out))
	return 1
}

// cInt returns argument n as an integer.
func cInt(L *lua.LState, n int, function string) int { return cInteger(checkNumber(L, n, function)) }

// cIntOr returns argument n as an integer, or what takes its place where it is missing.
func cIntOr(L *lua.LState, n int, function string, without int) int {
	if L.Get(n) == lua.LNil {
		return without
	}
	return cInt(L, n, function)
}

// cInteger cuts a number to an integer as C does on the machines that Lua is mostly run on: one that is none, or too large, becomes
// the least that there is. No count is cut to 32 bits, as some are in Lua 5.1.
func cInteger(f float64) int {
	if f >= -1<<63 && f < 1<<63 {
		return int(f)
	}
	return math.MinInt
}
