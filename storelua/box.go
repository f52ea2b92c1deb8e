package storelua

import (
	"math"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// A boxer makes numbers and strings into Lua values. A Go interface keeps what it holds behind a pointer, so that each would take an
// allocation of its own; a boxer allocates the places for many at a time.
type boxer struct {
	left    int // values that are known to come, of which each may need a box
	numbers []lua.LNumber
	strings []lua.LString
}

// maxBoxes is how many boxes are made at a time at most: a script that keeps one of them keeps the memory of all.
const maxBoxes = 128

// ahead returns how many boxes to make when there is none left.
func (x *boxer) ahead() int { return max(1, min(x.left+1, maxBoxes)) }

// number boxes a number.
func (x *boxer) number(f float64) lua.LValue {
	if v, ok := common(f); ok {
		return v
	}
	if len(x.numbers) == 0 {
		x.numbers = make([]lua.LNumber, x.ahead())
	}
	p := &x.numbers[0]
	x.numbers = x.numbers[1:]
	*p = lua.LNumber(f)
	return boxed(aNumber, unsafe.Pointer(p))
}

// string boxes a string.
func (x *boxer) string(s string) lua.LValue {
	if len(x.strings) == 0 {
		x.strings = make([]lua.LString, x.ahead())
	}
	p := &x.strings[0]
	x.strings = x.strings[1:]
	*p = lua.LString(s)
	return boxed(aString, unsafe.Pointer(p))
}

// The values whose type those of a boxer have.
var (
	aNumber lua.LValue = lua.LNumber(0.5)
	aString lua.LValue = lua.LString("a string")
)

// boxed returns the Lua value of the type that like has and whose content p points to. Nobody may change that content: the value is
// an interface, whose two words are its type and, for a type that is no pointer, a pointer to what it holds.
func boxed(like lua.LValue, p unsafe.Pointer) lua.LValue {
	(*[2]unsafe.Pointer)(unsafe.Pointer(&like))[1] = p
	return like
}

// numbers are the boxed forms of the integers that are most common, which save an allocation each.
var numbers = func() (boxed [1024]lua.LValue) {
	for i := range boxed {
		boxed[i] = lua.LNumber(i)
	}
	return boxed
}()

// common returns the boxed form of a number, if it is kept.
func common(f float64) (v lua.LValue, ok bool) {
	if i := int(f); uint(i) < uint(len(numbers)) && float64(i) == f && !(i == 0 && math.Signbit(f)) {
		return numbers[i], true
	}
	return nil, false
}

// number boxes one number.
func number(f float64) lua.LValue {
	if v, ok := common(f); ok {
		return v
	}
	return lua.LNumber(f)
}
