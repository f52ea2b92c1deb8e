package mariadbtest

import (
	"sync"
	"testing"
)

// shared is the one server of this test binary. Starting a server costs more than most tests.
var shared struct {
	sync.Mutex
	server *Server
	taken  int // databases handed out so far
}

// Shared returns a new, empty database of a server that all tests of the binary share, also in parallel. It is dropped when the
// test ends. [Main] stops the server; nobody else may.
func Shared(t testing.TB) *Server {
	t.Helper()
	program := find(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := start(program, nil)
		if err != nil {
			t.Fatalf("mariadbtest: %v", err)
		}
		shared.server, shared.taken = s, 1
	}
	view := *shared.server
	shared.taken++
	if err := view.createDatabase(shared.taken); err != nil {
		t.Fatalf("mariadbtest: %v", err)
	}
	t.Cleanup(view.dropDatabase)
	return &view
}

// dropDatabase drops the database. It only saves disk: what fails, because a transaction is still open, is left to the end of the
// server.
func (s *Server) dropDatabase() {
	s.exec("", "SET lock_wait_timeout = 1; DROP DATABASE IF EXISTS "+s.db)
}

// Main runs the tests of a binary and stops the server of [Shared]. It returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(mariadbtest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	StopShared()
	return code
}

// StopShared stops the server of [Shared], for a TestMain that does more than [Main].
func StopShared() {
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.remove()
		shared.server = nil
	}
}
