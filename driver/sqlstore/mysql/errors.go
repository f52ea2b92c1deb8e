package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/luastore/store"
)

var errClosed = store.Errorf(store.ErrUnavailable, "store unavailable: the MySQL driver is closed")

// Numbers of errors that MySQL and MariaDB answer.
const (
	errDuplicate         = 1062
	errUnknown           = 1105
	errNoTimeZone        = 1298
	errTooManyStatements = 1461
)

// retiring are the errors after which a session is not used again: the server, or what stands before it, may serve others better.
var retiring = []uint16{
	1053,       // server shutdown in progress
	errUnknown, // such as a prepared statement to which too long a parameter was sent, which is useless from then on
	1152,       // aborted connection
	1159, 1161, // timeout of the network
	1243,       // unknown prepared statement
	1290, 1836, // read-only: a server that is no longer the primary
	1792, // read-only transaction
	1927, // connection was killed
	3032, // server in offline mode
}

// rolledBack reports whether the server undid a transaction because of others and would perhaps not do so again. One that waited
// for a row lock for too long is not among them: it has had its time.
func rolledBack(err error) bool {
	switch number(err) {
	case 1020, // MariaDB: the row has changed since the last read
		1213, // deadlock, or a conflict with another node of a cluster
		3101: // conflict with another member of a group
		return true
	}
	return false
}

// uncertain are the errors that the server answers when it failed as it committed.
var uncertain = []uint16{
	1026, // error when writing a file, perhaps the binary log
	1180, // error during COMMIT
}

// ended is the error of a call whose context ended before anything was sent.
func (d *Driver) ended(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return store.Errorf(store.ErrCanceled, "canceled before MySQL at %s was asked: %w", d.target.Address, err)
	}
	return store.Errorf(store.ErrTimeout, "timeout before MySQL at %s could be asked: %w", d.target.Address, context.DeadlineExceeded)
}

// unreachable is the error of an attempt to connect.
func (d *Driver) unreachable(err error) error {
	var text string
	switch n := number(err); n {
	case 1040, 1203, 1226:
		text = "it has no connection left for us: lower max_conns, or raise max_connections (max_user_connections) on the server"
	case 1044, 1045, 1698, 3118, 4151:
		text = fmt.Sprintf("it refuses the login of user %q for database %q (error %d): check the password, the grants, and whether it demands tls=true", d.target.Username, d.target.Database, n)
	case 1049:
		text = fmt.Sprintf("it has no database %q: create it, or name another in the URL", d.target.Database)
	case 1129:
		text = "it has blocked this host after too many errors: run FLUSH HOSTS there"
	case 1130:
		text = "it allows no connection from this host"
	case errNoTimeZone:
		text = "it runs with " + sysdateIsNow + ", so that what expires while a statement waits for a row lock could come to life again: start it without"
	case 0:
		text = d.scrub(err.Error())
	default:
		text = d.answer(err)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: no connection to MySQL at %s: %s", d.target.Address, text)
}

// readError turns an error of the client into one of the store, for a statement that changes nothing.
func (d *Driver) readError(ctx context.Context, err error) error {
	if known, ok := d.knownError(ctx, err); ok {
		return known
	}
	switch {
	case d.closing.Err() != nil:
		return errClosed
	case errors.Is(ctx.Err(), context.Canceled):
		return store.Errorf(store.ErrCanceled, "canceled while MySQL at %s was asked: %w", d.target.Address, context.Canceled)
	case ctx.Err() != nil:
		d.silent()
		return store.Errorf(store.ErrTimeout, "timeout: no reply from MySQL at %s in time: %w", d.target.Address, context.DeadlineExceeded)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: the connection to MySQL at %s broke: %s", d.target.Address, d.scrub(err.Error()))
}

// writeError is readError for a statement that changes something: what may have been sent has an unknown outcome.
func (d *Driver) writeError(ctx context.Context, err error) error {
	if provablyUnsent(err) || err == nil {
		return d.readError(ctx, err)
	}
	if known, ok := d.knownError(ctx, err); ok && !slices.Contains(uncertain, number(err)) {
		return known
	}
	reason := error(&plain{d.scrub(err.Error())})
	switch {
	case number(err) != 0:
		reason = &plain{d.answer(err)}
	case errors.Is(ctx.Err(), context.Canceled):
		reason = context.Canceled
	case ctx.Err() != nil:
		d.silent()
		reason = context.DeadlineExceeded
	}
	return store.Errorf(store.ErrUnknownOutcome,
		"unknown outcome: MySQL at %s may or may not have done it, no reply came (%w); read the key to find out", d.target.Address, reason)
}

// miscounted is the error of a write that the server says it did, and about less than it must have been about.
func (d *Driver) miscounted(rows, want int) error {
	return store.Errorf(store.ErrUnknownOutcome,
		"unknown outcome: MySQL at %s answered that it wrote %d rows, not %d; read the key to find out", d.target.Address, rows, want)
}

// plain is an error that is only its text. Errors of the client are not wrapped: their texts may hold what was sent.
type plain struct{ text string }

func (p *plain) Error() string { return p.text }

// knownError returns the error of a call of which it is known what became of it.
func (d *Driver) knownError(ctx context.Context, err error) (error, bool) {
	var unreachable *dialError
	var bare *notSent
	switch {
	case err == nil:
		return nil, true
	case errors.Is(err, errClosed), errors.Is(err, sql.ErrConnDone):
		return errClosed, true
	case errors.As(err, &unreachable):
		if ctx.Err() != nil {
			return d.ended(ctx), true
		}
		return d.unreachable(unreachable.err), true
	case number(err) != 0:
		return d.replyError(ctx, err), true
	case errors.Is(err, mysql.ErrPktTooLarge):
		return store.Errorf(store.ErrTooLarge, "too large: more than max_allowed_packet of MySQL at %s", d.target.Address), true
	}
	if errors.As(err, &bare) {
		err = bare.err
	}
	switch store.Kind(err) {
	case "internal":
		return nil, false
	case "timeout", "canceled":
		return err, errors.Is(err, store.ErrTimeout) || errors.Is(err, store.ErrCanceled)
	}
	return err, true
}

// replyError turns an error that the server answered into an error of the store. Nothing was done.
func (d *Driver) replyError(ctx context.Context, err error) error {
	at := d.target.Address
	switch n := number(err); n {
	case errDuplicate:
		return store.Errorf(store.ErrUnavailable, "store unavailable: table %q at %s has a unique index besides its primary key, which keeps entries out: drop it",
			d.target.Table, at)
	case 1044, 1045, 1095, 1142, 1143, 1227, 1370, 1410:
		return store.Errorf(store.ErrDenied, "permission denied: MySQL at %s: %s", at, d.answer(err))
	case 3, 1021, 1114, 1030 /* of an engine, mostly no space */ :
		return store.Errorf(store.ErrFull, "store full: MySQL at %s: %s", at, d.answer(err))
	case 1118, 1153, 1162, 1301, 1406:
		return store.Errorf(store.ErrTooLarge, "too large for MySQL at %s: %s", at, d.answer(err))
	case 1969, 3024, 1205, 1213, 1020, 3101:
		if ctx.Err() != nil {
			return d.ended(ctx)
		}
		return store.Errorf(store.ErrTimeout, "timeout: MySQL at %s gave up and undid it: %s", at, d.answer(err))
	case 1146, 1054:
		return store.Errorf(store.ErrUnavailable, "store unavailable: table %q at %s is gone or has changed: %s; create it with: %s",
			d.target.Table, at, d.answer(err), d.sql.definition)
	case 1290, 1792, 1836, 1209:
		return store.Errorf(store.ErrUnavailable, "store unavailable: MySQL at %s is read-only: %s", at, d.answer(err))
	case 1665:
		return store.Errorf(store.ErrUnavailable, "store unavailable: MySQL at %s has binlog_format=STATEMENT: use ROW or MIXED", at)
	}
	if number(err) == errUnknown && strings.Contains(err.Error(), "max_allowed_packet") {
		return store.Errorf(store.ErrTooLarge, "too large: more than max_allowed_packet of MySQL at %s, which is less than when the store was opened", at)
	}
	if n := number(err); unavailable[n] || n != errUnknown && slices.Contains(retiring, n) {
		return store.Errorf(store.ErrUnavailable, "store unavailable: MySQL at %s: %s", at, d.answer(err))
	}
	return &plain{"MySQL at " + at + ": " + d.answer(err)}
}

// unavailable are other errors of a server that cannot serve now.
var unavailable = map[uint16]bool{
	1040: true, 1203: true, 1226: true, // no connection left
	1047: true, // a node of a cluster that is not ready
	1317: true, // interrupted, perhaps by an administrator
	1412: true, // the table was altered meanwhile
	1461: true, // too many prepared statements
}

// answer is what the server said: its number and text. The texts of some errors repeat what was sent; those of the others name
// tables, accounts and limits.
func (d *Driver) answer(err error) string {
	var answered *mysql.MySQLError
	if !errors.As(err, &answered) {
		return d.scrub(err.Error())
	}
	if echoes[answered.Number] {
		return fmt.Sprintf("error %d", answered.Number)
	}
	return fmt.Sprintf("%s (error %d)", d.scrub(answered.Message), answered.Number)
}

// echoes are the errors whose texts hold pieces of values or of statements.
var echoes = map[uint16]bool{
	1062: true, 1064: true, 1292: true, 1366: true, 1367: true, 1411: true, 1525: true, 1690: true, 3854: true,
}

// scrub takes the password out of a text.
func (d *Driver) scrub(text string) string {
	if password := d.target.password.Value(); password != "" {
		return strings.ReplaceAll(text, password, "xxxxx")
	}
	return text
}
