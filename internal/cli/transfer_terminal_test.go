//go:build unix

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/creack/pty"
)

// A screen is a terminal of a test, which remembers all that was written to it.
type screen struct {
	tty   *os.File
	done  chan struct{}
	mu    sync.Mutex
	text  strings.Builder
	shows func(text string) // called with all there is, after each write
}

// newScreen opens a terminal. Nobody reads its input.
func newScreen(t *testing.T, shows func(text string)) *screen {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	s := &screen{tty: tty, done: make(chan struct{}), shows: shows}
	go func() {
		defer close(s.done)
		defer master.Close()
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.took(string(buf[:n]))
			if err != nil { // the other side is closed
				return
			}
		}
	}()
	t.Cleanup(func() { tty.Close(); <-s.done })
	return s
}

func (s *screen) took(text string) {
	s.mu.Lock()
	s.text.WriteString(text)
	all := s.text.String()
	s.mu.Unlock()
	if s.shows != nil {
		s.shows(all)
	}
}

// all closes the terminal and returns what was written to it.
func (s *screen) all() string {
	s.tty.Close()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// left returns what a person sees in the end of what was written: lines as they were wiped and written over.
func left(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\r\n") {
		if _, after, found := cutLast(line, "\x1b[2K\r"); found {
			line = after
		}
		if _, after, found := cutLast(line, "\r"); found {
			line = after
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return strings.Join(lines, "\n")
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// bars returns what was drawn of the bar of a transfer.
func bars(text, doing string) []string {
	return regexp.MustCompile(doing+`[^\r]*`).FindAllString(text, -1)
}

// shows reports whether one of the bars is what a pattern says. The last one need not be: where the whole is done it has no times any more, and
// whether that is drawn is a matter of time.
func shows(bars []string, pattern string) bool {
	return slices.ContainsFunc(bars, regexp.MustCompile(pattern).MatchString)
}

// manyLines returns lines of entries to import.
func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"key\":\"t:%05d\",\"value\":%d}\n", i, i)
	}
	return b.String()
}

func TestProgress_OnATerminal_ShowsBarCountRateAndTimeLeft(t *testing.T) {
	folder(t, "in.jsonl", manyLines(20_000))
	for _, c := range []struct {
		env    []string
		colour bool
	}{{[]string{"TERM=xterm"}, true}, {[]string{"TERM=xterm", "NO_COLOR=1"}, false}} {
		s := newScreen(t, nil)
		url := fmt.Sprintf("a=sqlite:%v.db", c.colour)
		if code := Main(t.Context(), []string{"kv", "import", "--store", url, "a", "in.jsonl"}, nil, io.Discard, s.tty, c.env); code != 0 {
			t.Errorf("import: exit code %d", code)
		}
		text := s.all()
		if drawn := bars(text, "importing"); !shows(drawn, `importing \d+ entr(y|ies) +\d+% .*\d+.*B, .*B/s\) \[[\dhms]+:[\dhms]+\]`) {
			t.Errorf("import draws %q", drawn)
		}
		if left(text) != "luastore: imported 20000 entries\n" || strings.Contains(text, "\x1b[32m") != c.colour {
			t.Errorf("import leaves %q of %q", left(text), text)
		}
	}
}

func TestProgress_OfAnExport_KnowsTheWholeWhenItWasCounted(t *testing.T) {
	folder(t, "in.jsonl", manyLines(20_000))
	const url = "a=sqlite:a.db"
	if got := luastore(t, "kv", "import", "--store", url, "a", "in.jsonl"); got.code != 0 || got.stderr != "luastore: imported 20000 entries\n" {
		t.Fatalf("got %+v", got)
	}
	counted := make(chan struct{})
	seen := sync.OnceFunc(func() { close(counted) })
	s := newScreen(t, func(text string) {
		if strings.Contains(text, "/20000, ") {
			seen()
		}
	})
	held := false
	out := writerFunc(func(b []byte) (int, error) { // the export waits until the keys are counted
		if !held {
			<-counted
			held = true
		}
		return len(b), nil
	})
	if code := Main(t.Context(), []string{"kv", "export", "--store", url, "a"}, nil, out, s.tty, []string{"TERM=dumb"}); code != 0 {
		t.Errorf("exit code %d", code)
	}
	text := s.all()
	if drawn := bars(text, "exporting"); !shows(drawn, `exporting +\d+% .*\([1-9]\d*/20000, \d+ entries/\w+\) \[[\dhms]+:[\dhms]+\]`) {
		t.Errorf("it draws %q", drawn)
	}
	if left(text) != "luastore: exported 20000 entries\n" || strings.Contains(text, "\x1b") {
		t.Errorf("it leaves %q of %q", left(text), text)
	}
}

func TestProgress_Interrupted_IsWiped(t *testing.T) {
	folder(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	s := newScreen(t, func(text string) {
		if strings.Contains(text, "importing") {
			cancel(errors.New("interrupt signal received"))
		}
	})
	line := []byte("{\"key\":\"t:1\",\"value\":1}\n")
	endless := readerFunc(func(b []byte) (int, error) { return copy(b, line), nil })
	code := Main(ctx, []string{"kv", "import", "--store", "a=mem:", "a"}, endless, io.Discard, s.tty, []string{"TERM=xterm"})
	if text := left(s.all()); code != 1 || !matches(`luastore: stopped: interrupt signal received\nimported \d+ entr(y|ies); .*\n`, text) {
		t.Errorf("exit code %d, it leaves %q", code, text)
	}
}

func TestProgress_Quiet_ShowsNothing(t *testing.T) {
	folder(t, "in.jsonl", manyLines(2000))
	s := newScreen(t, nil)
	for _, args := range [][]string{{"import", "--quiet", "--store", "a=sqlite:a.db", "a", "in.jsonl"}, {"export", "-q", "--store", "a=sqlite:a.db", "a"}} {
		if code := Main(t.Context(), append([]string{"kv"}, args...), nil, io.Discard, s.tty, []string{"TERM=xterm"}); code != 0 {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	if text := s.all(); text != "" {
		t.Errorf("it shows %q", text)
	}
}

func TestImport_TerminalAsInput_AsksForAFile(t *testing.T) {
	folder(t)
	in, s := newScreen(t, nil), newScreen(t, nil)
	code := Main(t.Context(), []string{"kv", "import", "--store", "a=sqlite:" + filepath.Join(t.TempDir(), "a.db"), "a"}, in.tty, io.Discard, s.tty, nil)
	if text := left(s.all()); code != 2 || !strings.HasPrefix(text, "luastore: no file: want luastore kv import a FILE, or - to type lines\n") {
		t.Errorf("exit code %d, %q", code, text)
	}
}
