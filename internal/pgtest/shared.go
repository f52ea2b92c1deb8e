package pgtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// shared is the one server of this test binary. Starting a server costs more than most tests.
var shared struct {
	sync.Mutex
	server *Server
	made   int      // databases made so far
	free   []string // those that are empty again
}

// Shared returns an empty database of a server that all tests of the binary share, also in parallel. It is emptied when the test
// ends. [Main] stops the server; nobody else may.
func Shared(t testing.TB) *Server {
	t.Helper()
	bin := find(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := start(bin, nil)
		if err != nil {
			t.Fatalf("pgtest: %v", err)
		}
		shared.server, shared.made, shared.free = s, 1, []string{s.db}
	}
	view := *shared.server
	if err := view.takeDatabase(); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(view.giveBack)
	return &view
}

// takeDatabase turns s to an empty database.
func (s *Server) takeDatabase() error {
	if n := len(shared.free); n > 0 {
		s.db, shared.free = shared.free[n-1], shared.free[:n-1]
		return nil
	}
	shared.made++
	return s.createDatabase(shared.made)
}

// giveBack empties a database, whoever still uses it, for the next test: to make a new one takes ten times as long. One that cannot
// be emptied is left to the end of the server.
func (s *Server) giveBack() {
	shared.Lock()
	defer shared.Unlock()
	if _, err := s.ask(context.Background(), s.db, fmt.Sprintf(empty, s.db, User)); err == nil {
		shared.free = append(shared.free, s.db)
	}
}

// empty leaves nothing in a database, and none of its settings.
const empty = `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
ALTER DATABASE %[1]s RESET ALL;
ALTER DATABASE %[1]s CONNECTION LIMIT -1;
ALTER ROLE %[2]s RESET ALL;
ALTER ROLE %[2]s IN DATABASE %[1]s RESET ALL;`

// Main runs the tests of a binary and stops the server of [Shared]. It returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
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
