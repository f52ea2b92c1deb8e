package script

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/luafile"
	"github.com/luastore/store/value"
)

// The bounds of a unit where [Options] say nothing.
const (
	DefaultTimeout = 30 * time.Second
	DefaultMemory  = 128 << 20 // bytes
	DefaultOutput  = 1 << 20   // bytes
)

// Options configure a [Runner]. Nil means the defaults.
type Options struct {
	// Timeout bounds each unit; the deadline of the context holds besides. Default: [DefaultTimeout]. Negative: no bound but
	// the context.
	Timeout time.Duration
	// Memory bounds by how many bytes what the heap of the process keeps may grow while a unit runs; garbage does not count. Go does
	// not tell whose an object is: a unit that ran Lua all the while in which others, or the host, grew the heap by that much
	// ends too. Give hosts that keep much more while scripts wait a larger bound. The heap itself may grow by half more, or by
	// half of what the host keeps, before the collector is asked; units wait meanwhile. Default: [DefaultMemory].
	// Negative: no bound.
	Memory int64
	// Output bounds how many bytes each unit prints; print fails beyond. Default: [DefaultOutput]. Negative: no bound.
	Output int64
	// Stdout gets what scripts print, each line in one Write, one after the other. An error from it is raised in the script. A
	// write that does not return holds up what prints after it; units end at their deadline all the same. Default:
	// discarded.
	Stdout io.Writer
	// Modules holds the Lua files that scripts may require. For a folder on disk take [os.Root.FS], which lets no symbolic
	// link lead outside; os.DirFS does not keep them in. Default: no files.
	Modules fs.FS
	// ModulesName is put before the paths of modules in error messages, such as the path of the folder. Default: nothing.
	ModulesName string
	// Grants open what scripts do not have by default. Default: nothing.
	Grants []Grant
	// Setup adds the host's own functions to a Lua state before a script runs in it. It is called once for many units that run
	// one after the other. Each unit gets the globals that Setup leaves, tables as copies; so nothing that a script does to
	// them is seen by the next. What a function of the host keeps is the host's to guard: functions find the unit's context
	// in L.Context(). One that calls Lua should use L.Call and let errors pass: the traceback that L.PCall makes of a failure has a
	// line for each tail call that the script ever made. A function that panics ends the unit, as [KindPanic], also through a pcall of the script; inside a
	// coroutine gopher-lua makes the panic a Lua error of that coroutine. Default: nothing is added.
	Setup func(L *lua.LState)
	// Limits bound each argument and each result. Default: those of package value.
	Limits value.Limits
}

// A Runner runs programs as units of work of one registry. Its methods are safe for concurrent use. It holds nothing that must
// be closed: it keeps Lua states for reuse, as many as units have run at once, until the garbage collector takes them.
type Runner struct {
	reg       *store.Registry
	timeout   time.Duration
	printable int64   // bytes that a unit may print; 0 is no bound
	output    *output // nil where it is discarded
	modules   modules
	grants    []Grant
	setup     func(L *lua.LState)
	limits    value.Limits
	meters    meters
	sandboxes sync.Pool // of *sandbox
}

// New returns a Runner over the stores of reg, which the caller closes.
func New(reg *store.Registry, o *Options) *Runner {
	if o == nil {
		o = &Options{}
	}
	r := &Runner{
		reg: reg, timeout: o.Timeout, setup: o.Setup, limits: o.Limits, grants: slices.Clone(o.Grants),
		modules:   modules{dir: o.ModulesName, programs: map[string]*Program{}},
		printable: bound(o.Output, DefaultOutput),
		meters:    meters{limit: bound(o.Memory, DefaultMemory)},
	}
	if r.timeout == 0 {
		r.timeout = DefaultTimeout
	}
	if o.Modules != nil {
		r.modules.files = luafile.NewReader(o.Modules, MaxSource+1) // Compile refuses what is longer
	}
	if o.Stdout != nil {
		r.output = newOutput(o.Stdout)
	}
	return r
}

// bound returns an option as it holds: 0 for none.
func bound(n, otherwise int64) int64 {
	switch {
	case n == 0:
		return otherwise
	case n < 0:
		return 0
	}
	return n
}

// Run runs a program as one unit and returns what it returned. The arguments, Go values as [value.Marshal] takes them or nil,
// are the script's "..." and its global table arg, whose element 0 is the program's name. A failure of the script is an
// [*Error], an argument that has no Lua form a [store.ErrInvalid]. A panic in a function of the host is contained;
// [runtime.Goexit] passes through when everything is released.
func (r *Runner) Run(ctx context.Context, p *Program, args ...any) (Results, error) {
	return r.unit(ctx, p, args, lua.MultRet)
}

// Exec is Run for scripts whose results do not matter, which may then be anything.
func (r *Runner) Exec(ctx context.Context, p *Program, args ...any) error {
	_, err := r.unit(ctx, p, args, 0)
	return err
}

// unit runs a program as one unit and keeps count results.
func (r *Runner) unit(ctx context.Context, p *Program, args []any, count int) (results Results, err error) {
	encoded, err := encodeArguments(args, r.limits)
	if err != nil {
		return nil, err
	}
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.timeout, passed(r.timeout))
		defer cancel()
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err = r.reg.DoNamed(ctx, p.name, func(ctx context.Context) (err error) {
		results, err = r.sandboxed(ctx, stop, p, encoded, count)
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// passed is why a unit ends at its deadline.
type passed time.Duration

// Error names the deadline.
func (p passed) Error() string { return fmt.Sprintf("deadline of %v passed", time.Duration(p)) }

// Unwrap returns [context.DeadlineExceeded].
func (p passed) Unwrap() error { return context.DeadlineExceeded }

// sandboxed runs a program in a Lua state, which is kept if it is as good as new then.
func (r *Runner) sandboxed(
	ctx context.Context, stop context.CancelCauseFunc, p *Program, encoded [][]byte, count int,
) (results Results, err error) {
	if ctx.Err() != nil {
		return nil, stopped(ctx, "")
	}
	s, err := r.sandbox(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	m := s.seat.begin(stop, now)
	reusable := false
	defer func() {
		s.seat.end()
		if reusable {
			r.sandboxes.Put(s)
		} else {
			s.close()
		}
	}()
	args, err := s.begin(unit{ctx: ctx, stop: stop, meter: m, program: p}, now, encoded)
	if err != nil {
		return nil, err
	}
	results, err = s.run(p, args, count)
	reusable = s.end()
	return results, err
}

// sandbox returns one that is free, or a new one.
func (r *Runner) sandbox(ctx context.Context) (*sandbox, error) {
	if s, ok := r.sandboxes.Get().(*sandbox); ok {
		return s, nil
	}
	return r.newSandbox(ctx)
}

// newSandbox returns a new one. A panic of Setup is an error.
func (r *Runner) newSandbox(ctx context.Context) (s *sandbox, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = setupFailed(v)
		}
	}()
	return newSandbox(ctx, r), nil
}

// LimitArrays makes Lua tables keep integer keys above n in their hash part. As it is, gopher-lua allocates an array up to the
// largest integer key below 67,108,864, so that t[6e7]=1 takes 2.4 GB. The bound is one variable of the whole process: a
// program sets it once, before any Lua state exists.
func LimitArrays(n int) { lua.MaxArrayIndex = n }
