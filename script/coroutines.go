package script

import (
	"runtime"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// coroutines are the library coroutine: that of gopher-lua, whose threads it counts and keeps from nesting too deep.
type coroutines struct {
	s *sandbox

	create, wrap, resume lua.LGFunction    // of gopher-lua
	direct               map[callPath]bool // what isDirect has found
}

// coroutineFunctions takes over from what gopher-lua has put into L.
func (s *sandbox) coroutineFunctions(stock *lua.LTable) map[string]lua.LGFunction {
	of := func(name string) lua.LGFunction { return stock.RawGetString(name).(*lua.LFunction).GFunction }
	c := &coroutines{s: s, create: of("create"), wrap: of("wrap"), resume: of("resume"), direct: map[callPath]bool{}}
	return map[string]lua.LGFunction{
		"create": c.coCreate, "wrap": c.coWrap, "resume": c.coResume, "yield": c.coYield, "running": c.coRunning, "status": c.coStatus,
	}
}

// The calls of the function of a coroutine stand above one that stays: gopher-lua takes a thread without any for one that was not
// resumed yet, and a coroutine that ends by return coroutine.yield() for such.
var ground = func() *lua.FunctionProto {
	p, err := Compile("=coroutine", "local f return function(...) return f(...) end")
	if err != nil {
		panic(err) // the source is above
	}
	proto := p.proto.FunctionPrototypes[0]
	keepCaller(proto)
	return proto
}()

// grounded returns a function that calls another, but not as its last act.
func grounded(L *lua.LState, fn *lua.LFunction) *lua.LFunction {
	g := L.NewFunctionFromProto(ground)
	g.Upvalues[0] = L.NewClosure(nil, fn).Upvalues[0]
	return g
}

// begun makes a thread by a function of gopher-lua, which would give it a context of its own.
func (c *coroutines) begun(L *lua.LState, stock lua.LGFunction, name string) (made lua.LValue) {
	fn, ok := L.Get(1).(*lua.LFunction)
	if !ok || fn.IsG || fn.Proto == ground {
		argumentError(L, 1, name, "Lua function expected")
	}
	L.Replace(1, grounded(L, fn))
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
	c.begun(L, c.create, "create")
	return 1
}

// coWrap is coroutine.wrap. The thread knows from gopher-lua that errors pass through.
func (c *coroutines) coWrap(L *lua.LState) int {
	wrapped := c.begun(L, c.wrap, "wrap").(*lua.LFunction)
	L.Push(L.NewClosure(c.resumeWrapped, wrapped.Upvalues[0].Value()))
	return 1
}

// coResume is coroutine.resume.
func (c *coroutines) coResume(L *lua.LState) int {
	th := checkThread(L, "resume")
	why := c.refusal(th)
	if why == "" {
		n, inPlace := c.run(L, th)
		if inPlace {
			return n
		}
		why = acrossGo
	}
	L.Push(lua.LFalse)
	L.Push(lua.LString(why))
	return 2
}

// resumeWrapped is what coroutine.wrap returned.
func (c *coroutines) resumeWrapped(L *lua.LState) int {
	th := L.Get(lua.UpvalueIndex(1)).(*lua.LState)
	if why := c.refusal(th); why != "" {
		raise(L, "%s", why)
	}
	L.Insert(th, 1)
	n, inPlace := c.run(L, th)
	if !inPlace {
		raise(L, acrossGo)
	}
	return n
}

// acrossGo is why a coroutine cannot yield where functions of Go stand between it and its calls.
const acrossGo = "attempt to yield across metamethod/C-call boundary"

// checkThread returns argument 1.
func checkThread(L *lua.LState, function string) *lua.LState {
	th, ok := L.Get(1).(*lua.LState)
	if !ok {
		argumentError(L, 1, function, "coroutine expected")
	}
	return th
}

// refusal says why a thread cannot be resumed, if it cannot.
func (c *coroutines) refusal(th *lua.LState) string {
	switch {
	case slices.Contains(c.s.chain, th):
		if th == c.s.co {
			return "cannot resume running coroutine"
		}
		return "cannot resume normal coroutine"
	case th.Dead:
		return "cannot resume dead coroutine"
	}
	return ""
}

// run resumes a thread, which is argument 1, under the context of whoever resumes it: in a [Session] that of a later chunk than the one
// that made the thread. It is not in place afterwards where it yielded inside a metamethod, or inside the
// function of a for loop: gopher-lua then goes on with it, and it is of no use any more.
func (c *coroutines) run(L, th *lua.LState) (n int, inPlace bool) {
	frames := c.s.enter(L)
	c.s.chain = append(c.s.chain, th)
	co := c.s.co
	c.s.co = th
	th.SetContext(L.Context())
	defer func() {
		c.s.leave(frames)
		c.s.chain = c.s.chain[:len(c.s.chain)-1]
		c.s.co = co
		L.G.CurrentThread = L
		if !inPlace { // or it failed
			th.Dead = true
		}
		if th.Dead {
			c.s.alive--
		}
	}()
	n = c.resume(L)
	_, waits := th.GetStack(0)
	return n, waits || th.Dead
}

// coYield is what coroutine.yield calls, which is a function of Lua so that values that are missing become nil. It is refused where
// functions of Go stand between it and the coroutine, which gopher-lua would leave standing there.
func (c *coroutines) coYield(L *lua.LState) int {
	if L.Parent == nil || L != c.s.co || !c.resumedDirectly() {
		L.Error(lua.LString(acrossGo), 0)
	}
	return -1
}

// A callPath are return addresses of Go: of coYield, what calls functions of Go, the instruction, the loop of the virtual machine.
type callPath [5]uintptr

// resumedDirectly reports whether the loop that has called coYield is that of the coroutine, and not one of a function of Go in it.
func (c *coroutines) resumedDirectly() bool {
	var path callPath
	if runtime.Callers(2, path[:]) < len(path) {
		return false
	}
	direct, known := c.direct[path]
	if !known {
		direct = isDirect(path)
		c.direct[path] = direct
	}
	return direct
}

// isDirect looks for the function of gopher-lua that runs coroutines.
func isDirect(path callPath) bool {
	frames := runtime.CallersFrames(path[:])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, ".threadRun") {
			return true
		}
		if !more {
			return false
		}
	}
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
	th := checkThread(L, "status")
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
