package pebblestore

import (
	"bytes"
	"context"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// until returns the expiry that ttl gives to an entry in place of old.
func (c *change) until(ttl time.Duration, old entry) int64 {
	switch {
	case ttl == store.KeepTTL && old.live(c.now):
		return old.expires
	case ttl <= 0:
		return 0
	}
	return expiry(c.now, ttl)
}

// Set implements [store.Driver].
func (d *Driver) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return d.write(ctx, func(c *change) error { return c.set(key, value, ttl) }, key)
}

// set reads what it replaces only where that can have an expiry.
func (c *change) set(key string, value []byte, ttl time.Duration) error {
	if err := checkSize(value); err != nil {
		return err
	}
	var old entry
	if c.d.expiring.Load() {
		var err error
		if old, err = c.findOld(key); err != nil {
			return err
		}
	}
	c.put(key, value, c.until(ttl, old), old)
	return nil
}

// Delete implements [store.Driver].
func (d *Driver) Delete(ctx context.Context, key string) (bool, error) {
	var existed bool
	if err := d.write(ctx, func(c *change) (err error) {
		existed, err = c.delete(key)
		return err
	}, key); err != nil {
		return false, err
	}
	return existed, nil
}

// delete also removes an entry that has expired: it must not be seen again, whatever the clock does.
func (c *change) delete(key string) (existed bool, err error) {
	old, err := c.findOld(key)
	if err != nil {
		return false, err
	}
	if old.exists {
		c.drop(key, old)
	}
	return old.live(c.now), nil
}

// Touch implements [store.Driver].
func (d *Driver) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	var existed bool
	if err := d.write(ctx, func(c *change) error {
		old, closer, err := c.find(key)
		if err != nil {
			return err
		}
		defer closer.Close()
		if existed = old.live(c.now); existed && ttl != store.KeepTTL {
			c.put(key, old.value, c.until(ttl, old), old)
		}
		return nil
	}, key); err != nil {
		return false, err
	}
	return existed, nil
}

// CompareAndSwap implements [store.Driver].
func (d *Driver) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := checkSize(new); err != nil {
		return false, err
	}
	var swapped bool
	if err := d.write(ctx, func(c *change) error {
		found, closer, err := c.find(key)
		if err != nil {
			return err
		}
		defer closer.Close()
		live := found.live(c.now)
		if swapped = live == (old != nil) && (!live || bytes.Equal(found.value, old)); !swapped {
			return nil
		}
		switch {
		case new != nil:
			c.put(key, new, c.until(ttl, found), found)
		case live:
			c.drop(key, found)
		}
		return nil
	}, key); err != nil {
		return false, err
	}
	return swapped, nil
}

// Incr implements [store.Counter].
func (d *Driver) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	var sum float64
	if err := d.write(ctx, func(c *change) (err error) {
		sum, err = c.incr(key, delta, initial, ttl)
		return err
	}, key); err != nil {
		return 0, err
	}
	return sum, nil
}

func (c *change) incr(key string, delta, initial float64, ttl time.Duration) (float64, error) {
	old, closer, err := c.find(key)
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	base := initial
	if old.live(c.now) {
		n, ok := value.ParseNumber(old.value)
		if !ok {
			return 0, store.ErrNotNumber
		}
		base, ttl = n, store.KeepTTL
	}
	sum, ok := value.Add(base, delta)
	if !ok {
		return 0, store.ErrOutOfRange
	}
	c.put(key, value.AppendNumber(nil, sum), c.until(ttl, old), old)
	return sum, nil
}
