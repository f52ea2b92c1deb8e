package mysql

import (
	"context"
	"errors"
	"time"

	"github.com/luastore/store"
)

// A stored is a value as a statement returns it: without its bytes where there are too many.
type stored struct {
	length int64
	bytes  []byte
}

// value returns the bytes, never nil.
func (v *stored) value() ([]byte, error) {
	switch {
	case v.bytes != nil:
		return v.bytes, nil
	case v.length == 0:
		return []byte{}, nil
	}
	return nil, store.Errorf(store.ErrCorrupt, "corrupt value: %d bytes are stored, more than max_value_bytes allows; they were not fetched", v.length)
}

// Get returns the value of key.
func (d *Driver) Get(ctx context.Context, key string) ([]byte, error) {
	var v stored
	if err := d.readRow(ctx, d.sql.get, key, &v.length, &v.bytes); err != nil {
		return nil, err
	}
	return v.value()
}

// Entry returns the value of key and the time it has left.
func (d *Driver) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	var v stored
	var left *int64
	if err := d.readRow(ctx, d.sql.entry, key, &v.length, &v.bytes, &left); err != nil {
		return nil, 0, err
	}
	bytes, err := v.value()
	if err != nil {
		return nil, 0, err
	}
	return bytes, timeLeft(left), nil
}

// TTL returns the time that key has left.
func (d *Driver) TTL(ctx context.Context, key string) (time.Duration, error) {
	var left *int64
	if err := d.readRow(ctx, d.sql.ttl, key, &left); err != nil {
		return 0, err
	}
	return timeLeft(left), nil
}

// Has reports whether key exists.
func (d *Driver) Has(ctx context.Context, key string) (bool, error) {
	var one int
	err := d.readRow(ctx, d.sql.has, key, &one)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Set writes value and expiry together.
func (d *Driver) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	err := d.fits(key, v)
	switch {
	case err != nil:
	case ttl == store.KeepTTL:
		err = d.wrote(ctx, 1, d.sql.setKeep, []byte(key), notNil(v))
	case ttl == 0:
		err = d.wrote(ctx, 1, d.sql.setForever, []byte(key), notNil(v))
	default:
		err = d.wrote(ctx, 2, d.sql.set, []byte(key), []byte(key), notNil(v), micros(ttl))
	}
	return err
}

// notNil returns v as bytes: nil would be NULL.
func notNil(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v
}

// fits reports what the server could not store.
func (d *Driver) fits(key string, v []byte) error {
	switch {
	case len(key) > maxKeyBytes:
		return store.Errorf(store.ErrTooLarge, "key too large: %d bytes with its prefix, limit %d", len(key), maxKeyBytes)
	case len(v) > d.info.MaxValueBytes:
		return store.Errorf(store.ErrTooLarge, "value too large: %d bytes, limit %d", len(v), d.info.MaxValueBytes)
	}
	return nil
}

// Delete removes key. A row that has expired is left to the sweeper: no key existed.
func (d *Driver) Delete(ctx context.Context, key string) (bool, error) {
	n, err := d.write(ctx, d.sql.delete, []byte(key))
	return n > 0, err
}

// Touch sets the expiry of key.
func (d *Driver) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if ttl == store.KeepTTL {
		return d.Has(ctx, key)
	}
	n, err := d.write(ctx, d.sql.touch, micros(ttl), []byte(key))
	return n > 0, err
}

// CompareAndSwap writes next if the stored bytes equal old. Each way is one statement that takes the row lock, compares, and
// writes; sessions are told how many rows it found, whether it changed them or not, so that its answer has one meaning.
func (d *Driver) CompareAndSwap(ctx context.Context, key string, old, next []byte, ttl time.Duration) (bool, error) {
	if err := d.fits(key, next); err != nil {
		return false, err
	}
	var n int
	var err error
	switch {
	case old == nil && next == nil:
		exists, err := d.Has(ctx, key)
		return !exists && err == nil, err
	case old == nil:
		return d.create(ctx, key, next, ttl)
	case len(old) > d.info.MaxValueBytes: // nobody can have read it
		_, err := d.Has(ctx, key)
		return false, err
	case next == nil:
		n, err = d.write(ctx, d.sql.swapDelete, []byte(key), old)
	case ttl == store.KeepTTL:
		n, err = d.write(ctx, d.sql.swapKeep, next, []byte(key), old)
	default:
		n, err = d.write(ctx, d.sql.swap, next, micros(ttl), []byte(key), old)
	}
	return n > 0, err
}

// create writes an entry that does not exist.
func (d *Driver) create(ctx context.Context, key string, v []byte, ttl time.Duration) (bool, error) {
	n, err := d.write(ctx, d.sql.create, []byte(key), []byte(key), v, micros(ttl))
	if err == nil && n != created && n != existed {
		err = d.miscounted(n, created)
	}
	return n == created && err == nil, err
}

// What a server counts for a statement that creates an entry, which writes two rows under one key: one that is inserted or found
// counts once, one that is changed twice.
const (
	existed = 2
	created = 3
)
