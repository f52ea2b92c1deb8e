package postgres

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// burial is how long a broken connection may take to tell the server that nobody waits for the statement any more.
const burial = time.Second

// binary1 is the format of all parameters and results.
var binary1 = []int16{1}

// A conn is one connection to the server, used by one call at a time.
type conn struct {
	pg         *pgconn.PgConn
	wire       net.Conn // without TLS
	peek       func() bool
	unprepared bool
	prepared   map[*statement]*pgconn.StatementDescription
	usedAt     time.Time
	spoiled    bool // what it has prepared is of no use
}

func newConn(pg *pgconn.PgConn, wire net.Conn, unprepared bool) *conn {
	return &conn{
		pg: pg, wire: wire, peek: peeker(wire), unprepared: unprepared,
		prepared: make(map[*statement]*pgconn.StatementDescription), usedAt: time.Now(),
	}
}

// alive reports whether nothing came on an idle connection: what comes unasked is the end of it, or the reason.
func (c *conn) alive() bool { return !c.pg.IsClosed() && !c.peek() }

// reusable reports whether the connection is open, as it was, and in no transaction.
func (c *conn) reusable() bool { return !c.spoiled && !c.pg.IsClosed() && c.pg.TxStatus() == 'I' }

// leave says goodbye, without waiting for anything, on a connection that is idle.
func (c *conn) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	c.pg.Close(ctx)
}

// close closes the connection, whatever its state, and returns when nothing of it is left, within a second or so.
func (c *conn) close() {
	ctx, cancel := context.WithTimeout(context.Background(), burial)
	defer cancel()
	cut := time.AfterFunc(burial, func() { c.wire.Close() })
	defer cut.Stop()
	c.pg.Close(ctx)
	<-c.pg.CleanupDone()
}

// A doubtful error is one after which what was sent may have been applied.
type doubtful struct{ err error }

func (e *doubtful) Error() string { return e.err.Error() }
func (e *doubtful) Unwrap() error { return e.err }

// exec runs one statement and calls each, if it is not nil, with every row, which is gone after that. It returns how many rows
// the statement returned or changed. An error is a notSent, a *pgconn.PgError after which nothing was changed, a doubtful one, or
// that of each.
func (c *conn) exec(ctx context.Context, s *statement, each func(row [][]byte) error, args ...[]byte) (int, error) {
	rows, err := c.send(ctx, s, args)
	if err != nil {
		return 0, &notSent{err}
	}
	var stopped error
	for rows.NextRow() {
		if each == nil || stopped != nil {
			continue
		}
		if stopped = each(rows.Values()); errors.Is(stopped, errEnough) {
			c.wire.Close() // the rest may be long
		}
	}
	tag, err := rows.Close()
	switch {
	case stopped != nil:
		return 0, stopped
	case err == nil:
		return int(tag.RowsAffected()), nil
	}
	// An answer that was complete before the error came belongs to a statement whose commit went wrong, perhaps too late.
	tag, _ = rows.Close()
	return 0, classify(err, tag.String() != "")
}

// classify tells what an error means for what was sent. Completed says that the server had done it, but for the commit.
func classify(err error, completed bool) error {
	var reply *pgconn.PgError
	switch {
	case errors.As(err, &reply):
		if fatal(reply) && (completed || lostBehind(reply)) {
			return &doubtful{errors.New(reply.Message)}
		}
		return reply
	case pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed):
		return &notSent{err}
	}
	// The client also says that it was closed, and safe to retry, of a connection that broke while it read the first reply.
	return &doubtful{err}
}

// fatal reports whether an error of the server ended the connection, and not just the statement. A pooler tells the severity in
// one way only.
func fatal(reply *pgconn.PgError) bool {
	severity := cmp.Or(reply.SeverityUnlocalized, reply.Severity)
	return severity == "FATAL" || severity == "PANIC"
}

// lostBehind reports whether a pooler says, as PgBouncer does with 08P01, that it lost the server: the statement may have got there.
func lostBehind(reply *pgconn.PgError) bool { return strings.HasPrefix(reply.Code, "08") }

// send sends a statement. An error says that it did not.
func (c *conn) send(ctx context.Context, s *statement, args [][]byte) (*pgconn.ResultReader, error) {
	if c.unprepared {
		return c.pg.ExecParams(ctx, s.sql, args, s.types, binary1, binary1), nil
	}
	prepared, err := c.prepare(ctx, s)
	if err != nil {
		return nil, err
	}
	return c.pg.ExecStatement(ctx, prepared, args, binary1, binary1), nil
}

func (c *conn) prepare(ctx context.Context, s *statement) (*pgconn.StatementDescription, error) {
	if prepared := c.prepared[s]; prepared != nil {
		return prepared, nil
	}
	prepared, err := c.pg.Prepare(ctx, s.name, s.sql, s.types)
	if err != nil {
		return nil, err
	}
	c.prepared[s] = prepared
	return prepared, nil
}

// A request is a statement with its arguments.
type request struct {
	statement *statement
	args      [][]byte
}

// execAll runs statements in one round trip. Errors are as those of exec, but that nothing is known of a fatal one.
func (c *conn) execAll(ctx context.Context, requests ...request) ([]*pgconn.Result, error) {
	batch := &pgconn.Batch{}
	for _, r := range requests {
		if c.unprepared {
			batch.ExecParams(r.statement.sql, r.args, r.statement.types, binary1, binary1)
			continue
		}
		prepared, err := c.prepare(ctx, r.statement)
		if err != nil {
			return nil, &notSent{err}
		}
		batch.ExecStatement(prepared, r.args, binary1, binary1)
	}
	results, err := c.pg.ExecBatch(ctx, batch).ReadAll()
	if err == nil && len(results) != len(requests) {
		err = errUnasked
	}
	if err != nil {
		return nil, classify(err, true)
	}
	return results, nil
}
