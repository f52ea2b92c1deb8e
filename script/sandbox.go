package script

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/storelua"
)

// A sandbox is one Lua state and what keeps the code in it within bounds. It runs one unit after another, each with globals of its own,
// and is thrown away after one that may have left something.
type sandbox struct {
	guard
	r    *Runner
	seat seat
	L    *lua.LState // holds what all threads share; no script runs on it

	template                  // what each unit begins with
	threads  []*lua.LState    // free ones
	isolated bool             // of no use to a second unit
	files    []*lua.LUserData // that the unit opened

	// Of the unit.
	globals
	clock     clock
	random    randomness
	stop      context.CancelCauseFunc
	raised    *lua.LState // the thread that raised last
	unwritten error       // why print failed
	printed   int64       // bytes
	panic     *goPanic    // of Go code, which ends the unit
	exit      *exit       // by os.exit, which does as well

	// What is inside each other now.
	nested int           // threads that wait for another
	frames int           // their calls
	co     *lua.LState   // the coroutine that runs, nil for none
	chain  []*lua.LState // those that run or wait for one that they resumed
	alive  int           // coroutines that have not ended
}

// newSandbox makes a sandbox for a runner. The unit whose context it gets may then begin.
func newSandbox(ctx context.Context, r *Runner) *sandbox {
	s := &sandbox{r: r, seat: seat{w: &r.meters}, L: lua.NewState(stateOptions)}
	s.L.Panic = s.raise
	s.L.SetContext(ctx)
	s.guard.ctx = ctx
	s.stop = func(error) {}
	s.clock.began = time.Now()
	s.openLibraries()
	storelua.Preload(s.L)
	s.setUp()
	return s
}

// setUp lets the host add to the globals, which are whole meanwhile, and makes the template of what there is then.
func (s *sandbox) setUp() {
	s.learn()
	if s.r.setup == nil {
		return
	}
	s.globals = globals{env: s.base, whole: true, pkg: &packages{s.loaded, s.preload}}
	s.r.setup(s.L)
	s.learn()
	s.globals, s.alive = globals{}, 0
}

// slow is how long a unit takes after which its threads are not kept: some may have grown.
const slow = time.Millisecond

// A unit is what a sandbox runs next.
type unit struct {
	ctx     context.Context
	stop    context.CancelCauseFunc
	meter   *meter
	program *Program
}

// begin gives the state to a unit, which begins now, and returns its arguments as Lua values.
func (s *sandbox) begin(u unit, now time.Time, encoded [][]byte) ([]lua.LValue, error) {
	s.take(u)
	s.clock.began = now
	args, err := s.arguments(encoded)
	if err != nil {
		return nil, err
	}
	s.freshGlobals(u.program, args)
	return args, nil
}

// take makes the bounds of a unit those of the state.
func (s *sandbox) take(u unit) {
	s.guard.ctx = &unitContext{u.ctx, u.ctx.Done(), &s.guard, u.meter.door()}
	s.guard.meter, s.stop = u.meter, u.stop
	s.L.SetContext(s.guard.ctx)
}

// end takes the state back, and reports whether another unit may have it.
func (s *sandbox) end() bool {
	kept := s.alive == 0 && s.nested == 0 && s.panic == nil && s.exit == nil && !s.isolated && s.guard.ctx.Err() == nil
	if !kept {
		return false
	}
	if time.Since(s.clock.began) > slow {
		clear(s.threads)
		s.threads = s.threads[:0]
	}
	for _, th := range s.threads {
		th.SetContext(context.Background())
	}
	s.random.reset()
	s.forgetGlobals()
	s.guard, s.stop = guard{ctx: context.Background()}, nil
	s.L.SetContext(context.Background())
	s.raised, s.unwritten, s.printed = nil, nil, 0
	return true
}

// close writes out and removes the files of a state that could have some. A state without needs no closing: its memory goes by itself, and
// sooner, as closing would hand the stack to a pool.
func (s *sandbox) close() {
	if s.isolated {
		s.flush()
		s.L.Close()
	}
}

// run runs the program of a unit and returns count results.
func (s *sandbox) run(p *Program, args []lua.LValue, count int) (results Results, err error) {
	th := s.thread(s.L)
	defer func() {
		if v := recover(); v != nil {
			results, err = nil, s.failure(th, v)
		}
	}()
	if err := s.execute(th, p, args, count); err != nil {
		return nil, err
	}
	if results, err = s.results(th, p.name); err != nil {
		return nil, err
	}
	s.free(th)
	return results, nil
}

// execute runs a program on a thread, where it leaves count results. It panics with what the program raises.
func (s *sandbox) execute(th *lua.LState, p *Program, args []lua.LValue, count int) error {
	th.G.CurrentThread = th
	th.Push(th.NewFunctionFromProto(p.proto))
	for _, arg := range args {
		th.Push(arg)
	}
	th.Call(len(args), count)
	if s.panic != nil { // a coroutine made it a Lua error
		panic(s.panic)
	}
	if s.exit != nil {
		return s.exited()
	}
	return nil
}

// free takes back a thread that has done what it was taken for.
func (s *sandbox) free(th *lua.LState) {
	th.SetTop(0)
	s.threads = append(s.threads, th)
}

// A unitContext is the context of a unit in its Lua state. Lua asks it before each instruction, so it answers Done without walking the
// chain of contexts below it, and holds the unit up where the meters say so.
type unitContext struct {
	context.Context
	done  <-chan struct{}
	guard *guard
	gate  *gate
}

// String names the context as those of package context name theirs. Without it fmt would walk the guard, which others change meanwhile.
func (c *unitContext) String() string { return fmt.Sprint(c.Context, ".WithGuard") }

// Done returns the channel of the context below.
func (c *unitContext) Done() <-chan struct{} {
	c.gate.pass(c.done)
	return c.done
}

// Value returns the guard of the state or what the context below has.
func (c *unitContext) Value(key any) any {
	if key == (guardKey{}) {
		return c.guard
	}
	return c.Context.Value(key)
}
