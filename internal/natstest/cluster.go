package natstest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store/internal/servertest"
)

const (
	hurries = 3 // times that a new cluster gets to elect a leader in hurry, before it gets all the time
	hurry   = 2 * time.Second
)

// nowhere is what servers tell each other about the way to them, so that they take none but the wires.
const nowhere = "127.0.0.1:1"

// A Cluster is some running servers with one JetStream, and a name for a bucket in it. They reach each other by wires that Isolate
// cuts, by no other way, and tell clients nothing of each other.
type Cluster struct {
	Servers []*Server
	Bucket  string // that URL names; no test of the binary was given it before

	*network
}

// network is what the views of one cluster share.
type network struct {
	wires [][]*wire // by the server that connects and the one that it reaches; nil from a server to itself

	mu       sync.Mutex
	monitors []string // URL of the monitoring of each server
	isolated []bool   // by server
	touched  bool     // a test did something to a server since all were ready
}

// StartCluster runs n servers for the length of one test, and returns when they are ready to make streams with a replica on each.
func StartCluster(t testing.TB, n int) *Cluster {
	t.Helper()
	c, err := startCluster(find(t), n)
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	t.Cleanup(c.remove)
	return c
}

func startCluster(program string, n int) (*Cluster, error) {
	c := &Cluster{Bucket: newBucket(), network: &network{monitors: make([]string, n), isolated: make([]bool, n)}}
	if err := c.start(program, n); err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(program string, n int) error {
	if err := c.lay(n); err != nil {
		return err
	}
	for i := range n {
		s, err := prepare(program, nil)
		if err != nil {
			return err
		}
		s.Bucket = c.Bucket
		s.cluster = func() (string, error) { return c.config(i) }
		c.Servers = append(c.Servers, s)
	}
	if err := c.run(); err != nil {
		return err
	}
	return c.ready()
}

// run runs the servers until they are one. Where two of them stand for election at a time nobody may win, and the next election is some
// seconds later: to begin again takes less.
func (c *Cluster) run() error {
	for range hurries {
		if err := c.runOnce(); err != nil {
			return err
		}
		if servertest.Within(hurry, nil, c.united) == nil {
			return nil
		}
		for _, s := range c.Servers {
			s.Kill()
			if err := os.RemoveAll(s.storeDir()); err != nil {
				return err
			}
		}
	}
	return c.runOnce()
}

// view returns the same cluster with another name for a bucket.
func (c *Cluster) view() *Cluster {
	v := &Cluster{Bucket: newBucket(), network: c.network}
	for _, s := range c.Servers {
		server := *s
		server.Bucket = v.Bucket
		v.Servers = append(v.Servers, &server)
	}
	return v
}

// lay lays a wire from each of n servers to each other.
func (c *Cluster) lay(n int) error {
	for from := range n {
		c.wires = append(c.wires, make([]*wire, n))
		for to := range n {
			if to == from {
				continue
			}
			var err error
			if c.wires[from][to], err = newWire(); err != nil {
				return err
			}
		}
	}
	return nil
}

// config returns the part of a server's configuration about the cluster, with other ports each time, to which the wires then lead.
// A server counts those whom it has to expect by its routes, so one leads to itself.
func (c *Cluster) config(i int) (string, error) {
	listen, err := freeAddr()
	if err != nil {
		return "", err
	}
	monitor, err := freeAddr()
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	c.monitors[i] = "http://" + monitor
	c.mu.Unlock()
	routes := []string{"nats://" + listen}
	for other := range c.Servers {
		if other != i {
			c.wires[other][i].lead(listen)
			routes = append(routes, "nats://"+c.wires[i][other].addr())
		}
	}
	return fmt.Sprintf("http: %q\ncluster { name: natstest, listen: %q, advertise: %q, no_advertise: true, pool_size: -1, routes: [ %s ] }\n",
		monitor, listen, nowhere, strings.Join(routes, ", ")), nil
}

func freeAddr() (string, error) {
	port, err := servertest.FreePort()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

// runOnce runs the servers, all at a time.
func (c *Cluster) runOnce() error {
	errs := make([]error, len(c.Servers))
	var starts sync.WaitGroup
	for i, s := range c.Servers {
		starts.Go(func() { errs[i] = s.Process.Start() })
	}
	starts.Wait()
	return errors.Join(errs...)
}

// remove ends the servers and takes away what they left.
func (c *Cluster) remove() {
	for _, s := range c.Servers {
		s.remove()
	}
	for _, wires := range c.wires {
		for _, w := range wires {
			if w != nil {
				w.close()
			}
		}
	}
}

// replicas is how many copies of a stream the cluster is to keep.
func (c *Cluster) replicas() int { return min(len(c.Servers), 3) }

// URL returns the addresses of all servers as the URL of a store, with three replicas or as many as there are servers.
func (c *Cluster) URL() string {
	all := make([]int, len(c.Servers))
	for i := range all {
		all[i] = i
	}
	return c.URLOf(all...)
}

// URLOf returns the same as URL with the addresses of some servers only.
func (c *Cluster) URLOf(servers ...int) string {
	var addrs []string
	for _, i := range servers {
		addrs = append(addrs, c.Servers[i].Addr())
	}
	return fmt.Sprintf("nats://%s/%s?replicas=%d", strings.Join(addrs, ","), c.Bucket, c.replicas())
}

// Kill ends one server at once, as a crash does.
func (c *Cluster) Kill(t testing.TB, i int) {
	t.Helper()
	c.touch()
	c.Servers[i].Kill()
}

// Restart kills one server and runs it again, with the same data. It may take a while longer until it has caught up: see Wait.
func (c *Cluster) Restart(t testing.TB, i int) {
	t.Helper()
	c.touch()
	c.Servers[i].Restart(t)
}

// Isolate cuts one server off from all others. Clients still reach it.
func (c *Cluster) Isolate(t testing.TB, i int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isolated[i], c.touched = true, true
	for other := range c.Servers {
		if other != i {
			c.wires[i][other].setCut(true)
			c.wires[other][i].setCut(true)
		}
	}
}

// Heal lets all servers connect again, which takes them a second or two.
func (c *Cluster) Heal(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for from := range c.Servers {
		c.isolated[from] = false
		for to := range c.Servers {
			if to != from {
				c.wires[from][to].setCut(false)
			}
		}
	}
}

// touch notes that a test does something to a server.
func (c *Cluster) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touched = true
}

// mend undoes what a test did to servers, if it did anything, and waits until they are ready again.
func (c *Cluster) mend(t testing.TB) {
	t.Helper()
	if !c.untouch() {
		return
	}
	c.Heal(t)
	for _, s := range c.Servers {
		if !s.Running() {
			s.Restart(t)
		}
	}
	if err := c.ready(); err != nil {
		t.Errorf("natstest: the cluster did not recover: %v", err)
	}
}

// untouch returns whether a test did something to a server, and forgets it.
func (c *Cluster) untouch() (touched bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	touched, c.touched = c.touched, false
	return touched
}
