package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/luastore/store/script"
)

// typed runs luastore repl on what is typed into a pipe.
func typed(t *testing.T, input string, args ...string) outcome {
	t.Helper()
	return call{stdin: input}.run(t, append([]string{"repl"}, args...)...)
}

// TestRepl_Pipe looks at the whole of what a person reads.
func TestRepl_Pipe(t *testing.T) {
	folder(t, "lib.lua", `return "the module"`)
	for name, c := range map[string]struct {
		input string
		args  []string
		want  outcome
	}{
		"results are printed as Lua": {"1 + 1\n\"a\\n\", nil\n= { 1, x = \"é\" }\nx = 1\n\nprint(\"p\")", nil,
			outcome{stdout: "2\n\"a\\n\"\n{ 1, x = \"é\" }\np\n"}},
		"statements over lines": {"for i = 1, 2 do\n\n  print(i)\nend\nx = [[\na\n]] 5", nil,
			outcome{1, "1\n2\n", "luastore: line 5: repl:3: syntax error near \"5\"\n"}},
		"globals last and local variables do not": {"x = 1\nlocal y = 2\nx, y\n", nil, outcome{stdout: "1\n"}},
		"stores last": {"s = store.get('demo')\ns:set('a:b', 1)\ns:get('a:b')\ns:get('a:c')\n", []string{"--store", "demo=mem:"},
			outcome{stdout: "true\n1\nnil, \"key not found\", \"not_found\"\n"}},
		"an unknown store": {"store.get('sesion')\nstore.get('x')\n1", []string{"--store", "session=mem:", "--store", "b=mem:"}, outcome{
			0, "nil, \"store not found: \\\"sesion\\\"\", \"store_not_found\"\nnil, \"store not found: \\\"x\\\"\", \"store_not_found\"\n1\n",
			"-- unknown store \"sesion\": did you mean session?\n-- unknown store \"x\": there are b, session\n"}},
		"modules of the folder": {`require("lib")`, nil, outcome{stdout: "\"the module\"\n"}},
		"it goes on after errors": {"error('a\x1b[1m')\nprint(1)\nx = = 2\nprint(2)\nerror({ code = 3 })\n", nil, outcome{1, "1\n2\n",
			"luastore: line 1: repl:1: a\\x1b[1m\nluastore: line 3: repl:1: syntax error near \"=\"\n" +
				"luastore: line 5: (error object is a table value) {\"code\":3}\n"}},
		"a traceback that tells more": {"function f()\n  none.x = 1\nend\nf()", nil, outcome{1, "",
			"luastore: line 4: repl:2: attempt to index a non-table object(nil) with key 'x'\n" +
				"stack traceback:\n\trepl:2: in function 'f'\n\trepl:1: in main chunk\n"}},
		"what scripts do not have": {"load('x')", nil, outcome{1, "",
			"luastore: line 1: repl:1: attempt to call a non-function object\n(it looks for what scripts do not have; luastore repl --allow load gives it to those that you trust)\n"}},
		"what is allowed":            {"load(function() return nil end)()", []string{"--allow", "load"}, outcome{}},
		"the end in a statement":     {"x = 1\nfor i = 1, 2 do\n", nil, outcome{1, "", "luastore: line 2: repl: syntax error at the end\n"}},
		"a deadline":                 {"while true do end\n1", []string{"--timeout", "50ms"}, outcome{1, "1\n", "luastore: line 1: script stopped: deadline of 50ms passed\n"}},
		"an exit code":               {"print(1)\nos.exit(4)\nprint(2)", []string{"--allow", "os"}, outcome{4, "1\n", ""}},
		"an exit code of zero":       {"error('x')\nos.exit()\nprint(2)", []string{"--allow", "os"}, outcome{0, "", "luastore: line 1: repl:1: x\n"}},
		"leaving":                    {"1\n.exit\n2", nil, outcome{stdout: "1\n"}},
		"leaving after a mistake":    {"error('x')\n.exit\n2", nil, outcome{1, "", "luastore: line 1: repl:1: x\n"}},
		"unknown commands":           {".hlep\n.what\n.time\n.exit now\n", nil, outcome{1, "", "luastore: line 1: no command .hlep: did you mean .help?\nluastore: line 2: no command .what: .help lists them\nluastore: line 3: want .time on or .time off\nluastore: line 4: .exit takes no arguments\n"}},
		"no stores":                  {".stores", nil, outcome{stdout: "Any other id is a store in memory, gone at exit: store.get(\"demo\")\n"}},
		"Lua that begins with a dot": {".5 + 1\n..., 2\n", nil, outcome{stdout: "1.5\nnil, 2\n"}},
		"the name of an interpreter": {"#!/usr/bin/luastore repl\n1\n#!x", nil, outcome{1, "1\n", "luastore: line 3: repl:1: Invalid token near \"!\"\n"}},
		"a mistake in what has no end": {"x = {\n" + strings.Repeat("2,", longInput) + "\n1 1\n", nil,
			outcome{1, "", "luastore: line 1: repl:3: syntax error near \"1\"\n"}},
		"stores": {"store.get('b')\n.stores", []string{"--store", "long_id=mem:", "--store", "b=mem:"},
			outcome{stdout: "store \"b\"\nb        memory; none: entries are lost when the process ends\nlong_id  not opened yet\n"}},
		"help": {".help", nil, outcome{stdout: replIntroduction}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := typed(t, c.input, c.args...); got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestRepl_MistakesOnTheCommandLine(t *testing.T) {
	folder(t)
	const see = "See luastore repl --help\n"
	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"file.lua"}, 2, "luastore: repl takes no arguments: want luastore run for a script, or luastore repl < file to type a file\n" + see},
		{[]string{"--timeout", "-1s"}, 2, "luastore: --timeout -1s: want a duration above zero, or leave it out for none\n" + see},
		{[]string{"--store", "a"}, 2, "luastore: --store: want id=url, with an id of letters, digits and _ . - :, such as --store cache_store=sqlite:cache.db\n" + see},
		{[]string{"--store", "a=mem:?x=1"}, 3, "luastore: --store a: unknown parameter \"x\": want max_entries, max_bytes or on_full\n"},
	} {
		if got := typed(t, "", c.args...); got.code != c.code || got.stdout != "" || got.stderr != c.stderr {
			t.Errorf("%v: got %+v\nwant %s", c.args, got, c.stderr)
		}
	}
}

func TestRepl_Time_IsToldForEachStatement(t *testing.T) {
	folder(t)
	for _, c := range []struct {
		input string
		args  []string
	}{{"1\nx = 2", []string{"--time"}}, {".time on\n1\nx = 2\n.time off\n3", nil}} {
		got := typed(t, c.input, c.args...)
		if got.code != 0 || !matches(`-- \d+\.\d+ ms\n-- \d+\.\d+ ms\n`, got.stderr) {
			t.Errorf("%q: got %+v", c.input, got)
		}
	}
}

// What help and .help show works, and looks as they say.
func TestRepl_HelpIsTrue(t *testing.T) {
	folder(t)
	_, shown, _ := strings.Cut(replHelp, "\n\n")
	shown, _, _ = strings.Cut(shown, "\n\n")
	var input, output strings.Builder
	for line := range strings.Lines(shown + "\n") {
		line = strings.TrimPrefix(line, "  ")
		if source, ok := strings.CutPrefix(line, "> "); ok {
			input.WriteString(source)
		} else {
			output.WriteString(line)
		}
	}
	if got := typed(t, input.String()); got.code != 0 || got.stdout != output.String() || input.Len() == 0 {
		t.Errorf("got %+v, want %s", got, &output)
	}
	var calls strings.Builder
	for line := range strings.Lines(replIntroduction) {
		if source, ok := strings.CutPrefix(line, "  "); ok && !strings.HasPrefix(source, ".") {
			source, _, _ = strings.Cut(source, "      ")
			calls.WriteString(strings.TrimSpace(source) + "\n")
		}
	}
	if got := typed(t, calls.String()); got.code != 0 || got.stdout != "true\n{ name = \"Ada\" }\nuser:1\tAda\n" {
		t.Errorf(".help: got %+v for %s", got, &calls)
	}
}

func TestRepl_EndOfTheContext_EndsIt(t *testing.T) {
	folder(t)
	t.Run("while a statement runs", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		out := writerFunc(func(b []byte) (int, error) { cancel(errors.New("terminated signal received")); return len(b), nil })
		var stderr bytes.Buffer
		code := Main(ctx, []string{"repl"}, strings.NewReader("print(1) while true do end\nprint(2)"), out, &stderr, nil)
		if code != 1 || stderr.String() != "luastore: stopped: terminated signal received\n" {
			t.Errorf("got %d %s", code, &stderr)
		}
	})
	t.Run("while it waits for a line", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		in, typing := io.Pipe()
		defer typing.Close()
		out := writerFunc(func(b []byte) (int, error) { cancel(errors.New("terminated signal received")); return len(b), nil })
		go fmt.Fprintln(typing, "1")
		var stderr bytes.Buffer
		if code := Main(ctx, []string{"repl"}, in, out, &stderr, nil); code != 1 || stderr.String() != "luastore: stopped: terminated signal received\n" {
			t.Errorf("got %d %s", code, &stderr)
		}
	})
}

func TestRepl_ReaderOfTheOutputGoes_EndsQuietly(t *testing.T) {
	folder(t)
	for _, input := range []string{"1\n2\n3\n", "while true do print(1) end\n2\n"} {
		var stderr bytes.Buffer
		out := writerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe })
		if code := Main(t.Context(), []string{"repl"}, strings.NewReader(input), out, &stderr, nil); code != 1 || stderr.Len() > 0 {
			t.Errorf("got %d %s", code, &stderr)
		}
	}
}

func TestRepl_InputThatCannotBeRead_IsTold(t *testing.T) {
	folder(t)
	if got := typed(t, "1\n"+strings.Repeat("x", script.MaxSource+10)); got.code != 1 || got.stdout != "1\n" ||
		got.stderr != "luastore: cannot read on: a line is longer than 1048576 bytes\n" {
		t.Errorf("got %d %s", got.code, got.stderr)
	}
	long := typed(t, "1\ndo\n"+strings.Repeat(strings.Repeat("x=1 ", 2_500)+"\n", script.MaxSource/10_000+2)+"end\n2\n")
	if long.code != 1 || long.stdout != "1\n" || long.stderr != "luastore: cannot read on: the statement at line 2 is longer than 1048576 bytes\n" {
		t.Errorf("got %d %s", long.code, long.stderr)
	}
	var stdout, stderr bytes.Buffer
	broken := io.MultiReader(strings.NewReader("1\n"), iotest.ErrReader(errors.New("input/output error")))
	code := Main(t.Context(), []string{"repl"}, broken, &stdout, &stderr, nil)
	if code != 1 || stdout.String() != "1\n" || stderr.String() != "luastore: cannot read standard input: input/output error\n" {
		t.Errorf("got %d %s %s", code, &stdout, &stderr)
	}
}

func TestRepl_Configuration(t *testing.T) {
	folder(t, "luastore.yaml", "stores:\n  cache:\n    url: \"mem:\"\nrunner:\n  timeout: 50ms\n")
	got := typed(t, "store.get('cahce')\nwhile true do end\n")
	if got.code != 1 || !strings.Contains(got.stderr, "-- unknown store \"cahce\": did you mean cache?\n") ||
		!strings.Contains(got.stderr, "deadline of 50ms passed") {
		t.Errorf("got %+v", got)
	}
}

// newRepl returns a session that completes names.
func newRepl(t *testing.T, stores ...string) *repl {
	t.Helper()
	var out bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out}
	r := &repl{a: a, used: new(usedStores)}
	var err error
	if r.opened, err = a.openStores(storeFlags{stores: stores}, r.used.observe); err != nil {
		t.Fatal(err)
	}
	if r.session, err = script.New(r.opened.reg, nil).Session(t.Context(), replName); err != nil {
		t.Fatal(err)
	}
	r.openLines("")
	t.Cleanup(func() {
		r.session.Close()
		if err := r.opened.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := r.preset(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"s = store.get('cache')", "app = { cart = { add = print, total = 1 } }"} {
		if err := r.enter(t.Context(), line); err != nil || r.failed {
			t.Fatal(err, out.String())
		}
	}
	return r
}

// In the lines here | is the cursor.
func TestRepl_Complete(t *testing.T) {
	folder(t)
	r := newRepl(t, "cache=mem:", "cart=mem:", "session=mem:")
	for line, want := range map[string]string{
		"pri|":              "print|",
		"x = pri|(1)":       "x = print|(1)",
		"s:ge|":             "s:get s:get_many",
		"s:inc|('é:b')":     "s:incr|('é:b')",
		"é = s:inc|":        "é = s:incr|",
		"store.|":           "store.REMOVE store.get",
		"app.c|":            "app.cart|",
		"app.cart.|":        "app.cart.add app.cart.total",
		"app.cart:|":        "app.cart:add|",
		"f(app.cart.t|":     "f(app.cart.total|",
		"ret|":              "return|",
		`store.get("c|`:     `store.get("cache store.get("cart`,
		`store.get("s|`:     `store.get("session")|`,
		`store.get('s|')`:   `store.get('session|')`,
		`t = store.get "s|`: `t = store.get "session"|`,
		".s|":               ".stores|",
		".time o|":          ".time off .time on",
		"f().ge|":           "",
		"x..pr|":            "",
		"none.x|":           "",
		"|":                 "",
		"x = |":             "",
		"s:get(|":           "",
	} {
		before, after, _ := strings.Cut(line, "|")
		head, words, tail := r.complete(before+after, len([]rune(before)))
		var got []string
		for _, w := range words {
			got = append(got, head+w)
		}
		if len(got) == 1 {
			got[0] += "|" + tail
		}
		if joined := strings.Join(got, " "); joined != want {
			t.Errorf("%s: got %q, want %q", line, joined, want)
		}
	}
}

func TestHistory_KeepsTheLastLines_WithoutSecrets(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state", "luastore", "history")
	var told strings.Builder
	tell := func(line string) { told.WriteString(line) }
	first, second := openHistory(name, tell), openHistory(name, tell)
	for _, line := range []string{"a", "a", "x = 'redis://u:secret@h'", "y = 'nats://h?token=secret'", "nats://secret@h", "redis://:two words@h",
		"https://h/?a=b&db_Password=secret", "redis://h/0"} {
		first.add(line)
	}
	second.add("b")
	for i := range historyLimit {
		second.add(fmt.Sprint(i))
	}
	lines := first.read()
	if len(lines) != historyLimit || lines[0] != "0" || lines[historyLimit-1] != "999" {
		t.Errorf("got %d lines, the first %q", len(lines), lines[0])
	}
	if all, err := first.load(); err != nil || !slices.Equal(all[:4], []string{"a", "redis://h/0", "b", "0"}) {
		t.Errorf("got %q, %v", all[:4], err)
	}
	first.close()
	second.add("z")
	if all, err := first.load(); err != nil || len(all) != historyLimit+1 || all[0] != "0" || all[historyLimit] != "z" {
		t.Errorf("got %d lines, %v", len(all), err)
	}
	if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if told.Len() > 0 {
		t.Error(told.String())
	}
}

func TestHistory_ThatCannotBeWritten_IsToldOnce(t *testing.T) {
	folder(t, "file", "")
	var told strings.Builder
	h := openHistory(filepath.Join("file", "history"), func(line string) { told.WriteString(line) })
	h.read()
	h.add("a")
	h.add("b")
	h.close()
	if !matches(`luastore: what is typed is not kept in file/history: [^\n]* \(--history names another file\)\n`, told.String()) {
		t.Errorf("got %q", &told)
	}
}

func TestHistory_File(t *testing.T) {
	home, state := filepath.Join(t.TempDir(), "home"), filepath.Join(t.TempDir(), "state")
	for want, env := range map[string][]string{
		filepath.Join(state, "luastore", "history"):                   {"HOME=" + home, "XDG_STATE_HOME=" + state, "LOCALAPPDATA=" + state},
		filepath.Join(home, ".local", "state", "luastore", "history"): {"HOME=" + home, "XDG_STATE_HOME=relative"},
		"": {"HOME="},
	} {
		if runtime.GOOS == "windows" && strings.HasPrefix(want, home) {
			continue
		}
		if got := (&app{env: env}).historyFile(); got != want {
			t.Errorf("%q: got %s, want %s", env, got, want)
		}
	}
}
