package crashtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luastore/store"
)

// TestChild_OfAKilledParent_IsKilled runs a test binary as a parent, whose child hangs, and kills it.
func TestChild_OfAKilledParent_IsKilled(t *testing.T) {
	const envParent = "CRASHTEST_PARENT"
	hanging := Target{Open: func(context.Context, string) (store.Driver, error) { <-time.After(time.Hour); return nil, nil }}
	if hanging.isChild(t) {
		return
	}
	if os.Getenv(envParent) != "" {
		c, err := startChild(t.Name(), t.TempDir(), 1)
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("child " + strconv.Itoa(c.command.Process.Pid) + "\n")
		<-time.After(time.Hour)
	}
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern(t.Name()))
	parent.Env = append(os.Environ(), envParent+"=1")
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 200)
	n, _ := stdout.Read(line)
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "child ")))
	parent.Process.Kill()
	parent.Wait()
	if err != nil {
		t.Fatalf("the parent wrote %q", line[:n])
	}
	gone := func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) }
	deadline := time.Now().Add(longEnough)
	for tick := time.NewTicker(5 * time.Millisecond); !gone(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("the child outlived its parent")
		}
	}
}

// zombie reports whether a process has ended and nobody has asked how, as where no init reaps orphans.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}
