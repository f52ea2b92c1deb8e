//go:build unix

package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build returns the path of the command, built once for a test.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "luastore")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// A running command has printed its first line.
type running struct {
	cmd    *exec.Cmd
	stdout io.ReadCloser
	first  string
	stderr strings.Builder // to be read after the end
}

// begun starts a process and waits for its first line. A test that hangs kills it.
func begun(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{cmd: cmd}
	cmd.Stderr, cmd.WaitDelay = &r.stderr, 10*time.Second // of a child that outlives its parent
	var err error
	if r.stdout, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() { timer.Stop() })
	if r.first, err = bufio.NewReader(r.stdout).ReadString('\n'); err != nil {
		t.Fatalf("%v\n%s", err, &r.stderr)
	}
	return r
}

// started runs a script in a process of its own and waits until it has printed that it is ready.
func started(t *testing.T, program, source string, flags ...string) (*exec.Cmd, io.ReadCloser, *strings.Builder) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append(append([]string{"run"}, flags...), "-")...)
	cmd.Stdin = strings.NewReader(source)
	r := begun(t, cmd)
	if r.first != "ready\n" {
		t.Fatalf("got %q", r.first)
	}
	return r.cmd, r.stdout, &r.stderr
}

// exit returns the exit code, or the signal that ended the process.
func exit(err error) (code int, signal syscall.Signal) {
	var failed *exec.ExitError
	if !errors.As(err, &failed) {
		return 0, 0
	}
	status := failed.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return -1, status.Signal()
	}
	return status.ExitStatus(), 0
}

// interrupted runs a script that waits for a file that nobody writes, which nothing stops, and interrupts the process until it ends.
func interrupted(t *testing.T, program string) error {
	t.Helper()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, _, _ := started(t, program, `print("ready") io.open("`+fifo+`")`, "--allow", "io")
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
	}
}

func TestProcess(t *testing.T) {
	program := build(t)
	const loop = `local s = require("store").get("a") print("ready") while true do s:set("a:b", 1) end`
	for name, signal := range map[string]syscall.Signal{"interrupt": syscall.SIGINT, "terminated": syscall.SIGTERM} {
		t.Run(name+" ends the script", func(t *testing.T) {
			cmd, _, stderr := started(t, program, loop)
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if code, killed := exit(cmd.Wait()); code != 1 || killed != 0 {
				t.Errorf("got exit %d, signal %v", code, killed)
			}
			if !strings.Contains(stderr.String(), "luastore: script stopped: "+name+" signal received\nstack traceback:\n\t") {
				t.Errorf("got %s", stderr)
			}
		})
	}
	t.Run("a second interrupt ends the process", func(t *testing.T) {
		// The first one may come before the call that is not stopped, and then ends the script by itself: once more.
		for range 20 {
			if _, killed := exit(interrupted(t, program)); killed == syscall.SIGINT {
				return
			}
		}
		t.Error("no process was ended by its second interrupt")
	})
	t.Run("the reader of the output goes", func(t *testing.T) {
		cmd, stdout, stderr := started(t, program, `while true do print("ready") end`)
		stdout.Close()
		if code, killed := exit(cmd.Wait()); code != 1 || killed != 0 || stderr.Len() > 0 {
			t.Errorf("got exit %d, signal %v, %s", code, killed, stderr)
		}
	})
	t.Run("huge integer keys take no arrays", func(t *testing.T) {
		cmd, _, stderr := started(t, program, `local t = {} t[6e7] = 1 print("ready")`)
		if err := cmd.Wait(); err != nil {
			t.Errorf("got %v, %s", err, stderr)
		}
		if kb := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; runtime.GOOS == "linux" && kb > 500<<10 { // elsewhere bytes
			t.Errorf("it took %d KB", kb)
		}
	})
}
