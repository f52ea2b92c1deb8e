//go:build unix

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// A desk is where a person sits down at a terminal, and may come back to.
type desk struct {
	program, dir string
	env          []string
}

// A console is luastore repl at a terminal, as a person sees it.
type console struct {
	t            *testing.T
	cmd          *exec.Cmd
	person, line *os.File    // the two sides of the terminal
	mode         *term.State // of the terminal before the command began

	mu    sync.Mutex
	news  *sync.Cond
	shown []byte // and not waited for yet
	over  bool   // nothing more will be shown
}

// sit starts the command at a terminal of its own, and waits for its prompt.
func (d desk) sit(t *testing.T, args ...string) *console {
	t.Helper()
	c := &console{t: t}
	c.news = sync.NewCond(&c.mu)
	var err error
	if c.person, c.line, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	c.resize(24, 80)
	c.mode = c.state()
	c.cmd = exec.CommandContext(t.Context(), d.program, append([]string{"repl"}, args...)...)
	c.cmd.Dir, c.cmd.Env = d.dir, append([]string{"TERM=xterm", "XDG_STATE_HOME=" + d.dir}, d.env...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = c.line, c.line, c.line
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watched := make(chan struct{})
	go func() { defer close(watched); c.watch() }()
	timer := time.AfterFunc(time.Minute, c.giveUp)
	t.Cleanup(func() {
		timer.Stop()
		c.giveUp()
		c.line.Close()
		c.person.Close()
		<-watched
	})
	c.sees("\r\n> ")
	return c
}

// giveUp ends the command, if it has not ended, and all waiting.
func (c *console) giveUp() {
	_ = c.cmd.Process.Kill() // it may have ended
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.news.Broadcast()
}

// watch keeps what is shown.
func (c *console) watch() {
	for b := make([]byte, 4096); ; {
		n, err := c.person.Read(b)
		c.mu.Lock()
		c.shown = append(c.shown, b[:n]...)
		c.over = c.over || err != nil
		c.news.Broadcast()
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *console) resize(rows, columns uint16) {
	c.t.Helper()
	if err := pty.Setsize(c.person, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
		c.t.Fatal(err)
	}
}

// hangUp closes the terminal, as a person does who closes its window.
func (c *console) hangUp() {
	c.t.Helper()
	fd, err := syscall.Dup(int(c.person.Fd()))
	if err = errors.Join(err, c.line.Close(), c.person.Close()); err != nil {
		c.t.Fatal(err)
	}
	_, err = syscall.Write(fd, []byte("x")) // whoever reads the terminal holds it until something is shown
	if err = errors.Join(err, syscall.Close(fd)); err != nil {
		c.t.Fatal(err)
	}
}

// state returns the mode that the terminal is in.
func (c *console) state() *term.State {
	c.t.Helper()
	state, err := term.GetState(int(c.line.Fd()))
	if err != nil {
		c.t.Fatal(err)
	}
	return state
}

func (c *console) types(keys string) {
	c.t.Helper()
	if _, err := c.person.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

// sees waits until texts are shown, one after the other, and returns all that was shown until then.
func (c *console) sees(texts ...string) (all string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range texts {
		for !bytes.Contains(c.shown, []byte(text)) {
			if c.over {
				c.t.Fatalf("%q is not in what is shown: %q", text, c.shown)
			}
			c.news.Wait()
		}
		end := bytes.Index(c.shown, []byte(text)) + len(text)
		all += string(c.shown[:end])
		c.shown = c.shown[end:]
	}
	return all
}

// ends waits for the end of the command, which must leave the terminal as it was.
func (c *console) ends(code int) {
	c.t.Helper()
	if got, killed := exit(c.cmd.Wait()); got != code || killed != 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.t.Errorf("got exit %d, signal %v, want %d; shown: %q", got, killed, code, c.shown)
	}
	if !reflect.DeepEqual(c.state(), c.mode) {
		c.t.Errorf("the mode of the terminal is %v, and was %v", c.state(), c.mode)
	}
}

// interruptedToDeath presses Ctrl-C until the command ends, and returns the signal that ended it. Signals that come at once count as one.
func (c *console) interruptedToDeath() syscall.Signal {
	c.t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c.types(ctrlC)
		select {
		case err := <-done:
			_, killed := exit(err)
			return killed
		case <-tick.C:
		}
	}
}

// Keys that a person presses.
const (
	enter, tab   = "\r", "\t"
	ctrlC, ctrlD = "\x03", "\x04"
	up, left     = "\x1b[A", "\x1b[D"
	backspace    = "\x7f"
)

// loops runs until it is stopped, and says when the terminal is no longer that of the editor.
const loops = `print("run" .. "ning") while true do end` + enter

func TestRepl(t *testing.T) {
	program, needs := commandAtTerminal(t)
	at := func(t *testing.T, env ...string) desk { return desk{program, t.TempDir(), append(env, needs...)} }

	t.Run("typing, and leaving by Ctrl-D", func(t *testing.T) {
		c := at(t).sit(t)
		c.types("1 + 1" + enter)
		c.sees("\r\n2\r\n> ")
		c.types(ctrlD)
		c.ends(0)
	})
	t.Run("editing", func(t *testing.T) {
		c := at(t).sit(t)
		c.types("12x" + backspace + left + "0" + enter)
		c.sees("\r\n102\r\n> ")
		c.types(".exit" + enter)
		c.ends(0)
	})
	t.Run("completion", func(t *testing.T) {
		c := at(t).sit(t, "--store", "demo_store=mem:")
		c.types(`s = store.g` + tab + `("de` + tab + enter)
		c.sees("\r\n> ")
		c.types(`s:inc` + tab + `("a:b", 41)` + enter)
		c.sees("\r\n41\r\n> ")
		c.types(`s:ge` + tab + tab)
		c.sees("\r\nget get_many")
		c.types(`("a:b")` + enter)
		c.sees("\r\n41\r\n> ")
		c.types(`.st` + tab + enter)
		c.sees("\r\ndemo_store  memory")
	})
	t.Run("history, from one session to the next", func(t *testing.T) {
		d := at(t)
		c := d.sit(t)
		c.types("x = 'redis://u:secret@h'" + enter)
		c.sees("\r\n> ")
		c.types("x = 41" + enter)
		c.sees("\r\n> ")
		c.types(ctrlD)
		c.ends(0)
		c = d.sit(t)
		c.types(up + enter)
		c.sees("\r\n> ")
		c.types("x + 1" + enter)
		c.sees("\r\n42\r\n> ")
		kept, err := os.ReadFile(filepath.Join(d.dir, "luastore", "history"))
		if err != nil || string(kept) != "x = 41\nx = 41\nx + 1\n" {
			t.Errorf("got %q, %v", kept, err)
		}
		c = d.sit(t, "--history", "")
		c.types("100" + enter)
		c.sees("\r\n100\r\n> ")
		if now, err := os.ReadFile(filepath.Join(d.dir, "luastore", "history")); err != nil || !bytes.Equal(now, kept) {
			t.Errorf("got %q, %v", now, err)
		}
	})
	t.Run("statements over lines", func(t *testing.T) {
		c := at(t).sit(t)
		c.types("for i = 1, 2 do" + enter)
		c.sees("\r\n>> ")
		c.types("print(i * 10)" + enter + "end" + enter)
		c.sees("\r\n10\r\n20\r\n> ")
	})
	t.Run("Ctrl-C while a line is typed", func(t *testing.T) {
		c := at(t).sit(t)
		c.types("junk(" + ctrlC)
		c.sees("(Ctrl-D or .exit leaves)\r\n> ")
		c.types("for i = 1, 2 do" + enter)
		c.sees("\r\n>> ")
		c.types("print(i" + ctrlC)
		c.sees("\r\n> ")
		c.types("6 * 7" + enter)
		c.sees("\r\n42\r\n> ")
	})
	t.Run("Ctrl-C while a statement runs", func(t *testing.T) {
		c := at(t).sit(t)
		c.types("x = 41" + enter)
		c.sees("\r\n> ")
		for range 3 {
			c.types(loops)
			c.sees("\r\nrunning\r\n")
			c.types(ctrlC)
			c.sees("script stopped: interrupted by Ctrl-C", "\r\n> ")
		}
		c.types("x + 1" + enter)
		c.sees("\r\n42\r\n> ")
		c.types(ctrlD)
		c.ends(0)
	})
	t.Run("Ctrl-C again and again ends a call that waits", func(t *testing.T) {
		c := at(t).sit(t, "--allow", "os")
		c.types(`os.execute("trap '' INT; echo run''ning; exec sleep 60")` + enter)
		c.sees("\r\nrunning\r\n")
		if killed := c.interruptedToDeath(); killed != syscall.SIGINT {
			t.Errorf("got signal %v", killed)
		}
		c.sees("what runs does not stop")
		if !reflect.DeepEqual(c.state(), c.mode) {
			t.Error("the mode of the terminal is not restored")
		}
	})
	t.Run("another size of the terminal", func(t *testing.T) {
		c := at(t).sit(t)
		for i, columns := range []uint16{200, 20, 80} {
			c.types("1000 +")
			c.resize(40, columns)
			c.types(strings.Repeat(" 1 +", 10) + " 0" + enter)
			c.sees("\r\n1010\r\n> ")
			if i == 0 {
				c.types(loops)
				c.sees("\r\nrunning\r\n")
				c.resize(10, 30)
				c.types(ctrlC)
				c.sees("script stopped", "\r\n> ")
			}
		}
	})
	t.Run("SIGTERM", func(t *testing.T) {
		c := at(t).sit(t)
		c.types("half a li")
		c.sees("half a li")
		if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		c.sees("\r\nluastore: stopped: terminated signal received\r\n")
		c.ends(1)
		c = at(t).sit(t)
		c.types(loops)
		c.sees("\r\nrunning\r\n")
		if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		c.sees("luastore: stopped: terminated signal received\r\n")
		c.ends(1)
	})
	t.Run("SIGHUP", func(t *testing.T) {
		c := at(t).sit(t)
		c.types("half a li")
		c.sees("half a li")
		if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		c.sees("\r\nluastore: stopped: hangup signal received\r\n")
		c.ends(1)
	})
	t.Run("the terminal goes while a statement runs", func(t *testing.T) {
		d := at(t)
		if err := os.WriteFile(filepath.Join(d.dir, "luastore.yaml"), []byte("stores:\n  a:\n    url: \"mem:\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := d.sit(t)
		c.types(loops)
		c.sees("\r\nrunning\r\n")
		c.hangUp()
		if code, killed := exit(c.cmd.Wait()); code != 1 || killed != 0 {
			t.Errorf("got exit %d, signal %v", code, killed)
		}
	})
	t.Run("stores in memory are told of once", func(t *testing.T) {
		c := at(t).sit(t)
		c.types(`store.get("de" .. "mo")` + enter)
		if shown := c.sees("\r\nstore \"demo\"\r\n"); strings.Contains(shown, "in memory") {
			t.Errorf("got %q", shown)
		}
	})
	t.Run("a new configuration, told before the next prompt", func(t *testing.T) {
		d := at(t)
		write := func(id string) {
			config := "stores:\n  " + id + ":\n    url: \"mem:\"\n"
			if err := os.WriteFile(filepath.Join(d.dir, "luastore.yaml"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("before")
		c := d.sit(t)
		write("after")
		if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for told := false; !told; { // it comes when it comes
			c.types("1" + enter)
			told = strings.Contains(c.sees("\r\n1\r\n", "> "), "luastore.yaml was reloaded\r\n> ")
		}
		c.types("store.get('after')" + enter)
		c.sees("\r\nstore \"after\"\r\n")
	})
	t.Run("the code of os.exit", func(t *testing.T) {
		c := at(t).sit(t, "--allow", "os")
		c.types("os.exit(3)" + enter)
		c.ends(3)
	})
	t.Run("colours", func(t *testing.T) {
		c := at(t).sit(t)
		c.types(`error("b" .. "oom")` + enter)
		c.sees("\x1b[31mrepl:1: boom\x1b[0m\r\n> ")
		c = at(t, "NO_COLOR=1").sit(t)
		c.types(`error("b" .. "oom")` + enter)
		c.sees("\r\nrepl:1: boom\r\n> ")
	})
	t.Run("a terminal that cannot be edited", func(t *testing.T) {
		c := at(t, "TERM=dumb").sit(t)
		c.types("1 + 1\n")
		c.sees("\r\n2\r\n> ")
		c.types(ctrlC)
		c.sees("(Ctrl-D or .exit leaves)\r\n> ")
		c.types("for i = 1, 2 do\n")
		c.sees("\r\n>> ")
		c.types(ctrlC)
		c.sees("\r\n> ")
		c.types("6 * 7\n")
		c.sees("\r\n42\r\n> ")
		c.types(loops)
		c.sees("\r\nrunning\r\n")
		c.types(ctrlC)
		c.sees("interrupted by Ctrl-C\r\n> ")
		c.types(ctrlD)
		c.ends(0)
	})
}
