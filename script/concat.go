package script

import (
	"crypto/rand"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// OP_CONCAT makes strings as long as a script asks for: five times s = s..s.. of 250 operands is a terabyte. So the rewriter
// makes each chain of the operator a call of one of these functions, which hold no state: programs share them.
var (
	concatFunction     = &lua.LFunction{IsG: true, GFunction: concat}
	concatListFunction = &lua.LFunction{IsG: true, GFunction: concatList}
)

// The constants that stand for the functions until the compiler is done. No source can hold them, as nobody can guess them.
var (
	concatName     = rand.Text()
	concatListName = rand.Text()
)

// concatUnasked is how long a string becomes, in bytes, before the guard is asked.
const concatUnasked = 64 << 10

// guardKey is the key of a state's guard in its context.
type guardKey struct{}

// guardOf returns the guard of a state, nil where there is none.
func guardOf(L *lua.LState) *guard {
	ctx := L.Context()
	if ctx == nil {
		return nil
	}
	g, _ := ctx.Value(guardKey{}).(*guard)
	return g
}

// roomToConcat raises unless a string of n bytes may be made.
func roomToConcat(L *lua.LState, n int) {
	if n <= concatUnasked {
		return
	}
	if g := guardOf(L); g != nil {
		g.room(L, n)
	} else if n > MaxString {
		raise(L, "string longer than %d bytes", MaxString)
	}
}

// concat is the operator: it joins its arguments.
func concat(L *lua.LState) int {
	n := L.GetTop()
	if n == 2 { // the usual case, and short
		left, ok := L.Get(1).(lua.LString)
		right, both := L.Get(2).(lua.LString)
		if ok && both && len(left)+len(right) <= concatUnasked {
			L.Push(left + right)
			return 1
		}
	}
	L.Push(concatAll(L, n))
	return 1
}

// concatList is concat for chains longer than the registers of a function: it takes a table of the operands, and how many.
func concatList(L *lua.LState) int {
	operands, n := L.CheckTable(1), L.CheckInt(2)
	L.SetTop(0)
	for i := 1; i <= n; i++ {
		L.Push(operands.RawGetInt(i))
	}
	L.Push(concatAll(L, n))
	return 1
}

// concatAll joins the first n values of the stack from the right, as the operator does: as many strings and numbers at once as
// there are, and what is neither by its metamethod.
func concatAll(L *lua.LState, n int) lua.LValue {
	right := L.Get(n)
	for n--; n > 0; {
		left := L.Get(n)
		if lua.LVCanConvToString(left) && lua.LVCanConvToString(right) {
			right, n = concatStrings(L, n, right)
			continue
		}
		right = concatMeta(L, left, right)
		n--
	}
	return right
}

// concatStrings joins the strings and numbers that end at place n of the stack with the one to the right of them. It returns the
// place before them.
func concatStrings(L *lua.LState, n int, right lua.LValue) (joined lua.LString, rest int) {
	last := operandText(right)
	if n == 1 {
		first := operandText(L.Get(1))
		roomToConcat(L, len(first)+len(last))
		return lua.LString(first + last), 0
	}
	var few [16]string
	parts, size := append(few[:0], last), len(last)
	for ; n > 0 && lua.LVCanConvToString(L.Get(n)); n-- {
		part := operandText(L.Get(n))
		parts = append(parts, part)
		size += len(part)
	}
	roomToConcat(L, size)
	slices.Reverse(parts)
	return lua.LString(strings.Join(parts, "")), n
}

// operandText returns a string, or a number as one.
func operandText(v lua.LValue) string {
	if s, ok := v.(lua.LString); ok {
		return string(s)
	}
	n, _ := v.(lua.LNumber)
	return numberText(n)
}

// concatMeta joins two values by the metamethod of the left, or of the right if that has none.
func concatMeta(L *lua.LState, left, right lua.LValue) lua.LValue {
	meta := L.GetMetaField(left, "__concat")
	if meta == lua.LNil {
		meta = L.GetMetaField(right, "__concat")
	}
	if meta.Type() != lua.LTFunction {
		raise(L, "cannot perform concat operation between %v and %v", left.Type(), right.Type())
	}
	return answer(L, meta, left, right)
}
