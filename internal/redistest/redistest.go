// Package redistest runs private Redis servers for tests.
//
// Each server listens on a free port of the loopback interface and on a unix socket, keeps nothing on disk, and is stopped by
// its process id by the test run that began it. On Linux the kernel stops it even when the test binary is killed.
//
// A machine without redis-server skips the test, naming what is missing; with LUASTORE_TEST_REQUIRE=1, which make test sets, it
// fails. LUASTORE_TEST_REDIS_SERVER names another program to run, such as valkey-server.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// The environment variables that choose the server and whether to go without.
const (
	EnvServer  = "LUASTORE_TEST_REDIS_SERVER" // path or name of the server program; default redis-server, else valkey-server
	EnvRequire = "LUASTORE_TEST_REQUIRE"      // 1: a missing server fails the test instead of skipping it
)

// startTimeout bounds the wait for a server to answer, generous because the race detector and busy machines are slow.
const startTimeout = 30 * time.Second

// restartTimeout bounds how long Restart tries to get its port back.
const restartTimeout = time.Second

// Options configure a server. Nil means defaults.
type Options struct {
	Args []string // more arguments for the server, such as "--maxmemory", "10mb"; default none
	TLS  bool     // serve TLS on the port, with files in CAFile, CertFile and KeyFile of Server; default false
}

// A Server is one running server, or one database of it.
type Server struct {
	// CAFile, CertFile and KeyFile are PEM files of the authority that signed the server, and of a client it accepts. They
	// are empty without TLS.
	CAFile, CertFile, KeyFile string

	*process
	db int
}

// process is what the views of one server share.
type process struct {
	program string
	dir     string
	port    int
	options Options

	mu      sync.Mutex
	command *exec.Cmd
	exited  chan struct{} // closed when command has ended
}

// Start runs a server for the length of one test.
func Start(t testing.TB, o *Options) *Server {
	t.Helper()
	program := find(t)
	s, err := start(program, o)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(s.dir)
	})
	return s
}

// find returns the program to run, or ends the test where there is none.
func find(t testing.TB) string {
	t.Helper()
	names := []string{"redis-server", "valkey-server"}
	if name := os.Getenv(EnvServer); name != "" {
		names = []string{name}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	message := fmt.Sprintf("needs a Redis server and found none (looked for %q): run make test, or apt-get install redis-server", names)
	if os.Getenv(EnvRequire) == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

func start(program string, o *Options) (*Server, error) {
	if o == nil {
		o = &Options{}
	}
	// The path of a unix socket must fit in some 100 bytes, which the folder of a test with a long name does not.
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		return nil, err
	}
	s := &Server{process: &process{program: program, dir: dir, options: *o}}
	if o.TLS {
		if err := s.writeCertificates(); err != nil {
			os.RemoveAll(dir)
			return nil, err
		}
	}
	// Another process may take the free port before the server does.
	for range 5 {
		if s.port, err = freePort(); err == nil {
			if err = s.run(); err == nil {
				return s, nil
			}
		}
	}
	os.RemoveAll(dir)
	return nil, err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// run starts the program and waits until it answers.
func (s *Server) run() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(s.program, s.arguments()...)
	command.Dir, command.Stdout, command.Stderr = s.dir, log, log
	if s.exited, err = launch(command); err != nil {
		return err
	}
	s.command = command
	if err := s.waitReady(); err != nil {
		s.kill()
		output, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s does not answer: %w\n%s", s.program, err, output)
	}
	return nil
}

func (s *Server) arguments() []string {
	args := []string{
		"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", strconv.Itoa(databases),
		"--unixsocket", s.Socket(), "--dir", s.dir,
	}
	if s.options.TLS {
		args = append(args, "--port", "0", "--tls-port", strconv.Itoa(s.port),
			"--tls-ca-cert-file", s.CAFile, "--tls-cert-file", s.serverCertFile(), "--tls-key-file", s.serverKeyFile())
	} else {
		args = append(args, "--port", strconv.Itoa(s.port))
	}
	return append(args, s.options.Args...)
}

// launch starts command on a thread of its own, which lives as long as the command does: the kernel ties the parent-death
// signal to the thread.
func launch(command *exec.Cmd) (exited chan struct{}, err error) {
	stopWithParent(command)
	started, exited := make(chan error), make(chan struct{})
	go onOwnThread(func() {
		err := command.Start()
		started <- err
		if err == nil {
			command.Wait()
			close(exited)
		}
	})
	return exited, <-started
}

// waitReady polls the port until the server takes connections, has ended, or startTimeout has passed.
func (s *Server) waitReady() error {
	deadline := time.After(startTimeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("unix", s.Socket())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.exited:
			return errors.New("it has ended")
		case <-deadline:
			return err
		case <-tick.C:
		}
	}
}

// Addr returns the address that the server listens on, host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Socket returns the path of the unix socket that the server listens on, always without TLS.
func (s *Server) Socket() string { return filepath.Join(s.dir, "socket") }

// URL returns the address as the URL of a store, with the files of a TLS server.
func (s *Server) URL() string {
	if s.options.TLS {
		return fmt.Sprintf("rediss://%s/%d?ca=%s&cert=%s&key=%s", s.Addr(), s.db, s.CAFile, s.CertFile, s.KeyFile)
	}
	return fmt.Sprintf("redis://%s/%d", s.Addr(), s.db)
}

// PID returns the process id of the server.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.command.Process.Pid
}

// Kill ends the server at once, as a crash does, and returns when it has ended.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

func (s *Server) kill() {
	s.command.Process.Kill()
	<-s.exited
}

// Restart kills the server and runs it again on the same port, empty.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill()
	// Another process may hold the port for a moment: a connection that it made may have been given it.
	var err error
	for deadline := time.Now().Add(restartTimeout); ; {
		if err = s.run(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("redistest: restart: %v", err)
		}
	}
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
