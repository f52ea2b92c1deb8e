package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/luastore/store/internal/servertest"
)

// MasterName is the name by which the sentinels know the primary.
const MasterName = "mymaster"

const (
	dataServers = 3 // a primary and two replicas
	sentinels   = 3
	quorum      = "2" // of the sentinels, to take the primary for failed
)

// Times of the sentinels, in milliseconds.
const (
	downAfter       = "1000"
	failoverTimeout = "5000"
)

// sentinelPeriods are times, in milliseconds, that are 1 to 30 seconds unless a command for tests of Redis itself changes them. Users
// have those; with these the start, and the news of a failover, take a second less or ten.
var sentinelPeriods = []string{"INFO-PERIOD", "200", "PUBLISH-PERIOD", "200", "ASK-PERIOD", "200", "TILT-PERIOD", "2000"}

// SentinelOptions configure [StartSentinel]. Nil means defaults.
type SentinelOptions struct {
	Options                 // of the servers with the data; TLS also of the sentinels
	SentinelPassword string // of the user "default" of the sentinels; default none
}

// A Sentinel is a primary with two replicas, under three sentinels that make a replica the primary when that fails. Kill, pause and
// restart all of them as any [Server]; each keeps its address. A restarted server with data is empty and follows the server that the
// sentinels take for the primary; a primary that was paused takes itself for one until they find it.
type Sentinel struct {
	servertest.Certificates // empty without TLS

	Servers   []*Server // with the data; at first the primary is at 0
	Sentinels []*Server

	options SentinelOptions
	dir     string
}

// StartSentinel runs servers under sentinels for the length of one test. It needs Redis 7, and takes one to two seconds.
func StartSentinel(t testing.TB, o *SentinelOptions) *Sentinel {
	t.Helper()
	s, err := startSentinel(find(t), o)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(s.remove)
	return s
}

func startSentinel(program string, o *SentinelOptions) (*Sentinel, error) {
	s := &Sentinel{}
	if o != nil {
		s.options = *o
	}
	if err := s.build(program); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Sentinel) build(program string) error {
	var err error
	if s.dir, s.Certificates, err = groupDir(s.options.TLS); err != nil {
		return err
	}
	for range dataServers {
		if err := s.addServer(program); err != nil {
			return err
		}
	}
	if err := settle(func() error { return s.wellServers(0) }); err != nil {
		return err
	}
	for range sentinels {
		if err := s.addSentinel(); err != nil {
			return err
		}
	}
	if err := forAll(s.Sentinels, func(_ int, sentinel *Server) error { return sentinel.run(program) }); err != nil {
		return err
	}
	return settle(s.well)
}

// addServer starts one more server with data.
func (s *Sentinel) addServer(program string) error {
	server, err := newServer(s.dir, &s.options.Options)
	if err != nil {
		return err
	}
	server.Certificates = s.Certificates
	server.part = func() []string { return append([]string{"--repl-diskless-sync-delay", "0"}, s.replicaOf(server)...) }
	s.Servers = append(s.Servers, server)
	return server.run(program)
}

// replicaOf returns the arguments that make a server follow the primary, none for that itself.
func (s *Sentinel) replicaOf(server *Server) []string {
	port := strconv.Itoa(s.Servers[0].Port)
	if master, err := s.newest(); err == nil {
		port = master["port"]
	}
	if port == strconv.Itoa(server.Port) {
		return nil
	}
	return []string{"--replicaof", "127.0.0.1 " + port}
}

// addSentinel makes one more sentinel, to be run when all servers with data run.
func (s *Sentinel) addSentinel() error {
	sentinel, err := newServer(s.dir, &Options{TLS: s.options.TLS, Password: s.options.SentinelPassword})
	if err != nil {
		return err
	}
	sentinel.Certificates = s.Certificates
	sentinel.part = func() []string { return []string{"--sentinel"} }
	sentinel.file = filepath.Join(sentinel.Dir, "sentinel.conf")
	sentinel.Ready = func() error {
		if err := sentinel.answers(); err != nil {
			return err
		}
		_, err := sentinel.ask(append([]string{"SENTINEL", "DEBUG"}, sentinelPeriods...)...)
		return err
	}
	s.Sentinels = append(s.Sentinels, sentinel)
	return os.WriteFile(sentinel.file, []byte(s.configuration()), 0o600)
}

// configuration is that of a sentinel at first. It adds to it what it learns.
func (s *Sentinel) configuration() string {
	lines := []string{
		"sentinel monitor " + MasterName + " 127.0.0.1 " + strconv.Itoa(s.Servers[0].Port) + " " + quorum,
		"sentinel down-after-milliseconds " + MasterName + " " + downAfter,
		"sentinel failover-timeout " + MasterName + " " + failoverTimeout,
		"sentinel parallel-syncs " + MasterName + " 2",
	}
	if password := s.options.Password; password != "" {
		lines = append(lines, "sentinel auth-pass "+MasterName+" "+password)
	}
	if password := s.options.SentinelPassword; password != "" {
		lines = append(lines, "sentinel sentinel-pass "+password)
	}
	return strings.Join(lines, "\n") + "\n"
}

// remove ends all servers and takes away their folders.
func (s *Sentinel) remove() {
	for _, server := range slices.Concat(s.Sentinels, s.Servers) {
		server.Kill()
	}
	os.RemoveAll(s.dir)
}

// repair makes all servers run and all well.
func (s *Sentinel) repair(t testing.TB) {
	t.Helper()
	for _, server := range slices.Concat(s.Sentinels, s.Servers) {
		if !server.Running() {
			server.Restart(t)
		}
	}
	s.Wait(t)
}

// URL returns the addresses of the sentinels and the name of the primary as the URL of a store, with the password of the servers with
// data, not that of the sentinels, and with the files of servers that speak TLS.
func (s *Sentinel) URL() string {
	addrs := make([]string, len(s.Sentinels))
	for i, sentinel := range s.Sentinels {
		addrs[i] = sentinel.Addr()
	}
	return urlOf("redis+sentinel", s.options.Options, s.Certificates, MasterName, addrs...)
}

// Primary returns the index of the primary in Servers. It waits until the sentinels that run agree and it runs.
func (s *Sentinel) Primary(t testing.TB) int {
	t.Helper()
	var primary int
	wait(t, func() (err error) {
		primary, err = s.agreed()
		return err
	})
	return primary
}

// Failover makes the sentinels take another primary, and returns when all is well.
func (s *Sentinel) Failover(t testing.TB) {
	t.Helper()
	before := s.Primary(t)
	wait(t, func() error {
		_, err := s.Sentinels[s.running()].text("SENTINEL", "FAILOVER", MasterName)
		return err
	})
	wait(t, func() error {
		if after, err := s.agreed(); err != nil || after == before {
			return fmt.Errorf("the primary is server %d as before (%v)", after, err)
		}
		return s.well()
	})
}

// running returns the index of a sentinel that runs, 0 for none.
func (s *Sentinel) running() int {
	for i, sentinel := range s.Sentinels {
		if sentinel.Running() {
			return i
		}
	}
	return 0
}

// Wait returns when all is well: the sentinels that run agree about the primary and know each other, and every replica that runs has
// what was written up to the call. After the primary was killed, this is when another has taken over.
func (s *Sentinel) Wait(t testing.TB) {
	t.Helper()
	wait(t, s.well)
}

// Flush empties the servers, the replicas too.
func (s *Sentinel) Flush(t testing.TB) {
	t.Helper()
	s.Servers[s.Primary(t)].Do(t, "FLUSHALL", "SYNC")
	s.Wait(t)
}
