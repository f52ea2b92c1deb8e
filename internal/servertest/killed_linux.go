package servertest

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// envChild is set in a test binary that is to start a server and to be killed.
const envChild = "LUASTORE_TEST_CHILD"

// DiesWithTestBinary fails the test if a server outlives the test binary that started it and was then killed. Start starts one and
// returns its address. It runs in a child, a second run of this binary that runs the test t alone.
func DiesWithTestBinary(t *testing.T, start func() (addr string)) {
	t.Helper()
	if os.Getenv(envChild) != "" {
		if _, err := os.NewFile(1, "stdout").WriteString("address " + start() + "\n"); err == nil {
			select {}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	addr := runChild(ctx, t)
	for {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		conn.Close()
		if ctx.Err() != nil {
			t.Fatal("the server outlived the killed test binary")
		}
	}
}

// runChild returns the address that the child printed when the child has been killed.
func runChild(ctx context.Context, t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(ctx, program, "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), envChild+"=1", "TMPDIR="+openDir(t))
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	child.Process.Kill()
	child.Wait()
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "address ")
	if !ok {
		t.Fatalf("the child wrote %q", line)
	}
	return addr
}

// openDir returns a folder that every user may enter, which is removed after the test with all that a killed child left.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := makeDir("", "killed")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What the server started may take a moment to end.
		if err := Within(stopTimeout, nil, func() error { return os.RemoveAll(dir) }); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}
