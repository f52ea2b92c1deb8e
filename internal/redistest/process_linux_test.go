package redistest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestStart_KilledTestBinary_LeavesNoServer runs a test binary that starts a server and then is killed.
func TestStart_KilledTestBinary_LeavesNoServer(t *testing.T) {
	find(t)
	if os.Getenv("REDISTEST_CHILD") != "" {
		os.Stdout.WriteString("address " + Start(t, nil).Addr() + "\n")
		select {}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0], "-test.run="+t.Name())
	command.Env = append(os.Environ(), "REDISTEST_CHILD=1")
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 200)
	n, _ := stdout.Read(line)
	addr, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "address ")
	command.Process.Kill()
	command.Wait()
	if !ok {
		t.Fatalf("the child wrote %q", line[:n])
	}
	for conn, err := net.Dial("tcp", addr); err == nil; conn, err = net.Dial("tcp", addr) {
		conn.Close()
		if ctx.Err() != nil {
			t.Fatal("the server outlived the killed test binary")
		}
	}
}
