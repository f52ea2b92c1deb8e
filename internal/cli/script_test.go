package cli

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/luastore/store/internal/redistest"
)

// A runner runs the tests of the package and stops what they shared.
type runner struct{ m *testing.M }

func (r runner) Run() int { return redistest.Main(r.m) }

// raceOptions spare the processes of the command the second that the race detector else waits for at the end of each.
const raceOptions = "atexit_sleep_ms=0"

// TestMain lets the test binary be the command too, for the scripts in testdata/script.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", raceOptions)
	testscript.Main(runner{m}, map[string]func(){"luastore": func() {
		process := &Process{Executable: os.Executable, Args: os.Args[1:], Env: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
		os.Exit(process.Main())
	}})
}

var update = flag.Bool("update", false, "write what the commands print into the scripts' golden files")

// Each script in testdata/script runs in a folder of its own with the files below it; see package testscript. Besides its commands there is
//
//	exits CODE luastore ARGUMENT...    run the command, which must end with that code; then stdout and stderr look at what it printed
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup:               func(env *testscript.Env) error { env.Setenv("GORACE", raceOptions); return nil },
	})
}

// exits is the command exits of scripts.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program argument...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		ts.Fatalf("%v", err)
	}
	got := 0
	if ended != nil {
		got = ended.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
