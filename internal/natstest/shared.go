package natstest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// cleanTimeout bounds the wait for the streams of a test to be deleted.
const cleanTimeout = 20 * time.Second

// buckets counts the names that [newBucket] gave.
var buckets atomic.Int64

// newBucket returns a name that no test of the binary was given before, and that no other ends with.
func newBucket() string { return fmt.Sprintf("test-%d", buckets.Add(1)) }

// shared is the one server and the one cluster of this test binary. Starting a server costs more than most tests.
var shared struct {
	sync.Mutex
	server  *Server
	cluster *Cluster
}

// Shared returns a bucket of a server that all tests of the binary share, also in parallel. Streams whose name ends with the bucket's
// are deleted after the test. [Main] stops the server.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := start(find(t), nil)
		if err != nil {
			t.Fatalf("natstest: %v", err)
		}
		shared.server = s
	}
	view := *shared.server
	view.Bucket = newBucket()
	t.Cleanup(func() { cleanUp(t, &view, view.Bucket) })
	return &view
}

// SharedCluster returns a bucket of a cluster of three that all tests of the binary share. Streams whose name ends with the bucket's
// are deleted after the test, and what the test did to servers is undone. Tests that stop, pause or cut off servers do not run in
// parallel with others that use it. [Main] stops it.
func SharedCluster(t testing.TB) *Cluster {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		c, err := startCluster(find(t), 3)
		if err != nil {
			t.Fatalf("natstest: %v", err)
		}
		shared.cluster = c
	}
	view := shared.cluster.view()
	t.Cleanup(func() {
		view.mend(t)
		cleanUp(t, view.Servers[0], view.Bucket)
	})
	return view
}

// cleanUp deletes the streams whose name ends with bucket.
func cleanUp(t testing.TB, s *Server, bucket string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	if err := deleteStreams(ctx, s, bucket); err != nil {
		t.Errorf("natstest: delete the streams of %s: %v", bucket, err)
	}
}

func deleteStreams(ctx context.Context, s *Server, suffix string) error {
	return s.withJetStream(func(js jetstream.JetStream) error {
		streams := js.StreamNames(ctx)
		for name := range streams.Name() {
			if !strings.HasSuffix(name, suffix) {
				continue
			}
			if err := js.DeleteStream(ctx, name); err != nil {
				return err
			}
		}
		return streams.Err()
	})
}

// withJetStream lends fn a connection.
func (s *Server) withJetStream(fn func(jetstream.JetStream) error) error {
	conn, err := s.dial(nats.NoReconnect())
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	return fn(js)
}

// Main runs the tests of a binary and stops the servers of [Shared] and [SharedCluster]. It returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(natstest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	StopShared()
	return code
}

// StopShared stops the servers of [Shared] and [SharedCluster], for a TestMain that does more than [Main].
func StopShared() {
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.remove()
	}
	if shared.cluster != nil {
		shared.cluster.remove()
	}
	shared.server, shared.cluster = nil, nil
}
