// Package redistest runs private Redis servers for tests: single ones, a [Cluster], or a primary with replicas under sentinels, a
// [Sentinel].
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
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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

// askTimeout bounds each exchange with a server, generous because busy machines are slow.
const askTimeout = 10 * time.Second

// Options configure a server, or all servers of a cluster. Nil means defaults.
type Options struct {
	Args     []string // more arguments for the server, such as "--maxmemory", "10mb"; default none
	TLS      bool     // serve TLS on the port, with files in CAFile, CertFile and KeyFile of Server; default false
	Password string   // of the user "default"; default none
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
	file    string          // the configuration file that the server keeps itself, "" for none
	part    func() []string // more arguments, for the part that the server takes in a group; nil for none
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
	s, err := newServer("", o)
	if err != nil {
		return nil, err
	}
	if s.options.TLS {
		s.Certificates, err = servertest.WriteCertificates(s.Dir)
	}
	if err == nil {
		err = s.run(program)
	}
	if err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// newServer returns a server that does not run yet, in a new folder below parent.
func newServer(parent string, o *Options) (*Server, error) {
	if o == nil {
		o = &Options{}
	}
	p, err := servertest.New(parent, "redistest")
	if err != nil {
		return nil, err
	}
	return &Server{process: &process{Process: p, options: *o}}, nil
}

func (s *Server) run(program string) error {
	s.Command = func() *exec.Cmd { return exec.Command(program, s.arguments()...) }
	if s.Ready == nil {
		s.Ready = s.answers
	}
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
	var args []string
	if s.file != "" {
		args = append(args, s.file)
	}
	args = append(args, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", strconv.Itoa(databases),
		"--unixsocket", s.Socket(), "--dir", s.Dir)
	if s.options.TLS {
		args = append(args, "--port", "0", "--tls-port", strconv.Itoa(s.Port), "--tls-replication", "yes",
			"--tls-ca-cert-file", s.CAFile, "--tls-cert-file", s.ServerCertFile, "--tls-key-file", s.ServerKeyFile)
	} else {
		args = append(args, "--port", strconv.Itoa(s.Port))
	}
	if s.options.Password != "" {
		args = append(args, "--requirepass", s.options.Password, "--masterauth", s.options.Password)
	}
	if s.part != nil {
		args = append(args, s.part()...)
	}
	return append(args, s.options.Args...)
}

// Socket returns the path of the unix socket that the server listens on, always without TLS.
func (s *Server) Socket() string { return filepath.Join(s.Dir, "socket") }

// URL returns the address as the URL of a store, with the password and the files of a TLS server.
func (s *Server) URL() string {
	return urlOf("redis", s.options, s.Certificates, strconv.Itoa(s.db), s.Addr())
}

// urlOf returns the URL of servers at some addresses.
func urlOf(scheme string, o Options, c servertest.Certificates, path string, addrs ...string) string {
	u := url.URL{Scheme: scheme, Host: strings.Join(addrs, ","), Path: path}
	if o.Password != "" {
		u.User = url.UserPassword("", o.Password)
	}
	if o.TLS {
		u.Scheme = strings.Replace(scheme, "redis", "rediss", 1)
		u.RawQuery = fmt.Sprintf("ca=%s&cert=%s&key=%s", c.CAFile, c.CertFile, c.KeyFile)
	}
	return u.String()
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
		InitAddress:  []string{s.Socket()},
		DialCtxFn:    dialUnix,
		SelectDB:     s.db,
		Password:     s.options.Password,
		DisableRetry: true,
		// The usual sizes are for busy clients, and most of what a short life costs.
		RingScaleEachConn: 4, ReadBufferEachConn: 4 << 10, WriteBufferEachConn: 4 << 10,
		ForceSingleClient: true,
		DisableCache:      true,
		PipelineMultiplex: -1,
	})
}

// Do sends one command and returns its reply as text, "" for nil. An error fails the test.
func (s *Server) Do(t testing.TB, command ...string) string {
	t.Helper()
	text, err := s.text(command...)
	if err != nil {
		t.Fatalf("redistest: %q: %v", command, err)
	}
	return text
}

// text returns the reply to one command as text, "" for nil.
func (s *Server) text(command ...string) (string, error) {
	message, err := s.ask(command...)
	if err != nil && !rueidis.IsRedisNil(err) {
		return "", err
	}
	if message.IsInt64() {
		n, _ := message.ToInt64()
		return strconv.FormatInt(n, 10), nil
	}
	text, _ := message.ToString()
	return text, nil
}

// report returns the reply to a command that answers lines for people, such as INFO.
func (s *Server) report(command ...string) (string, error) {
	text, err := s.text(command...)
	return strings.TrimPrefix(text, "txt:"), err // the format, which RESP3 says first
}

// ask returns the reply to one command, sent over a connection of its own.
func (s *Server) ask(command ...string) (rueidis.RedisMessage, error) {
	client, err := s.dial()
	if err != nil {
		return rueidis.RedisMessage{}, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	return client.Do(ctx, client.B().Arbitrary(command...).Build()).ToMessage()
}

func dialUnix(ctx context.Context, path string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
	return d.DialContext(ctx, "unix", path)
}
