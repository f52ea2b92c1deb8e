//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A hangup reads the configuration again, with --isolate too, where it is another process that has the stores.
func TestHangup_OfAScript(t *testing.T) {
	program, env := commandAtTerminal(t)
	modes := map[string][]string{"run": {"run"}}
	if runtime.GOOS == "linux" {
		modes["run --isolate"] = []string{"run", "--isolate"}
	}
	for name, args := range modes {
		t.Run(name+" with a configuration reads it again", func(t *testing.T) {
			h := begin(t, exec.CommandContext(t.Context(), program, append(args, "-")...), env, `
local store = require("store")
local s = assert(store.get("before"))
assert(s:set("a:b", 1))
print("ready")
while not store.get("after") do assert(s:get("a:b") == 1) end
print("after")
while store.get("after") do assert(s:get("a:b") == 1) end`, "stores: {before: \"mem:\"}")
			h.write(t, "stores: {after: nowhere}")
			h.hangup(t)
			h.tells(t, "luastore: luastore.yaml was not reloaded, the one before holds on:")
			h.tells(t, `luastore.yaml:1:17: invalid store URL: `)
			h.write(t, "stores: {after: \"mem:\"}\nrunner: {timeout: 1h}")
			h.hangup(t)
			h.tells(t, "luastore: luastore.yaml was reloaded")
			h.tells(t, "luastore: what changed in runner and telemetry counts from the next start on")
			h.prints(t, "after") // else the next reload may take it away before the script has looked
			h.write(t, "stores: {\"more\": \"mem:\"}")
			h.hangup(t)
			if rest, code, killed := h.ends(t); code != 0 || killed != 0 {
				t.Errorf("exit %d, signal %v\n%s", code, killed, rest)
			}
		})
		t.Run(name+" without one ends it as ever", func(t *testing.T) {
			h := begin(t, exec.CommandContext(t.Context(), program, append(args, "-")...), env, `print("ready") while true do end`, "")
			h.hangup(t)
			if rest, _, killed := h.ends(t); killed != syscall.SIGHUP {
				t.Errorf("signal %v\n%s", killed, rest)
			}
		})
	}
}

// A hearer is a script that runs in a process of its own, in a folder of its own, and is told of signals.
type hearer struct {
	cmd    *exec.Cmd
	folder string
	stdout *bufio.Reader
	stderr *bufio.Reader
}

// begin starts a script that prints when it is ready, with a configuration if there is a text of one.
func begin(t *testing.T, cmd *exec.Cmd, env []string, script, config string) *hearer {
	t.Helper()
	h := &hearer{folder: t.TempDir(), cmd: cmd}
	if config != "" {
		h.write(t, config)
	}
	cmd.Dir, cmd.Env, cmd.Stdin = h.folder, append(os.Environ(), env...), strings.NewReader(script)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.stdout, h.stderr = bufio.NewReader(stdout), bufio.NewReader(stderr)
	heedHangup(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() { timer.Stop() })
	h.prints(t, "ready")
	return h
}

// heedHangup has the processes that the test starts not ignore SIGHUP, as they would where the tests run under nohup: what is ignored
// stays so in whatever is executed (execve(2)), what is caught does not.
func heedHangup(t *testing.T) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(c) })
}

// prints reads a line of standard output.
func (h *hearer) prints(t *testing.T, want string) {
	t.Helper()
	if line, err := h.stdout.ReadString('\n'); line != want+"\n" {
		rest, _, _ := h.ends(t)
		t.Fatalf("printed %q, %v\n%s", line, err, rest)
	}
}

func (h *hearer) write(t *testing.T, config string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.folder, "luastore.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h *hearer) hangup(t *testing.T) {
	t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// tells reads standard error up to a line that begins like this.
func (h *hearer) tells(t *testing.T, want string) {
	t.Helper()
	var seen strings.Builder
	for {
		line, err := h.stderr.ReadString('\n')
		if strings.HasPrefix(line, want) {
			return
		}
		seen.WriteString(line)
		if err != nil {
			t.Fatalf("it did not tell %q, but\n%s", want, &seen)
		}
	}
}

// ends waits for the end and returns what it told until then.
func (h *hearer) ends(t *testing.T) (rest string, code int, killed syscall.Signal) {
	t.Helper()
	told, err := io.ReadAll(h.stderr)
	if err != nil {
		t.Error(err)
	}
	code, killed = exit(h.cmd.Wait())
	return string(told), code, killed
}
