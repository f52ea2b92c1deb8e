package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/luastore/store/driver/sqlstore/internal/table"
)

// sweep removes up to [table.SweepRows] rows that have expired, in transactions that are bounded by the length of their values
// too, and returns how many. It takes the lock of writers only where there are some.
func (d *Driver) sweep(ctx context.Context) (int, error) {
	found, err := d.anyExpired(ctx)
	total := 0
	for more := found; more && err == nil; {
		var n int
		n, more, err = d.sweepSome(ctx, table.SweepRows-total)
		total += n
		more = more && n > 0 && total < table.SweepRows
	}
	if err != nil {
		return total, fmt.Errorf("sweep: %w", err)
	}
	return total, nil
}

// sweepSome removes rows, up to most, in one transaction, and returns whether there may be more.
func (d *Driver) sweepSome(ctx context.Context, most int) (removed int, more bool, err error) {
	s := &sweeping{}
	err = d.write(ctx, most*rowBytes, func(c *conn, at instant) error {
		*s = sweeping{}
		return s.step(c, at, most)
	})
	if err != nil {
		return 0, false, err // the transaction may still run, and use s
	}
	return s.removed, s.more, nil
}

// A sweeping is how far a transaction that sweeps has come.
type sweeping struct {
	stale   []any // keys, of whatever type others gave them
	more    bool  // than these
	removed int
}

// step removes the rows that make up maxGroupBytes, at least one.
func (s *sweeping) step(c *conn, at instant, most int) error {
	var row [2]any
	bytes := int64(0)
	err := c.rows(staleQuery, row[:], func() bool {
		length, _ := row[1].(int64)
		s.stale = append(s.stale, row[0])
		bytes += length
		s.more = bytes >= maxGroupBytes
		return !s.more
	}, at.micros(), int64(most))
	if err != nil {
		return err
	}
	for _, key := range s.stale {
		n, err := c.exec(sweepQuery, key, at.micros())
		if err != nil {
			return err
		}
		s.removed += int(n)
	}
	return nil
}

func (d *Driver) anyExpired(ctx context.Context) (found bool, err error) {
	err = d.read(ctx, func(c *conn, by view) error {
		var row [1]any
		err := c.row(expiredQuery, row[:], by.at.micros())
		if errors.Is(err, errNoRow) {
			return nil
		}
		found = err == nil
		return err
	})
	return found, err
}
