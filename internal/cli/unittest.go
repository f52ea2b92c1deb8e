package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/luastore/store"
	"github.com/luastore/store/config"
	"github.com/luastore/store/driver/all"
	"github.com/luastore/store/internal/luaunit"
)

// testHelp is the contract of the command: what it documents here, tests hold it to.
const testHelp = `Run tests that are written in Lua. A test file, whose name ends in _test.lua, holds cases:

  local test = require("test")
  local cart = require("lib.cart")

  test.case("an item that is added is there", function()
      cart.add("cart:ada", "apple", 2)
      test.equal(cart.items("cart:ada"), { apple = 2 })
  end)

The module test has case, equal, not_equal, ok, no, near, matches, fails, fail and skip. docs/testing.md tells what each does.

Files that are named are run whatever their name is. Of folders, without any of the current one, all *_test.lua in it and below are run,
but not below folders whose names begin with a dot, nor those named node_modules, lua_modules or vendor.

Each case has everything anew: its file runs from the top, with fresh globals and modules, then the function of the case. Cases run one
after another. A file is run once more before its first case, to learn which there are.

Stores are in memory, empty for each case, and no server is asked. With a configuration (--config, or luastore.yaml if it is there) they are
those that it names, each with its prefix, times to live, limits and read_only; access rules do not apply, and a variable of the
environment that is not set does not matter. Without a configuration every id is a store. Entries expire in real time.

require("lib.cart") looks for lib/cart.lua in the folder of the test file and then in those above it, up to the current folder or, for
files elsewhere, up to the folder that was named.

What a case prints is shown if it fails, or with -v. --run keeps the cases whose line "file: case" holds a text. --junit writes a report
that continuous integration reads; with - it goes to standard output, and what people read to standard error.

Exit codes:

  0  all cases passed, or were skipped
  1  a case failed, a file has an error or no cases, or an interrupt stopped the run; there is no new report then
  2  the command line is wrong, a file cannot be read, or there are no test files or cases to run
  3  the configuration is wrong

Ctrl-C and SIGTERM stop the case that runs, and the run. Neither they nor --timeout end a call that --allow has given and that waits, such
as io.read; and what io.write writes goes to standard output at once.`

const testExamples = `  luastore test
  luastore test -v tests/cart_test.lua
  luastore test --run "an item that is added" --timeout 2s
  luastore test --config staging.yaml --junit report.xml scripts tests`

// testOptions are the flags of test.
type testOptions struct {
	run, junit string
	config     fileName
	timeout    time.Duration
	memory     size // 0: not asked for
	allow      grants
	verbose    bool
}

// testCommand is luastore test.
func (a *app) testCommand() *cobra.Command {
	var o testOptions
	cmd := &cobra.Command{
		Use:                   "test [--run text] [--config file] [--junit file] [-v] [flags] [file_or_folder...]",
		Short:                 "Run tests of scripts",
		Long:                  testHelp,
		Example:               testExamples,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, paths []string) error {
			return a.test(cmd.Context(), o, paths)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.run, "run", "", "run only cases whose line \"file: case\" holds this `text`")
	flags.DurationVar(&o.timeout, "timeout", luaunit.DefaultTimeout, "stop a case after this `duration`")
	flags.Var(&o.memory, "memory", "stop a case that needs more than this `size` (default: that of the configuration, or 128MB)")
	flags.Var(&o.allow, "allow", "give the tests what is not safe: a `list` of io, os, load, debug (default: that of the configuration)")
	flags.StringVar(&o.junit, "junit", "", "write a report in the format of JUnit to this `file`, - for standard output")
	flags.Var(&o.config, "config", "take the stores of this configuration `file` (default: luastore.yaml, if it is there)")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "list every case, with what it prints")
	return cmd
}

// test runs test files. What is wrong with the command line is told before any of them runs.
func (a *app) test(ctx context.Context, o testOptions, paths []string) error {
	if o.timeout <= 0 {
		return usageError("--timeout %v: want a duration above zero", o.timeout)
	}
	options, err := a.testSettings(o)
	if err != nil {
		return err
	}
	files, err := a.findTests(ctx, paths)
	if err != nil {
		return err
	}
	printing, stop := lingering(ctx)
	defer stop()
	report, err := newJUnit(o.junit, &untilDone{ctx: printing, w: a.stdout})
	if err != nil {
		return err
	}
	out := a.stdout
	if o.junit == "-" {
		out = a.stderr
	}
	t := &testRun{
		runner: luaunit.New(options), only: o.run, keep: o.junit != "",
		show: newTestPrinter(&untilDone{ctx: printing, w: out}, a.colours(out), o.verbose, files), start: time.Now(),
	}
	if err := t.all(ctx, files, report); err != nil {
		return a.testStopped(ctx, t, err)
	}
	if t.total.failed+t.total.unusable > 0 {
		return &failure{exitScript, nil} // each is told already
	}
	return nil
}

// lastWords is how long whoever reads the output has, after an interrupt, to take what was to be shown.
const lastWords = 300 * time.Millisecond

// lingering returns a context for the output: it ends a little later than ctx, or when stop is called.
func lingering(ctx context.Context) (_ context.Context, stop func()) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	unwatch := context.AfterFunc(ctx, func() {
		time.AfterFunc(lastWords, func() { end(context.Cause(ctx)) })
	})
	return longer, func() { unwatch(); end(nil) }
}

// testStopped is the end of a run that could not go on. Whoever read the output may have gone, which is nothing to complain about.
func (a *app) testStopped(ctx context.Context, t *testRun, err error) error {
	var told *failure
	switch {
	case ctx.Err() != nil:
		return &failure{exitScript, fmt.Errorf("tests stopped: %w; %s had run", context.Cause(ctx), plural(t.total.cases(), "case"))}
	case closedOutput(err):
		return &failure{exitScript, nil}
	case errors.As(err, &told):
		return err
	}
	return a.written(err)
}

// testSettings returns the bounds and stores of cases: flags win over the configuration.
func (a *app) testSettings(o testOptions) (*luaunit.Options, error) {
	settings := &luaunit.Options{Timeout: o.timeout, Memory: int64(o.memory), Grants: o.allow}
	path, err := configPath(o.config)
	if err != nil || path == "" {
		return settings, err
	}
	env := testEnv{set: a.lookupEnv}
	c, err := config.Load(path, openOrPlaceholder, &config.Options{LookupEnv: env.lookup})
	if err != nil {
		return nil, configError("%w%s", err, env.told())
	}
	settings.Stores = map[string]store.Definition{}
	maps.Copy(settings.Stores, c.Stores)
	if settings.Memory == 0 {
		settings.Memory = c.Runner.Memory
	}
	if settings.Grants == nil {
		settings.Grants = c.Runner.Allow
	}
	return settings, nil
}

// placeholder stands for a variable of the environment that is not set: a host, a port, a number, or a password as good as any.
const placeholder = "1"

// A testEnv is the environment as a configuration of tests sees it. Tests connect to nothing, so that a variable that is not set does
// no harm in most places.
type testEnv struct {
	set   func(name string) (string, bool)
	unset []string // what was asked for and is not there
}

// lookup returns a variable, or what stands for it.
func (e *testEnv) lookup(name string) (string, bool) {
	if v, ok := e.set(name); ok {
		return v, true
	}
	if !slices.Contains(e.unset, name) {
		e.unset = append(e.unset, name)
	}
	return placeholder, true
}

// told says, behind a mistake of the configuration, what may have led to it.
func (e *testEnv) told() string {
	if len(e.unset) == 0 {
		return ""
	}
	return fmt.Sprintf("\n(not set in the environment, so that %s stood for each: %s)", placeholder, strings.Join(e.unset, ", "))
}

// openOrPlaceholder is [all.Opener] that takes a placeholder for a URL too.
func openOrPlaceholder(rawURL string) (store.Opener, error) {
	if rawURL == placeholder {
		rawURL = "mem:"
	}
	return all.Opener(rawURL)
}

// A testRun runs files and counts what became of their cases.
type testRun struct {
	runner *luaunit.Runner
	only   string
	keep   bool // results, which may hold much that was printed, for a report
	show   *testPrinter
	start  time.Time
	done   []fileResult // where they are kept
	shown  int          // files
	total  tally
}

// A fileResult is what became of a file.
type fileResult struct {
	name    string
	results []luaunit.Result
	took    time.Duration
	tally
}

// A tally counts cases by how they ended.
type tally struct {
	passed, failed, skipped int
	unusable                int // files that have no cases to run
}

func (n tally) cases() int { return n.passed + n.failed + n.skipped }

// add counts a result.
func (n *tally) add(r luaunit.Result) {
	switch {
	case r.Status == luaunit.Passed:
		n.passed++
	case r.Status == luaunit.Skipped:
		n.skipped++
	case r.Case.Name == "":
		n.unusable++
	default:
		n.failed++
	}
}

// all runs all files, and shows and reports what became of them.
func (t *testRun) all(ctx context.Context, files []testFile, report junit) error {
	if err := t.files(ctx, files); err != nil {
		return err
	}
	if err := t.finish(); err != nil {
		return err
	}
	return report.write(t.done, t.start)
}

// files runs all files and shows each when it has ended. When ctx ends it shows what was done until then.
func (t *testRun) files(ctx context.Context, files []testFile) error {
	for _, f := range files {
		done, err := t.file(ctx, f)
		if err != nil {
			return err
		}
		if err := t.add(done); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// add counts and shows what became of a file, if any of its cases ran.
func (t *testRun) add(done fileResult) error {
	if len(done.results) == 0 {
		return nil
	}
	for _, r := range done.results {
		done.tally.add(r)
		t.total.add(r)
	}
	t.shown++
	if t.keep {
		t.done = append(t.done, done)
	}
	return t.show.file(done)
}

// file runs the cases of a file that were asked for, up to the end of ctx.
func (t *testRun) file(ctx context.Context, f testFile) (fileResult, error) {
	root, folders, err := f.modules()
	if err != nil {
		return fileResult{}, err
	}
	defer root.Close()
	source := &luaunit.File{Name: f.name, Source: f.source, Modules: folders}
	done := fileResult{name: f.name}
	start := time.Now()
	cases, unusable := t.runner.Collect(ctx, source)
	if unusable != nil && ctx.Err() == nil {
		done.results = append(done.results, *unusable)
	}
	for _, c := range cases {
		if !strings.Contains(f.name+": "+c.Name, t.only) {
			continue
		}
		result := t.runner.Run(ctx, source, c)
		if ctx.Err() != nil {
			break
		}
		done.results = append(done.results, result)
	}
	done.took = time.Since(start)
	return done, nil
}

// finish shows the totals. A run without a case would look like success.
func (t *testRun) finish() error {
	if t.shown == 0 {
		return usageError("--run %q: no case has that text in its line \"file: case\"; -v lists the cases", t.only)
	}
	return t.show.total(t.total, t.shown, time.Since(t.start))
}
