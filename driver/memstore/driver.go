package memstore

import (
	"bytes"
	"context"
	"errors"
	"math"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// Get implements [store.Driver].
func (d *Driver) Get(ctx context.Context, key string) ([]byte, error) {
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	h := d.hash(key)
	s := d.shardOf(h)
	s.mu.RLock()
	it := s.items[h]
	if it.track != 0 || s.others != nil {
		it, _ = s.read(h, key)
	}
	s.mu.RUnlock()
	if it.data == nil || it.key != key { // comparing keys, which may have to come from far memory, needs no lock
		return nil, d.miss()
	}
	return it.value(), nil
}

// Entry implements [store.Driver].
func (d *Driver) Entry(ctx context.Context, key string) (value []byte, ttl time.Duration, err error) {
	if err := d.enter(ctx); err != nil {
		return nil, 0, err
	}
	h := d.hash(key)
	s := d.shardOf(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, ok := s.read(h, key)
	if !ok {
		return nil, 0, d.miss()
	}
	return it.value(), s.left(it), nil
}

// TTL implements [store.Driver].
func (d *Driver) TTL(ctx context.Context, key string) (time.Duration, error) {
	if err := d.enter(ctx); err != nil {
		return 0, err
	}
	h := d.hash(key)
	s := d.shardOf(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, ok := s.live(h, key)
	if !ok {
		return 0, d.miss()
	}
	return s.left(it), nil
}

// Has implements [store.Driver].
func (d *Driver) Has(ctx context.Context, key string) (bool, error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	h := d.hash(key)
	s := d.shardOf(h)
	s.mu.RLock()
	it := s.items[h]
	if it.track != 0 || s.others != nil {
		it, _ = s.live(h, key)
	}
	s.mu.RUnlock()
	found := it.data != nil && it.key == key // as in Get
	if !found && d.closed.Load() {
		return false, store.ErrUnavailable
	}
	return found, nil
}

// Set implements [store.Driver].
func (d *Driver) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	if err := checkSize(value); err != nil {
		return err
	}
	return d.set(key, value, ttl)
}

func (d *Driver) set(key string, value []byte, ttl time.Duration) error {
	h := d.hash(key)
	if ttl == 0 && d.room == nil && d.shardOf(h).overwrite(h, key, value) {
		return nil
	}
	return d.write(h, func(s *shard) error {
		deadline := s.until(ttl)
		if deadline == int64(store.KeepTTL) {
			it, _ := s.live(h, key)
			deadline = s.deadline(it)
		}
		return s.put(h, key, value, deadline)
	})
}

// Delete implements [store.Driver].
func (d *Driver) Delete(ctx context.Context, key string) (existed bool, err error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	return d.delete(key)
}

func (d *Driver) delete(key string) (existed bool, err error) {
	h := d.hash(key)
	err = d.write(h, func(s *shard) error {
		var it item
		if it, existed = s.live(h, key); existed {
			s.drop(h, it)
		}
		return nil
	})
	return existed, err
}

// Touch implements [store.Driver].
func (d *Driver) Touch(ctx context.Context, key string, ttl time.Duration) (existed bool, err error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	h := d.hash(key)
	err = d.write(h, func(s *shard) error {
		deadline := s.until(ttl)
		var it item
		if it, existed = s.live(h, key); existed && deadline != int64(store.KeepTTL) {
			s.update(h, s.expire(h, it, deadline))
		}
		return nil
	})
	return existed, err
}

// CompareAndSwap implements [store.Driver].
func (d *Driver) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (swapped bool, err error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	if err := checkSize(new); err != nil {
		return false, err
	}
	h := d.hash(key)
	err = d.write(h, func(s *shard) (err error) {
		swapped, err = s.swap(h, key, old, new, ttl)
		return err
	})
	return swapped && err == nil, err
}

func (s *shard) swap(h uint64, key string, old, new []byte, ttl time.Duration) (bool, error) {
	deadline := s.until(ttl)
	it, exists := s.live(h, key)
	if exists != (old != nil) || exists && !bytes.Equal(it.value(), old) {
		return false, nil
	}
	if new == nil {
		if exists {
			s.drop(h, it)
		}
		return true, nil
	}
	if deadline == int64(store.KeepTTL) {
		deadline = s.deadline(it)
	}
	return true, s.put(h, key, new, deadline)
}

// Incr implements [store.Counter].
func (d *Driver) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (sum float64, err error) {
	if err := d.enter(ctx); err != nil {
		return 0, err
	}
	h := d.hash(key)
	err = d.write(h, func(s *shard) (err error) {
		sum, err = s.incr(h, key, delta, initial, ttl)
		return err
	})
	if err != nil {
		return 0, err
	}
	return sum, nil
}

func (s *shard) incr(h uint64, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	deadline := max(s.until(ttl), 0) // there is nothing to keep when it creates the entry
	base := initial
	if it, exists := s.live(h, key); exists {
		n, ok := value.ParseNumber(it.value())
		if !ok {
			return 0, store.ErrNotNumber
		}
		base, deadline = n, s.deadline(it)
	}
	sum, ok := value.Add(base, delta)
	if !ok {
		return 0, store.ErrOutOfRange
	}
	return sum, s.put(h, key, value.AppendNumber(nil, sum), deadline)
}

// write runs try under the lock of the shard of h, again after making room each time it finds none.
func (d *Driver) write(h uint64, try func(*shard) error) error {
	for {
		err := d.shardOf(h).write(try)
		if err == nil {
			return nil
		}
		full, ok := errors.AsType[*fullError](err)
		if !ok || full.hopeless || !d.makeRoom(h) {
			return err
		}
	}
}

func (s *shard) write(try func(*shard) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items == nil {
		return store.ErrUnavailable
	}
	return try(s)
}

// checkSize refuses a value whose length an item cannot hold.
func checkSize(value []byte) error {
	if len(value) > math.MaxInt32 {
		return store.Errorf(store.ErrTooLarge, "value too large: %d bytes, the limit is %d", len(value), math.MaxInt32)
	}
	return nil
}
