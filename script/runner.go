package script

import (
	"context"
	"io"
	"io/fs"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// DefaultTimeout bounds a unit where [Options] say nothing.
const DefaultTimeout = 30 * time.Second

// Options configure a [Runner]. Nil means the defaults.
type Options struct {
	// Timeout bounds each unit; the deadline of the context holds besides. Default: [DefaultTimeout]. Negative: no bound but
	// the context.
	Timeout time.Duration
	// Stdout gets what scripts print, each line in one Write. It must be safe for concurrent use if units run at once. An
	// error from it is raised in the script. Default: discarded.
	Stdout io.Writer
	// Modules holds the Lua files that scripts may require. For a folder on disk take [os.Root.FS], which lets no symbolic
	// link lead outside; os.DirFS does not keep them in. Default: no files.
	Modules fs.FS
	// ModulesName is put before the paths of modules in error messages, such as the path of the folder. Default: nothing.
	ModulesName string
	// Setup adds the host's own functions to a Lua state before a script runs in it. It may be called once for several units
	// that run one after the other, so what it adds must keep nothing of one unit: functions find the unit's context in
	// L.Context(). A function that panics ends the unit, as [KindPanic], also through a pcall of the script; inside a
	// coroutine gopher-lua makes the panic a Lua error of that coroutine. Default: nothing is added.
	Setup func(L *lua.LState)
	// Limits bound each argument and each result. Default: those of package value.
	Limits value.Limits
}

// A Runner runs programs as units of work of one registry. Its methods are safe for concurrent use. It holds nothing that must
// be closed.
type Runner struct {
	reg     *store.Registry
	timeout time.Duration
	stdout  io.Writer
	modules modules
	setup   func(L *lua.LState)
	limits  value.Limits
}

// New returns a Runner over the stores of reg, which the caller closes.
func New(reg *store.Registry, o *Options) *Runner {
	if o == nil {
		o = &Options{}
	}
	r := &Runner{
		reg: reg, timeout: o.Timeout, stdout: o.Stdout, setup: o.Setup, limits: o.Limits,
		modules: modules{files: o.Modules, dir: o.ModulesName, programs: map[string]*Program{}},
	}
	if r.timeout == 0 {
		r.timeout = DefaultTimeout
	}
	if r.stdout == nil {
		r.stdout = io.Discard
	}
	return r
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
		passed := store.Errorf(context.DeadlineExceeded, "deadline of %v passed", r.timeout)
		ctx, cancel = context.WithTimeoutCause(ctx, r.timeout, passed)
		defer cancel()
	}
	err = r.reg.DoNamed(ctx, p.name, func(ctx context.Context) (err error) {
		if ctx.Err() != nil {
			return stopped(ctx, "")
		}
		x := newExecution(ctx, r)
		defer x.L.Close()
		results, err = x.run(p, encoded, count)
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// LimitArrays makes Lua tables keep integer keys above n in their hash part. As it is, gopher-lua allocates an array up to the
// largest integer key below 67,108,864, so that t[6e7]=1 takes 2.4 GB. The bound is one variable of the whole process: a
// program sets it once, before any Lua state exists.
func LimitArrays(n int) { lua.MaxArrayIndex = n }
