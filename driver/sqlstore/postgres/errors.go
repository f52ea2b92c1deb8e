package postgres

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/luastore/store"
)

var (
	errUnasked = errors.New("the server answered what was not asked")
	// errEnough ends the reading of an answer that is longer than is wanted.
	errEnough = errors.New("enough")
)

// Classes and codes of SQLSTATE that mean something to the driver.
const (
	serializationFailure = "40001"
	deadlock             = "40P01"
	uniqueViolation      = "23505"
	undefinedTable       = "42P01"
	undefinedColumn      = "42703"
	duplicateTable       = "42P07"
	duplicateObject      = "42710"
	noPrivilege          = "42501"
	readOnly             = "25006"
	queryCanceled        = "57014"
	lockTimeout          = "55P03"
	diskFull             = "53100"
	tooManyConnections   = "53300"
	noSuchStatement      = "26000"
	duplicateStatement   = "42P05"
	planChanged          = "0A000"
	noDatabase           = "3D000"
)

// rolledBack reports whether the server gave a statement up for the sake of another one, so that it may be sent again.
func rolledBack(err error) bool {
	var reply *pgconn.PgError
	return errors.As(err, &reply) && (reply.Code == deadlock || reply.Code == serializationFailure)
}

// broken reports whether a connection broke, or was not as it should be, so that what was asked may go to the next one if it
// changes nothing or was not sent.
func broken(ctx context.Context, err error) bool {
	var reply *pgconn.PgError
	if errors.As(err, &reply) {
		return fatal(reply)
	}
	return ctx.Err() == nil && store.Kind(err) == "internal"
}

// ended is the error of a call whose context ended before anything was sent.
func (d *Driver) ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return store.Errorf(store.ErrCanceled, "canceled before PostgreSQL at %s was asked: %w", d.target.Address, context.Canceled)
	}
	return store.Errorf(store.ErrTimeout, "timeout before PostgreSQL at %s could be asked: %w", d.target.Address, context.DeadlineExceeded)
}

// unreachable is the error of an attempt to connect.
func (d *Driver) unreachable(ctx context.Context, err error) error {
	at := d.target.Address
	if d.pool.closing.Err() != nil {
		return errClosed
	}
	var reply *pgconn.PgError
	switch {
	case errors.As(err, &reply) && reply.Code == noPrivilege:
		return store.Errorf(store.ErrDenied, "permission denied: PostgreSQL at %s lets the role not connect to the database: %s", at, d.scrub(reply.Message))
	case reply != nil && reply.Code == noDatabase:
		return store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s has no such database: %s", at, d.scrub(reply.Message))
	case reply != nil && strings.HasPrefix(reply.Code, "28"):
		return store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s refused the login, see user and password in its URL and pg_hba.conf: %s", at, d.scrub(reply.Message))
	case reply != nil && reply.Code == tooManyConnections:
		return &crowded{store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s has too many connections, lower max_conns of its clients: %s", at, d.scrub(reply.Message))}
	case reply != nil && strings.HasPrefix(reply.Message, "unsupported startup parameter"):
		return store.Errorf(store.ErrUnavailable, "store unavailable: at %s is a pooler such as PgBouncer, give its URL statement_cache=false: %s", at, d.scrub(reply.Message))
	case reply != nil:
		return store.Errorf(store.ErrUnavailable, "store unavailable: no connection to PostgreSQL at %s: %s", at, d.scrub(reply.Message))
	case ctx.Err() != nil:
		return store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s did not take the connection within %s", at, d.target.DialTimeout)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: no connection to PostgreSQL at %s: %s", at, d.scrub(whyNot(err)))
}

// readError turns an error into one of the store, for what changes nothing.
func (d *Driver) readError(ctx context.Context, err error) error {
	if known := d.knownError(ctx, err); known != nil {
		return known
	}
	switch {
	case d.pool.closing.Err() != nil:
		return errClosed
	case errors.Is(ctx.Err(), context.Canceled):
		return store.Errorf(store.ErrCanceled, "canceled while PostgreSQL at %s was asked: %w", d.target.Address, context.Canceled)
	case ctx.Err() != nil:
		return store.Errorf(store.ErrTimeout, "timeout: no reply from PostgreSQL at %s in time: %w", d.target.Address, context.DeadlineExceeded)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: the connection to PostgreSQL at %s broke: %s", d.target.Address, d.scrub(err.Error()))
}

// An undone error wraps what went wrong before the server was told to commit.
type undone struct{ err error }

func (e *undone) Error() string { return e.err.Error() }
func (e *undone) Unwrap() error { return e.err }

// unapplied reports whether surely nothing was changed though the server did not say so.
func unapplied(err error) bool {
	var unsent *notSent
	var back *undone
	return errors.As(err, &unsent) || errors.As(err, &back)
}

// lostStatement reports whether the connection does not have the prepared statements that it should.
func lostStatement(err error) bool {
	var reply *pgconn.PgError
	if !errors.As(err, &reply) {
		return false
	}
	return reply.Code == noSuchStatement || reply.Code == duplicateStatement || reply.Code == planChanged
}

// writeError is readError for what changes something: what may have been sent has an unknown outcome.
func (d *Driver) writeError(ctx context.Context, err error) error {
	var doubt *doubtful
	if !errors.As(err, &doubt) {
		return d.readError(ctx, err)
	}
	reason := error(&plain{d.scrub(err.Error())})
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		reason = context.Canceled
	case ctx.Err() != nil:
		reason = context.DeadlineExceeded
	}
	return store.Errorf(store.ErrUnknownOutcome,
		"unknown outcome: PostgreSQL at %s may or may not have done it, no reply came (%w); read the key to find out", d.target.Address, reason)
}

// plain is an error that is only its text. Errors of the client are not wrapped: their texts may hold what was sent.
type plain struct{ text string }

func (p *plain) Error() string { return p.text }

// knownError returns the error of what the server answered, or of what was not sent for a reason of the store; else nil.
func (d *Driver) knownError(ctx context.Context, err error) error {
	var reply *pgconn.PgError
	if errors.As(err, &reply) {
		return d.replyError(reply)
	}
	var unsent *notSent
	if errors.As(err, &unsent) {
		if ctx.Err() != nil {
			return d.ended(ctx)
		}
		err = unsent.err
	}
	switch store.Kind(err) {
	case "internal", "timeout", "canceled":
		return nil
	}
	return err
}

// replyError turns an error of the server into one of the store. Nothing was changed.
func (d *Driver) replyError(reply *pgconn.PgError) error {
	at, text := d.target.Address, d.scrub(reply.Message)
	switch reply.Code {
	case diskFull:
		return store.Errorf(store.ErrFull, "store full: PostgreSQL at %s: %s", at, text)
	case noPrivilege:
		return store.Errorf(store.ErrDenied, "permission denied: PostgreSQL at %s: %s; the role needs SELECT, INSERT, UPDATE and DELETE on the table", at, text)
	case undefinedTable, undefinedColumn:
		return store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s: %s; create the table with: %s", at, text, ddl(d.target.Table))
	case readOnly:
		return store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s is a standby or read-only, name the primary: %s", at, text)
	case queryCanceled, lockTimeout:
		return store.Errorf(store.ErrTimeout, "timeout: PostgreSQL at %s gave the statement up and changed nothing: %s", at, text)
	case serializationFailure, deadlock:
		return store.Errorf(store.ErrTimeout, "timeout: PostgreSQL at %s rolled back, again and again, for the sake of others: %s", at, text)
	case noSuchStatement, duplicateStatement, planChanged:
		return store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s lost a prepared statement; behind a pooler such as PgBouncer give its URL statement_cache=false: %s", at, text)
	}
	switch reply.Code[:min(2, len(reply.Code))] {
	case "08", "53", "57", "58", "XX":
		return store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s: %s", at, text)
	}
	return &plain{"PostgreSQL at " + at + ": " + text + " (SQLSTATE " + d.scrub(reply.Code) + ")"}
}

// whyNot tells in one line why a connection could not be made. The client repeats its whole story for each attempt, with TLS and
// without.
func whyNot(err error) string {
	var name *net.DNSError
	var network *net.OpError
	switch {
	case errors.As(err, &name):
		return name.Error()
	case errors.As(err, &network):
		return network.Error()
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// scrub takes the password out of a text.
func (d *Driver) scrub(text string) string {
	if password := d.target.password.Value(); password != "" {
		return strings.ReplaceAll(text, password, "xxxxx")
	}
	return text
}
