package redistest

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestStart_ServesUntilTheTestEnds(t *testing.T) {
	var addr, dir string
	t.Run("inner", func(t *testing.T) {
		s := Start(t, nil)
		addr, dir = s.Addr(), s.Dir
		if got := s.Do(t, "PING"); got != "PONG" {
			t.Fatalf("PING answered %q", got)
		}
	})
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the server outlived its test")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder outlived its test: %v", err)
	}
}

func TestStart_Restart_KeepsTheAddressAndForgetsTheData(t *testing.T) {
	s := Start(t, nil)
	addr, pid := s.Addr(), s.PID()
	s.Do(t, "SET", "k", "v")
	s.Restart(t)
	if s.Addr() != addr || s.PID() == pid {
		t.Errorf("after the restart: address %s, was %s; process %d, was %d", s.Addr(), addr, s.PID(), pid)
	}
	if got := s.Do(t, "GET", "k"); got != "" {
		t.Errorf("the key survived: %q", got)
	}
}

func TestRestart_WaitsForItsPort(t *testing.T) {
	s := Start(t, nil)
	s.Kill()
	thief, err := net.Listen("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { thief.Close() })
	s.Restart(t)
	if got := s.Do(t, "PING"); got != "PONG" {
		t.Errorf("PING answered %q", got)
	}
}

func TestStart_PassesArguments(t *testing.T) {
	s := Start(t, &Options{Args: []string{"--maxmemory", "7mb"}})
	if got := s.Do(t, "INFO", "memory"); !strings.Contains(got, "maxmemory:7340032") {
		t.Error("the argument did not reach the server")
	}
}

func TestShared_GivesEachTestAnEmptyDatabaseOfItsOwn(t *testing.T) {
	a, b := Shared(t), Shared(t)
	if a.PID() != b.PID() || a.URL() == b.URL() {
		t.Fatalf("%s and %s, processes %d and %d", a.URL(), b.URL(), a.PID(), b.PID())
	}
	a.Do(t, "SET", "k", "v")
	if got := b.Do(t, "GET", "k"); got != "" {
		t.Errorf("the key of one test reached another: %q", got)
	}
}

func TestFind_MissingServer_SkipsOrFails(t *testing.T) {
	for require, want := range map[string]string{"": "SKIP", "1": "FAIL"} {
		command := exec.Command(os.Args[0], "-test.run=TestStart_PassesArguments", "-test.v")
		command.Env = append(os.Environ(), EnvServer+"=/no/such/server", EnvRequire+"="+require)
		output, _ := command.CombinedOutput()
		if !strings.Contains(string(output), want) || !strings.Contains(string(output), "apt-get install redis-server") {
			t.Errorf("with %s=%q, want %s and advice, got:\n%s", EnvRequire, require, want, output)
		}
	}
}
