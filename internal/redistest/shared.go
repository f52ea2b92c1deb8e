package redistest

import (
	"sync"
	"testing"
)

// databases is how many databases a server has, and so how many tests of one binary may share it at a time.
const databases = 1024

// shared are the one server, the one cluster and the one group under sentinels of this test binary. Starting them costs more than
// most tests.
var shared struct {
	sync.Mutex
	server   *Server
	taken    int // databases handed out so far
	cluster  *Cluster
	sentinel *Sentinel
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

// SharedCluster returns an empty cluster of three primaries and three replicas that the tests of the binary share, one at a time, not
// in parallel. A test may kill servers and move slots: the next one gets another cluster then. A test that changes the configuration
// of servers starts a cluster of its own. [Main] stops the cluster.
func SharedCluster(t testing.TB) *Cluster {
	t.Helper()
	program := find(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster != nil && !shared.cluster.untouched() {
		shared.cluster.remove()
		shared.cluster = nil
	}
	if shared.cluster == nil {
		c, err := startCluster(program, 3, 1, nil)
		if err != nil {
			t.Fatalf("redistest: %v", err)
		}
		shared.cluster = c
	}
	shared.cluster.Flush(t)
	return shared.cluster
}

// SharedSentinel returns an empty primary with two replicas under three sentinels that the tests of the binary share, one at a time,
// not in parallel. A test may kill servers and make them fail over: what does not run is started again for the next one, which asks
// who the primary is. [Main] stops all.
func SharedSentinel(t testing.TB) *Sentinel {
	t.Helper()
	program := find(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.sentinel == nil {
		s, err := startSentinel(program, nil)
		if err != nil {
			t.Fatalf("redistest: %v", err)
		}
		shared.sentinel = s
	}
	shared.sentinel.repair(t)
	shared.sentinel.Flush(t)
	return shared.sentinel
}

// Main runs the tests of a binary and stops what they shared. It returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	StopShared()
	return code
}

// StopShared stops what the tests shared, for a TestMain that does more than [Main].
func StopShared() {
	shared.Lock()
	defer shared.Unlock()
	if s := shared.server; s != nil {
		s.remove()
	}
	if c := shared.cluster; c != nil {
		c.remove()
	}
	if s := shared.sentinel; s != nil {
		s.remove()
	}
	shared.server, shared.cluster, shared.sentinel = nil, nil, nil
}
