package natstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/luastore/store/internal/servertest"
)

const (
	settleTimeout = 60 * time.Second // of all that waits for elections, which take up to 10 s each
	askTimeout    = time.Second      // of one question to one server
)

// Leader returns the index of the server that leads a stream, as those servers say that run and are not isolated. It waits until there
// is one.
func (c *Cluster) Leader(t testing.TB, stream string) int {
	t.Helper()
	var leader int
	c.await(t, "a leader of "+stream, func() (err error) {
		leader, err = c.leader(stream)
		return err
	})
	return leader
}

// Wait waits until all servers that run and are not isolated are connected and agree on a leader of JetStream, and the stream has a
// leader, which all of them reach, and replicas that are all current.
func (c *Cluster) Wait(t testing.TB, stream string) {
	t.Helper()
	c.await(t, "all replicas of "+stream, func() error { return c.settled(stream) })
}

// ready returns when the servers are one, and a stream with a replica on each can be made.
func (c *Cluster) ready() error {
	stream := jetstream.StreamConfig{
		Name: "ready-" + newBucket(), Replicas: c.replicas(), Storage: jetstream.MemoryStorage,
	}
	for _, step := range []func() error{
		c.united,
		func() error { return c.create(stream) },
		func() error { return c.settled(stream.Name) },
	} {
		if err := servertest.Within(settleTimeout, nil, step); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	return deleteStreams(ctx, c.Servers[0], stream.Name)
}

// create makes a stream. Just after an election nobody may answer, so that a question that costs less time comes first.
func (c *Cluster) create(stream jetstream.StreamConfig) error {
	return c.Servers[0].withJetStream(func(js jetstream.JetStream) error {
		short, cancel := context.WithTimeout(context.Background(), askTimeout/10)
		defer cancel()
		if _, err := js.AccountInfo(short); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		_, err := js.CreateStream(ctx, stream)
		return err
	})
}

// connected returns the servers that are to be connected: those that run and are not isolated.
func (c *Cluster) connected() (servers []int) {
	for i, s := range c.Servers {
		// One lock after the other: a server that starts holds its own while it asks for its part of the configuration.
		if s.Running() && !c.cutOff(i) {
			servers = append(servers, i)
		}
	}
	return servers
}

func (c *Cluster) cutOff(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isolated[i]
}

// united returns nil when all servers that are to be connected have one connection with each other and follow one leader of JetStream.
// One that knows of none would answer questions to JetStream, with an error, before that one does to whom they are.
func (c *Cluster) united() error {
	servers := c.connected()
	var leader string
	for n, i := range servers {
		for _, j := range servers[:n] {
			if got := c.wires[i][j].connections() + c.wires[j][i].connections(); got != 1 {
				return fmt.Errorf("%d connections between servers %d and %d", got, j, i)
			}
		}
		got, err := c.follows(i)
		if err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
		if got == "" || n > 0 && got != leader {
			return fmt.Errorf("server %d takes %q for the leader, another %q", i, got, leader)
		}
		leader = got
	}
	return nil
}

// follows returns the name of the server that leads JetStream, as one of them says, "" when that one knows of none.
func (c *Cluster) follows(i int) (name string, err error) {
	c.mu.Lock()
	url := c.monitors[i] + "/jsz"
	c.mu.Unlock()
	// A connection that is kept would look like a leak of the test.
	client := http.Client{Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var state struct {
		Meta struct {
			Leader string `json:"leader"`
		} `json:"meta_cluster"`
	}
	err = json.NewDecoder(response.Body).Decode(&state)
	return state.Meta.Leader, err
}

// settled returns nil when the servers are one, and the leader of the stream tells each of them that all replicas are current.
func (c *Cluster) settled(stream string) error {
	if err := c.united(); err != nil {
		return err
	}
	for _, i := range c.connected() {
		info, err := c.Servers[i].info(stream)
		if err == nil {
			err = current(info)
		}
		if err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
	}
	return nil
}

// current returns nil when all replicas of a stream are current.
func current(info *jetstream.StreamInfo) error {
	if got, want := len(info.Cluster.Replicas), info.Config.Replicas-1; got != want {
		return fmt.Errorf("%d replicas beside the leader, want %d", got, want)
	}
	for _, replica := range info.Cluster.Replicas {
		if replica.Offline || !replica.Current {
			return fmt.Errorf("replica %+v", *replica)
		}
	}
	return nil
}

// leader returns the index of the server that leads the stream, as any server says that is to be connected.
func (c *Cluster) leader(stream string) (int, error) {
	err := errors.New("no server is left to ask")
	for _, i := range c.connected() {
		var info *jetstream.StreamInfo
		if info, err = c.Servers[i].info(stream); err == nil {
			return c.index(info.Cluster.Leader)
		}
	}
	return 0, err
}

// index returns the index of the server with a name.
func (c *Cluster) index(name string) (int, error) {
	for i, s := range c.Servers {
		if s.name == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no server is %q", name)
}

// info returns what the leader of a stream tells this server of it.
func (s *Server) info(stream string) (info *jetstream.StreamInfo, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	err = s.withJetStream(func(js jetstream.JetStream) error {
		handle, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		info = handle.CachedInfo()
		if info.Cluster == nil || info.Cluster.Leader == "" {
			return errors.New("no leader")
		}
		return nil
	})
	return info, err
}

// await waits until done returns nil, and fails the test when that takes too long.
func (c *Cluster) await(t testing.TB, what string, done func() error) {
	t.Helper()
	if err := servertest.Within(settleTimeout, nil, done); err != nil {
		t.Fatalf("natstest: wait for %s: %v", what, err)
	}
}
