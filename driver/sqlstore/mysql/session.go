package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"

	"github.com/go-sql-driver/mysql"
)

// A clientConn is what the client makes of a connection.
type clientConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.SessionResetter
	driver.Validator
}

// A session is one connection, with the statements that were prepared on it: those of single keys, which take a round trip the
// first time and are a fifth faster from then on (three times for 100 KB values). The texts of batches vary with the number of
// keys; their parameters are written into them, see [literal].
type session struct {
	clientConn
	link     *link
	dialer   *connector
	prepared map[string]driver.Stmt
	retired  bool // not to be used again
}

// A notSent is an error of a statement that the server cannot have seen in full.
type notSent struct{ err error }

func (e *notSent) Error() string { return e.err.Error() }
func (e *notSent) Unwrap() error { return e.err }

// ExecContext implements [driver.ExecerContext].
func (s *session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return run(ctx, s, query,
		func() (driver.Result, error) {
			return written(query, args, func(text string) (driver.Result, error) { return s.clientConn.ExecContext(ctx, text, nil) })
		},
		func(st driver.Stmt) (driver.Result, error) { return st.(driver.StmtExecContext).ExecContext(ctx, args) })
}

// QueryContext implements [driver.QueryerContext].
func (s *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return run(ctx, s, query,
		func() (driver.Rows, error) {
			return written(query, args, func(text string) (driver.Rows, error) { return s.clientConn.QueryContext(ctx, text, nil) })
		},
		func(st driver.Stmt) (driver.Rows, error) { return st.(driver.StmtQueryContext).QueryContext(ctx, args) })
}

// run runs a statement, prepared if its text is one of a fixed set.
func run[T any](ctx context.Context, s *session, query string, plain func() (T, error), prepared func(driver.Stmt) (T, error)) (T, error) {
	var none T
	st, err := s.statement(ctx, query)
	if err != nil {
		return none, s.judge(&notSent{err})
	}
	before := s.link.written
	var result T
	if st == nil {
		result, err = plain()
	} else {
		result, err = prepared(st)
	}
	switch {
	case err == nil:
		return result, nil
	case errors.Is(err, driver.ErrSkip): // nothing was sent; database/sql prepares it
		return none, err
	case s.link.failed || s.link.written == before:
		err = &notSent{err}
	}
	return none, s.judge(err)
}

// statement returns the prepared statement of a text, nil where it is to be sent as it is.
func (s *session) statement(ctx context.Context, query string) (driver.Stmt, error) {
	if !s.dialer.fixed[query] {
		return nil, nil
	}
	if st := s.prepared[query]; st != nil {
		return st, nil
	}
	st, err := s.clientConn.PrepareContext(ctx, query)
	if number(err) == errTooManyStatements {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.prepared[query] = st
	return st, nil
}

// judge takes the session out of use after an answer that other sessions may not get: of a server that is no longer the primary,
// goes down, or has forgotten what was prepared.
func (s *session) judge(err error) error {
	if slices.Contains(retiring, number(err)) {
		s.retired = true
	}
	return err
}

// IsValid implements [driver.Validator].
func (s *session) IsValid() bool { return !s.retired && s.clientConn.IsValid() }

// number returns the number of the error that the server answered, 0 if it is none.
func number(err error) uint16 {
	var answered *mysql.MySQLError
	if errors.As(err, &answered) {
		return answered.Number
	}
	return 0
}
