package script

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

const (
	maxUnpacked  = 100_000 // values that unpack returns at most; Lua itself has 8,000
	manyUnpacked = 1 << 15 // those that a stack grows by in one step
)

// bases are the base functions that need no more than their arguments. They differ from those of Lua 5.1 in this: assert raises
// a table or another value that is no text as it is, error raises a number as it is, collectgarbage does nothing and answers 0, and
// next goes on somewhere where Lua raises because the table never had the key.
type bases struct {
	g          *guard
	next, step *lua.LFunction                // what pairs and ipairs return
	names      [lua.LTChannel + 1]lua.LValue // of types
}

// baseFunctions returns the functions for the global table.
func baseFunctions(g *guard) map[string]lua.LGFunction {
	b := &bases{g: g}
	b.next = &lua.LFunction{IsG: true, GFunction: next}
	b.step = &lua.LFunction{IsG: true, GFunction: step}
	for t := range b.names {
		b.names[t] = lua.LString(lua.LValueType(t).String())
	}
	return map[string]lua.LGFunction{
		"assert": assert, "collectgarbage": collectgarbage, "error": raiseValue, "ipairs": b.ipairs, "next": next, "pairs": b.pairs,
		"rawequal": rawequal, "rawget": rawget, "rawset": rawset, "select": selectArguments, "setmetatable": setmetatable,
		"tonumber": tonumber, "tostring": tostring, "type": b.typeName, "unpack": b.unpack,
	}
}

// assert returns all its arguments, or raises the second, a text with its place.
func assert(L *lua.LState) int {
	if lua.LVAsBool(checkAny(L, 1, "assert")) {
		return L.GetTop()
	}
	switch message := L.Get(2).(type) {
	case *lua.LNilType:
		raise(L, "assertion failed!")
	case lua.LString, lua.LNumber:
		raise(L, "%s", checkString(L, 2, "assert"))
	default:
		L.Error(message, 0)
	}
	return 0
}

// raiseValue is error of Lua. Level 1 is where error was called, level 2 where the function that called it was.
func raiseValue(L *lua.LState) int {
	value, level := L.Get(1), optInt(L, 2, "error", 1)
	if text, ok := value.(lua.LString); ok && level > 0 {
		value = lua.LString(position(L, level)) + text
	}
	L.Error(value, 0)
	return 0
}

// collectgarbage checks its arguments: Go collects by itself.
func collectgarbage(L *lua.LState) int {
	option := optString(L, 1, "collectgarbage", "collect")
	if !slices.Contains([]string{"stop", "restart", "collect", "count", "step", "setpause", "setstepmul"}, option) {
		argumentError(L, 1, "collectgarbage", fmt.Sprintf("invalid option '%s'", option))
	}
	optInt(L, 2, "collectgarbage", 0)
	L.Push(lua.LNumber(0))
	return 1
}

// ipairs sees the whole list, in whatever part of the table it is.
func (b *bases) ipairs(L *lua.LState) int {
	t := checkTable(L, 1, "ipairs")
	L.Push(b.step)
	L.Push(t)
	L.Push(lua.LNumber(0))
	return 3
}

// step is what ipairs returns: it goes on from one element of a table to the next.
func step(L *lua.LState) int {
	t := checkTable(L, 1, "ipairs")
	i := checkInt(L, 2, "ipairs") + 1
	v := element(t, i)
	if v == lua.LNil {
		return 0
	}
	L.Push(lua.LNumber(i))
	L.Push(v)
	return 2
}

// pairs returns one function for all loops of a state, as ipairs does: a loop over few elements allocates nothing.
func (b *bases) pairs(L *lua.LState) int {
	t := checkTable(L, 1, "pairs")
	L.Push(b.next)
	L.Push(t)
	L.Push(lua.LNil)
	return 3
}

// next returns nil at the end. A script may assign to fields that are there while it goes through a table.
func next(L *lua.LState) int {
	key, v := checkTable(L, 1, "next").Next(L.Get(2))
	L.Push(key)
	if key == lua.LNil {
		return 1
	}
	L.Push(v)
	return 2
}

// rawequal compares as Go does: strings and numbers by value, all else by identity.
func rawequal(L *lua.LState) int {
	L.Push(lua.LBool(checkAny(L, 1, "rawequal") == checkAny(L, 2, "rawequal")))
	return 1
}

// rawget calls no metamethod.
func rawget(L *lua.LState) int {
	L.Push(checkTable(L, 1, "rawget").RawGet(checkAny(L, 2, "rawget")))
	return 1
}

// rawset raises what an assignment does, but without a place: that is how Lua has it.
func rawset(L *lua.LState) int {
	t, key, v := checkTable(L, 1, "rawset"), checkAny(L, 2, "rawset"), checkAny(L, 3, "rawset")
	if n, ok := key.(lua.LNumber); ok && math.IsNaN(float64(n)) {
		L.Error(lua.LString("table index is NaN"), 0)
	}
	if key == lua.LNil {
		L.Error(lua.LString("table index is nil"), 0)
	}
	t.RawSet(key, v)
	L.Push(t)
	return 1
}

// selectArguments is select of Lua. What it returns is on the stack already.
func selectArguments(L *lua.LState) int {
	n := L.GetTop()
	if s, ok := L.Get(1).(lua.LString); ok && strings.HasPrefix(string(s), "#") {
		L.Push(lua.LNumber(n - 1))
		return 1
	}
	i := checkInt(L, 1, "select")
	switch {
	case i < 0:
		i += n
	case i > n:
		i = n
	}
	if i < 1 {
		argumentError(L, 1, "select", "index out of range")
	}
	return n - i
}

// setmetatable takes tables only. The metatables of other types belong to all scripts.
func setmetatable(L *lua.LState) int {
	t := checkTable(L, 1, "setmetatable")
	metatable := L.Get(2)
	if _, ok := metatable.(*lua.LTable); !ok && (metatable != lua.LNil || L.GetTop() < 2) {
		argumentError(L, 2, "setmetatable", "nil or table expected")
	}
	if old, ok := t.Metatable.(*lua.LTable); ok && old.RawGetString("__metatable") != lua.LNil {
		raise(L, "cannot change a protected metatable")
	}
	t.Metatable = metatable
	L.Push(t)
	return 1
}

// tonumber reads decimal numbers with a fraction and exponent, but those to another base as integers only.
func tonumber(L *lua.LState) int {
	var n float64
	var ok bool
	if base := optInt(L, 2, "tonumber", 10); base == 10 {
		n, ok = toNumber(checkAny(L, 1, "tonumber"))
	} else {
		digits := checkString(L, 1, "tonumber")
		if base < 2 || base > 36 {
			argumentError(L, 2, "tonumber", "base out of range")
		}
		n, ok = parseDigits(digits, base)
	}
	if !ok {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(n))
	return 1
}

// tostring returns what __tostring does, even if that is no string.
func tostring(L *lua.LState) int {
	L.Push(textOf(L, checkAny(L, 1, "tostring")))
	return 1
}

// answer calls a metamethod and returns its result.
func answer(L *lua.LState, fn lua.LValue, args ...lua.LValue) lua.LValue {
	L.Push(fn)
	for _, arg := range args {
		L.Push(arg)
	}
	L.Call(len(args), 1)
	v := L.Get(-1)
	L.Pop(1)
	return v
}

// textOf returns what tostring of Lua answers: what __tostring returns, be it text or not, else a string.
func textOf(L *lua.LState, v lua.LValue) lua.LValue {
	if fn := L.GetMetaField(v, "__tostring"); fn != lua.LNil {
		return answer(L, fn, v)
	}
	switch v := v.(type) {
	case lua.LString:
		return v
	case lua.LNumber:
		return lua.LString(numberText(v))
	}
	return lua.LString(v.String())
}

// typeName is type of Lua.
func (b *bases) typeName(L *lua.LState) int {
	L.Push(b.names[checkAny(L, 1, "type").Type()])
	return 1
}

// unpack asks how many there are before it takes any: what it returns is in the stack of the state all at once.
func (b *bases) unpack(L *lua.LState) int {
	t := checkTable(L, 1, "unpack")
	first, last := interval(L, b.g, t, 2, "unpack")
	n := last - first + 1
	if n > maxUnpacked {
		raise(L, "too many results to unpack")
	}
	if n > manyUnpacked {
		top := L.GetTop()
		L.SetTop(top + n) // makes room at once
		L.SetTop(top)
	}
	p := pace{g: b.g}
	for i := first; i <= last; i++ {
		p.step(L, 1)
		L.Push(element(t, i))
	}
	return max(n, 0)
}

// interval returns the optional arguments n and n+1, which name elements of t: all of them by default.
func interval(L *lua.LState, g *guard, t *lua.LTable, n int, function string) (first, last int) {
	first = optInt(L, n, function, 1)
	if L.Get(n+1) == lua.LNil {
		return first, g.length(t)
	}
	return first, checkInt(L, n+1, function)
}

// raise raises an error with the place of the call, as errors of Lua's own libraries have it.
func raise(L *lua.LState, format string, args ...any) {
	L.Error(lua.LString(position(L, 1)+fmt.Sprintf(format, args...)), 0)
}

// position returns "file:line: " of the call at a level, 1 for that of the running function, and nothing where that is Go code.
func position(L *lua.LState, level int) string {
	call, ok := L.GetStack(level)
	if !ok {
		return ""
	}
	if _, err := L.GetInfo("Sl", call, nil); err != nil || call.CurrentLine <= 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d: ", call.Source, call.CurrentLine)
}

// argumentError raises what Lua says of argument n of a function.
func argumentError(L *lua.LState, n int, function, text string) {
	raise(L, "bad argument #%d to '%s' (%s)", n, function, text)
}

// typeError says that argument n should have been what is wanted.
func typeError(L *lua.LState, n int, function, want string) {
	got := "no value"
	if n <= L.GetTop() {
		got = L.Get(n).Type().String()
	}
	argumentError(L, n, function, want+" expected, got "+got)
}

// checkAny takes any argument that is there, nil too.
func checkAny(L *lua.LState, n int, function string) lua.LValue {
	if n > L.GetTop() {
		argumentError(L, n, function, "value expected")
	}
	return L.Get(n)
}

// checkTable, and the functions like it, take argument n of the function of that name or raise what is wrong with it.
func checkTable(L *lua.LState, n int, function string) *lua.LTable {
	t, ok := L.Get(n).(*lua.LTable)
	if !ok {
		typeError(L, n, function, "table")
	}
	return t
}

// checkString takes numbers too, as all of Lua does.
func checkString(L *lua.LState, n int, function string) string {
	switch v := L.Get(n).(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return numberText(v)
	}
	typeError(L, n, function, "string")
	return ""
}

// optString answers without for what is missing or nil, as optInt does.
func optString(L *lua.LState, n int, function, without string) string {
	if L.Get(n) == lua.LNil {
		return without
	}
	return checkString(L, n, function)
}

// checkNumber takes strings that read as numbers too.
func checkNumber(L *lua.LState, n int, function string) float64 {
	f, ok := toNumber(L.Get(n))
	if !ok {
		typeError(L, n, function, "number")
	}
	return f
}

// checkInt cuts off the fraction.
func checkInt(L *lua.LState, n int, function string) int {
	return integerPart(checkNumber(L, n, function))
}

func optInt(L *lua.LState, n int, function string, without int) int {
	if L.Get(n) == lua.LNil {
		return without
	}
	return checkInt(L, n, function)
}

// maxInt is the largest integer that checkInt returns; -maxInt is the smallest. Within, numbers of Lua hold each integer.
const maxInt = 1 << 53

// integerPart returns the integer part of a number, or the nearest that is allowed, and 0 for what is no number.
func integerPart(f float64) int {
	switch {
	case f > maxInt:
		return maxInt
	case f < -maxInt:
		return -maxInt
	case math.IsNaN(f):
		return 0
	}
	return int(f)
}

// toNumber converts what Lua takes for a number.
func toNumber(v lua.LValue) (float64, bool) {
	switch v := v.(type) {
	case lua.LNumber:
		return float64(v), true
	case lua.LString:
		return parseNumber(string(v))
	}
	return 0, false
}

// longestNumeral is how long a number may be when it is written down. To read millions of digits takes long.
const longestNumeral = 1 << 16

// numeral finds the number in a string: without the space around it, and, like all of Lua 5.1, without what is beyond a zero byte.
// It returns its digits without their sign, too. Both are empty if there is nothing to read.
func numeral(s string) (whole, digits string, negative bool) {
	s, _, _ = strings.Cut(s, "\x00")
	s = strings.Trim(s, " \t\n\v\f\r")
	if len(s) > longestNumeral {
		return "", "", false
	}
	digits, negative = strings.CutPrefix(s, "-")
	if !negative {
		digits, _ = strings.CutPrefix(s, "+")
	}
	return s, digits, negative
}

// parseNumber reads a number as strtod of C does: decimal or hexadecimal, with or without an exponent, "inf" and "nan".
func parseNumber(s string) (float64, bool) {
	s, digits, negative := numeral(s)
	if strings.EqualFold(digits, "nan") {
		return notANumber(negative), true
	}
	if hexadecimal(digits) && !strings.ContainsAny(digits, "pP") {
		s += "p0"
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) || strings.Contains(digits, "_") {
		return 0, false
	}
	return f, true
}

// hexadecimal reports whether digits say themselves that they are.
func hexadecimal(digits string) bool {
	return strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X")
}

// notANumber returns NaN with a sign, which shows when it is printed.
func notANumber(negative bool) float64 {
	if negative {
		return math.Copysign(math.NaN(), -1)
	}
	return math.NaN()
}

// parseDigits reads an integer as strtoul of C does: what is negative or too large becomes a large positive number.
func parseDigits(s string, base int) (float64, bool) {
	_, digits, negative := numeral(s)
	if base == 16 && hexadecimal(digits) {
		digits = digits[2:]
	}
	n, err := strconv.ParseUint(digits, base, 64)
	switch {
	case err != nil && n == 0:
		return 0, false
	case err == nil && negative:
		n = -n
	}
	return float64(n), true
}

// numberText returns a number as scripts see it.
func numberText(n lua.LNumber) string {
	var buf [32]byte
	return string(appendNumber(buf[:0], n))
}

// appendNumber appends a number as LNumber.String writes it, but infinity and what is no number as Lua 5.1 does.
func appendNumber(b []byte, n lua.LNumber) []byte {
	f := float64(n)
	switch {
	case math.IsInf(f, 1):
		return append(b, "inf"...)
	case math.IsInf(f, -1):
		return append(b, "-inf"...)
	case math.IsNaN(f) && math.Signbit(f):
		return append(b, "-nan"...)
	case math.IsNaN(f):
		return append(b, "nan"...)
	case f == float64(int64(f)):
		return strconv.AppendInt(b, int64(f), 10)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}
