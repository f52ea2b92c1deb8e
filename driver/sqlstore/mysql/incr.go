package mysql

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// crowd is how long counters are taken for contended after two callers met at one.
const crowd = time.Second

// Incr adds delta to the number under key. Alone, it reads and then swaps: two round trips. Where callers meet, it is a
// transaction that holds the row lock: twice as many, but nobody adds in vain.
func (d *Driver) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	if err := d.fits(key, nil); err != nil {
		return 0, err
	}
	if time.Now().UnixNano()-d.metAt.Load() > int64(crowd) {
		if sum, swapped, err := d.addBySwapping(ctx, key, delta, initial, ttl); swapped || err != nil {
			return sum, err
		}
		d.metAt.Store(time.Now().UnixNano())
	}
	var sum float64
	err := d.locked(ctx, func(c *sql.Conn) (err error) {
		var done bool
		if sum, done, err = d.add(ctx, c, key, delta, initial, ttl); done || err != nil {
			return err
		}
		// Another created the row after it was found absent. It is locked now, and will be found.
		if sum, done, err = d.add(ctx, c, key, delta, initial, ttl); !done && err == nil {
			err = d.notWritten(existed, created)
		}
		return err
	})
	return sum, err
}

// addBySwapping reports whether the sum was written: not if another wrote in between.
func (d *Driver) addBySwapping(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (sum float64, swapped bool, err error) {
	old, err := d.Get(ctx, key)
	switch {
	case err == nil:
		ttl = store.KeepTTL
	case !errors.Is(err, store.ErrNotFound):
		return 0, false, err
	}
	sum, next, err := plus(old, delta, initial)
	if err != nil {
		return 0, false, err
	}
	swapped, err = d.CompareAndSwap(ctx, key, old, next, ttl)
	return sum, swapped, err
}

// plus adds to a stored number, nil for none, and returns the sum with its stored form.
func plus(old []byte, delta, initial float64) (float64, []byte, error) {
	base := initial
	if old != nil {
		var ok bool
		if base, ok = value.ParseNumber(old); !ok {
			return 0, nil, store.ErrNotNumber
		}
	}
	sum, exact := value.Add(base, delta)
	if !exact {
		return 0, nil, store.ErrOutOfRange
	}
	return sum, value.AppendNumber(nil, sum), nil
}

// notWritten is the error of a step that was about other rows than it must have been about, in a transaction that is undone.
func (d *Driver) notWritten(rows, want int) error {
	return store.Errorf(store.ErrUnavailable, "store unavailable: MySQL at %s answered that it wrote %d rows, not %d; nothing was changed",
		d.target.Address, rows, want)
}

// add is Incr within a transaction. It reports whether the sum was written: not if there was no row at first, and then one.
func (d *Driver) add(ctx context.Context, c *sql.Conn, key string, delta, initial float64, ttl time.Duration) (sum float64, done bool, err error) {
	var v stored
	var alive bool
	err = c.QueryRowContext(ctx, d.sql.lock, []byte(key)).Scan(&v.length, &v.bytes, &alive)
	absent := errors.Is(err, sql.ErrNoRows)
	if err != nil && !absent {
		return 0, false, err
	}
	var old []byte
	if alive {
		if old, err = v.value(); err != nil {
			return 0, false, err
		}
	}
	sum, next, err := plus(old, delta, initial)
	if err != nil {
		return 0, false, err
	}
	want, n := 1, 0
	switch {
	case absent:
		want = created
		n, err = d.exec(ctx, c, d.sql.create, []byte(key), []byte(key), next, micros(ttl))
	case alive:
		n, err = d.exec(ctx, c, d.sql.update, next, []byte(key))
	default:
		n, err = d.exec(ctx, c, d.sql.replace, next, micros(ttl), []byte(key))
	}
	if err == nil && n != want && !(absent && n == existed) {
		err = d.notWritten(n, want)
	}
	return sum, n == want, err
}
