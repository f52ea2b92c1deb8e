package pebblestore

import (
	"context"
	"errors"
	"time"

	"github.com/luastore/store"
)

// maxBatchBytes is about how much a batch writes in one step: more would be in memory several times over.
const maxBatchBytes = 4 << 20

// GetMany implements [store.Batcher].
func (d *Driver) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, d.usable(ctx)
	}
	values := make([][]byte, len(keys))
	var failed failures
	for i, key := range keys {
		v, err := d.Get(ctx, key)
		switch {
		case err == nil:
			values[i] = v
		case errors.Is(err, store.ErrNotFound):
		default:
			failed.add(key, err)
		}
	}
	return values, failed.err()
}

// SetMany implements [store.Batcher]. Large batches are several writes, each of them atomic.
func (d *Driver) SetMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	if len(entries) == 0 {
		return d.usable(ctx)
	}
	var failed failures
	for len(entries) > 0 {
		n := take(entries)
		if err := d.setMany(ctx, entries[:n], ttl); err != nil {
			for i := range n {
				failed.add(entries[i].Key, err)
			}
		}
		entries = entries[n:]
	}
	return failed.err()
}

// usable is the error of a call that has nothing to do.
func (d *Driver) usable(ctx context.Context) error {
	err := d.enter(ctx)
	if err == nil {
		d.calls.RUnlock()
	}
	return err
}

// take returns how many entries make the next write, at least one.
func take(entries []store.Item) int {
	size := 0
	for i := range entries {
		if size += len(entries[i].Key) + len(entries[i].Value); size > maxBatchBytes {
			return max(i, 1)
		}
	}
	return len(entries)
}

func (d *Driver) setMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	keys := make([]string, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	return d.write(ctx, func(c *change) error {
		for i := range entries {
			if err := c.set(entries[i].Key, entries[i].Value, ttl); err != nil {
				return err
			}
		}
		return nil
	}, keys...)
}

// DeleteMany implements [store.Batcher]. It is one write.
func (d *Driver) DeleteMany(ctx context.Context, keys []string) (int, error) {
	if len(keys) == 0 {
		return 0, d.usable(ctx)
	}
	deleted := 0
	if err := d.write(ctx, func(c *change) error {
		for _, key := range keys {
			existed, err := c.delete(key)
			if err != nil {
				return err
			}
			if existed {
				deleted++
			}
		}
		return nil
	}, keys...); err != nil {
		return 0, err
	}
	return deleted, nil
}

// failures collects the keys of a batch that failed.
type failures struct{ errs map[string]error }

func (f *failures) add(key string, err error) {
	if f.errs == nil {
		f.errs = make(map[string]error)
	}
	f.errs[key] = err
}

func (f *failures) err() error {
	if f.errs == nil {
		return nil
	}
	return &store.BatchError{Errs: f.errs}
}
