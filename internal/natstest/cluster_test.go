//go:build !race

package natstest

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/luastore/store/internal/servertest"
)

// subject is that of the streams of these tests, below the name of each.
const subject = ".subject"

// stream makes a stream with a replica on each server, with the name of the bucket, and returns it.
func stream(t *testing.T, c *Cluster) (name string) {
	t.Helper()
	_, err := jetStream(t, c.Servers[0]).CreateStream(t.Context(), jetstream.StreamConfig{
		Name: c.Bucket, Subjects: []string{c.Bucket + subject}, Replicas: len(c.Servers),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Wait(t, c.Bucket)
	return c.Bucket
}

// publish sends a message to a stream by one server, and returns nil when it is acknowledged within a second.
func publish(t *testing.T, s *Server, stream, text string) error {
	t.Helper()
	js := jetStream(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := js.Publish(ctx, stream+subject, []byte(text), jetstream.WithRetryAttempts(0))
	return err
}

// messages returns what a stream holds, as its leader says.
func messages(t *testing.T, c *Cluster, stream string) string {
	t.Helper()
	handle, err := jetStream(t, c.Servers[c.Leader(t, stream)]).Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for number := range handle.CachedInfo().State.LastSeq {
		message, err := handle.GetMsg(t.Context(), number+1)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(message.Data))
	}
	return strings.Join(texts, " ")
}

func TestCluster_IsolatedLeader_AcknowledgesNothingAndIsReplaced(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3)
	name := stream(t, c)
	first := c.Leader(t, name)
	if err := publish(t, c.Servers[first], name, "before"); err != nil {
		t.Fatal(err)
	}
	c.Isolate(t, first)
	if publish(t, c.Servers[first], name, "ghost") == nil {
		t.Error("the isolated leader acknowledged a message")
	}
	second := c.Leader(t, name)
	if second == first {
		t.Fatalf("server %d still leads", first)
	}
	if err := publish(t, c.Servers[second], name, "meanwhile"); err != nil {
		t.Error(err)
	}
	// Servers that had found another way than the wires would have taken it by now.
	if publish(t, c.Servers[first], name, "ghost") == nil {
		t.Error("the server that was the leader acknowledged a message")
	}
	c.Heal(t)
	c.Wait(t, name)
	for i := range c.Servers {
		if err := publish(t, c.Servers[i], name, "after"); err != nil {
			t.Errorf("server %d: %v", i, err)
		}
	}
	if got, want := messages(t, c, name), "before meanwhile after after after"; got != want {
		t.Errorf("the stream holds %q, want %q", got, want)
	}
}

func TestSharedCluster_UndoesWhatATestDidAndDeletesItsStreams(t *testing.T) {
	t.Parallel() // with tests that have clusters of their own
	c := SharedCluster(t)
	var name string
	t.Run("inner", func(t *testing.T) {
		inner := SharedCluster(t)
		if inner.URL() == c.URL() {
			t.Errorf("two tests were given %s", c.URL())
		}
		name = stream(t, inner)
		first := inner.Leader(t, name)
		inner.Kill(t, first)
		second := inner.Leader(t, name)
		if second == first {
			t.Errorf("server %d was killed and leads", first)
		}
		if err := publish(t, inner.Servers[second], name, "meanwhile"); err != nil {
			t.Error(err)
		}
		inner.Isolate(t, second)
	})
	if _, err := jetStream(t, c.Servers[0]).Stream(t.Context(), name); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the stream outlived its test: %v", err)
	}
	stream(t, c)
}

func TestCluster_RestartedServer_CatchesUp(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3)
	name := stream(t, c)
	follower := (c.Leader(t, name) + 1) % 3
	c.Kill(t, follower)
	if err := publish(t, c.Servers[(follower+1)%3], name, "meanwhile"); err != nil {
		t.Error(err)
	}
	c.Restart(t, follower)
	c.Wait(t, name)
	if err := publish(t, c.Servers[follower], name, "after"); err != nil {
		t.Error(err)
	}
}

func TestCluster_TellsClientsOfNoOtherServer(t *testing.T) {
	c := SharedCluster(t)
	for i, s := range c.Servers {
		if found := s.Conn(t).DiscoveredServers(); len(found) != 0 {
			t.Errorf("server %d told of %v", i, found)
		}
	}
}

func TestCluster_URL_NamesServersAndReplicas(t *testing.T) {
	c := SharedCluster(t)
	a, b, d := c.Servers[0].Addr(), c.Servers[1].Addr(), c.Servers[2].Addr()
	if got, want := c.URL(), "nats://"+a+","+b+","+d+"/"+c.Bucket+"?replicas=3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := c.URLOf(2, 0), "nats://"+d+","+a+"/"+c.Bucket+"?replicas=3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestStartCluster_ServesUntilTheTestEnds(t *testing.T) {
	t.Parallel()
	var servers []*Server
	t.Run("inner", func(t *testing.T) { servers = StartCluster(t, 2).Servers })
	for _, s := range servers {
		if conn, err := net.Dial("tcp", s.Addr()); err == nil {
			conn.Close()
			t.Error("a server outlived its test")
		}
		if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
			t.Errorf("a folder outlived its test: %v", err)
		}
	}
}

func TestWire_Cut_PassesNothingUntilItIsMended(t *testing.T) {
	s := Start(t, nil)
	w, err := newWire()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	w.lead(s.Addr())
	conn, err := net.Dial("tcp", w.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := greeting(conn); err != nil {
		t.Error(err)
	}
	w.setCut(true)
	if greeting(conn) == nil || dialGreeting(w) == nil {
		t.Error("the wire is cut and passes something")
	}
	w.setCut(false)
	if err := servertest.Within(10*time.Second, nil, func() error { return dialGreeting(w) }); err != nil {
		t.Error(err)
	}
}

func dialGreeting(w *wire) error {
	conn, err := net.Dial("tcp", w.addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	return greeting(conn)
}

// greeting returns nil when the server says something.
func greeting(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(time.Minute))
	for {
		n, err := conn.Read(make([]byte, 1<<16))
		if n > 0 || err != nil {
			return err
		}
	}
}
