package script

import (
	"context"

	lua "github.com/yuin/gopher-lua"
)

// MaxString is the longest string that scripts can make, in bytes.
const MaxString = 32 << 20

// largeString is the length from which on the heap is asked before a string is made, in bytes.
const largeString = 1 << 20

// A guard bounds what single calls of library functions cost: between two instructions of Lua nothing else can.
type guard struct {
	ctx   context.Context // of the unit that runs
	meter *meter
	last  border // of a long list
}

// poll raises when the unit has ended. Loops in Go call it every few thousand steps.
func (g *guard) poll(L *lua.LState) {
	if err := g.ctx.Err(); err != nil {
		raise(L, "%s", err.Error())
	}
}

// room raises unless a string of n bytes may be made now. It is asked before the bytes are allocated.
func (g *guard) room(L *lua.LState, n int) {
	if n > MaxString || n < 0 {
		raise(L, "string longer than %d bytes", MaxString)
	}
	if n >= largeString && !g.meter.fits(g.ctx.Done(), int64(n)) {
		g.poll(L)
	}
}
