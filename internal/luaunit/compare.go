package luaunit

import (
	"math"

	lua "github.com/yuin/gopher-lua"
)

const (
	maxDepth  = 10_000 // tables inside tables that are compared
	pollEvery = 1024   // steps after which a loop looks whether its unit has ended
)

// A difference is the first place where two values are not the same.
type difference struct {
	keys      []lua.LValue // that lead there, none where the values themselves differ
	got, want lua.LValue   // what is there
}

// A comparison is of two values, by what they hold: metatables are ignored and access is raw.
type comparison struct {
	poller
	seen map[[2]*lua.LTable]bool // pairs that are the same unless a difference is found
	keys []lua.LValue
	diff *difference
}

// compare returns the first difference of two values, nil if there is none. NaN is equal to itself, 0 to -0, and functions, userdata
// and coroutines are equal to themselves only.
func compare(L *lua.LState, got, want lua.LValue) *difference {
	c := &comparison{poller: poller{L: L}, seen: map[[2]*lua.LTable]bool{}}
	c.same(got, want)
	return c.diff
}

// same reports whether two values are the same, and notes the difference if not.
func (c *comparison) same(got, want lua.LValue) bool {
	g, ok := got.(*lua.LTable)
	w, ok2 := want.(*lua.LTable)
	if !ok || !ok2 {
		return sameScalar(got, want) || c.differ(got, want)
	}
	if pair := [2]*lua.LTable{g, w}; g == w || c.seen[pair] {
		return true
	} else {
		c.seen[pair] = true
	}
	if len(c.keys) == maxDepth {
		c.L.RaiseError("tables nested too deeply to be compared: more than %d inside each other", maxDepth)
	}
	for k, v := w.Next(lua.LNil); k != lua.LNil; k, v = w.Next(k) {
		if !c.sameAt(k, g.RawGet(k), v) {
			return false
		}
	}
	for k, v := g.Next(lua.LNil); k != lua.LNil; k, v = g.Next(k) {
		if w.RawGet(k) == lua.LNil {
			return c.sameAt(k, v, lua.LNil)
		}
	}
	return true
}

// sameAt compares what is under a key.
func (c *comparison) sameAt(key, got, want lua.LValue) bool {
	c.step()
	c.keys = append(c.keys, key)
	same := c.same(got, want)
	c.keys = c.keys[:len(c.keys)-1]
	return same
}

// differ notes a difference, and reports that the values are not the same.
func (c *comparison) differ(got, want lua.LValue) bool {
	c.diff = &difference{keys: append([]lua.LValue(nil), c.keys...), got: got, want: want}
	return false
}

// sameScalar compares values of which one is no table.
func sameScalar(got, want lua.LValue) bool {
	g, ok := got.(lua.LNumber)
	w, ok2 := want.(lua.LNumber)
	if ok && ok2 {
		return sameNumber(g, w)
	}
	return got == want
}

// sameNumber compares numbers, of which NaN is one.
func sameNumber(a, b lua.LNumber) bool {
	return a == b || math.IsNaN(float64(a)) && math.IsNaN(float64(b))
}

// A poller raises an error in a long loop once its unit has ended.
type poller struct {
	L     *lua.LState
	steps int
}

func (p *poller) step() {
	if p.steps++; p.steps%pollEvery != 0 {
		return
	}
	if ctx := p.L.Context(); ctx != nil && ctx.Err() != nil {
		p.L.RaiseError("%v", ctx.Err())
	}
}
