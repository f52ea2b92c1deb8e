package script

import (
	"crypto/rand"

	lua "github.com/yuin/gopher-lua"
)

// OP_LEN knows the array part of a table only, which ends at lua.MaxArrayIndex: in a list that is longer t[#t+1] = v would write one
// element for ever. So the rewriter makes the operator # a call of this function, which holds no state.
var lengthFunction = &lua.LFunction{IsG: true, GFunction: lengthOf}

// lengthName stands for it until the compiler is done, as concatName does.
var lengthName = rand.Text()

// lengthOf is the operator. gopher-lua asks tables for __len, too, which Lua 5.1 does not.
func lengthOf(L *lua.LState) int {
	switch v := L.Get(1).(type) {
	case lua.LString:
		L.Push(count(len(v)))
	case *lua.LTable:
		if v.Metatable != lua.LNil {
			return lengthByMeta(L, v)
		}
		L.Push(count(borderOf(L, v)))
	default:
		return lengthByMeta(L, v)
	}
	return 1
}

// counts are small numbers as Lua values, which Go would allocate each time.
var counts = func() (all [1024]lua.LValue) {
	for i := range all {
		all[i] = lua.LNumber(i)
	}
	return all
}()

// count returns a number that is not negative as a Lua value.
func count(n int) lua.LValue {
	if n < len(counts) {
		return counts[n]
	}
	return lua.LNumber(n)
}

// lengthByMeta is the operator for what may have a metamethod.
func lengthByMeta(L *lua.LState, v lua.LValue) int {
	meta := L.GetMetaField(v, "__len")
	t, isTable := v.(*lua.LTable)
	switch {
	case meta.Type() == lua.LTFunction:
		L.Push(answer(L, meta, v))
	case isTable:
		L.Push(count(borderOf(L, t)))
	default:
		raise(L, "attempt to get length of a %v value", v.Type())
	}
	return 1
}

// borderOf is length, as the guard of the state knows it.
func borderOf(L *lua.LState, t *lua.LTable) int {
	if n := t.Len(); inArray(n) {
		return n
	}
	return guardOf(L).length(t)
}

// A border is where a list was last found to end.
type border struct {
	list *lua.LTable
	n    int
}

// length returns a border of a table, an n with t[n] ~= nil and t[n+1] == nil, or 0. Of a list that is longer than an array it tries
// first what is near the last one, so that to go along a list takes the same time for each step.
func (g *guard) length(t *lua.LTable) int {
	n := t.Len()
	if inArray(n) {
		return n
	}
	if g == nil {
		return farBorder(t)
	}
	if g.last.list == t {
		for n := max(g.last.n-1, lua.MaxArrayIndex-1); n <= g.last.n+1; n++ {
			if element(t, n) != lua.LNil && element(t, n+1) == lua.LNil {
				g.last.n = n
				return n
			}
		}
	}
	g.last = border{t, farBorder(t)}
	return g.last.n
}

// farBorder finds a border of a table whose array is full. It takes logarithmic time.
func farBorder(t *lua.LTable) int {
	n := lua.MaxArrayIndex - 1
	past := n + 1
	for past < maxInt && element(t, past) != lua.LNil {
		n, past = past, min(2*past, maxInt)
	}
	for past-n > 1 {
		if middle := n + (past-n)/2; element(t, middle) == lua.LNil {
			past = middle
		} else {
			n = middle
		}
	}
	return n
}

// getn is the operator # for lists of any length.
