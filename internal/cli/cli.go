// Package cli is the command luastore. It touches nothing of the process but what [Main] is given, and the files that its arguments
// name, so that tests run it like any function. Only --isolate needs more: a [Process].
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitDone   = 0
	exitScript = 1 // the script failed, what was asked for is not there, the command was stopped, or could not write its output
	exitUsage  = 2 // the command line is wrong
	exitConfig = 3 // the configuration is wrong, or a store is unknown, denied or out of reach, or failed to close
)

// A failure is an error with the exit code that it leads to. A nil err is a failure that has been told already, or that nobody
// is left to hear.
type failure struct {
	code int
	err  error
}

// Error returns the text of err.
func (f *failure) Error() string {
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

// Unwrap returns err.
func (f *failure) Unwrap() error { return f.err }

// usageError is a mistake on the command line; [Main] adds where to look.
func usageError(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

// configError is a store that cannot be what it was asked to be.
func configError(format string, args ...any) error {
	return &failure{exitConfig, fmt.Errorf(format, args...)}
}

// An app is one call of the command.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            []string
	process        *Process // nil where the command is one of several things that the process does
	begins         func()   // tells, in a process that --isolate has limited, that the script begins; nil in any other
	signals        signals
}

// Main runs the command with its arguments, without the name of the program, and returns its exit code. When ctx ends, so does
// what the command does, cleanly. The environment, as [os.Environ] returns it, is only read where an argument asks for a
// variable. A program that is nothing but the command has [Process.Main], which can isolate scripts.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, env: env}
	return a.main(ctx, args)
}

// main runs the command and tells what failed.
func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // not nil, for which cobra takes those of the process
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var f *failure
	if !errors.As(err, &f) { // what cobra says is always about the command line
		f = &failure{exitUsage, err}
	}
	if f.err != nil {
		fmt.Fprintf(a.stderr, "luastore: %s\n", strings.TrimSpace(f.Error()))
	}
	if f.code == exitUsage && f.err != nil {
		fmt.Fprintf(a.stderr, "%s\n", hint(cmd, args))
	}
	return f.code
}

// hint says where to look after a mistake on the command line.
func hint(cmd *cobra.Command, args []string) string {
	if !cmd.HasParent() && len(args) > 0 && strings.HasSuffix(args[0], ".lua") {
		return fmt.Sprintf("To run a script: luastore run %s", strings.Join(args, " "))
	}
	return fmt.Sprintf("See %s --help", cmd.CommandPath())
}

// welcome is what a newcomer reads who types the name of the command alone. A test does what it says.
const welcome = `luastore runs Lua scripts against key-value stores: memory, a file, Redis, PostgreSQL and more, with the
same few calls.

Put this into a file hello.lua:

  local store = require("store")
  local s = store.get("demo")
  s:set("greeting:en", "hello")
  print((s:get("greeting:en")))

and run it:

  luastore run hello.lua

Stores are in memory unless you say where they are, each time or in a file luastore.yaml:

  luastore run --store demo=sqlite:demo.db hello.lua

Then look at what is there, and try things out:

  luastore kv ls --store demo=sqlite:demo.db demo
  luastore repl --store demo=sqlite:demo.db

The commands, each with its own --help:

  luastore run          run a script
  luastore repl         type Lua, line by line
  luastore kv           look at entries, change them, export and import them
  luastore test         run the tests of your scripts
  luastore check        see that the configuration is right and every store answers
  luastore annotations  let your editor know the module store
  luastore completion   let your shell complete all of this
`

// root returns the command with everything below it.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "luastore",
		Short:         "Run Lua scripts against key-value stores",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(a.stdout, welcome)
			return a.written(err)
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetVersionTemplate("luastore {{.Version}}\n")
	root.AddCommand(a.runCommand(), a.replCommand(), a.kvCommand(), a.testCommand(), a.checkCommand(), a.annotationsCommand(), a.versionCommand())
	return root
}

// written makes a failure of an error in writing to the output.
func (a *app) written(err error) error {
	if err == nil {
		return nil
	}
	return &failure{exitScript, err}
}
