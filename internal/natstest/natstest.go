// Package natstest runs private NATS servers with JetStream for tests, one alone or several as a cluster.
//
// Each server listens on a free port of the loopback interface, keeps its data in a folder of its own, and lives as package
// servertest says. What JetStream acknowledged survives Kill: a server gives its data to the system at once, and syncs to disk as
// seldom as by default, which only a loss of power would tell.
//
// make test builds the server from its Go module. A machine without nats-server, or with one too old, skips the test, naming what is
// missing; with LUASTORE_TEST_REQUIRE=1, which make test sets, it fails. LUASTORE_TEST_NATS_SERVER names another program to run.
package natstest

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/luastore/store/internal/servertest"
)

// The environment variables that choose the server and whether to go without.
const (
	EnvServer  = "LUASTORE_TEST_NATS_SERVER" // path or name of the server program; default nats-server
	EnvRequire = servertest.EnvRequire       // 1: a missing server fails the test instead of skipping it
)

// oldest is the first minor version of nats-server 2 that can do what tests need: messages that expire one by one.
const oldest = 11

const (
	restartTimeout = 20 * time.Second // of Restart, to get its port and its data back
	dialTimeout    = 2 * time.Second
)

// Options configure a server. Nil means defaults. At most one of User, Token, NKey and Creds says how clients prove who they are; the
// default is that all may do everything.
type Options struct {
	TLS      bool   // take nothing but TLS, from clients with a certificate, with files in CAFile, CertFile and KeyFile of Server; default false
	User     string // that clients name, with Password; default none
	Password string // of User
	Token    string // that clients name; default none
	NKey     bool   // clients sign with the seed in SeedFile of Server; default false
	Creds    bool   // clients show the JWT and sign with the seed in CredsFile of Server; default false
	Config   string // more lines of the server's configuration, which win over those that are there; default none
}

// A Server is one running server, and a name for a bucket in it.
type Server struct {
	servertest.Certificates        // empty without TLS
	SeedFile                string // of the nkey of a client; empty without Options.NKey
	CredsFile               string // JWT and seed of a client; empty without Options.Creds
	Bucket                  string // that URL names; no test of the binary was given it before

	*process
}

// process is what the views of one server share.
type process struct {
	*servertest.Process
	program string
	name    string // that the server gives itself
	options Options
	access  string // lines of the configuration about clients and what they must show
	cluster func() (config string, err error)
}

// Start runs a server for the length of one test.
func Start(t testing.TB, o *Options) *Server {
	t.Helper()
	program := find(t)
	s, err := start(program, o)
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	t.Cleanup(s.remove)
	return s
}

// find returns the program to run, or ends the test where there is none that will do.
func find(t testing.TB) string {
	t.Helper()
	name := cmp.Or(os.Getenv(EnvServer), "nats-server")
	path, err := exec.LookPath(name)
	if err == nil {
		err = usable(path)
	}
	if err != nil {
		servertest.Missing(t, fmt.Sprintf("needs a NATS server, 2.%d or newer (%v): run make test, or go install "+
			"github.com/nats-io/nats-server/v2@latest and have it in PATH", oldest, err))
	}
	return path
}

// usable returns nil when the program is new enough.
func usable(path string) error {
	output, err := exec.Command(path, "-version").Output()
	if err != nil {
		return fmt.Errorf("%s -version: %w", path, err)
	}
	if text := strings.TrimSpace(string(output)); !newEnough(text) {
		return fmt.Errorf("%s is %q", path, text)
	}
	return nil
}

// newEnough tells whether the text in which a server names its version, such as "nats-server: v2.12.0", names one that will do.
func newEnough(text string) bool {
	_, version, _ := strings.Cut(text, ": v2.")
	number, _, _ := strings.Cut(version, ".")
	minor, err := strconv.Atoi(number)
	return err == nil && minor >= oldest
}

func start(program string, o *Options) (*Server, error) {
	s, err := prepare(program, o)
	if err != nil {
		return nil, err
	}
	if err := s.Process.Start(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// prepare returns a server that does not run yet.
func prepare(program string, o *Options) (*Server, error) {
	if o == nil {
		o = &Options{}
	}
	p, err := servertest.New("", "natstest")
	if err != nil {
		return nil, err
	}
	s := &Server{
		Bucket:  newBucket(),
		process: &process{Process: p, program: program, name: filepath.Base(p.Dir), options: *o, cluster: alone},
	}
	if s.access, err = s.writeAccess(); err != nil {
		s.remove()
		return nil, err
	}
	s.Command, s.Ready = s.command, s.answers
	return s, nil
}

// alone is the part of the configuration about the cluster of a server that is in none.
func alone() (string, error) { return "", nil }

// remove ends the server and takes away its folder.
func (s *Server) remove() {
	s.Kill()
	os.RemoveAll(s.Dir)
}

// answers returns nil when the server takes connections, and it is this server rather than another that has taken the port.
func (p *process) answers() error {
	conn, err := net.DialTimeout("tcp", p.Addr(), dialTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(dialTimeout))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	var info struct {
		Name string `json:"server_name"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil || info.Name != p.name {
		return fmt.Errorf("another server answers on its port: %.200s", line)
	}
	return nil
}

// URL returns the address as the URL of a store, without what clients have to show.
func (s *Server) URL() string { return fmt.Sprintf("nats://%s/%s", s.Addr(), s.Bucket) }

// Restart kills the server and runs it again on the same port, with the same data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Process.Restart(t, restartTimeout)
}

// Conn returns a plain connection to the server, for tests that look at what is stored or store what a driver never would. It is
// closed after the test. It comes back when the server does, and keeps nothing that is sent meanwhile.
func (s *Server) Conn(t testing.TB) *nats.Conn {
	t.Helper()
	conn, err := s.dial(nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1))
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// dial connects as a client of the server that may do everything.
func (s *Server) dial(options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.Timeout(dialTimeout))
	if s.options.TLS {
		options = append(options, nats.RootCAs(s.CAFile), nats.ClientCert(s.CertFile, s.KeyFile))
	}
	switch {
	case s.options.User != "":
		options = append(options, nats.UserInfo(s.options.User, s.options.Password))
	case s.options.Token != "":
		options = append(options, nats.Token(s.options.Token))
	case s.SeedFile != "":
		nkey, err := nats.NkeyOptionFromSeed(s.SeedFile)
		if err != nil {
			return nil, err
		}
		options = append(options, nkey)
	case s.CredsFile != "":
		options = append(options, nats.UserCredentials(s.CredsFile))
	}
	return nats.Connect("nats://"+s.Addr(), options...)
}
