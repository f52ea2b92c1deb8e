package script

import (
	"slices"

	lua "github.com/yuin/gopher-lua"
)

// coroutines are the library coroutine: that of gopher-lua, whose threads it counts and keeps from nesting too deep.
type coroutines struct {
	s *sandbox

	create, wrap, resume lua.LGFunction // of gopher-lua
}

// coroutineFunctions takes over from what gopher-lua has put into L.
func (s *sandbox) coroutineFunctions(stock *lua.LTable) map[string]lua.LGFunction {
	of := func(name string) lua.LGFunction { return stock.RawGetString(name).(*lua.LFunction).GFunction }
	c := &coroutines{s: s, create: of("create"), wrap: of("wrap"), resume: of("resume")}
	return map[string]lua.LGFunction{
		"create": c.coCreate, "wrap": c.coWrap, "resume": c.coResume, "yield": c.coYield, "running": c.coRunning, "status": c.coStatus,
	}
}

// begun makes a thread by a function of gopher-lua, which would give it a context of its own.
func (c *coroutines) begun(L *lua.LState, stock lua.LGFunction) (made lua.LValue) {
	L.CheckFunction(1)
	ctx := L.RemoveContext()
	defer L.SetContext(ctx)
	stock(L)
	c.s.alive++
	made = L.Get(-1)
	th, ok := made.(*lua.LState)
	if !ok {
		th = made.(*lua.LFunction).Upvalues[0].Value().(*lua.LState)
	}
	th.SetContext(ctx)
	return made
}

// coCreate is coroutine.create.
func (c *coroutines) coCreate(L *lua.LState) int {
	c.begun(L, c.create)
	return 1
}

// coWrap is coroutine.wrap. The thread knows from gopher-lua that errors pass through.
func (c *coroutines) coWrap(L *lua.LState) int {
	wrapped := c.begun(L, c.wrap).(*lua.LFunction)
	L.Push(L.NewClosure(c.resumeWrapped, wrapped.Upvalues[0].Value()))
	return 1
}

// coResume is coroutine.resume.
func (c *coroutines) coResume(L *lua.LState) int {
	th := L.CheckThread(1)
	if why := c.refusal(th); why != "" {
		L.Push(lua.LFalse)
		L.Push(lua.LString(why))
		return 2
	}
	return c.run(L, th)
}

// resumeWrapped is what coroutine.wrap returned.
func (c *coroutines) resumeWrapped(L *lua.LState) int {
	th := L.Get(lua.UpvalueIndex(1)).(*lua.LState)
	if why := c.refusal(th); why != "" {
		L.RaiseError("%s", why)
	}
	L.Insert(th, 1)
	return c.run(L, th)
}

// refusal says why a thread cannot be resumed, if it cannot.
func (c *coroutines) refusal(th *lua.LState) string {
	switch {
	case slices.Contains(c.s.chain, th):
		return "cannot resume non-suspended coroutine"
	case th.Dead:
		return "cannot resume dead coroutine"
	}
	return ""
}

// run resumes a thread, which is argument 1.
func (c *coroutines) run(L, th *lua.LState) int {
	frames := c.s.enter(L)
	c.s.chain = append(c.s.chain, th)
	co := c.s.co
	c.s.co = th
	ok := false
	defer func() {
		c.s.leave(frames)
		c.s.chain = c.s.chain[:len(c.s.chain)-1]
		c.s.co = co
		L.G.CurrentThread = L
		th.Dead = th.Dead || !ok
		if th.Dead {
			c.s.alive--
		}
	}()
	n := c.resume(L)
	ok = true
	return n
}

// coYield is coroutine.yield. It is refused where functions of Go stand between it and the coroutine, which gopher-lua would
// leave standing there.
func (c *coroutines) coYield(L *lua.LState) int {
	if L.Parent == nil || L != c.s.co {
		L.RaiseError("attempt to yield across metamethod/C-call boundary")
	}
	return -1
}

// coRunning is coroutine.running.
func (c *coroutines) coRunning(L *lua.LState) int {
	if c.s.co == nil {
		L.Push(lua.LNil)
	} else {
		L.Push(c.s.co)
	}
	return 1
}

// coStatus is coroutine.status.
func (c *coroutines) coStatus(L *lua.LState) int {
	th := L.CheckThread(1)
	status := "suspended"
	switch {
	case th == c.s.co:
		status = "running"
	case slices.Contains(c.s.chain, th):
		status = "normal"
	case th.Dead:
		status = "dead"
	}
	L.Push(lua.LString(status))
	return 1
}
