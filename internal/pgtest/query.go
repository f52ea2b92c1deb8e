package pgtest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// queryTimeout bounds what tests ask beside the driver.
const queryTimeout = time.Minute

// Exec runs statements, separated by semicolons, as superuser on the database, not over the port. An error fails the test.
// [User] may use the tables that they make.
func (s *Server) Exec(t testing.TB, sql string) {
	t.Helper()
	s.Query(t, sql)
}

// Query is Exec for a statement that answers: the first column of the first row as text, "" for NULL or no row.
func (s *Server) Query(t testing.TB, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	answer, err := s.ask(ctx, s.db, sql)
	if err != nil {
		t.Fatalf("pgtest: %s: %v", sql, err)
	}
	return answer
}

// ask runs statements as superuser on a database and returns the first column of the first row of the last one.
func (s *Server) ask(ctx context.Context, db, sql string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return "", err
	}
	config.Host, config.Port, config.Fallbacks = s.Dir, uint16(s.Port), nil
	config.User, config.Password, config.Database = superuser, s.Password, db
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 {
		return "", err
	}
	if rows := results[len(results)-1].Rows; len(rows) > 0 && len(rows[0]) > 0 {
		answer = string(rows[0][0])
	}
	return answer, nil
}

// createUser makes the role of [Server.URL] and its first database. The template says that it may use, in every database, the
// tables of the superuser.
func (s *Server) createUser() error {
	ctx := context.Background()
	if _, err := s.ask(ctx, superuser, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", User, s.Password)); err != nil {
		return err
	}
	if _, err := s.ask(ctx, "template1", "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO "+User); err != nil {
		return err
	}
	return s.createDatabase(1)
}

// createDatabase makes the nth database and turns s to it.
func (s *Server) createDatabase(n int) error {
	s.db = User + strconv.Itoa(n)
	_, err := s.ask(context.Background(), superuser, fmt.Sprintf("CREATE DATABASE %s OWNER %s", s.db, User))
	return err
}
