package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/luastore/store/script"
)

// An outcome is what a person sees of one call.
type outcome struct {
	code           int
	stdout, stderr string
}

// A call is one call of the command, to be varied.
type call struct {
	ctx   context.Context
	stdin string
	env   []string
}

func (c call) run(t *testing.T, args ...string) outcome {
	t.Helper()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx := c.ctx
	if ctx == nil {
		ctx = t.Context()
	}
	var stdout, stderr bytes.Buffer
	code := Main(ctx, args, strings.NewReader(c.stdin), &stdout, &stderr, c.env)
	return outcome{code, stdout.String(), stderr.String()}
}

func luastore(t *testing.T, args ...string) outcome {
	t.Helper()
	return call{}.run(t, args...)
}

// folder makes a folder of files from pairs of name and content, and goes there: messages then hold the same paths on every
// machine.
func folder(t *testing.T, pairs ...string) {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(pairs); i += 2 {
		name := filepath.Join(dir, pairs[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(pairs[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func TestMain_Alone_TellsWhatToDoFirst(t *testing.T) {
	got := luastore(t)
	if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, "luastore run hello.lua") {
		t.Fatalf("got %+v", got)
	}
	// What it tells to do works.
	var hello strings.Builder
	for line := range strings.Lines(got.stdout) {
		if strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "  luastore ") {
			hello.WriteString(line)
		}
	}
	folder(t, "hello.lua", hello.String())
	want := map[string]string{"run": "hello\n", "kv": "greeting:en\n", "repl": ""}
	for line := range strings.Lines(got.stdout) {
		command, found := strings.CutPrefix(line, "  luastore ")
		if args := strings.Fields(command); found && !strings.Contains(command, "   ") && !strings.HasPrefix(command, "annotations  ") && !strings.HasPrefix(command, "completion  ") {
			if got := luastore(t, args...); got.code != 0 || got.stdout != want[args[0]] {
				t.Errorf("%v: got %+v", args, got)
			}
		}
	}
}

func TestMain_VersionAndHelp(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if got := luastore(t, args...); got.code != 0 || !strings.HasPrefix(got.stdout, "luastore ") || !strings.Contains(got.stdout, " go1.") {
			t.Errorf("%v: got %+v", args, got)
		}
	}
	for _, args := range [][]string{{"run", "--help"}, {"help", "run"}} {
		got := luastore(t, args...)
		for _, want := range []string{"--store id=url", "--timeout duration", "Exit codes:", "redis://", "Examples:"} {
			if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, want) {
				t.Errorf("%v: %q is missing in %+v", args, want, got)
			}
		}
	}
}

// TestMain_MistakesOnTheCommandLine looks at the whole of what a person reads.
func TestMain_MistakesOnTheCommandLine(t *testing.T) {
	folder(t, "ok.lua", "", "dir/x.lua", "")
	const see = "See luastore run --help\n"
	want := "luastore: --store: want id=url, with an id of letters, digits and _ . - :, such as --store cache_store=sqlite:cache.db\n" + see
	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"run"}, 2, "luastore: no script: want luastore run script.lua, or - to read it from standard input\n" + see},
		{[]string{"run", "none.lua"}, 2, "luastore: cannot read script none.lua: there is no such file\n" + see},
		{[]string{"run", "--stor", "x", "ok.lua"}, 2, "luastore: unknown flag: --stor\n" + see},
		{[]string{"run", "--timeout", "x", "ok.lua"}, 2, "luastore: invalid argument \"x\" for \"--timeout\" flag: time: invalid duration \"x\"\n" + see},
		{[]string{"run", "--timeout", "-1s", "ok.lua"}, 2, "luastore: --timeout -1s: want a duration above zero, or leave it out for none\n" + see},
		{[]string{"run", "--store", "redis://u:secret@h?x=1", "ok.lua"}, 2, want},
		{[]string{"run", "--store", "a", "ok.lua"}, 2, want},
		{[]string{"run", "--store", "a=", "ok.lua"}, 2, want},
		{[]string{"run", "--store", "=mem:", "ok.lua"}, 2, want},
		{[]string{"run", "--store", "a=mem:", "--store", "a=mem:", "ok.lua"}, 2, "luastore: --store a is given twice: name each store once\n" + see},
		{[]string{"ok.lua", "x"}, 2, "luastore: unknown command \"ok.lua\" for \"luastore\"\nTo run a script: luastore run ok.lua x\n"},
		{[]string{"rum"}, 2, "luastore: unknown command \"rum\" for \"luastore\"\n\nDid you mean this?\n\trun\nSee luastore --help\n"},
		{[]string{"version", "x"}, 2, "luastore: unknown command \"x\" for \"luastore version\"\nSee luastore version --help\n"},
		{[]string{"run", "--store", "a=mem:?x=1", "ok.lua"}, 3, "luastore: --store a: unknown parameter \"x\": want max_entries, max_bytes or on_full\n"},
		{[]string{"run", "--store", "a=redis://:${NO_SUCH}@h", "ok.lua"}, 3, "luastore: --store a: environment variable NO_SUCH is not set\n"},
	} {
		if got := luastore(t, c.args...); got.code != c.code || got.stdout != "" || got.stderr != c.stderr {
			t.Errorf("%v: got %+v\nwant %d %s", c.args, got, c.code, c.stderr)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		part string
	}{
		{[]string{"run", "dir"}, 2, "luastore: cannot read script dir: "},
		{[]string{"run", "--store", "a=reddis://h", "ok.lua"}, 3, `luastore: --store a: unknown scheme "reddis" of a store URL: want one of mem:, pebble:`},
		{[]string{"run", "--store", "a=redis://u:sec%ret@h", "ok.lua"}, 3, "luastore: --store a: invalid Redis URL"},
		{[]string{"run", "--store", "a\n=mem:", "ok.lua"}, 2, "luastore: --store: want id=url"},
		{[]string{"run", "--store", "u:sec%ret@h=1", "ok.lua"}, 2, "luastore: --store: want id=url"},
		{[]string{"run", "--store", "redis:u:sec%ret@h?db=1", "ok.lua"}, 2, "luastore: --store: want id=url"},
	} {
		got := luastore(t, c.args...)
		if got.code != c.code || got.stdout != "" || !strings.HasPrefix(got.stderr, c.part) || strings.Contains(got.stderr, "sec%") {
			t.Errorf("%v: got %+v\nwant %d %s", c.args, got, c.code, c.part)
		}
	}
}

func TestRun_ScriptGetsItsArguments(t *testing.T) {
	folder(t, "args.lua", `print(arg[0], ...)`)
	got := luastore(t, "run", "--timeout", "1m", "args.lua", "--store", "x", "-h", "--", "")
	if got.code != 0 || got.stderr != "" || got.stdout != "args.lua\t--store\tx\t-h\t--\t\n" {
		t.Errorf("got %+v", got)
	}
}

func TestRun_StandardInput(t *testing.T) {
	folder(t, "lib.lua", `return "from the folder"`)
	got := call{stdin: "print(arg[0], ..., require('lib'))\nerror('x')"}.run(t, "run", "-", "a")
	if got.code != 1 || got.stdout != "stdin\ta\tfrom the folder\n" || !strings.HasPrefix(got.stderr, "luastore: stdin:2: x\n") {
		t.Errorf("got %+v", got)
	}
}

func TestRun_StandardInputThatNeverEnds_StopsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	cancel(errors.New("interrupt signal received"))
	var stdout, stderr bytes.Buffer
	code := Main(ctx, []string{"run", "-"}, r, &stdout, &stderr, nil)
	if code != 1 || stderr.String() != "luastore: stopped while reading the script: interrupt signal received\n" {
		t.Errorf("got %d, %s", code, &stderr)
	}
}

// TestRun_Failures looks at the whole of what a person reads when a script fails.
func TestRun_Failures(t *testing.T) {
	folder(t,
		"error.lua", "print('before')\nlocal function f()\n  error('boom')\nend\nf()",
		"table.lua", "error({ code = 3 })",
		"nil.lua", "error(nil)",
		"syntax.lua", "\nx = = 1",
		"main.lua", "local lib = require('lib.cart')\nlib.add(nil)",
		"lib/cart.lua", "local M = {}\nfunction M.add(item)\n  return item.price\nend\nreturn M",
		"broken.lua", "require('syntax')",
		"loop.lua", "while true do end",
		"missing.lua", "require('none')",
		"store.lua", "local s, err = require('store').get('a')\nif err then error(err) end",
	)
	for _, c := range []struct {
		args           []string
		stdout, stderr string
	}{
		{[]string{"error.lua"}, "before\n", "error.lua:3: boom\nstack traceback:\n\t[Go]: in function 'error'\n\terror.lua:3: in function 'f'\n\terror.lua:5: in main chunk\n"},
		{[]string{"table.lua"}, "", "(error object is a table value) {\"code\":3}\nstack traceback:\n\t[Go]: in function 'error'\n\ttable.lua:1: in main chunk\n"},
		{[]string{"nil.lua"}, "", "(error object is a nil value)\nstack traceback:\n\t[Go]: in function 'error'\n\tnil.lua:1: in main chunk\n"},
		{[]string{"syntax.lua"}, "", "syntax.lua:2: syntax error near \"=\"\n"},
		{[]string{"main.lua"}, "", "lib/cart.lua:3: attempt to index a non-table object(nil) with key 'price'\nstack traceback:\n\tlib/cart.lua:3: in function 'add'\n\tmain.lua:2: in main chunk\n"},
		{[]string{"broken.lua"}, "", "broken.lua:1: syntax.lua:2: syntax error near \"=\"\nstack traceback:\n\t[Go]: in function 'require'\n\tbroken.lua:1: in main chunk\n"},
		{[]string{"--timeout", "50ms", "loop.lua"}, "", "script stopped: deadline of 50ms passed\nstack traceback:\n\tloop.lua:1: in main chunk\n"},
		{[]string{"missing.lua"}, "", "missing.lua:1: module \"none\" not found: no file none.lua or none/init.lua\nstack traceback:\n\t[Go]: in function 'require'\n\tmissing.lua:1: in main chunk\n"},
		{[]string{"--store", "b=mem:", "store.lua"}, "", "store.lua:2: store not found: \"a\"\n(there is no store \"a\": the only one is b)\nstack traceback:\n\t[Go]: in function 'error'\n\tstore.lua:2: in main chunk\n"},
	} {
		got := luastore(t, append([]string{"run"}, c.args...)...)
		if got.code != 1 || got.stdout != c.stdout || got.stderr != "luastore: "+c.stderr {
			t.Errorf("%v: got %+v\nwant %s", c.args, got, c.stderr)
		}
	}
}

func TestRun_UnreachableStore_IsAFailureOfTheScript(t *testing.T) {
	folder(t, "s.lua", `
		local s, err, kind = require("store").get("a")
		print(s, kind)
		if err then error(err, 0) end`)
	got := call{env: []string{"OTHER=x", "PASSWORD=sesame"}}.run(t, "run", "--store", "a=redis://:${PASSWORD}@127.0.0.1:1", "s.lua")
	if got.code != 1 || got.stdout != "nil\tunavailable\n" || !strings.Contains(got.stderr, `luastore: store "a": `) {
		t.Errorf("got %+v", got)
	}
	if strings.Contains(got.stdout+got.stderr, "sesame") {
		t.Errorf("the password is shown: %+v", got)
	}
}

func TestRun_Interrupt_StopsTheScript(t *testing.T) {
	folder(t, "loop.lua", "local s = require('store').get('a') print('started') while true do s:set('a:b', 1) end")
	ctx, cancel := context.WithCancelCause(t.Context())
	out := writerFunc(func(b []byte) (int, error) { cancel(errors.New("interrupt signal received")); return len(b), nil })
	var stderr bytes.Buffer
	code := Main(ctx, []string{"run", "--store", "a=mem:", "loop.lua"}, nil, out, &stderr, nil)
	if code != 1 || !strings.HasPrefix(stderr.String(), "luastore: script stopped: interrupt signal received\nstack traceback:\n\t") {
		t.Errorf("got %d %s", code, &stderr)
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestRun_ReaderOfTheOutputGoes_EndsQuietly(t *testing.T) {
	folder(t, "many.lua", "while true do print('line') end")
	lines := 0
	out := writerFunc(func(b []byte) (int, error) {
		if lines++; lines > 2 {
			return 0, io.ErrClosedPipe
		}
		return len(b), nil
	})
	var stderr bytes.Buffer
	if code := Main(t.Context(), []string{"run", "many.lua"}, nil, out, &stderr, nil); code != 1 || stderr.Len() > 0 {
		t.Errorf("got %d %s", code, &stderr)
	}
}

func TestRun_OutputFails_IsTold(t *testing.T) {
	folder(t, "p.lua", "print('line')")
	full := writerFunc(func([]byte) (int, error) { return 0, errors.New("no space left on device") })
	var stderr bytes.Buffer
	code := Main(t.Context(), []string{"run", "p.lua"}, nil, full, &stderr, nil)
	if code != 1 || !strings.HasPrefix(stderr.String(), "luastore: p.lua:1: print: no space left on device\n") {
		t.Errorf("got %d %s", code, &stderr)
	}
	if code := Main(t.Context(), []string{"version"}, nil, full, &stderr, nil); code != 1 {
		t.Errorf("version: got %d", code)
	}
}

func TestRun_WithoutStores_SaysOnceThatNothingIsKept(t *testing.T) {
	folder(t,
		"two.lua", `local store = require("store")
			assert(store.get("a"):set("x:y", 1)) assert(not store.get("b"):has("x:y")) return 1, print`,
		"none.lua", `print(1)`,
	)
	const notice = "luastore: no stores configured: \"a\" and every other id is kept in memory and gone at exit (--store id=url keeps data)\n"
	if got := luastore(t, "run", "two.lua"); got.code != 0 || got.stderr != notice {
		t.Errorf("got %+v", got)
	}
	if got := luastore(t, "run", "none.lua"); got.code != 0 || got.stderr != "" {
		t.Errorf("a script without stores: got %+v", got)
	}
	if got := luastore(t, "run", "--store", "a=mem:", "--store", "b=mem:", "two.lua"); got.code != 0 || got.stderr != "" {
		t.Errorf("stores that were asked for: got %+v", got)
	}
}

func TestRun_SourceTooLong(t *testing.T) {
	folder(t, "long.lua", strings.Repeat(" ", script.MaxSource+100))
	if got := luastore(t, "run", "long.lua"); got.code != 1 || !strings.Contains(got.stderr, "longer than 1048576 bytes") {
		t.Errorf("got %+v", got)
	}
}
