package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/luastore/store"
)

// mostBatchBytes is how much one GetMany fetches: the largest batch that a store lets a script write, and one value.
const mostBatchBytes = 64 << 20

// GetMany returns the values of keys, in order, nil for those that do not exist, and for those that failed.
func (d *Driver) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	at := make(map[string]int, len(keys))
	for i, key := range keys {
		at[key] = i
	}
	var values [][]byte
	var failed map[string]error
	err := d.read(ctx, func(c *conn) error {
		values, failed = make([][]byte, len(keys)), nil
		left := mostBatchBytes + d.target.MaxValueBytes
		_, err := c.exec(ctx, d.ask.getMany, func(row [][]byte) error {
			i, asked := at[string(row[0])]
			if left -= len(row[1]); left < 0 {
				return errEnough
			}
			if !asked {
				return errUnasked
			}
			v, err := d.payload(row[1])
			if err != nil {
				if failed == nil {
					failed = make(map[string]error)
				}
				failed[keys[i]] = err
			}
			values[i] = v
			return nil
		}, byteaArray(len(keys), func(i int) []byte { return []byte(keys[i]) }))
		return err
	})
	switch {
	case errors.Is(err, errEnough):
		return nil, store.Errorf(store.ErrTooLarge, "the values of the %d keys are more than %d bytes: ask for fewer at once", len(keys), mostBatchBytes)
	case err != nil:
		return nil, d.readError(ctx, err)
	case failed != nil:
		return values, &store.BatchError{Errs: failed}
	}
	return values, nil
}

// SetMany writes entries, all with one ttl, in one statement: all or none. Batches lock rows in the order of keys, so that they
// do not wait for each other in a circle.
func (d *Driver) SetMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	if len(entries) == 0 {
		return nil
	}
	for i := range entries {
		if err := d.checkLength(entries[i].Value); err != nil {
			return err
		}
	}
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b store.Item) int { return strings.Compare(a.Key, b.Key) })
	_, err := d.change(ctx, d.ask.setMany,
		byteaArray(len(sorted), func(i int) []byte { return []byte(sorted[i].Key) }),
		byteaArray(len(sorted), func(i int) []byte { return sorted[i].Value }),
		lifetime(ttl))
	return err
}

// DeleteMany removes keys, in one statement, and returns how many existed.
func (d *Driver) DeleteMany(ctx context.Context, keys []string) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	return d.count(ctx, d.ask.deleteN, byteaArray(len(keys), func(i int) []byte { return []byte(keys[i]) }))
}
