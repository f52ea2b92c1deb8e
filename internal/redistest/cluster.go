package redistest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store/internal/servertest"
)

// slots is how many slots the keys of a cluster fall into.
const slots = 16384

// nodeTimeout is how long a node of a cluster is silent before the others take it for failed. It is long enough for machines that
// are busy with tests.
const nodeTimeout = 2 * time.Second

// settleTimeout bounds how long a cluster, or servers under sentinels, take to come to a state in which all is well.
const settleTimeout = 60 * time.Second

// settlePoll is the time between two looks at whether all is well.
const settlePoll = 50 * time.Millisecond

// A Cluster is a Redis Cluster. Kill, pause and restart its servers as any [Server]: each keeps its address and its identity in the
// cluster, and a restarted one is empty until it is the replica of one that took over. One that is restarted before that is an empty
// primary, and empties its replicas. A method that the cluster keeps waiting for a minute fails the test.
type Cluster struct {
	servertest.Certificates // empty without TLS

	// Servers are the primaries and then their replicas: at first that at index primaries+r is a replica of that at r%primaries.
	Servers []*Server

	primaries int
	ids       []string // of the nodes, by index of Servers
	announced []int    // ports that clients are told instead of those of the servers, 0 for none
	options   Options
	dir       string
}

// StartCluster runs a cluster for the length of one test, with as many replicas of each primary. It needs Redis 7, and takes two to
// three seconds: Redis makes new primaries wait for two.
func StartCluster(t testing.TB, primaries, replicasEach int, o *Options) *Cluster {
	t.Helper()
	c, err := startCluster(find(t), primaries, replicasEach, o)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(c.remove)
	return c
}

func startCluster(program string, primaries, replicasEach int, o *Options) (*Cluster, error) {
	c := &Cluster{primaries: primaries}
	if o != nil {
		c.options = *o
	}
	if err := c.build(program, primaries*(1+replicasEach)); err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) build(program string, n int) error {
	var err error
	if c.dir, c.Certificates, err = groupDir(c.options.TLS); err != nil {
		return err
	}
	c.announced = make([]int, n)
	for i := range n {
		s, err := newServer(c.dir, &c.options)
		if err != nil {
			return err
		}
		s.Certificates = c.Certificates
		s.part = func() []string { return c.node(i) }
		// A node listens for clients before it finds that it cannot for other nodes, and ends.
		s.Ready = func() error { _, err := s.ask("PING"); return err }
		c.Servers = append(c.Servers, s)
	}
	if err := forAll(c.Servers, func(_ int, s *Server) error { return s.run(program) }); err != nil {
		return err
	}
	return c.join()
}

// groupDir makes a folder for servers that belong together, and the certificates of all where they serve TLS.
func groupDir(tls bool) (dir string, c servertest.Certificates, err error) {
	if dir, err = os.MkdirTemp("", "redistest"); err == nil && tls {
		c, err = servertest.WriteCertificates(dir)
	}
	return dir, c, err
}

// forAll calls fn for all servers at the same time.
func forAll(servers []*Server, fn func(i int, s *Server) error) error {
	errs := make([]error, len(servers))
	var calls sync.WaitGroup
	for i, s := range servers {
		calls.Go(func() { errs[i] = fn(i, s) })
	}
	calls.Wait()
	return errors.Join(errs...)
}

// node returns the arguments of a node.
func (c *Cluster) node(i int) []string {
	args := []string{
		"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", strconv.Itoa(c.busPort(i)),
		"--cluster-node-timeout", strconv.FormatInt(nodeTimeout.Milliseconds(), 10), "--repl-diskless-sync-delay", "0",
	}
	if c.options.TLS {
		args = append(args, "--tls-cluster", "yes")
	}
	if port := c.announced[i]; port != 0 {
		args = append(args, "--"+c.announcement(), strconv.Itoa(port))
	}
	return args
}

// busPort returns the port on which a node talks to the others: not Redis's choice, 10000 above, which is among those that systems give
// to outgoing connections, but one that [servertest.FreePort] leaves for this.
func (c *Cluster) busPort(i int) int { return c.Servers[i].Port - 10000 }

// announcement is the name of the setting that tells clients another port.
func (c *Cluster) announcement() string {
	if c.options.TLS {
		return "cluster-announce-tls-port"
	}
	return "cluster-announce-port"
}

// join makes a cluster of nodes that do not know each other.
func (c *Cluster) join() error {
	c.ids = make([]string, len(c.Servers))
	// A node that knows others takes no epoch any more: so all have theirs before the first meets another.
	if err := forAll(c.Servers, c.prepare); err != nil {
		return err
	}
	if err := forAll(c.Servers, c.introduce); err != nil {
		return err
	}
	if err := settle(c.acquainted); err != nil {
		return err
	}
	for i, s := range c.Servers[c.primaries:] {
		if _, err := s.text("CLUSTER", "REPLICATE", c.ids[i%c.primaries]); err != nil {
			return err
		}
	}
	return settle(c.well)
}

// prepare gives a node its epoch and its slots.
func (c *Cluster) prepare(i int, s *Server) (err error) {
	if c.ids[i], err = s.text("CLUSTER", "MYID"); err != nil {
		return err
	}
	if _, err = s.text("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil || i >= c.primaries {
		return err
	}
	first, last := c.home(i)
	_, err = s.text("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last))
	return err
}

// introduce makes a node meet those before it.
func (c *Cluster) introduce(i int, s *Server) error {
	for j, other := range c.Servers[:i] {
		if _, err := s.text("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(other.Port), strconv.Itoa(c.busPort(j))); err != nil {
			return err
		}
	}
	return nil
}

// home returns the slots that a primary has at first.
func (c *Cluster) home(i int) (first, last int) {
	return i * slots / c.primaries, (i+1)*slots/c.primaries - 1
}

// remove ends all servers and takes away their folders.
func (c *Cluster) remove() {
	for _, s := range c.Servers {
		s.Kill()
	}
	os.RemoveAll(c.dir)
}

// URL returns the addresses of all servers, as clients are told them, as the URL of a store, with the password and the files of a
// cluster that serves TLS.
func (c *Cluster) URL() string {
	all := make([]int, len(c.Servers))
	for i := range all {
		all[i] = i
	}
	return c.URLOf(all...)
}

// URLOf is URL with the addresses of some servers only.
func (c *Cluster) URLOf(indices ...int) string {
	addrs := make([]string, len(indices))
	for i, server := range indices {
		addrs[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(c.clientPort(server)))
	}
	return urlOf("redis+cluster", c.options, c.Certificates, "", addrs...)
}

// clientPort returns the port at which clients find a server.
func (c *Cluster) clientPort(i int) int {
	if c.announced[i] != 0 {
		return c.announced[i]
	}
	return c.Servers[i].Port
}

// Primary returns the index of the server that owns a slot now. It waits until all servers that run agree.
func (c *Cluster) Primary(t testing.TB, slot int) int {
	t.Helper()
	var owner int
	wait(t, func() error {
		v, err := c.agreed()
		if err == nil {
			owner, err = v.owner(slot)
		}
		return err
	})
	return owner
}

// Replicas returns the indices of the servers that are replicas of that at index primary now, also of those that do not run.
func (c *Cluster) Replicas(t testing.TB, primary int) []int {
	t.Helper()
	var v *view
	wait(t, func() (err error) {
		v, err = c.agreed()
		return err
	})
	return v.replicas(primary)
}

// Wait returns when all is well: the servers that run agree about the cluster, serve every slot, and every replica of a primary has
// what was written up to the call. After a primary was killed, this is when another has taken over.
func (c *Cluster) Wait(t testing.TB) {
	t.Helper()
	wait(t, c.well)
}

// Flush empties the cluster, the replicas too.
func (c *Cluster) Flush(t testing.TB) {
	t.Helper()
	wait(t, c.flush)
	c.Wait(t)
}

func (c *Cluster) flush() error {
	v, err := c.agreed()
	if err != nil {
		return err
	}
	for _, i := range v.primaries() {
		if _, err := c.Servers[i].text("FLUSHALL", "SYNC"); err != nil {
			return err
		}
	}
	return nil
}

// Announce makes clients find the servers at other ports of the loopback interface, such as those of proxies before them, and returns
// when all servers, which must run, tell it. Ports are by index of Servers; 0 and a missing one are the server's own. Replicas find
// their primary there too: what a proxy does to connections it does to theirs.
func (c *Cluster) Announce(t testing.TB, ports ...int) {
	t.Helper()
	clear(c.announced)
	copy(c.announced, ports)
	for i, s := range c.Servers {
		s.Do(t, "CONFIG", "SET", c.announcement(), strconv.Itoa(c.announced[i]))
	}
	wait(t, c.announcedToAll)
}

// announcedToAll returns nil when all servers tell clients what they are to be told.
func (c *Cluster) announcedToAll() error {
	v, err := c.agreed()
	if err != nil {
		return err
	}
	for i, n := range v.nodes {
		if !strings.HasPrefix(n.addr, fmt.Sprintf("127.0.0.1:%d@", c.clientPort(i))) {
			return fmt.Errorf("server %d is announced at %s", i, n.addr)
		}
	}
	return nil
}

// untouched tells whether the cluster is as it was at first, apart from its keys.
func (c *Cluster) untouched() bool {
	if slices.ContainsFunc(c.Servers, func(s *Server) bool { return !s.Running() }) {
		return false
	}
	v, err := c.agreed()
	return err == nil && !slices.ContainsFunc(v.nodes, func(n node) bool { return n != c.atFirst(n) })
}

// settle tries until it succeeds, or returns the last error after a time.
func settle(try func() error) error {
	deadline := time.After(settleTimeout)
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-deadline:
			return fmt.Errorf("after %v: %w", settleTimeout, err)
		case <-tick.C:
		}
	}
}

// wait settles, or fails the test.
func wait(t testing.TB, try func() error) {
	t.Helper()
	if err := settle(try); err != nil {
		t.Fatalf("redistest: %v", err)
	}
}
