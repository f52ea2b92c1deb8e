// Package luaunit runs tests of Lua scripts that are written in Lua with the module "test":
//
//	runner := luaunit.New(nil)
//	cases, failed := runner.Collect(ctx, file)
//	for _, c := range cases {
//		result := runner.Run(ctx, file, c)
//	}
//
// Each case is a unit of work of its own: its file runs anew from the top, with fresh globals and modules, on fresh stores in memory,
// and then the function of the case. What scripts can call is told in docs/testing.md.
//
// # How a case ends
//
// An assertion that fails notes what failed and cancels the context of its unit before it raises an error. So it ends its case on the
// spot: no pcall, no coroutine and no function that a store calls back can keep it from failing.
package luaunit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/script"
)

// DefaultTimeout bounds each case where [Options] say nothing.
const DefaultTimeout = 10 * time.Second

// Options configure a [Runner]. Nil means the defaults.
type Options struct {
	// Stores are those that there are, each opened in memory whatever its definition opens. Those that share a connection share their
	// memory. Default, nil: any id is a store.
	Stores map[string]store.Definition
	// Timeout bounds each case, the top level of its file included. Default: [DefaultTimeout].
	Timeout time.Duration
	// Memory bounds each case as [script.Options] tell, in bytes. Default: [script.DefaultMemory].
	Memory int64
	// Grants open what scripts do not have by default. Default: nothing.
	Grants []script.Grant
}

// A File is the source of some cases.
type File struct {
	Name    string   // as messages name it
	Source  string   // Lua
	Modules []Folder // in which require looks, the first that has the module counts
}

// A Folder holds modules.
type Folder struct {
	Name  string // as messages name it, such as "." or "tests"
	Files fs.FS
}

// A Case is one test of a file. Its name is unique there; "" stands for the top level of the file.
type Case struct {
	Name string
	Line int // where test.case stands in the file, from 1; 0 for the top level
}

// A Status says how a case ended.
type Status string

// How a case ends.
const (
	Passed  Status = "passed"
	Failed  Status = "failed" // an assertion did not hold
	Broken  Status = "broken" // an error was raised, or a bound was reached
	Skipped Status = "skipped"
)

// A Result is what became of a case. Its texts may hold any bytes that a script has printed or raised.
type Result struct {
	Case      Case
	Status    Status
	Message   string       // why it is not passed, behind the place: "cart_test.lua:9: got 41, want 42"
	Diff      string       // of what was wanted to what was got, in lines; "" where the message tells it all
	Traceback string       // of an error that was raised in more than one place, in lines; else ""
	Missing   script.Grant // what would have given a global that was looked for in vain before an error
	Output    string       // what was printed
	Took      time.Duration
}

// A Runner runs cases, each with the same options. Its methods are safe for concurrent use.
type Runner struct{ o Options }

// New returns a Runner.
func New(o *Options) *Runner {
	r := &Runner{}
	if o != nil {
		r.o = *o
	}
	r.o.Timeout = cmp.Or(r.o.Timeout, DefaultTimeout)
	return r
}

// Collect runs the top level of a file and returns its cases in their order. If that does not pass there are none, and a result
// tells why.
func (r *Runner) Collect(ctx context.Context, f *File) ([]Case, *Result) {
	p, result := r.pass(ctx, f, Case{})
	switch {
	case result.Status != Passed:
		return nil, &result
	case len(p.cases) == 0:
		result.Status = Broken
		result.Message = f.Name + `: no cases in it: want test.case("what holds", function() ... end)`
		return nil, &result
	}
	return p.cases, nil
}

// Run runs one case of a file. Once ctx has ended the result means nothing.
func (r *Runner) Run(ctx context.Context, f *File, c Case) Result {
	_, result := r.pass(ctx, f, c)
	return result
}

// errEnded is why the context of a pass ends that is decided.
var errEnded = errors.New("the case has ended")

// pass runs a file, and one of its cases if c has a name.
func (r *Runner) pass(ctx context.Context, f *File, c Case) (*pass, Result) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p := &pass{file: f, only: c.Name, stop: stop, grantedLoad: slices.Contains(r.o.Grants, script.GrantLoad)}
	reg := freshStores(r.o.Stores)
	var out output
	start := time.Now()
	err := p.run(ctx, script.New(reg, &script.Options{
		Timeout: r.o.Timeout,
		Memory:  r.o.Memory,
		Stdout:  &out,
		Grants:  append(slices.Clone(r.o.Grants), script.GrantLoad),
		Setup:   p.setUp,
	}))
	result := p.result(err)
	result.Message = bounded(result.Message)
	result.Case, result.Took, result.Output = c, time.Since(start), out.String()
	if err := closeStores(ctx, reg); err != nil && result.Status == Passed {
		result.Status, result.Message = Broken, fmt.Sprintf("%s: close the stores: %v", f.Name, err)
	}
	return p, result
}

// maxMessage bounds a message, in bytes: what a test says about an assertion may be of any length.
const maxMessage = 8 << 10

// bounded returns a message, or how it begins.
func bounded(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return fmt.Sprintf("%s... (%d bytes)", beginning(message, maxMessage), len(message))
}

// An output keeps what is printed. A line may still be on its way when its unit has ended.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
