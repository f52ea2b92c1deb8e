package mariadbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// queryTimeout bounds what tests ask beside the driver.
const queryTimeout = time.Minute

// Exec runs statements, separated by semicolons, as superuser on the database, not over the port. An error fails the test.
func (s *Server) Exec(t testing.TB, statements string) {
	t.Helper()
	if err := s.exec(s.db, statements); err != nil {
		t.Fatalf("mariadbtest: %s: %v", statements, err)
	}
}

// Query runs one statement as Exec does and returns the first column of the first row as text, "" for NULL or no row.
func (s *Server) Query(t testing.TB, query string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	db, err := s.root(s.db)
	if err != nil {
		t.Fatalf("mariadbtest: %v", err)
	}
	defer db.Close()
	var answer sql.NullString
	if err := db.QueryRowContext(ctx, query).Scan(&answer); err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatalf("mariadbtest: %s: %v", query, err)
	}
	return answer.String
}

func (s *Server) exec(db, statements string) error {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	root, err := s.root(db)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = root.ExecContext(ctx, statements)
	return err
}

// root returns connections of the superuser to a database, over the unix socket. The caller closes them.
func (s *Server) root(db string) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = superuser, s.Password, db
	config.Net, config.Addr = "unix", s.socket()
	config.MultiStatements = true
	config.Logger = log.New(io.Discard, "", 0) // it prints what a killed server does to connections
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// createDatabase makes the nth database and turns s to it.
func (s *Server) createDatabase(n int) error {
	s.db = fmt.Sprintf("%s_%d", User, n)
	return s.exec("", "CREATE DATABASE "+s.db)
}
