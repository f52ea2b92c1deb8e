package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/luastore/store/config"
	"github.com/luastore/store/script"
)

// runHelp is the contract of the command: what it documents here, tests hold it to.
const runHelp = `Run a Lua script as one unit of work: whatever it opened is released when it ends, however it ends.

The script reaches its stores by require("store") and has the safe libraries of Lua 5.1, without files, processes and the environment.
--allow gives it more: io (files), os (processes, the environment, os.exit), load (code in strings), debug; for scripts that you trust.
--isolate takes none of that away again, and the process has the rights of yours.
require("lib.cart") loads lib/cart.lua from the folder of the script. Arguments after the script are its own: "..." and the table arg. A
script named - is read from standard input. What the script returns is ignored.

Stores, access rules and limits come from the file --config, or else from luastore.yaml if it is there; --store names stores besides,
and wins over one of the same id there. Without any of these every store id is kept in memory and gone at exit; else only the ids that
are named exist. URLs:

  mem:                             memory; mem:?max_entries=1000&on_full=evict has bounds
  pebble:path                      a folder of this machine, for one process at a time
  sqlite:path                      a file of this machine, for several processes
  redis://host:6379/0              Redis or Valkey; rediss:// with TLS, redis+unix:///path over a socket
  redis+cluster://host,host        a Redis Cluster; rediss+cluster:// with TLS
  redis+sentinel://host,host/name  the primary that sentinels watch under a name
  postgres://user:password@host/db PostgreSQL
  mysql://user:password@host/db    MySQL and MariaDB
  nats://host,host/bucket          a bucket of NATS JetStream; ?replicas=3 keeps it on three servers

${NAME} in a URL stands for that variable of the environment, which keeps passwords off the command line:
--store 'cache=redis://:${REDIS_PASSWORD}@host'. Stores are opened at their first use.

A script that needs more than --memory is stopped. --isolate, on Linux, runs it in a process of its own, on one processor, which the
system besides keeps to little more memory than that and, with a --timeout, to one second more of processor time: what a script does to
its own process harms no other. What it writes to its stores is not limited.

Flags win over what the configuration says of timeout, memory, grants and metrics. --metrics serves what happens to the stores, for
Prometheus, at http://ADDRESS/metrics while the script runs. SIGHUP reads the configuration again: what runs goes on undisturbed, and
where the new one is wrong the old one holds on.

Exit codes:

  0  done
  1  the script failed: a syntax error, an error that it raised (also because a store could not be reached), the timeout, too much
     memory, an interrupt; os.exit has the code that the script gives it
  2  the command line is wrong, or the script cannot be read
  3  the configuration or the URL of a store is wrong, a store failed to close, or the system forbids the limits of --isolate

Ctrl-C and SIGTERM stop the script and release its stores; a second one ends the program on the spot. Neither they nor --timeout end a call
that --allow has given and that waits, such as io.read or os.execute; with --isolate the process is killed then, six seconds later.`

const runExamples = `  luastore run hello.lua
  luastore run --store counters=sqlite:counters.db counters.lua
  luastore run --timeout 10s --store session_store=redis://localhost:6379 report.lua --since yesterday
  luastore run --allow io,os import.lua data.csv
  luastore run --isolate --memory 256MB --timeout 10s uploaded.lua`

// runOptions are the flags of run.
type runOptions struct {
	storeFlags
	timeout time.Duration // 0: not asked for
	isolate bool
	memory  size // 0: not asked for
	allow   grants
	metrics string
	output  int64 // of the configuration; 0: no bound
}

// runCommand is luastore run.
func (a *app) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:                   "run [--store id=url]... [--config file] [flags] script.lua [argument...]",
		Short:                 "Run a Lua script",
		Long:                  runHelp,
		Example:               runExamples,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no script: want luastore run script.lua, or - to read it from standard input")
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return []cobra.Completion{"lua"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.run(cmd.Context(), o, args[0], args[1:])
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false) // flags after the script are for the script
	o.add(cmd)
	flags.DurationVar(&o.timeout, "timeout", 0, "stop the script after this `duration`, such as 30s or 5m (default: none)")
	flags.BoolVar(&o.isolate, "isolate", false, "run the script in a process of its own, with limits (Linux)")
	flags.Var(&o.memory, "memory", "stop the script when it needs more than this `size`, such as 1GB (default: none, with --isolate 512MB)")
	flags.StringVar(&o.metrics, "metrics", "", "serve metrics for Prometheus at this `address`, such as :9090 (default: none)")
	flags.Var(&o.allow, "allow", "give the script what is not safe: a `list` of io, os, load, debug, such as io,os")
	return cmd
}

// run runs one script. What is wrong with the command line is told before the script starts; stores are opened when the script
// asks for them, so that one it never uses need not be there.
func (a *app) run(ctx context.Context, o runOptions, name string, args []string) error {
	if o.timeout < 0 {
		return usageError("--timeout %v: want a duration above zero, or leave it out for none", o.timeout)
	}
	loaded, err := a.loadConfig(o.storeFlags)
	if err != nil {
		return err
	}
	o.complete(loaded)
	if o.isolate && a.begins == nil {
		return a.isolate(ctx, o)
	}
	program, root, err := a.load(ctx, name)
	if err != nil {
		return err
	}
	defer root.Close()
	return a.withStores(ctx, o.storeFlags, o.metrics, func(s *stores) error {
		options := o.script()
		options.Stdout, options.Modules, options.ModulesName = a.stdout, root.FS(), filepath.ToSlash(root.Name())
		values := make([]any, len(args))
		for i, arg := range args {
			values[i] = arg
		}
		if a.begins != nil {
			a.begins()
		}
		return a.scriptFailure(s, script.New(s.reg, options).Exec(ctx, program, values...))
	})
}

// complete takes from the configuration what no flag says.
func (o *runOptions) complete(c *config.Config) {
	o.timeout = cmp.Or(o.timeout, c.Runner.Timeout)
	o.memory = cmp.Or(o.memory, size(c.Runner.Memory))
	o.metrics = cmp.Or(o.metrics, c.Telemetry.Metrics)
	o.output = c.Runner.Output
	if len(o.allow) == 0 {
		o.allow = c.Runner.Allow
	}
}

// script returns the options as package script takes them.
func (o *runOptions) script() *script.Options {
	return &script.Options{
		Timeout: cmp.Or(o.timeout, -1),
		Memory:  cmp.Or(int64(o.heap()), -1),
		Output:  cmp.Or(o.output, -1),
		Grants:  o.allow,
	}
}

// load reads and compiles the script and opens the folder of its modules, which the caller closes.
func (a *app) load(ctx context.Context, name string) (*script.Program, *os.Root, error) {
	shown, dir := name, filepath.Dir(name)
	if name == "-" {
		shown, dir = "stdin", "."
	}
	source, err := a.read(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	program, err := script.Compile(shown, string(source))
	if err != nil {
		return nil, nil, a.scriptFailure(nil, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, usageError("cannot open the folder of %s: %w", shown, err)
	}
	return program, root, nil
}

// read returns the source of the script. Standard input and pipes may never end: the wait ends with ctx, what is left of it
// with the process.
func (a *app) read(ctx context.Context, name string) ([]byte, error) {
	type answer struct {
		source []byte
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		source, err := a.readAll(name)
		done <- answer{source, err}
	}()
	select {
	case got := <-done:
		return got.source, cannotRead(name, got.err)
	case <-ctx.Done():
		return nil, &failure{exitScript, fmt.Errorf("stopped while reading the script: %w", context.Cause(ctx))}
	}
}

// readAll reads the script, one byte over the limit if it is longer: Compile refuses that.
func (a *app) readAll(name string) ([]byte, error) {
	r := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	return io.ReadAll(io.LimitReader(r, script.MaxSource+1))
}

// cannotRead says why there is no script.
func cannotRead(name string, err error) error {
	var reason *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return usageError("cannot read script %s: there is no such file", name)
	case errors.As(err, &reason):
		return usageError("cannot read script %s: %w", name, reason.Err)
	}
	return usageError("cannot read script %s: %w", name, err)
}

// scriptFailure tells a person why a script failed that had these stores, if it had any yet.
func (a *app) scriptFailure(s *stores, err error) error {
	if err == nil {
		return nil
	}
	if closedOutput(err) {
		return &failure{exitScript, nil}
	}
	text := err.Error()
	var failed *script.Error
	if errors.As(err, &failed) {
		if failed.Kind == script.KindExit {
			return exited(failed.ExitCode)
		}
		text += shown(failed)
		text += allowHint("run", failed.Missing)
		if s != nil {
			text += s.missed()
		}
		for _, more := range []string{failed.Traceback, failed.GoStack} {
			if more != "" {
				text += "\n" + more
			}
		}
	}
	return &failure{exitScript, errors.New(visible(text))}
}

// allowHint tells, as a line to follow an error, how a command would have had what a script looked for in vain; "" if nothing gives that.
func allowHint(command string, missing script.Grant) string {
	if missing == "" {
		return ""
	}
	return fmt.Sprintf("\n(it looks for what scripts do not have; luastore %s --allow %s gives it to those that you trust)", command, missing)
}

// visible returns a text with nothing in it that a terminal would take for a command: what a script raises is the script's.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// exited is the end of a script that called os.exit, which has its own words for why.
func exited(code int) error {
	if code == exitDone {
		return nil
	}
	return &failure{code, nil}
}

// maxShown is how much of an error value is shown, in bytes.
const maxShown = 500

// shown returns the table that a script raised, in JSON, where the message can only say that it was one.
func shown(failed *script.Error) string {
	if !strings.HasPrefix(failed.Message, "(error object is a table") {
		return ""
	}
	b, err := json.Marshal(failed.Value)
	if err != nil || failed.Value == nil || len(b) > maxShown {
		return ""
	}
	return " " + string(b)
}

// closedOutput reports whether whoever read the output of the script has gone, as head does: nothing to complain about.
func closedOutput(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}
