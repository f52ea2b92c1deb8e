package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/luastore/store/config"
	"github.com/luastore/store/script"
)

// replHelp is the contract of the command: what it documents here, tests hold it to.
const replHelp = `Type Lua and see what it answers, line by line. The module store is there as the global store:

  > s = store.get("demo")
  > s:set("user:1", { name = "Ada" })
  true
  > s:get("user:1")
  { name = "Ada" }

A line is an expression, whose values are printed as Lua, or statements. One that is not complete goes on in the next, at the prompt >>.
Globals and open stores last as long as the session; a local variable ends with its line. What is long is cut short: print shows all of it.

Stores are those of luastore run: --store names them, or a configuration, or else every id is kept in memory and gone at exit. Scripts have
what they have there too, with --allow more; require("lib.cart") loads lib/cart.lua from the current folder. --timeout and --memory bound
each statement; where they are not given, the section runner of a configuration does. SIGHUP reads the configuration again; without one, or
when the terminal is gone, it ends the session. A panic in Go code below a script begins the session anew, and says so.

At a terminal:

  Tab        completes names, methods, the ids of stores, and the commands below
  Up, Down   go through what was typed before; Ctrl-R searches in it
  Ctrl-C     stops the statement that runs, or drops the lines that are typed
  Ctrl-D     on an empty line leaves

  .help         a short introduction
  .stores       the stores, and what is known of those that are open
  .time on|off  say how long each statement took, as --time does
  .exit         leave

What was typed is kept in luastore/history below $XDG_STATE_HOME or ~/.local/state (%LocalAppData% on Windows): the last 1,000 lines, but
none that seems to hold a password in a URL. --history "" keeps nothing.

Where standard input is no terminal, statements are read from it and run without prompts. One that fails is told on standard error with
the line that it begins at, and the next one runs all the same.

Exit codes:

  0  done
  1  a statement failed that was not typed at a terminal, SIGTERM or SIGHUP ended the session, or the output could not be written; os.exit
     has the code that it gives
  2  the command line is wrong
  3  the configuration or the URL of a store is wrong, or a store failed to close

Ctrl-C does not stop a call that --allow has given and that waits, such as io.read; pressed three times it ends the session after that
call, and once more the program on the spot.`

const replExamples = `  luastore repl
  luastore repl --store demo=sqlite:demo.db
  luastore repl --timeout 5s --time --store 'cache=redis://:${REDIS_PASSWORD}@localhost'
  echo 'store.get("demo"):get("user:1")' | luastore repl --store demo=sqlite:demo.db`

// replOptions are the flags of repl.
type replOptions struct {
	storeFlags
	timeout time.Duration
	memory  size // 0: not asked for
	allow   grants
	timed   bool
	history string // the file, "" for none
}

// replCommand is luastore repl.
func (a *app) replCommand() *cobra.Command {
	var o replOptions
	cmd := &cobra.Command{
		Use:                   "repl [--store id=url]... [--config file] [--timeout duration] [--memory size] [--allow list] [--time] [--history file]",
		Short:                 "Type Lua, line by line",
		Long:                  replHelp,
		Example:               replExamples,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("repl takes no arguments: want luastore run for a script, or luastore repl < file to type a file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("history") {
				o.history = a.historyFile()
			}
			return a.repl(cmd.Context(), o)
		},
	}
	o.add(cmd)
	flags := cmd.Flags()
	flags.DurationVar(&o.timeout, "timeout", 0, "stop each statement after this `duration`, such as 30s or 5m (default: none)")
	flags.Var(&o.memory, "memory", "stop a statement when it needs more than this `size`, such as 1GB (default: none)")
	flags.Var(&o.allow, "allow", "give scripts what is not safe: a `list` of io, os, load, debug, such as io,os")
	flags.BoolVar(&o.timed, "time", false, "say how long each statement took")
	flags.StringVar(&o.history, "history", "", "keep what was typed in this `file`, \"\" for none (default: luastore/history in your state folder)")
	return cmd
}

// repl runs one session.
func (a *app) repl(ctx context.Context, o replOptions) error {
	if o.timeout < 0 {
		return usageError("--timeout %v: want a duration above zero, or leave it out for none", o.timeout)
	}
	loaded, err := a.loadConfig(o.storeFlags)
	if err != nil {
		return err
	}
	used := new(usedStores)
	opened, err := a.openStores(o.storeFlags, used.observe)
	if err != nil {
		return err
	}
	failed := a.converse(ctx, o, loaded.Runner, &repl{a: a, opened: opened, used: used, timed: o.timed})
	if err := opened.close(ctx); err != nil && failed == nil {
		return err
	}
	return failed
}

// converse reads, runs and prints until the session ends, which releases its stores.
func (a *app) converse(ctx context.Context, o replOptions, limits config.Runner, r *repl) error {
	root, err := os.OpenRoot(".")
	if err != nil {
		return usageError("cannot open the current folder: %w", err)
	}
	defer root.Close()
	options := o.script(limits)
	options.Stdout, options.Modules, options.ModulesName = a.stdout, root.FS(), filepath.ToSlash(root.Name())
	if r.session, err = script.New(r.opened.reg, options).Session(ctx, replName); err != nil {
		return a.scriptFailure(r.opened, err)
	}
	defer r.session.Close()
	r.openLines(o.history)
	defer r.lines.close()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if r.interactive || r.opened.host != nil {
		defer a.onHangup(func() { r.hungUp(ctx, end) })()
	}
	if err := r.preset(ctx); err != nil {
		return err
	}
	return r.loop(ctx)
}

// script returns the options of the runner: what flags say, and what the configuration says where they do not.
func (o *replOptions) script(limits config.Runner) *script.Options {
	allow := []script.Grant(o.allow)
	if len(allow) == 0 {
		allow = limits.Allow
	}
	return &script.Options{
		Timeout: cmp.Or(o.timeout, limits.Timeout, -1),
		Memory:  cmp.Or(int64(o.memory), limits.Memory, -1),
		Output:  cmp.Or(limits.Output, -1),
		Grants:  allow,
	}
}

// replName is what the unit of the session, and the place of its errors, are called.
const replName = "repl"

// The prompts.
const (
	prompt     = "> "
	promptMore = ">> " // where the statement goes on
)

// A repl is one session: it reads lines until they are a statement, runs that, and prints what it answers.
type repl struct {
	a           *app
	session     *script.Session
	opened      *stores
	used        *usedStores
	lines       lines
	interactive bool // a person types
	timed       bool

	typed  script.Input // the lines of a statement that is not complete
	number int          // lines read so far
	begun  int          // the line at which the statement begins
	failed bool         // a statement has

	mu        sync.Mutex
	notices   string                  // lines to be shown before the next prompt
	stop      context.CancelCauseFunc // stops the statement that runs; nil while none does
	interrupt int                     // how often it was told to stop
	asking    string                  // the prompt that is shown, "" for none
	drop      bool                    // SIGINT came meanwhile
	letGo     func()                  // gives interrupts back to the command
}

// preset makes the module a global.
func (r *repl) preset(ctx context.Context) error {
	p, err := script.Compile(replName, `store = require("store")`)
	if err == nil {
		_, err = r.session.Run(ctx, p)
	}
	return r.a.scriptFailure(r.opened, err)
}

// loop reads and runs until there is nothing more to read, or the session is to end.
func (r *repl) loop(ctx context.Context) error {
	if r.interactive {
		r.takeInterrupts()
		defer r.letGo()
		if err := r.print(r.greeting()); err != nil {
			return err
		}
		r.opened.told.Do(func() {}) // the greeting says it
	}
	for {
		r.showNotices()
		line, err := r.ask(ctx)
		r.number++
		if r.drops() {
			r.typed = script.Input{}
		}
		switch {
		case ctx.Err() != nil:
			if r.interactive {
				fmt.Fprintln(r.a.stderr) // below what is typed
			}
			return r.stopped(ctx)
		case errors.Is(err, errDropped):
			r.dropped()
			continue
		case errors.Is(err, io.EOF):
			return r.finish(ctx)
		case err != nil:
			return &failure{exitScript, err}
		}
		if err := r.enter(ctx, line); err != nil {
			return r.left(ctx, err)
		}
	}
}

// errLeave ends a session that has done what it should.
var errLeave = errors.New("leave")

// left returns what the command ends with after the last statement or command.
func (r *repl) left(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errLeave):
		return r.outcome()
	case ctx.Err() != nil:
		return r.stopped(ctx)
	}
	return err
}

// stopped is the end by a signal.
func (r *repl) stopped(ctx context.Context) error {
	r.lines.close() // the message wants a terminal that is its own again
	return &failure{exitScript, fmt.Errorf("stopped: %w", context.Cause(ctx))}
}

// finish is the end of what there is to read.
func (r *repl) finish(ctx context.Context) error {
	if r.interactive {
		return r.print("\n")
	}
	if r.continues() {
		_, err := script.CompileInteractive(replName, r.typed.String())
		if err := r.fail(ctx, err); err != nil {
			return err
		}
	}
	return r.outcome()
}

// outcome tells whoever runs a file of statements whether all of them went well. A person has seen it.
func (r *repl) outcome() error {
	if r.failed && !r.interactive {
		return &failure{exitScript, nil}
	}
	return nil
}
