//go:build unix

package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/spf13/cobra"
)

// shell runs a line as a person types it.
func shell(t *testing.T, line string) (stdout, stderr string, err error) {
	t.Helper()
	var out, told bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Stdout, cmd.Stderr = &out, &told
	err = cmd.Run()
	return out.String(), told.String(), err
}

// What luastore kv says alone works, line by line.
func TestKV_Alone_TellsWhatWorks(t *testing.T) {
	folder(t)
	got := luastore(t, "kv")
	var printed []string
	for line := range strings.Lines(got.stdout) {
		if !strings.HasPrefix(line, "  luastore ") {
			continue
		}
		stdout, stderr, err := shell(t, line)
		if err != nil || stderr != "" {
			t.Errorf("%s%v: %s", line, err, stderr)
		}
		printed = append(printed, stdout)
	}
	want := []string{"", "{ theme = \"dark\", size = 12 }\n", "user:ann = { theme = \"dark\", size = 12 }\n", "1\n", "deleted 1 of 1\n"}
	if strings.Join(printed, "|") != strings.Join(want, "|") {
		t.Errorf("printed %q", printed)
	}
}

// The examples of each help run as they stand, in a folder with the stores and files that they name.
func TestKV_ExamplesRun(t *testing.T) {
	folder(t, "index.html", "<p>", "luastore.yaml", `stores:
  session_store: sqlite:sessions.db
  page_cache: sqlite:pages.db
  counters: sqlite:counters.db
`)
	a := new(app)
	for _, cmd := range []*cobra.Command{
		a.setCommand(), a.getCommand(), a.hasCommand(), a.lsCommand(), a.ttlCommand(), a.touchCommand(), a.incrCommand(), a.deleteCommand(),
	} {
		if n := strings.Count(cmd.Example, "\n") + 1; n < 2 || n > 4 {
			t.Errorf("%s has %d examples", cmd.Name(), n)
		}
		for line := range strings.Lines(cmd.Example) {
			if _, stderr, err := shell(t, line); err != nil || stderr != "" {
				t.Errorf("%s: %v\n%s", strings.TrimSpace(line), err, stderr)
			}
		}
	}
	if got := content(t, "index.html"); got != "<p>" {
		t.Errorf("index.html came back as %q", got)
	}
}

// newTerminal returns both ends of a pseudo-terminal, with so many columns.
func newTerminal(t *testing.T, columns uint16) (person, tty *os.File) {
	t.Helper()
	person, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close(); tty.Close() })
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	return person, tty
}

// ask runs a command that asks a person at a terminal something, answers, and returns its end and the question.
func ask(t *testing.T, answer func(person io.Writer), ctx context.Context, args ...string) (got outcome, question string) {
	t.Helper()
	person, tty := newTerminal(t, 80)
	r, w := io.Pipe()
	var stdout bytes.Buffer
	ended := make(chan int)
	go func() {
		a := &app{stdin: tty, stdout: &stdout, stderr: w}
		code := a.main(ctx, args)
		w.Close()
		ended <- code
	}()
	told := bufio.NewReader(r)
	question, err := told.ReadString(']')
	if err != nil {
		t.Fatalf("%v: asked nothing: %s%v", args, question, err)
	}
	answer(person)
	rest, err := io.ReadAll(told)
	if err != nil {
		t.Fatal(err)
	}
	return outcome{<-ended, stdout.String(), string(rest)}, question
}

func types(text string) func(io.Writer) {
	return func(person io.Writer) { _, _ = io.WriteString(person, text) }
}

func TestKVDelete_OfSeveralKeys_AsksFirst(t *testing.T) {
	folder(t)
	for _, key := range []string{"a:1", "a:2", "b:1"} {
		wantDone(t, luastore(t, "kv", "set", demo, "demo", key, "1"), "")
	}
	prefix := []string{"kv", "delete", demo, "demo", "--prefix", "a:"}
	unchanged := outcome{1, "", " luastore: nothing was changed\n"}
	for _, c := range []struct {
		answer   string
		args     []string
		want     outcome
		question string
	}{
		{"n\n", prefix, unchanged, `Delete 2 keys beginning with "a:" of store "demo"? [y/N]`},
		{"\n", []string{"kv", "delete", demo, "demo", "a:1", "a:2", "a:1"}, unchanged, `Delete 2 keys of store "demo"? [y/N]`},
		{"\n", []string{"kv", "delete", demo, "demo", "--prefix", ""}, unchanged, `Delete 3 keys of store "demo"? [y/N]`},
		{"y\n", prefix, outcome{0, "deleted 2 keys beginning with \"a:\"\n", " "}, `Delete 2 keys beginning with "a:" of store "demo"? [y/N]`},
	} {
		got, question := ask(t, types(c.answer), t.Context(), c.args...)
		if got != c.want || question != c.question {
			t.Errorf("%v: asked %s\ngot %+v", c.args, question, got)
		}
	}
	wantDone(t, luastore(t, "kv", "ls", demo, "demo"), "b:1\n")
}

func TestKVDelete_StoppedAtTheQuestion_ChangesNothing(t *testing.T) {
	folder(t)
	wantDone(t, luastore(t, "kv", "set", demo, "demo", "a:1", "1"), "")
	ctx, cancel := context.WithCancel(t.Context())
	got, _ := ask(t, func(io.Writer) { cancel() }, ctx, "kv", "delete", demo, "demo", "--prefix", "a:")
	if got.code != 1 || got.stdout != "" || !strings.HasSuffix(got.stderr, "context canceled\n") {
		t.Errorf("got %+v", got)
	}
	wantDone(t, luastore(t, "kv", "has", demo, "demo", "a:1"), "true\n")
}

func TestKVGet_OnATerminal_SpreadsWhatDoesNotFit(t *testing.T) {
	folder(t)
	wantDone(t, luastore(t, "kv", "set", demo, "demo", "a:b", `{ name = "Ann", roles = { "admin", "editor" }, note = "on leave until May" }`), "")
	const line = "{ name = \"Ann\", roles = { \"admin\", \"editor\" }, note = \"on leave until May\" }\r\n"
	const spread = "{\r\n  name = \"Ann\",\r\n  roles = { \"admin\", \"editor\" },\r\n  note = \"on leave until May\",\r\n}\r\n"
	for columns, want := range map[uint16]string{0: line, 200: line, 40: spread} {
		person, tty := newTerminal(t, columns)
		var stderr bytes.Buffer
		code := (&app{stdout: tty, stderr: &stderr}).main(t.Context(), []string{"kv", "get", demo, "demo", "a:b"})
		shown := make([]byte, len(want))
		if _, err := io.ReadFull(person, shown); err != nil || code != 0 || stderr.Len() > 0 || string(shown) != want {
			t.Errorf("%d columns: got %d, %v, %s\n%s", columns, code, err, &stderr, shown)
		}
	}
}
