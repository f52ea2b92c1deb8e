package mariadbtest

import (
	"database/sql"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// connect connects as a driver does, over the port.
func connect(t testing.TB, s *Server, password, tlsConfig string) (*sql.Conn, error) {
	t.Helper()
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName, config.Net, config.Addr = User, password, s.db, "tcp", s.Addr()
	config.TLSConfig = tlsConfig
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db.Conn(t.Context())
}

func TestStart_ServesUntilTheTestEnds(t *testing.T) {
	var addr, dir string
	t.Run("inner", func(t *testing.T) {
		s := Start(t, nil)
		addr, dir = s.Addr(), s.Dir
		conn, err := connect(t, s, s.Password, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "CREATE TABLE t (k VARBINARY(10) PRIMARY KEY)"); err != nil {
			t.Error("the user may not create a table:", err)
		}
		for setting, want := range map[string]string{
			"innodb_flush_log_at_trx_commit": "2", "character_set_server": "utf8mb4", "bind_address": "127.0.0.1",
		} {
			if got := s.Query(t, "SELECT @@"+setting); got != want {
				t.Errorf("%s is %s, want %s", setting, got, want)
			}
		}
	})
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the server outlived its test")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder outlived its test: %v", err)
	}
}

func TestStart_TakesOptions(t *testing.T) {
	s := Start(t, &Options{Args: []string{"--max-connections=17"}, Durable: true, Password: "a b"})
	if got := s.Query(t, "SELECT @@max_connections"); got != "17" {
		t.Errorf("the argument did not reach the server: %s", got)
	}
	if got := s.Query(t, "SELECT @@innodb_flush_log_at_trx_commit"); got != "1" {
		t.Errorf("a durable server has innodb_flush_log_at_trx_commit %s", got)
	}
	if s.Password != "a b" || !strings.Contains(s.URL(), "a%20b@") {
		t.Errorf("the password is %q", s.Password)
	}
	if _, err := connect(t, s, "a b", ""); err != nil {
		t.Error(err)
	}
}

func TestStart_WrongPassword_IsRefused(t *testing.T) {
	s := Shared(t)
	for _, password := range []string{"wrong", ""} {
		var refused *mysql.MySQLError
		if _, err := connect(t, s, password, ""); !errors.As(err, &refused) || refused.Number != 1045 {
			t.Errorf("%q: %v", password, err)
		}
	}
}

func TestStart_TLS_TakesNothingElse(t *testing.T) {
	s := Start(t, &Options{TLS: true})
	conn, err := connect(t, s, s.Password, "skip-verify")
	if err != nil {
		t.Fatal(err)
	}
	var name, cipher string
	if err := conn.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
		t.Errorf("cipher: %q, %v", cipher, err)
	}
	if _, err := connect(t, s, s.Password, ""); err == nil {
		t.Error("a connection in the clear was taken")
	}
	if got := s.Query(t, "SELECT 1+1"); got != "2" {
		t.Errorf("beside the port: %q", got)
	}
	if !strings.Contains(s.URL(), "tls=true&") && !strings.Contains(s.URL(), "&tls=true") {
		t.Errorf("the URL says nothing of TLS: %s", s.URL())
	}
}

// TestKill_InTheMiddle_LosesNothingThatWasConfirmed restarts what was killed, what was stopped and what runs.
func TestKill_InTheMiddle_LosesNothingThatWasConfirmed(t *testing.T) {
	s := Start(t, nil)
	addr := s.Addr()
	s.Exec(t, "CREATE TABLE t (n int)")
	for i, end := range []func(){s.Kill, s.Stop, func() {}} {
		pid := s.PID()
		s.Exec(t, "INSERT INTO t VALUES (1)")
		end()
		s.Restart(t)
		if got := s.Query(t, "SELECT count(*) FROM t"); got != strconv.Itoa(i+1) {
			t.Errorf("after restart %d there are %s rows", i+1, got)
		}
		if s.Addr() != addr || s.PID() == pid {
			t.Errorf("after the restart: address %s, was %s; process %d, was %d", s.Addr(), addr, s.PID(), pid)
		}
	}
}

func TestUser_MayDoNothingElsewhere(t *testing.T) {
	s := Shared(t)
	conn, err := connect(t, s, s.Password, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"CREATE DATABASE other", "SELECT * FROM mysql.user"} {
		var refused *mysql.MySQLError
		if _, err := conn.ExecContext(t.Context(), statement); !errors.As(err, &refused) {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestShared_GivesEachTestAnEmptyDatabaseOfItsOwn(t *testing.T) {
	var dropped string
	t.Run("inner", func(t *testing.T) {
		a, b := Shared(t), Shared(t)
		if a.PID() != b.PID() || a.URL() == b.URL() {
			t.Fatalf("%s and %s, processes %d and %d", a.URL(), b.URL(), a.PID(), b.PID())
		}
		a.Exec(t, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
		if got := b.Query(t, "SELECT count(*) FROM information_schema.tables WHERE table_schema = database()"); got != "0" {
			t.Errorf("the table of one test reached another: %s", got)
		}
		conn, err := connect(t, a, a.Password, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "UPDATE t SET n = 8"); err != nil {
			t.Error("the user may not use a table of Exec:", err)
		}
		if got := a.Query(t, "SELECT n FROM t"); got != "8" {
			t.Errorf("got %q", got)
		}
		dropped = a.db
	})
	if got := Shared(t).Query(t, "SELECT count(*) FROM information_schema.schemata WHERE schema_name = '"+dropped+"'"); got != "0" {
		t.Error("the database outlived its test")
	}
}

func TestQuery_OfNothing_IsEmpty(t *testing.T) {
	s := Shared(t)
	for _, sql := range []string{"SELECT NULL", "SELECT 1 FROM dual WHERE false", "CREATE TABLE t (n int)"} {
		if got := s.Query(t, sql); got != "" {
			t.Errorf("%s: %q", sql, got)
		}
	}
}

func TestFind_MissingServer_SkipsOrFails(t *testing.T) {
	for require, want := range map[string]string{"": "SKIP", "1": "FAIL"} {
		child := exec.Command(os.Args[0], "-test.run=TestQuery_OfNothing_IsEmpty", "-test.v")
		child.Env = append(os.Environ(), EnvServer+"=/no/such/server", EnvRequire+"="+require)
		output, _ := child.CombinedOutput()
		if !strings.Contains(string(output), want) || !strings.Contains(string(output), "apt-get install mariadb-server") {
			t.Errorf("with %s=%q, want %s and advice, got:\n%s", EnvRequire, require, want, output)
		}
	}
}
