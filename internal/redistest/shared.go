package redistest

import (
	"sync"
	"testing"
)

// databases is how many databases a server has, and so how many tests of one binary may share it at a time.
const databases = 1024

// shared is the one server of this test binary. Starting a server costs more than most tests.
var shared struct {
	sync.Mutex
	server *Server
	taken  int // databases handed out so far
}

// Shared returns an empty database of a server that all tests of the binary share, also in parallel. [Main] stops the server.
func Shared(t testing.TB) *Server {
	t.Helper()
	program := find(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := start(program, nil)
		if err != nil {
			t.Fatalf("redistest: %v", err)
		}
		shared.server = s
	}
	view := &Server{process: shared.server.process, db: shared.taken % databases}
	shared.taken++
	view.Do(t, "FLUSHDB")
	return view
}

// Main runs the tests of a binary and stops the server of [Shared]. It returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	StopShared()
	return code
}

// StopShared stops the server of [Shared], for a TestMain that does more than [Main].
func StopShared() {
	shared.Lock()
	defer shared.Unlock()
	if s := shared.server; s != nil {
		s.remove()
		shared.server = nil
	}
}
