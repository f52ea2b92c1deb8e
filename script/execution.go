package script

import (
	"context"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/storelua"
)

// The bounds of one Lua state, and of each of its coroutines.
const (
	CallDepth  = 8192    // calls inside calls
	StackSlots = 1 << 20 // values that all its calls hold, such as what unpack and "..." spread out
)

// callOverflow is the panic of a call stack that is full, which is the script's mistake and nobody else's.
const callOverflow = "lua callstack overflow"

// stateOptions make states that are small at first and grow. Coroutines are states too.
var stateOptions = lua.Options{
	CallStackSize:       CallDepth,
	MinimizeStackMemory: true,
	RegistrySize:        1024,
	RegistryMaxSize:     StackSlots,
	RegistryGrowStep:    32768, // each step copies what is there: smaller ones make a large unpack take seconds
	SkipOpenLibs:        true,
	IncludeGoStackTrace: true,
}

// An execution is one program running in one Lua state.
type execution struct {
	r       *Runner
	ctx     context.Context
	L       *lua.LState
	loaded  *lua.LTable // package.loaded
	preload *lua.LTable // package.preload
	loading []string    // names of the modules that are being loaded, outermost first
	output  error       // why print failed
	panic   *goPanic    // the first that passed a pcall
}

// newExecution makes a state that is bound to ctx before any code runs in it. The caller closes it.
func newExecution(ctx context.Context, r *Runner) *execution {
	x := &execution{r: r, ctx: flat(ctx), L: lua.NewState(stateOptions)}
	x.L.SetContext(x.ctx)
	x.L.Panic = func(L *lua.LState) {
		panic(&lua.ApiError{Type: lua.ApiErrorRun, Object: L.Get(-1), StackTrace: traceback(L)})
	}
	return x
}

// run runs a program and returns count results. It calls Lua unprotected: every panic, Lua error or not, ends here, and the
// state with it. PCall would add nothing but ways for a panic to escape it, and hide whether one was an error.
func (x *execution) run(p *Program, encoded [][]byte, count int) (results Results, err error) {
	defer func() {
		if v := recover(); v != nil {
			results, err = nil, x.failure(v)
		}
	}()
	x.openLibraries()
	storelua.Preload(x.L)
	if x.r.setup != nil {
		x.r.setup(x.L)
	}
	args, err := x.arguments(encoded)
	if err != nil {
		return nil, err
	}
	x.setArg(p.name, args)
	x.L.SetTop(0)
	x.L.Push(x.L.NewFunctionFromProto(p.proto))
	for _, arg := range args {
		x.L.Push(arg)
	}
	x.L.Call(len(args), count)
	if x.panic != nil { // a coroutine made it a Lua error
		panic(x.panic)
	}
	return x.results(p.name)
}

// setArg sets the global table arg as the standalone interpreter of Lua does.
func (x *execution) setArg(name string, args []lua.LValue) {
	arg := x.L.CreateTable(len(args), 1)
	arg.RawSetInt(0, lua.LString(name))
	for i, v := range args {
		arg.RawSetInt(i+1, v)
	}
	x.L.SetGlobal("arg", arg)
}

// A flatContext answers Done without walking the chain of contexts below it: Lua asks once for each instruction.
type flatContext struct {
	context.Context
	done <-chan struct{}
}

func flat(ctx context.Context) context.Context { return flatContext{ctx, ctx.Done()} }

// Done returns the channel of the context below.
func (c flatContext) Done() <-chan struct{} { return c.done }
