// Package mariadbtest runs private MariaDB or MySQL servers for tests.
//
// Each server has new data of its own, listens on a free port of the loopback interface and on a unix socket, and lives as package
// servertest says. It does not sync to disk, which only a loss of power would tell from one that does, unless Options.Durable
// says otherwise: what was committed survives Kill.
//
// A machine without MariaDB skips the test, naming what is missing; with LUASTORE_TEST_REQUIRE=1, which make test sets, it fails.
// LUASTORE_TEST_MARIADB names another program to run, mariadbd or the mysqld of MySQL 8.
package mariadbtest

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/luastore/store/internal/servertest"
)

// The environment variables that choose the server and whether to go without.
const (
	EnvServer  = "LUASTORE_TEST_MARIADB" // path or name of the server program; default mariadbd, else mysqld
	EnvRequire = servertest.EnvRequire   // 1: a missing server fails the test instead of skipping it
)

// User is the user that [Server.URL] names. It may do everything in the databases that this package makes, and nothing else.
const User = "luastore"

// superuser is the user that [Server.Exec] and [Server.Query] use.
const superuser = "root"

// restartTimeout bounds how long Restart tries to get its port back.
const restartTimeout = 5 * time.Second

// Options configure a server. Nil means defaults.
type Options struct {
	Args     []string // more arguments for the server, such as "--max-connections=10"; default none
	Durable  bool     // sync to disk as a server in production does; default false
	TLS      bool     // take nothing but TLS on the port, with files in CAFile, CertFile and KeyFile of Server; default false
	Password string   // of the users, without quotes and backslashes; default a new random word
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
	program string
	options Options
}

// Start runs a server for the length of one test, with one empty database.
func Start(t testing.TB, o *Options) *Server {
	t.Helper()
	program := find(t)
	s, err := start(program, o)
	if err != nil {
		t.Fatalf("mariadbtest: %v", err)
	}
	t.Cleanup(s.remove)
	return s
}

// find returns the program to run, or ends the test where there is none. Debian has it where only root's PATH leads.
func find(t testing.TB) string {
	t.Helper()
	names := []string{"mariadbd", "/usr/sbin/mariadbd", "mysqld", "/usr/sbin/mysqld"}
	if name := os.Getenv(EnvServer); name != "" {
		names = []string{name}
	}
	return servertest.Find(t, "a MariaDB server", "mariadb-server", names...)
}

func start(program string, o *Options) (*Server, error) {
	if o == nil {
		o = &Options{}
	}
	p, err := servertest.New("", "mariadbtest")
	if err != nil {
		return nil, err
	}
	s := &Server{
		Password: cmp.Or(o.Password, servertest.Password()),
		process:  &process{Process: p, program: program, options: *o},
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
	s.Command = func() *exec.Cmd { return exec.Command(s.program, s.arguments()...) }
	s.Ready = func() error { return s.exec("", "DO 1") }
	if err := s.Process.Start(); err != nil {
		return err
	}
	return s.createDatabase(1)
}

func (s *Server) arguments() []string {
	args := append(s.common(),
		"--port="+strconv.Itoa(s.Port), "--bind-address=127.0.0.1", "--socket="+s.socket(), "--pid-file="+filepath.Join(s.Dir, "pid"),
		"--init-file="+s.users(), "--skip-name-resolve", "--skip-log-bin", "--loose-mysqlx=0",
		"--character-set-server=utf8mb4", "--max-connections=200", "--innodb-buffer-pool-size=32M", "--loose-performance-schema=0",
	)
	if !s.options.Durable {
		args = append(args, notDurable...)
	}
	if s.options.TLS {
		args = append(args, "--require-secure-transport=1",
			"--ssl-ca="+s.CAFile, "--ssl-cert="+s.ServerCertFile, "--ssl-key="+s.ServerKeyFile)
	}
	return append(args, s.options.Args...)
}

// notDurable lets the log of a commit reach the system and no further: a value of 0 would lose what was confirmed on Kill too.
var notDurable = []string{
	"--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=0", "--loose-innodb-flush-method=nosync",
}

// common are the arguments of every command that works on the data of the server.
func (s *Server) common() []string {
	args := []string{"--no-defaults", "--datadir=" + s.data()}
	if os.Getuid() == 0 {
		args = append(args, "--user=root")
	}
	return args
}

func (s *Server) data() string   { return filepath.Join(s.Dir, "data") }
func (s *Server) users() string  { return filepath.Join(s.Dir, "users.sql") }
func (s *Server) socket() string { return filepath.Join(s.Dir, "socket") }

// URL returns the address of the database as the URL of a store, with the files of a TLS server.
func (s *Server) URL() string {
	u := url.URL{Scheme: "mysql", User: url.UserPassword(User, s.Password), Host: s.Addr(), Path: s.db}
	if s.options.TLS {
		u.RawQuery = url.Values{"tls": {"true"}, "ca": {s.CAFile}, "cert": {s.CertFile}, "key": {s.KeyFile}}.Encode()
	}
	return u.String()
}

// Stop ends the server as an operator does: it lets nobody finish, and writes everything to its files.
func (s *Server) Stop() { s.Shutdown(syscall.SIGTERM) }

// Restart runs the server again on the same port, with the same data, and kills it before if it still runs.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Process.Restart(t, restartTimeout)
}

// remove ends the server and takes away its folder.
func (s *Server) remove() {
	s.Kill()
	os.RemoveAll(s.Dir)
}

// prepare makes the files of the server.
func (s *Server) prepare() error {
	if s.options.TLS {
		var err error
		if s.Certificates, err = servertest.WriteCertificates(s.Dir); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.users(), fmt.Appendf(nil, users, User, superuser, s.Password), 0o600); err != nil {
		return err
	}
	return s.initialise()
}

// users makes the users, at each start of the server: one statement a line.
const users = "" +
	"CREATE USER IF NOT EXISTS '%[1]s'@'%%' IDENTIFIED BY '%[3]s';\n" +
	"GRANT ALL ON `%[1]s\\_%%`.* TO '%[1]s'@'%%';\n" +
	"ALTER USER '%[2]s'@'localhost' IDENTIFIED BY '%[3]s';\n" +
	"DROP USER IF EXISTS '%[2]s'@'127.0.0.1', '%[2]s'@'::1';\n"
