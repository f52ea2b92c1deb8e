// Package redistest runs private Redis servers for tests.
//
// Each server listens on a free port of the loopback interface and on a unix socket, keeps nothing on disk, and lives as package
// servertest says.
//
// A machine without redis-server skips the test, naming what is missing; with LUASTORE_TEST_REQUIRE=1, which make test sets, it
// fails. LUASTORE_TEST_REDIS_SERVER names another program to run, such as valkey-server.
package redistest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store/internal/servertest"
)

// The environment variables that choose the server and whether to go without.
const (
	EnvServer  = "LUASTORE_TEST_REDIS_SERVER" // path or name of the server program; default redis-server, else valkey-server
	EnvRequire = servertest.EnvRequire        // 1: a missing server fails the test instead of skipping it
)

// restartTimeout bounds how long Restart tries to get its port back.
const restartTimeout = time.Second

// Options configure a server. Nil means defaults.
type Options struct {
	Args []string // more arguments for the server, such as "--maxmemory", "10mb"; default none
	TLS  bool     // serve TLS on the port, with files in CAFile, CertFile and KeyFile of Server; default false
}

// A Server is one running server, or one database of it.
type Server struct {
	servertest.Certificates // empty without TLS

	*process
	db int
}

// process is what the views of one server share.
type process struct {
	*servertest.Process
	options Options
}

// Start runs a server for the length of one test.
func Start(t testing.TB, o *Options) *Server {
	t.Helper()
	program := find(t)
	s, err := start(program, o)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(s.remove)
	return s
}

// find returns the program to run, or ends the test where there is none.
func find(t testing.TB) string {
	t.Helper()
	names := []string{"redis-server", "valkey-server"}
	if name := os.Getenv(EnvServer); name != "" {
		names = []string{name}
	}
	return servertest.Find(t, "a Redis server", "redis-server", names...)
}

func start(program string, o *Options) (*Server, error) {
	if o == nil {
		o = &Options{}
	}
	p, err := servertest.New("", "redistest")
	if err != nil {
		return nil, err
	}
	s := &Server{process: &process{Process: p, options: *o}}
	if err = s.run(program); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) run(program string) error {
	if s.options.TLS {
		var err error
		if s.Certificates, err = servertest.WriteCertificates(s.Dir); err != nil {
			return err
		}
	}
	s.Command = func() *exec.Cmd { return exec.Command(program, s.arguments()...) }
	s.Ready = s.answers
	return s.Process.Start()
}

// remove ends the server and takes away its folder.
func (s *Server) remove() {
	s.Kill()
	os.RemoveAll(s.Dir)
}

// answers returns nil when the server takes connections.
func (s *Server) answers() error {
	conn, err := net.Dial("unix", s.Socket())
	if err != nil {
		return err
	}
	return conn.Close()
}

func (s *Server) arguments() []string {
	args := []string{
		"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", strconv.Itoa(databases),
		"--unixsocket", s.Socket(), "--dir", s.Dir,
	}
	if s.options.TLS {
		args = append(args, "--port", "0", "--tls-port", strconv.Itoa(s.Port),
			"--tls-ca-cert-file", s.CAFile, "--tls-cert-file", s.ServerCertFile, "--tls-key-file", s.ServerKeyFile)
	} else {
		args = append(args, "--port", strconv.Itoa(s.Port))
	}
	return append(args, s.options.Args...)
}

// Socket returns the path of the unix socket that the server listens on, always without TLS.
func (s *Server) Socket() string { return filepath.Join(s.Dir, "socket") }

// URL returns the address as the URL of a store, with the files of a TLS server.
func (s *Server) URL() string {
	if s.options.TLS {
		return fmt.Sprintf("rediss://%s/%d?ca=%s&cert=%s&key=%s", s.Addr(), s.db, s.CAFile, s.CertFile, s.KeyFile)
	}
	return fmt.Sprintf("redis://%s/%d", s.Addr(), s.db)
}

// Restart kills the server and runs it again on the same port, empty.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Process.Restart(t, restartTimeout)
}

// Client returns a plain client of the server, for tests that look at what is stored or store what a driver never would.
func (s *Server) Client(t testing.TB) rueidis.Client {
	t.Helper()
	client, err := s.dial()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

func (s *Server) dial() (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress:       []string{s.Socket()},
		DialCtxFn:         dialUnix,
		SelectDB:          s.db,
		ForceSingleClient: true,
		DisableCache:      true,
		PipelineMultiplex: -1,
	})
}

// Do sends one command and returns its reply as text, "" for nil. An error fails the test.
func (s *Server) Do(t testing.TB, command ...string) string {
	t.Helper()
	client, err := s.dial()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	defer client.Close()
	reply := client.Do(context.Background(), client.B().Arbitrary(command...).Build())
	if err := reply.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("redistest: %q: %v", command, err)
	}
	message, _ := reply.ToMessage()
	if message.IsInt64() {
		n, _ := message.ToInt64()
		return strconv.FormatInt(n, 10)
	}
	text, _ := message.ToString()
	return text
}

func dialUnix(ctx context.Context, path string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
	return d.DialContext(ctx, "unix", path)
}
