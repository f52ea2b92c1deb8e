package postgres

import (
	"context"
	"time"

	"github.com/luastore/store"
)

// Set writes value and expiry together.
func (d *Driver) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.checkLength(v); err != nil {
		return err
	}
	var err error
	if ttl == store.KeepTTL {
		_, err = d.change(ctx, d.ask.setKeep, []byte(key), filled(v))
	} else {
		_, err = d.change(ctx, d.ask.set, []byte(key), filled(v), lifetime(ttl))
	}
	return err
}

// checkLength refuses what nobody could read.
func (d *Driver) checkLength(v []byte) error {
	if most := d.target.MaxValueBytes; len(v) > most {
		return store.Errorf(store.ErrTooLarge, "value of %d bytes is too large: max_value_bytes is %d", len(v), most)
	}
	return nil
}

// filled is v, or an empty value where it is nil: nil would be NULL.
func filled(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v
}

// change makes one statement and returns how many rows it changed.
func (d *Driver) change(ctx context.Context, s *statement, args ...[]byte) (n int, err error) {
	err = d.write(ctx, func(c *conn) (err error) {
		n, err = c.exec(ctx, s, nil, args...)
		return err
	})
	if err != nil {
		return 0, d.writeError(ctx, err)
	}
	return n, nil
}

// count makes one statement and returns how many of the rows it returns are true.
func (d *Driver) count(ctx context.Context, s *statement, args ...[]byte) (n int, err error) {
	err = d.write(ctx, func(c *conn) error {
		n = 0
		_, err := c.exec(ctx, s, func(row [][]byte) error {
			if isTrue(row[0]) {
				n++
			}
			return nil
		}, args...)
		return err
	})
	if err != nil {
		return 0, d.writeError(ctx, err)
	}
	return n, nil
}

// isTrue reads a boolean in the binary format.
func isTrue(column []byte) bool { return len(column) == 1 && column[0] == 1 }

// Delete removes key.
func (d *Driver) Delete(ctx context.Context, key string) (bool, error) {
	return d.remove(ctx, d.ask.delete, []byte(key))
}

// remove makes a statement that removes one row, until it has seen what became of the row.
func (d *Driver) remove(ctx context.Context, s *statement, args ...[]byte) (bool, error) {
	for {
		existed, vanished := false, false
		err := d.write(ctx, func(c *conn) error {
			existed, vanished = false, false
			_, err := c.exec(ctx, s, func(row [][]byte) error {
				existed, vanished = isTrue(row[0]), row[0] == nil
				return nil
			}, args...)
			return err
		})
		switch {
		case err != nil:
			return false, d.writeError(ctx, err)
		case !vanished:
			return existed, nil
		}
	}
}

// Touch sets the expiry of key.
func (d *Driver) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if ttl == store.KeepTTL {
		return d.Has(ctx, key)
	}
	n, err := d.count(ctx, d.ask.touch, []byte(key), lifetime(ttl))
	return n > 0, err
}

// CompareAndSwap writes next if the stored bytes equal old.
func (d *Driver) CompareAndSwap(ctx context.Context, key string, old, next []byte, ttl time.Duration) (bool, error) {
	if err := d.checkLength(next); err != nil {
		return false, err
	}
	var n int
	var err error
	switch {
	case old == nil && next == nil:
		exists, err := d.Has(ctx, key)
		return !exists && err == nil, err
	case old == nil:
		n, err = d.change(ctx, d.ask.add, []byte(key), next, lifetime(ttl))
	case next == nil:
		return d.remove(ctx, d.ask.drop, []byte(key), old)
	default:
		n, err = d.count(ctx, d.ask.swap, []byte(key), old, next, lifetimeOrKeep(ttl))
	}
	return n > 0, err
}
