package memstore

import (
	"context"
	"time"

	"github.com/luastore/store"
)

// GetMany implements [store.Batcher].
func (d *Driver) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		h := d.hash(key)
		s := d.shardOf(h)
		s.mu.RLock()
		it, ok := s.read(h, key)
		s.mu.RUnlock()
		if ok {
			values[i] = it.value()
		}
	}
	if d.closed.Load() {
		return nil, store.ErrUnavailable // what looks absent may have been closed
	}
	return values, nil
}

// SetMany implements [store.Batcher].
func (d *Driver) SetMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	var failed batch
	for _, e := range entries {
		err := checkSize(e.Value)
		if err == nil {
			err = d.set(e.Key, e.Value, ttl)
		}
		failed.add(e.Key, err)
	}
	return failed.err()
}

// DeleteMany implements [store.Batcher].
func (d *Driver) DeleteMany(ctx context.Context, keys []string) (deleted int, err error) {
	if err := d.enter(ctx); err != nil {
		return 0, err
	}
	var failed batch
	for _, key := range keys {
		existed, err := d.delete(key)
		failed.add(key, err)
		if existed {
			deleted++
		}
	}
	return deleted, failed.err()
}

// A batch collects the keys of a batch that failed.
type batch map[string]error

func (b *batch) add(key string, err error) {
	if err == nil {
		return
	}
	if *b == nil {
		*b = make(batch)
	}
	(*b)[key] = err
}

func (b batch) err() error {
	if len(b) == 0 {
		return nil
	}
	return &store.BatchError{Errs: b}
}
