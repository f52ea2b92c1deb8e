package servertest_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store/internal/servertest"
)

// envListen makes this test binary the server of its tests, on the address that it names.
const envListen = "SERVERTEST_LISTEN"

func TestMain(m *testing.M) {
	if addr := os.Getenv(envListen); addr != "" {
		serve(addr)
	}
	os.Exit(m.Run())
}

// serve takes connections until it is killed.
func serve(addr string) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		os.Stdout.WriteString("cannot listen: " + err.Error() + "\n")
		os.Exit(1)
	}
	for {
		if conn, err := listener.Accept(); err == nil {
			conn.Write([]byte("hello"))
			conn.Close()
		}
	}
}

// newProcess returns a server that is not started.
func newProcess(t testing.TB) *servertest.Process {
	t.Helper()
	p, err := servertest.New("", "servertest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		os.RemoveAll(p.Dir)
	})
	p.Command = func() *exec.Cmd {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), envListen+"="+p.Addr())
		return command
	}
	p.Ready = func() error { return dial(p.Addr()) }
	return p
}

func start(t testing.TB) *servertest.Process {
	t.Helper()
	p := newProcess(t)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// dial returns nil when the server answers at addr, rather than somebody else.
func dial(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	_, err = conn.Read(make([]byte, 1))
	return err
}

func TestProcess_Killed_IsGoneAndRestartsOnItsPort(t *testing.T) {
	p := start(t)
	addr, pid := p.Addr(), p.PID()
	p.Kill()
	p.Kill() // of one that has ended
	if dial(addr) == nil {
		t.Error("the server answers after it was killed")
	}
	p.Restart(t, time.Second)
	if p.Addr() != addr || p.PID() == pid || dial(addr) != nil {
		t.Errorf("after the restart: address %s, was %s; process %d, was %d", p.Addr(), addr, p.PID(), pid)
	}
}

func TestProcess_Shutdown_EndsItBySignal(t *testing.T) {
	p := start(t)
	p.Shutdown(os.Interrupt)
	if dial(p.Addr()) == nil {
		t.Error("the server answers after it was told to end")
	}
	p.Shutdown(os.Interrupt) // of one that has ended
}

func TestProcess_Restart_WaitsForItsPort(t *testing.T) {
	p := start(t)
	p.Kill()
	thief, err := net.Listen("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { thief.Close() })
	p.Restart(t, 10*time.Second)
	if err := dial(p.Addr()); err != nil {
		t.Error(err)
	}
}

func TestProcess_ThatEndsAtOnce_ShowsWhatItPrinted(t *testing.T) {
	p := newProcess(t)
	thief, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	p.Port = thief.Addr().(*net.TCPAddr).Port
	p.Ready = func() error { return errors.New("never") }
	if err := p.Run(); err == nil || !strings.Contains(err.Error(), "it has ended") || !strings.Contains(err.Error(), "cannot listen") {
		t.Errorf("got %v", err)
	}
}

func TestProcess_Run_StartsInItsFolder(t *testing.T) {
	p := start(t)
	if _, err := os.Stat(filepath.Join(p.Dir, "log")); err != nil {
		t.Error(err)
	}
}

func TestFind_TakesTheFirstThatIsThere(t *testing.T) {
	if got := servertest.Find(t, "a test", "none", "/no/such/file", os.Args[0]); got != os.Args[0] {
		t.Errorf("found %s", got)
	}
}

// TestFind_Missing is the child of the next test, which tells it by EnvRequire what to do without.
func TestFind_Missing(t *testing.T) {
	if os.Getenv("SERVERTEST_MISSING") != "" {
		servertest.Find(t, "a Nothing server", "nothing-server", "/no/such/file")
	}
}

func TestFind_OfNothing_SkipsOrFails(t *testing.T) {
	for require, want := range map[string]string{"": "SKIP", "1": "FAIL"} {
		child := exec.Command(os.Args[0], "-test.run=^TestFind_Missing$", "-test.v")
		child.Env = append(os.Environ(), "SERVERTEST_MISSING=1", servertest.EnvRequire+"="+require)
		output, _ := child.CombinedOutput()
		for _, words := range []string{want, "needs a Nothing server", "/no/such/file", "apt-get install nothing-server"} {
			if !strings.Contains(string(output), words) {
				t.Errorf("with %s=%q, want %q, got:\n%s", servertest.EnvRequire, require, words, output)
			}
		}
	}
}

func TestPassword_IsAnotherEachTime(t *testing.T) {
	a, b := servertest.Password(), servertest.Password()
	if a == b || len(a) < 20 || strings.ContainsFunc(a, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		t.Errorf("%s, %s", a, b)
	}
}

// A server that has been killed keeps its port, to come back on it.
func TestFreePort_ReturnsNoneTwice(t *testing.T) {
	seen := map[int]bool{}
	for range 2000 {
		port, err := servertest.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] || port < 23000 || port >= 32768 {
			t.Fatalf("port %d, after %d others", port, len(seen))
		}
		seen[port] = true
	}
}
