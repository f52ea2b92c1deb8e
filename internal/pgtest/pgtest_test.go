package pgtest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// connect connects as a driver does, over the port.
func connect(t testing.TB, url string) (*pgx.Conn, error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err == nil {
		t.Cleanup(func() { conn.Close(context.Background()) })
	}
	return conn, err
}

func TestStart_ServesUntilTheTestEnds(t *testing.T) {
	var addr, dir string
	t.Run("inner", func(t *testing.T) {
		s := Start(t, nil)
		addr, dir = s.Addr(), s.Dir
		conn, err := connect(t, s.URL())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE t (k bytea PRIMARY KEY)"); err != nil {
			t.Error("the user may not create a table:", err)
		}
		for setting, want := range map[string]string{
			"fsync": "off", "server_encoding": "UTF8", "lc_collate": "C", "listen_addresses": "127.0.0.1",
		} {
			if got := s.Query(t, "SHOW "+setting); got != want {
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
	s := Start(t, &Options{Args: []string{"-c", "max_connections=7"}, Durable: true, Password: "a b"})
	if got := s.Query(t, "SHOW max_connections"); got != "7" {
		t.Errorf("the argument did not reach the server: %s", got)
	}
	if got := s.Query(t, "SHOW fsync"); got != "on" {
		t.Errorf("a durable server has fsync %s", got)
	}
	if s.Password != "a b" || !strings.Contains(s.URL(), "a%20b@") {
		t.Errorf("the password is %q", s.Password)
	}
	if _, err := connect(t, s.URL()); err != nil {
		t.Error(err)
	}
}

func TestStart_WrongPassword_IsRefused(t *testing.T) {
	s := Shared(t)
	_, err := connect(t, strings.Replace(s.URL(), s.Password, "wrong", 1))
	if err == nil || !strings.Contains(err.Error(), "28P01") {
		t.Errorf("got %v", err)
	}
}

func TestStart_TLS_TakesNothingElse(t *testing.T) {
	s := Start(t, &Options{TLS: true})
	conn, err := connect(t, s.URL())
	if err != nil {
		t.Fatal(err)
	}
	var encrypted bool
	if err := conn.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted); err != nil || !encrypted {
		t.Errorf("encrypted: %v, %v", encrypted, err)
	}
	plain, _, _ := strings.Cut(s.URL(), "?")
	if _, err := connect(t, plain+"?sslmode=disable"); err == nil {
		t.Error("a connection in the clear was taken")
	}
	if got := s.Query(t, "SELECT 1+1"); got != "2" {
		t.Errorf("beside the port: %q", got)
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

func TestKill_EndsAStatementThatRuns(t *testing.T) {
	s := Start(t, nil)
	conn, err := connect(t, s.URL())
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := conn.Exec(context.Background(), "SELECT pg_sleep(3600)"); err == nil {
			t.Error("an hour passed")
		}
	})
	for s.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%3600%' AND pid <> pg_backend_pid()") != "1" {
	}
	s.Kill()
	wait.Wait()
	s.Restart(t)
}

func TestShared_GivesEachTestAnEmptyDatabaseOfItsOwn(t *testing.T) {
	a, b := Shared(t), Shared(t)
	if a.PID() != b.PID() || a.URL() == b.URL() {
		t.Fatalf("%s and %s, processes %d and %d", a.URL(), b.URL(), a.PID(), b.PID())
	}
	a.Exec(t, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
	if got := b.Query(t, countTables); got != "0" {
		t.Errorf("the table of one test reached another: %s", got)
	}
	conn, err := connect(t, a.URL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "UPDATE t SET n = 8"); err != nil {
		t.Error("the user may not use a table of Exec:", err)
	}
	if got := a.Query(t, "SELECT n FROM t"); got != "8" {
		t.Errorf("got %q", got)
	}
}

const countTables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"

func TestShared_AfterTheTest_IsEmptyAgain(t *testing.T) {
	var first string
	t.Run("inner", func(t *testing.T) {
		s := Shared(t)
		first = s.db
		conn, err := pgx.Connect(t.Context(), s.URL()) // a connection that is left
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{
			"CREATE TABLE t (n int)", "CREATE TYPE e AS ENUM ('a')", "ALTER DATABASE " + s.db + " SET work_mem = '1MB'", "BEGIN", "SELECT * FROM t",
		} {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	})
	s := Shared(t)
	if s.db != first {
		t.Errorf("got %s after %s: none was emptied", s.db, first)
	}
	for sql, want := range map[string]string{
		countTables: "0",
		"SELECT count(*) FROM pg_type WHERE typnamespace = 'public'::regnamespace": "0",
		"SHOW work_mem": "4MB",
	} {
		if got := s.Query(t, sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	conn, err := connect(t, s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE t (n int)"); err != nil {
		t.Error(err)
	}
}

func TestQuery_OfNothing_IsEmpty(t *testing.T) {
	s := Shared(t)
	for _, sql := range []string{"SELECT NULL", "SELECT 1 WHERE false", "SELECT 1; SELECT NULL", "CREATE TABLE t (n int)"} {
		if got := s.Query(t, sql); got != "" {
			t.Errorf("%s: %q", sql, got)
		}
	}
}

func TestFind_MissingServer_SkipsOrFails(t *testing.T) {
	for require, want := range map[string]string{"": "SKIP", "1": "FAIL"} {
		child := exec.Command(os.Args[0], "-test.run=TestQuery_OfNothing_IsEmpty", "-test.v")
		child.Env = append(os.Environ(), EnvServer+"=/no/such/folder", EnvRequire+"="+require)
		output, _ := child.CombinedOutput()
		if !strings.Contains(string(output), want) || !strings.Contains(string(output), "apt-get install postgresql") {
			t.Errorf("with %s=%q, want %s and advice, got:\n%s", EnvRequire, require, want, output)
		}
	}
}

func TestFind_TakesTheNewestVersion(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for _, version := range []string{"17", "15", "9.6", "9.5"} {
		bin := filepath.Join(dir, version, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(bin, "initdb")
		if err := os.WriteFile(file, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		want = append(want, file)
	}
	if got := newest(filepath.Join(dir, "*", "bin", "initdb")); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
