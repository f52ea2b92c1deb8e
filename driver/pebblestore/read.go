package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/luastore/store"
)

// keyBuffers are where keys are put together for as long as a read takes.
var keyBuffers = sync.Pool{New: func() any { return new([64]byte) }}

// load returns the entry under key; unless it answers an error, the caller closes what the value is part of.
func (d *Driver) load(key string) (entry, io.Closer, error) {
	buffer := keyBuffers.Get().(*[64]byte)
	stored, closer, err := d.db.Get(appendDataKey(buffer[:0], key))
	keyBuffers.Put(buffer)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return entry{}, nothing{}, nil
	case err != nil:
		return entry{}, nil, d.readError(err)
	}
	e, err := parseEntry(stored)
	if err != nil {
		closer.Close()
		return entry{}, nil, err
	}
	return e, closer, nil
}

// nothing is what an entry that does not exist is part of.
type nothing struct{}

func (nothing) Close() error { return nil }

// look calls see with the live entry under key, whose value is valid until see returns.
func (d *Driver) look(ctx context.Context, key string, see func(e entry, now int64)) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.calls.RUnlock()
	e, closer, err := d.load(key)
	if err != nil {
		return err
	}
	defer closer.Close()
	now := int64(0)
	if e.mayExpire() {
		now = clock()
	}
	if !e.live(now) {
		return store.ErrNotFound
	}
	see(e, now)
	return nil
}

// Get implements [store.Driver].
func (d *Driver) Get(ctx context.Context, key string) (value []byte, err error) {
	err = d.look(ctx, key, func(e entry, _ int64) { value = clone(e.value) })
	return value, err
}

// clone copies a value out of what Pebble will use again. It is never nil.
func clone(value []byte) []byte {
	if len(value) == 0 {
		return []byte{}
	}
	return bytes.Clone(value)
}

// Entry implements [store.Driver].
func (d *Driver) Entry(ctx context.Context, key string) (value []byte, ttl time.Duration, err error) {
	err = d.look(ctx, key, func(e entry, now int64) { value, ttl = clone(e.value), e.left(now) })
	return value, ttl, err
}

// TTL implements [store.Driver].
func (d *Driver) TTL(ctx context.Context, key string) (ttl time.Duration, err error) {
	err = d.look(ctx, key, func(e entry, now int64) { ttl = e.left(now) })
	return ttl, err
}

// Has implements [store.Driver].
func (d *Driver) Has(ctx context.Context, key string) (bool, error) {
	err := d.look(ctx, key, func(entry, int64) {})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
