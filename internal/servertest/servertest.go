// Package servertest holds what the packages that run private servers for tests share: how a server program is found, started
// on a free port of the loopback interface in a folder of its own, waited for, killed and started again, and the certificates
// that it serves TLS with.
//
// A server is stopped by its process id by the test run that began it. On Linux the kernel stops it even when the test binary is
// killed.
package servertest

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// EnvRequire is the environment variable that says whether to go without a server: with 1, which make test sets, a missing one
// fails the test, otherwise it skips it.
const EnvRequire = "LUASTORE_TEST_REQUIRE"

// Find returns the path of the first of files that is there: names that are looked for in PATH, or paths. Where there is none it
// ends the test, saying what is missing ("a Redis server") and which Debian package has it.
func Find(t testing.TB, what, debian string, files ...string) string {
	t.Helper()
	for _, file := range files {
		if path, err := exec.LookPath(file); err == nil {
			return path
		}
	}
	Missing(t, fmt.Sprintf("needs %s and found none (looked for %q): run make test, or apt-get install %s", what, files, debian))
	return ""
}

// Missing ends the test, for want of a server: it fails with [EnvRequire], and is skipped without. The message says what is missing and
// how to get it.
func Missing(t testing.TB, message string) {
	t.Helper()
	if os.Getenv(EnvRequire) == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// Password returns a new password of a server, a word that no text holds by chance.
func Password() string { return "canary" + rand.Text() }

// Ports that [FreePort] chooses from. They are not among those that systems give to outgoing connections, which usually begin at 32768
// or above: while a server is killed, no connection takes its port. Those 10000 below are for a second port of the same server.
const (
	firstPort = 23000
	pastPorts = 32768
)

// used counts the ports that this process has chosen.
var used atomic.Uint32

// FreePort returns a port of the loopback interface that nobody listens on at the moment, and that it has not returned before, as long
// as there are such: one is left to a server that has been killed and is to come back.
func FreePort() (port int, err error) {
	first := uint32(os.Getpid()) * 2654435769 >> 8 // most likely far from that of another process: Fibonacci hashing
	for range 100 {
		port = firstPort + int((first+used.Add(1))%(pastPorts-firstPort))
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// Within tries until it succeeds, or until timeout has passed, and then returns the last error. It stops at once when stop is
// closed.
func Within(timeout time.Duration, stop <-chan struct{}, try func() error) error {
	deadline := time.After(timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-stop:
			return errEnded
		case <-deadline:
			return err
		case <-tick.C:
		}
	}
}

// makeDir makes a folder for a server. It is not that of the test: the path of a unix socket must fit in some 100 bytes, which the
// folder of a test with a long name does not.
func makeDir(parent, name string) (string, error) {
	dir, err := os.MkdirTemp(parent, name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}
