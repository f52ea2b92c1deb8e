package script

import (
	"fmt"
	"runtime"
	"runtime/debug"

	lua "github.com/yuin/gopher-lua"
)

// The bounds of Lua code.
const (
	CallDepth  = 8192    // calls inside calls, in one coroutine or protected call
	StackSlots = 1 << 20 // values that all calls of one of them hold, such as what unpack and "..." spread out
	MaxNested  = 200     // coroutines, pcalls and xpcalls inside each other
)

// frameBudget bounds the calls of all that are inside each other together: each may take three kilobytes of the stack of Go, which
// ends the process at 1 GB.
const frameBudget = 4 * CallDepth

// callOverflow is the panic of a call stack that is full, which is the script's mistake and nobody else's.
const callOverflow = "lua callstack overflow"

// stateOptions are those of states and threads: small at first, and growing.
var stateOptions = lua.Options{
	CallStackSize:       CallDepth,
	MinimizeStackMemory: true,
	RegistrySize:        256,
	RegistryMaxSize:     StackSlots,
	RegistryGrowStep:    32768, // each step copies what is there: smaller ones make a large unpack take seconds
	SkipOpenLibs:        true,
}

// thread returns one that runs under the context of L.
func (s *sandbox) thread(L *lua.LState) *lua.LState {
	var th *lua.LState
	if n := len(s.threads); n > 0 {
		th = s.threads[n-1]
		s.threads = s.threads[:n-1]
	} else {
		th = s.newThread()
	}
	th.SetContext(L.Context())
	th.Env = L.Env
	return th
}

// newThread makes a thread. gopher-lua would give it a context of its own below that of its parent, to be cancelled some day.
func (s *sandbox) newThread() *lua.LState {
	ctx := s.L.RemoveContext()
	th, _ := s.L.NewThread()
	if ctx != nil {
		s.L.SetContext(ctx)
	}
	th.Panic = s.raise
	return th
}

// raise is how Lua code fails.
func (s *sandbox) raise(L *lua.LState) {
	s.raised = L
	panic(&lua.ApiError{Type: lua.ApiErrorRun, Object: L.Get(-1)})
}

// enter notes that L waits for another thread, and raises where that would be one too many. leave takes the result. The first to
// wait is taken for as deep as it may be, as there is room for that, and counting takes a while.
func (s *sandbox) enter(L *lua.LState) (frames int) {
	frames = CallDepth
	if s.nested > 0 {
		frames = framesOf(L)
	}
	if s.nested == MaxNested || s.frames+frames+CallDepth > frameBudget {
		raise(L, "stack overflow")
	}
	s.nested++
	s.frames += frames
	return frames
}

// leave is the end of enter.
func (s *sandbox) leave(frames int) {
	s.nested--
	s.frames -= frames
}

// framesOf returns how many calls a thread is inside of, or somewhat more: to count them is to walk over them. A tail call counts for
// one as well, so a count that is high may be of few; then it is the stack of Go that tells.
func framesOf(L *lua.LState) int {
	for _, n := range [...]int{64, 256, 1024, 4096} {
		if _, deeper := L.GetStack(n); !deeper {
			return n
		}
	}
	var pc [1]uintptr
	if runtime.Callers(deepGo, pc[:]) > 0 {
		return CallDepth
	}
	return 64
}

// deepGo is how many calls of Go may be inside each other where nobody has counted calls of Lua: it is what 2,000 metamethods take.
const deepGo = 16_000

// protect moves the function and its arguments, all that is on the stack of L, to a thread and calls the function there. The
// results are then on the stack of L; or it returns the value that was raised.
func (s *sandbox) protect(L *lua.LState) (raised lua.LValue) {
	if fn := L.Get(1); fn.Type() != lua.LTFunction && L.GetMetaField(fn, "__call").Type() != lua.LTFunction {
		return lua.LString("attempt to call a " + fn.Type().String() + " value")
	}
	frames := s.enter(L)
	defer s.leave(frames)
	th := s.thread(L)
	nargs := L.GetTop() - 1
	L.XMoveTo(th, nargs+1)
	if raised = s.call(th, nargs); raised != nil {
		return raised
	}
	th.XMoveTo(L, th.GetTop())
	s.threads = append(s.threads, th)
	return nil
}

// call calls the function below nargs arguments on a thread, and returns the value that was raised, nil if none was. What is
// more than an error of Lua passes through.
func (s *sandbox) call(th *lua.LState, nargs int) (raised lua.LValue) {
	current, co := th.G.CurrentThread, s.co
	th.G.CurrentThread = th
	defer func() {
		th.G.CurrentThread, s.co = current, co
		if v := recover(); v != nil {
			raised = s.caught(th, v)
		}
	}()
	th.Call(nargs, lua.MultRet)
	return nil
}

// caught returns the value of an error of Lua and panics again with anything else.
func (s *sandbox) caught(th *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case *lua.ApiError:
		return v.Object
	case *goPanic:
		panic(v)
	case string:
		if v == callOverflow {
			return lua.LString(position(th, 0) + "stack overflow")
		}
	}
	panic(s.panicked(th, v))
}

// panicked notes the panic of Go code, so that no pcall and no coroutine hides it.
func (s *sandbox) panicked(th *lua.LState, v any) *goPanic {
	if s.panic == nil {
		s.panic = &goPanic{value: fmt.Sprint(v), stack: string(debug.Stack()), trace: traceback(th)}
		s.stop(s.panic)
	}
	return s.panic
}

// pcall is that of Lua, on a thread of its own.
func (s *sandbox) pcall(L *lua.LState) int {
	checkAny(L, 1, "pcall")
	if raised := s.protect(L); raised != nil {
		L.Push(lua.LFalse)
		L.Push(raised)
		return 2
	}
	L.Insert(lua.LTrue, 1)
	return L.GetTop()
}

// xpcall is that of Lua. The handler is called when the failed calls are gone, which no script can tell without the debug
// library.
func (s *sandbox) xpcall(L *lua.LState) int {
	checkAny(L, 1, "xpcall")
	handler := checkAny(L, 2, "xpcall")
	L.SetTop(1)
	raised := s.protect(L)
	if raised == nil {
		L.Insert(lua.LTrue, 1)
		return L.GetTop()
	}
	L.SetTop(0)
	L.Push(handler)
	L.Push(raised)
	if failed := s.protect(L); failed != nil {
		L.Push(failed)
	}
	L.SetTop(1)
	L.Insert(lua.LFalse, 1)
	return 2
}
