package mysql

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/luastore/store"
)

// Batches are one statement each, with their keys in order so that two of them wait for each other's locks and do not deadlock.
// Only what exceeds a packet of the server is split.

const (
	// rowOverhead is what a key adds to the text of a statement at most, besides its bytes: quotes, commas, the expiry.
	rowOverhead = 80
	// digits is how many a byte has in the text of a statement.
	digits = 2
	// maxRows is how many keys a statement may have.
	maxRows = 1000
)

// parts splits n keys, each of so many bytes, among statements that fit into a packet. One alone may not.
func (d *Driver) parts(n int, size func(int) int) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for from := 0; from < n; {
			to, left := from, d.packet-packetReserve
			for ; to < n && to-from < maxRows; to++ {
				if left -= digits*size(to) + rowOverhead; left < 0 && to > from {
					break
				}
			}
			if !yield(from, to) {
				return
			}
			from = to
		}
	}
}

// keyParts splits sorted keys.
func (d *Driver) keyParts(keys []string) iter.Seq2[int, int] {
	return d.parts(len(keys), func(i int) int { return len(keys[i]) })
}

// placeholders returns n placeholders of a list that is already open.
func placeholders(n int) string { return "?" + strings.Repeat(",?", n-1) }

func asArgs(keys []string) []any {
	args := make([]any, len(keys))
	for i, k := range keys {
		args[i] = []byte(k)
	}
	return args
}

// GetMany returns the values of keys, in order, nil for those that do not exist, and for those that failed.
func (d *Driver) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	found := make(map[string]stored, len(keys))
	for from, to := range d.keyParts(keys) {
		if err := d.getPart(ctx, keys[from:to], found); err != nil {
			return nil, err
		}
	}
	values := make([][]byte, len(keys))
	var failed failures
	for i, key := range keys {
		v, ok := found[key]
		if !ok {
			continue
		}
		bytes, err := v.value()
		if err != nil {
			failed.add(err, key)
		}
		values[i] = bytes
	}
	return values, failed.err()
}

// getPart adds the entries of keys to found.
func (d *Driver) getPart(ctx context.Context, keys []string, found map[string]stored) error {
	return d.read(ctx, func(c *sql.Conn) error {
		rows, err := c.QueryContext(ctx, d.sql.getMany+placeholders(len(keys))+")", asArgs(keys)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var key string
			var v stored
			if err := rows.Scan(&key, &v.length, &v.bytes); err != nil {
				return err
			}
			found[key] = v
		}
		return rows.Err()
	})
}

// SetMany writes entries, all with one ttl.
func (d *Driver) SetMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	var failed failures
	fit := make([]store.Item, 0, len(entries))
	for _, e := range entries {
		if err := d.fits(e.Key, e.Value); err != nil {
			failed.add(err, e.Key)
			continue
		}
		fit = append(fit, e)
	}
	slices.SortFunc(fit, func(a, b store.Item) int { return strings.Compare(a.Key, b.Key) })
	for from, to := range d.parts(len(fit), func(i int) int { return 2*len(fit[i].Key) + len(fit[i].Value) }) {
		if err := d.setPart(ctx, fit[from:to], ttl); err != nil {
			failed.add(err, keysOf(fit[from:to])...)
		}
	}
	return failed.of(len(entries))
}

func keysOf(entries []store.Item) []string {
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	return keys
}

// setPart writes entries with one statement. A value that is too long for the text of one is sent by itself.
func (d *Driver) setPart(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	n := len(entries)
	switch {
	case n == 1:
		return d.Set(ctx, entries[0].Key, entries[0].Value, ttl)
	case ttl == 0:
		return d.wrote(ctx, n, d.sql.setMany+rows("(?, ?, NULL)", n)+d.sql.setManyForeverEnd, appendRows(nil, entries)...)
	}
	// All keys are taken before the first expiry is counted from then: a wait for any of them makes none shorter.
	args := make([]any, 0, 3*n+1)
	for _, e := range entries {
		args = append(args, []byte(e.Key))
	}
	args = append(appendRows(args, entries), micros(ttl))
	return d.wrote(ctx, 2*n, d.sql.setMany+rows("(?, '', "+never+")", n)+", "+rows("(?, ?, 0)", n)+d.sql.setManyEnd, args...)
}

// rows returns a list of n rows.
func rows(row string, n int) string { return row + strings.Repeat(", "+row, n-1) }

func appendRows(args []any, entries []store.Item) []any {
	for _, e := range entries {
		args = append(args, []byte(e.Key), notNil(e.Value))
	}
	return args
}

// DeleteMany removes keys and returns how many existed.
func (d *Driver) DeleteMany(ctx context.Context, keys []string) (int, error) {
	sorted := slices.Sorted(slices.Values(keys))
	deleted := 0
	var failed failures
	for from, to := range d.keyParts(sorted) {
		n, err := d.deletePart(ctx, d.sql.deleteMany, d.sql.deleteManyEnd, sorted[from:to])
		if err != nil {
			failed.add(err, sorted[from:to]...)
		}
		deleted += n
	}
	return deleted, failed.of(len(keys))
}

func (d *Driver) deletePart(ctx context.Context, begin, end string, keys []string) (int, error) {
	return d.write(ctx, begin+placeholders(len(keys))+end, asArgs(keys)...)
}

// sweep removes some rows that have expired and returns how many it found. It locks them by their keys, in order, as writers do:
// through the index of expiries it would deadlock with them.
func (d *Driver) sweep(ctx context.Context) (int, error) {
	var keys []string
	err := d.read(ctx, func(c *sql.Conn) (err error) {
		keys, err = d.expired(ctx, c)
		return err
	})
	slices.Sort(keys)
	for from, to := range d.keyParts(keys) {
		if _, err := d.deletePart(ctx, d.sql.reclaim, d.sql.reclaimEnd, keys[from:to]); err != nil {
			return 0, err
		}
	}
	return len(keys), err
}

func (d *Driver) expired(ctx context.Context, c *sql.Conn) ([]string, error) {
	rows, err := c.QueryContext(ctx, d.sql.expired)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []string
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// failures collects the keys of a batch that failed.
type failures struct{ errs map[string]error }

func (f *failures) add(err error, keys ...string) {
	if f.errs == nil {
		f.errs = make(map[string]error)
	}
	for _, key := range keys {
		f.errs[key] = err
	}
}

func (f *failures) err() error {
	if f.errs == nil {
		return nil
	}
	return &store.BatchError{Errs: f.errs}
}

// of returns the failures of a batch of n keys: without their names where it is sure that nothing at all was done, and why.
func (f *failures) of(n int) error {
	err := f.err()
	if len(f.errs) < n || err == nil || errors.Is(err, store.ErrUnknownOutcome) {
		return err
	}
	first := errors.Unwrap(err)
	for _, err := range f.errs {
		if !errors.Is(first, err) {
			return f.err()
		}
	}
	return first
}
