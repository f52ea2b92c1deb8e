package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// Incr adds delta to the number under key, in a transaction of two round trips: the server cannot add to the stored form of a
// number. Between them it holds the lock of the row.
func (d *Driver) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	leave, err := d.turns.take(ctx, key)
	if err != nil {
		return 0, d.writeError(ctx, &notSent{err})
	}
	defer leave()
	var sum float64
	for {
		made := false
		err := d.write(ctx, func(c *conn) (err error) {
			sum, made, err = d.addTo(ctx, c, []byte(key), delta, initial, ttl)
			return err
		})
		switch {
		case err != nil:
			return 0, d.writeError(ctx, err)
		case made:
			return sum, nil
		}
		// Another one created the entry just then.
	}
}

// addTo makes one attempt. It is not made where another one created the entry meanwhile. What goes wrong before the last round
// trip leaves nothing changed: the server rolls back when the connection ends.
func (d *Driver) addTo(ctx context.Context, c *conn, key []byte, delta, initial float64, ttl time.Duration) (sum float64, made bool, err error) {
	base, exists, err := d.lockNumber(ctx, c, key, initial)
	if err == nil {
		var exact bool
		if sum, exact = value.Add(base, delta); !exact {
			err = store.ErrOutOfRange
		}
	}
	if err != nil {
		d.rollBack(ctx, c)
		return 0, false, err
	}
	v := value.AppendNumber(nil, sum)
	write := request{d.ask.add, [][]byte{key, v, lifetime(ttl)}}
	if exists {
		write = request{d.ask.bump, [][]byte{key, v}}
	}
	results, err := c.execAll(ctx, write, request{d.ask.commit, nil})
	if err != nil {
		d.rollBack(ctx, c)
		return 0, false, err
	}
	return sum, results[0].CommandTag.RowsAffected() > 0, nil
}

// lockNumber begins a transaction, locks the entry and returns its number: initial where there is none.
func (d *Driver) lockNumber(ctx context.Context, c *conn, key []byte, initial float64) (base float64, exists bool, err error) {
	results, err := c.execAll(ctx, request{d.ask.begin, nil}, request{d.ask.lock, [][]byte{key}})
	if err != nil {
		return 0, false, uncommitted(err)
	}
	rows := results[1].Rows
	if len(rows) == 0 || len(rows[0]) != 2 || !isTrue(rows[0][1]) {
		return initial, false, nil
	}
	base, ok := value.ParseNumber(rows[0][0])
	if !ok {
		return 0, false, store.ErrNotNumber
	}
	return base, true, nil
}

// uncommitted takes the doubt from the error of a transaction that was not told to commit.
func uncommitted(err error) error {
	var doubt *doubtful
	if errors.As(err, &doubt) {
		return &undone{doubt.err}
	}
	return err
}

// rollBack ends a transaction. Where that fails the connection is not used again, which ends it too.
func (d *Driver) rollBack(ctx context.Context, c *conn) {
	if c.pg.IsClosed() || c.reusable() {
		return
	}
	c.exec(ctx, d.ask.rollback, nil)
}
