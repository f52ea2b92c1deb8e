package sqlite

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
	"github.com/luastore/store/value"
)

const (
	// maxPage bounds a page whatever limit is asked for.
	maxPage = 10_000
	// maxExpired is how many expired keys one page passes over.
	maxExpired = 4096
	// checkRows is how many rows are read between two looks at the context.
	checkRows = 256
	// pastAllKeys is greater than every key: no UTF-8 begins with it.
	pastAllKeys = "\xff"
)

// Get returns the value of key.
func (d *Driver) Get(ctx context.Context, key string) (v []byte, err error) {
	v, _, err = d.entry(ctx, key)
	return v, err
}

// Entry returns the value of key and the time it has left.
func (d *Driver) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	return d.entry(ctx, key)
}

func (d *Driver) entry(ctx context.Context, key string) (v []byte, ttl time.Duration, err error) {
	err = d.read(ctx, func(c *conn, by view) error {
		var expires int64
		v, expires, err = c.entry(key, by, d.target.MaxValueBytes)
		ttl = by.at.until(expires)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return v, ttl, nil
}

// TTL returns the time that key has left.
func (d *Driver) TTL(ctx context.Context, key string) (ttl time.Duration, err error) {
	err = d.read(ctx, func(c *conn, by view) error {
		expires, err := c.expires(key, by)
		ttl = by.at.until(expires)
		return err
	})
	return ttl, err
}

// expires returns when key expires (0: never), or store.ErrNotFound.
func (c *conn) expires(key string, by view) (int64, error) {
	var row [1]any
	err := c.row(expiryQuery, row[:], []byte(key), by.sure.micros())
	if errors.Is(err, errNoRow) {
		return 0, store.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	at, err := expiry(row[0])
	if err != nil {
		return 0, err
	}
	return at, by.decide(at)
}

// Has reports whether key exists, whatever its row holds.
func (d *Driver) Has(ctx context.Context, key string) (exists bool, err error) {
	err = d.read(ctx, func(c *conn, by view) error {
		_, err := c.expires(key, by)
		exists = err == nil || errors.Is(err, errNoExpiry)
		if exists || errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	return exists, err
}

// List returns a page of the keys that begin with prefix.
func (d *Driver) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	last, ok, err := table.ParseCursor(prefix, cursor)
	if err != nil {
		return store.Page{}, err
	}
	p := page{ctx: ctx, prefix: prefix, from: prefix, to: table.After(prefix), limit: min(max(limit, 1), maxPage)}
	if ok {
		p.from = last + "\x00"
	}
	if p.to == "" {
		p.to = pastAllKeys
	}
	if err := d.read(ctx, p.fill); err != nil {
		return store.Page{}, err
	}
	if p.ended {
		return store.Page{}, d.ended(ctx)
	}
	return store.Page{Keys: p.keys, Next: p.next}, nil
}

// A page is one page of a listing as it is filled.
type page struct {
	ctx      context.Context
	prefix   string
	from, to string
	limit    int
	keys     []string
	next     string
	ended    bool // ctx has ended
}

// fill reads the rows of the page.
func (p *page) fill(c *conn, by view) error {
	p.keys, p.next = nil, ""
	undecided := false
	most := p.limit + maxExpired
	seen := 0
	var row [2]any
	err := c.rows(listQuery, row[:], func() bool {
		if seen++; seen%checkRows == 0 && p.ctx.Err() != nil {
			p.ended = true
			return false
		}
		key, _ := row[0].([]byte)
		live, _ := row[1].(int64)
		if undecided = live == 2; undecided {
			return false
		}
		if live != 0 {
			if len(p.keys) == p.limit {
				p.next = table.Cursor(p.prefix, p.keys[p.limit-1])
				return false
			}
			p.keys = append(p.keys, string(key))
		}
		if seen == most {
			p.next = table.Cursor(p.prefix, string(key))
			return false
		}
		return true
	}, []byte(p.from), []byte(p.to), by.at.micros(), int64(most), by.sure.micros())
	if err == nil && undecided {
		err = errUndecided
	}
	return err
}

// Set writes value and expiry together.
func (d *Driver) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.fits(v); err != nil {
		return err
	}
	return d.write(ctx, len(v), func(c *conn, at instant) error { return c.set(key, v, ttl, at) })
}

// fits reports a value that is too long.
func (d *Driver) fits(v []byte) error {
	if len(v) > d.target.MaxValueBytes {
		return store.Errorf(store.ErrTooLarge, "value too large: %d bytes, and max_value_bytes of the SQLite database is %d", len(v), d.target.MaxValueBytes)
	}
	return nil
}

func (c *conn) set(key string, v []byte, ttl time.Duration, at instant) (err error) {
	if ttl == store.KeepTTL {
		_, err = c.exec(setKeepQuery, []byte(key), blob(v), at.micros())
	} else {
		_, err = c.exec(setQuery, []byte(key), at.after(ttl), blob(v))
	}
	return err
}

// blob is v, and empty where it is nil, which would be NULL.
func blob(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v
}

// Delete removes key, whatever its row holds.
func (d *Driver) Delete(ctx context.Context, key string) (existed bool, err error) {
	return d.change(ctx, 0, func(c *conn, at instant) (int64, error) { return c.exec(deleteQuery, []byte(key), at.micros()) })
}

// change is write for what tells by the number of rows whether it did something.
func (d *Driver) change(ctx context.Context, bytes int, apply func(c *conn, at instant) (int64, error)) (bool, error) {
	var rows int64
	err := d.write(ctx, bytes, func(c *conn, at instant) (err error) {
		rows, err = apply(c, at)
		return err
	})
	return err == nil && rows > 0, err
}

// Touch sets the expiry of key.
func (d *Driver) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if ttl == store.KeepTTL {
		return d.Has(ctx, key)
	}
	return d.change(ctx, 0, func(c *conn, at instant) (int64, error) {
		return c.exec(touchQuery, []byte(key), at.micros(), at.after(ttl))
	})
}

// CompareAndSwap writes next if the stored bytes equal old.
func (d *Driver) CompareAndSwap(ctx context.Context, key string, old, next []byte, ttl time.Duration) (bool, error) {
	if old == nil && next == nil {
		exists, err := d.Has(ctx, key)
		return err == nil && !exists, err
	}
	if err := d.fits(next); err != nil {
		return false, err
	}
	return d.change(ctx, len(next), func(c *conn, at instant) (int64, error) {
		switch {
		case old == nil:
			return c.exec(createQuery, []byte(key), at.micros(), at.after(ttl), next)
		case next == nil:
			return c.exec(removeQuery, []byte(key), at.micros(), old)
		case ttl == store.KeepTTL:
			return c.exec(swapKeepQuery, []byte(key), at.micros(), old, next)
		}
		return c.exec(swapQuery, []byte(key), at.micros(), old, at.after(ttl), next)
	})
}

// Incr adds delta to the number under key.
func (d *Driver) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	var sum float64
	err := d.write(ctx, 0, func(c *conn, at instant) (err error) {
		sum, err = c.incr(key, delta, initial, ttl, at, d.target.MaxValueBytes)
		return err
	})
	if err != nil {
		return 0, err
	}
	return sum, nil
}

func (c *conn) incr(key string, delta, initial float64, ttl time.Duration, at instant, maxBytes int) (float64, error) {
	present := initial
	stored, _, err := c.entry(key, at.final(), maxBytes)
	exists := err == nil
	switch {
	case exists:
		number, ok := value.ParseNumber(stored)
		if !ok {
			return 0, store.ErrNotNumber
		}
		present = number
	case !errors.Is(err, store.ErrNotFound):
		return 0, err
	}
	sum, ok := value.Add(present, delta)
	if !ok {
		return 0, store.ErrOutOfRange
	}
	next := value.AppendNumber(nil, sum)
	switch {
	case !exists:
		err = c.set(key, next, max(ttl, 0), at)
	case !bytes.Equal(next, stored):
		_, err = c.exec(updateQuery, []byte(key), next)
	}
	return sum, err
}
