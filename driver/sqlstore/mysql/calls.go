package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
)

// most is how often a call is tried on one broken connection after the other while nothing was sent.
const most = 3

// on gives do a connection, within ctx: one of a call at a time, of MaxConns in all. database/sql would dial for waiting callers
// in the background, where a server that does not answer blocks all of them.
func (d *Driver) on(ctx context.Context, do func(*sql.Conn) error) error {
	if err := d.enter(ctx); err != nil {
		return &notSent{err}
	}
	defer d.leave()
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return &notSent{err}
	}
	defer conn.Close()
	return do(conn)
}

// enter waits for one of the slots.
func (d *Driver) enter(ctx context.Context) error {
	if d.closing.Err() != nil {
		return errClosed
	}
	if ctx.Err() != nil {
		return d.ended(ctx)
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-d.closing.Done():
		return errClosed
	case <-ctx.Done():
		return d.ended(ctx)
	}
}

func (d *Driver) leave() { <-d.slots }

// read does what changes nothing, once more if the connection breaks under it.
func (d *Driver) read(ctx context.Context, do func(*sql.Conn) error) error {
	err := d.on(ctx, do)
	for range most - 1 {
		if !d.broken(ctx, err) {
			break
		}
		err = d.on(ctx, do)
	}
	return d.readError(ctx, err)
}

// readRow reads one row. A [store.ErrNotFound] says that there is none.
func (d *Driver) readRow(ctx context.Context, query, key string, to ...any) error {
	return d.read(ctx, func(c *sql.Conn) error {
		err := c.QueryRowContext(ctx, query, []byte(key)).Scan(to...)
		if errors.Is(err, sql.ErrNoRows) {
			return store.ErrNotFound
		}
		return err
	})
}

// broken reports whether the connection broke under a statement whose call has time left.
func (d *Driver) broken(ctx context.Context, err error) bool {
	var unreachable *dialError
	switch {
	case err == nil, ctx.Err() != nil, d.closing.Err() != nil, number(err) != 0, errors.As(err, &unreachable):
		return false
	case errors.Is(err, driver.ErrBadConn):
		return true
	}
	return store.Kind(err) == "internal"
}

// write runs a statement that is a transaction of its own, and returns how many rows it was about. It is sent again where the
// server rolled it back or cannot have seen it.
func (d *Driver) write(ctx context.Context, query string, args ...any) (int, error) {
	var rows int
	err := d.again(ctx, func() error {
		return d.on(ctx, func(c *sql.Conn) (err error) {
			rows, err = d.exec(ctx, c, query, args...)
			return err
		})
	})
	return rows, d.writeError(ctx, err)
}

// wrote runs a statement that cannot but write so many rows.
func (d *Driver) wrote(ctx context.Context, want int, query string, args ...any) error {
	n, err := d.write(ctx, query, args...)
	if err == nil && n < want {
		err = d.miscounted(n, want)
	}
	return err
}

// again tries a write until its outcome is known not to be nothing.
func (d *Driver) again(ctx context.Context, try func() error) error {
	unsent := 0
	return table.Retry(ctx, try, func(err error) bool {
		if rolledBack(err) {
			return ctx.Err() == nil
		}
		unsent++
		return unsent < most && provablyUnsent(err) && d.broken(ctx, err)
	})
}

func provablyUnsent(err error) bool {
	var unsent *notSent
	return errors.As(err, &unsent) || errors.Is(err, driver.ErrBadConn)
}

// locked runs steps as one transaction, which it commits if they answer no error. Until then nothing can have been applied: an
// error of a step is a [*notSent].
func (d *Driver) locked(ctx context.Context, steps func(*sql.Conn) error) error {
	err := d.again(ctx, func() error {
		return d.on(ctx, func(c *sql.Conn) error {
			if _, err := d.exec(ctx, c, d.sql.start); err != nil {
				return d.undo(ctx, c, err)
			}
			if err := steps(c); err != nil {
				return d.undo(ctx, c, err)
			}
			if _, err := d.exec(ctx, c, d.sql.commit); err != nil {
				return d.undone(ctx, c, err)
			}
			return nil
		})
	})
	return d.writeError(ctx, err)
}

// exec runs a statement and returns how many rows it was about.
func (d *Driver) exec(ctx context.Context, c *sql.Conn, query string, args ...any) (int, error) {
	result, err := c.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	rows, err := result.RowsAffected()
	return int(rows), err
}

// undo ends a transaction that is not to be committed because of err.
func (d *Driver) undo(ctx context.Context, c *sql.Conn, err error) error {
	return &notSent{d.undone(ctx, c, err)}
}

// undone leaves no transaction open on a connection that others get, and returns err. A connection that cannot say that it is
// clean is not used again; the server rolls back what it finds open on it.
func (d *Driver) undone(ctx context.Context, c *sql.Conn, err error) error {
	if _, err := d.exec(ctx, c, d.sql.rollback); err != nil {
		c.Raw(func(any) error { return driver.ErrBadConn }) // closes it
	}
	return err
}
