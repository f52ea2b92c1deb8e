// Package pgtest runs private PostgreSQL servers for tests.
//
// Each server has a new cluster of its own, listens on a free port of the loopback interface and on a unix socket, and lives as
// package servertest says. It does not sync to disk, which only a loss of power would tell from one that does, unless
// Options.Durable says otherwise: what was committed survives Kill.
//
// PostgreSQL refuses to run as root. For a test that does, the server runs as the user postgres, whom Debian's package makes, else
// as nobody. That user must be able to enter the folder for temporary files: where TMPDIR is closed to others, /tmp is taken.
//
// A machine without PostgreSQL skips the test, naming what is missing; with LUASTORE_TEST_REQUIRE=1, which make test sets, it
// fails. LUASTORE_TEST_POSTGRES names a folder with other programs, such as /usr/lib/postgresql/17/bin.
package pgtest

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/luastore/store/internal/servertest"
)

// The environment variables that choose the server and whether to go without.
const (
	EnvServer  = "LUASTORE_TEST_POSTGRES"    // folder of initdb and postgres; default that of PATH, else Debian's newest
	EnvRequire = servertest.EnvRequire       // 1: a missing server fails the test instead of skipping it
	debianBins = "/usr/lib/postgresql/*/bin" // Debian keeps the programs of each version out of PATH
)

// User is the role that [Server.URL] names. It owns its databases and is no superuser.
const User = "luastore"

// superuser is the role that [Server.Exec] and [Server.Query] use.
const superuser = "postgres"

// restartTimeout bounds how long Restart tries to get its port and its data back.
const restartTimeout = 20 * time.Second

// Options configure a server. Nil means defaults.
type Options struct {
	Args     []string // more arguments for the server, such as "-c", "max_connections=10"; default none
	Durable  bool     // sync to disk as a server in production does; default false
	TLS      bool     // take nothing but TLS on the port, with files in CAFile, CertFile and KeyFile of Server; default false
	Password string   // of the roles; default a new random word
}

// A Server is one running server, as seen from one database of it.
type Server struct {
	servertest.Certificates        // empty without TLS
	Password                string // of [User] and of the superuser

	*process
	db string
}

// process is what the views of one server share.
type process struct {
	*servertest.Process
	bin     string // folder of the programs
	account *account
	options Options
}

// Start runs a server for the length of one test, with one empty database.
func Start(t testing.TB, o *Options) *Server {
	t.Helper()
	bin := find(t)
	s, err := start(bin, o)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(s.remove)
	return s
}

// find returns the folder of the programs, or ends the test where there is none.
func find(t testing.TB) string {
	t.Helper()
	files := []string{"initdb"}
	if bin := os.Getenv(EnvServer); bin != "" {
		files = []string{filepath.Join(bin, "initdb")}
	} else {
		files = append(files, newest(filepath.Join(debianBins, "initdb"))...)
	}
	initdb := servertest.Find(t, "a PostgreSQL server", "postgresql", files...)
	// In PATH may be a link to the one among the other programs.
	if path, err := filepath.EvalSymlinks(initdb); err == nil {
		initdb = path
	}
	return filepath.Dir(initdb)
}

// newest returns the files that match a pattern with a version in it, the highest first.
func newest(pattern string) []string {
	files, _ := filepath.Glob(pattern)
	slices.SortFunc(files, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return files
}

// version returns the number that names the folder above bin, 0 if none does.
func version(initdb string) float64 {
	n, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(filepath.Dir(initdb))), 64)
	return n
}

func start(bin string, o *Options) (*Server, error) {
	if o == nil {
		o = &Options{}
	}
	account, err := unprivileged()
	if err != nil {
		return nil, err
	}
	p, err := servertest.New(account.tempDir(), "pgtest")
	if err != nil {
		return nil, err
	}
	s := &Server{
		Password: cmp.Or(o.Password, servertest.Password()),
		process:  &process{Process: p, bin: bin, account: account, options: *o},
	}
	if err := s.run(); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) run() error {
	if err := s.prepare(); err != nil {
		return err
	}
	s.Command = s.command
	s.Ready = s.answers
	s.KillAll = killChildren
	if err := s.Process.Start(); err != nil {
		return err
	}
	return s.createUser()
}

// command returns the command that runs the server.
func (s *Server) command() *exec.Cmd {
	args := []string{
		"-D", s.data(), "-k", s.Dir, "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1",
		"-c", "max_connections=200", "-c", "shared_buffers=32MB",
		// Where a killed server leaves nothing but its folder.
		"-c", "dynamic_shared_memory_type=mmap",
	}
	if !s.options.Durable {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	if s.options.TLS {
		args = append(args, "-c", "ssl=on", "-c", "ssl_ca_file="+s.CAFile,
			"-c", "ssl_cert_file="+s.ServerCertFile, "-c", "ssl_key_file="+s.ServerKeyFile)
	}
	command := exec.Command(filepath.Join(s.bin, "postgres"), append(args, s.options.Args...)...)
	s.account.run(command)
	return command
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

// URL returns the address of the database as the URL of a store, with the files of a TLS server.
func (s *Server) URL() string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(User, s.Password), Host: s.Addr(), Path: s.db}
	if s.options.TLS {
		u.RawQuery = url.Values{
			"sslmode": {"verify-full"}, "sslrootcert": {s.CAFile}, "sslcert": {s.CertFile}, "sslkey": {s.KeyFile},
		}.Encode()
	}
	return u.String()
}

// Stop ends the server as an operator does: it lets nobody finish, and writes everything to its files.
func (s *Server) Stop() { s.Shutdown(syscall.SIGINT) }

// Restart runs the server again on the same port, with the same data, and kills it before if it still runs.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Process.Restart(t, restartTimeout)
}

// remove ends the server and takes away its folder and its shared memory.
func (s *Server) remove() {
	s.Shutdown(syscall.SIGQUIT) // which writes nothing first
	removeSharedMemory(filepath.Join(s.data(), "postmaster.pid"))
	os.RemoveAll(s.Dir)
}

// answers returns nil when the server does.
func (s *Server) answers() error {
	_, err := s.ask(context.Background(), superuser, "SELECT 1")
	return err
}

// prepare makes the files of the server.
func (s *Server) prepare() error {
	if s.options.TLS {
		var err error
		if s.Certificates, err = servertest.WriteCertificates(s.Dir); err != nil {
			return err
		}
	}
	password := filepath.Join(s.Dir, "password")
	if err := os.WriteFile(password, []byte(s.Password+"\n"), 0o600); err != nil {
		return err
	}
	if err := s.account.own(s.Dir); err != nil {
		return err
	}
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", superuser, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.Dir = s.Dir
	s.account.run(initdb)
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", initdb, err, output)
	}
	if s.options.TLS {
		return os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(tlsOnly), 0o600)
	}
	return nil
}

// tlsOnly is a pg_hba.conf that takes no connection in the clear but those of the unix socket.
const tlsOnly = "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
