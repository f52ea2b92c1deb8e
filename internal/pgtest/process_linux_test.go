package pgtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/luastore/store/internal/servertest"
)

func TestStart_KilledTestBinary_LeavesNoServer(t *testing.T) {
	find(t)
	servertest.DiesWithTestBinary(t, func() string { return Start(t, nil).Addr() })
}

// TestKill_LeavesNoProcess kills a server that is busy: what idles ends by itself.
func TestKill_LeavesNoProcess(t *testing.T) {
	s := Start(t, nil)
	conn, err := connect(t, s.URL())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { conn.Exec(ctx, "SELECT count(*) FROM generate_series(1, 1000000000) busy") })
	for s.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%busy' AND state = 'active'") != "1" {
	}
	s.Kill()
	if left := processesIn(s.Dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	cancel()
	wait.Wait()
}

// processesIn returns the names of the processes that work in a folder.
func processesIn(dir string) []string {
	var names []string
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "comm"))
			names = append(names, strings.TrimSpace(string(name)))
		}
	}
	return names
}

func TestRemove_OfAKilledServer_LeavesNoSharedMemory(t *testing.T) {
	var id string
	t.Run("inner", func(t *testing.T) {
		s := Start(t, nil)
		text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		id = strings.Fields(strings.Split(string(text), "\n")[6])[1]
		if !sharedMemory(t, id) {
			t.Fatalf("there is no segment %s: the test would check nothing", id)
		}
		s.Kill()
	})
	if sharedMemory(t, id) {
		t.Errorf("segment %s is left", id)
	}
}

// sharedMemory reports whether a System V segment exists.
func sharedMemory(t *testing.T, id string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == id {
			return true
		}
	}
	return false
}

// TestTempDir_ClosedToTheAccount_IsNotTaken is about the folder that mktemp -d makes for its owner alone.
func TestTempDir_ClosedToTheAccount_IsNotTaken(t *testing.T) {
	parent, err := os.MkdirTemp("/tmp", "pgtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	closed := filepath.Join(parent, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", closed)
	other := &account{uid: uint32(os.Getuid()) + 1}
	if got := other.tempDir(); got != "/tmp" {
		t.Errorf("%s is taken by another account", got)
	}
	if got := (*account)(nil).tempDir(); got != "" {
		t.Errorf("%s is taken by the account itself", got)
	}
	for _, dir := range []string{closed, parent} {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if got := other.tempDir(); got != closed {
		t.Errorf("%s is taken, want the one that everybody may enter", got)
	}
}
