package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/luastore/store"
)

// GetMany returns the values of keys, in order, nil for those that do not exist, and for those that failed. All are read from one
// snapshot.
func (d *Driver) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var values [][]byte
	var failed failures
	err := d.read(ctx, func(c *conn, by view) error {
		values, failed = make([][]byte, len(keys)), failures{}
		return c.snapshot(func() error { return d.getMany(ctx, c, by, keys, values, &failed) })
	})
	if err != nil {
		return nil, err
	}
	return values, failed.err()
}

// snapshot calls use in a transaction that reads: it saves each of many statements half its time.
func (c *conn) snapshot(use func() error) error {
	if _, err := c.exec(beginReadQuery); err != nil {
		return err
	}
	defer c.rollback()
	return use()
}

// getMany fills values. Its error is one of all keys.
func (d *Driver) getMany(ctx context.Context, c *conn, by view, keys []string, values [][]byte, failed *failures) error {
	for i, key := range keys {
		if ctx.Err() != nil {
			return d.ended(ctx)
		}
		v, _, err := c.entry(key, by, d.target.MaxValueBytes)
		switch {
		case err == nil:
			values[i] = v
		case errors.Is(err, store.ErrNotFound):
		case errors.Is(err, errUndecided):
			return err
		case codeOf(err) == 0:
			failed.add(key, err)
		default:
			return err
		}
	}
	return nil
}

// SetMany writes entries, all with one ttl, in as many transactions as their length demands.
func (d *Driver) SetMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	var failed failures
	for len(entries) > 0 {
		n, bytes := d.chunk(entries)
		part := entries[:n]
		entries = entries[n:]
		failed.merge(d.writeEach(ctx, bytes+n*rowBytes, n, func(i int) string { return part[i].Key }, func(c *conn, i int, at instant) error {
			if err := d.fits(part[i].Value); err != nil {
				return err
			}
			return c.set(part[i].Key, part[i].Value, ttl, at)
		}))
	}
	return failed.err()
}

// chunk returns how many of entries go into one transaction.
func (d *Driver) chunk(entries []store.Item) (n, bytes int) {
	for n < len(entries) && n < maxGroup && bytes < maxGroupBytes {
		bytes += len(entries[n].Value)
		n++
	}
	return n, bytes
}

// writeEach runs apply for each of n keys in one transaction and returns the failures.
func (d *Driver) writeEach(ctx context.Context, bytes, n int, key func(i int) string, apply func(c *conn, i int, at instant) error) failures {
	var failed failures
	err := d.write(ctx, bytes, func(c *conn, at instant) error {
		failed = failures{}
		for i := range n {
			err := apply(c, i, at)
			if err != nil && !byItself(err) {
				return err
			}
			if err != nil {
				failed.add(key(i), d.explain(err))
			}
		}
		return nil
	})
	if err == nil {
		return failed
	}
	// The transaction may still run, and use the other.
	var all failures
	for i := range n {
		all.add(key(i), err)
	}
	return all
}

// DeleteMany removes keys and returns how many existed, in as many transactions as the length of their values demands.
func (d *Driver) DeleteMany(ctx context.Context, keys []string) (int, error) {
	if err := d.enter(ctx); err != nil {
		return 0, err
	}
	deleted := 0
	var failed failures
	for len(keys) > 0 {
		part := keys[:min(len(keys), maxGroup)]
		done, existed, lost := d.deleteSome(ctx, part)
		keys = keys[done:]
		deleted += existed
		failed.merge(lost)
	}
	return deleted, failed.err()
}

// deleteSome removes the first of keys, at least one, in one transaction. It returns how many it is done with and how many of
// these existed.
func (d *Driver) deleteSome(ctx context.Context, keys []string) (done, existed int, lost failures) {
	r := &removal{}
	err := d.write(ctx, len(keys)*rowBytes, func(c *conn, at instant) error {
		*r = removal{}
		for r.done < len(keys) && r.bytes < maxGroupBytes {
			if err := r.take(c, keys[r.done], at); err != nil && !byItself(err) {
				return err
			} else if err != nil {
				r.failed.add(keys[r.done], d.explain(err))
			}
			r.done++
		}
		return nil
	})
	if err == nil {
		return r.done, r.existed, r.failed
	}
	// The transaction may still run, and use r.
	for _, key := range keys {
		lost.add(key, err)
	}
	return len(keys), 0, lost
}

// A removal is how far a transaction that deletes keys has come.
type removal struct {
	done, existed, bytes int
	failed               failures
}

// take removes one key.
func (r *removal) take(c *conn, key string, at instant) error {
	var row [1]any
	return c.rows(takeQuery, row[:], func() bool {
		length, _ := row[0].(int64)
		r.bytes += int(length)
		r.existed++
		return true
	}, []byte(key), at.micros())
}

// failures collects the keys of a batch that failed.
type failures struct{ errs map[string]error }

func (f *failures) add(key string, err error) {
	if f.errs == nil {
		f.errs = make(map[string]error)
	}
	f.errs[key] = err
}

func (f *failures) merge(other failures) {
	for key, err := range other.errs {
		f.add(key, err)
	}
}

func (f *failures) err() error {
	if f.errs == nil {
		return nil
	}
	return &store.BatchError{Errs: f.errs}
}
