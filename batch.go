package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// beginBatch starts a call on several keys, which must be valid. It returns them as they are stored, without repetitions.
func (h *Handle) beginBatch(c *call, keys []string) ([]string, error) {
	if err := h.open(c); err != nil {
		return nil, err
	}
	if n, most := len(keys), h.store.limits.Batch; n > most {
		return nil, Errorf(ErrTooLarge, "batch too large: %d keys, limit %d", n, most)
	}
	stored := make([]string, 0, len(keys))
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		k, err := h.store.key(key)
		if err != nil {
			return nil, err
		}
		if !seen[k] {
			seen[k] = true
			stored = append(stored, k)
		}
	}
	return stored, nil
}

// admitBatch asks whether a call whose arguments are valid may be made on each of its keys, and gives it the timeout of the
// store.
func (h *Handle) admitBatch(ctx context.Context, c *call, op Op, stored []string) error {
	if err := h.store.writable(op); err != nil {
		return err
	}
	for _, k := range stored {
		key := h.store.name(k)
		if err := h.allow(ctx, op, key); err != nil {
			return fmt.Errorf("%w: key %q", err, key)
		}
	}
	c.ctx, c.cancel = h.store.bound(ctx)
	return nil
}

// enterBatch does all that comes before the driver for an operation whose one argument is keys.
func (h *Handle) enterBatch(ctx context.Context, c *call, op Op, keys []string) ([]string, error) {
	stored, err := h.beginBatch(c, keys)
	if err == nil {
		err = h.admitBatch(ctx, c, op, stored)
	}
	return stored, err
}

// GetMany returns the values of those keys that exist. All keys are checked before anything is read; where only some then fail
// the error is a [*BatchError] and the rest is returned. It takes one round trip where the backend can, and is not atomic
// across keys.
func (h *Handle) GetMany(ctx context.Context, keys []string) (map[string][]byte, error) {
	var c call
	stored, err := h.enterBatch(ctx, &c, OpGetMany, keys)
	var found map[string][]byte
	if err == nil {
		found, err = h.getMany(&c, stored)
	}
	size := 0
	for _, v := range found {
		size += len(v)
	}
	return found, h.end(ctx, &c, Event{Op: OpGetMany, Keys: len(keys), Bytes: size, Hit: len(found) > 0}, err)
}

// getMany returns the values of stored keys by the names that the caller gave them.
func (h *Handle) getMany(c *call, stored []string) (map[string][]byte, error) {
	values, err := h.values(c, stored)
	found := make(map[string][]byte, len(stored))
	for i, v := range values {
		if v != nil {
			found[h.store.name(stored[i])] = v
		}
	}
	return found, err
}

// values returns the values of stored keys in their order, nil where there is none.
func (h *Handle) values(c *call, stored []string) ([][]byte, error) {
	if h.store.peeker == nil {
		return h.readMany(c.ctx, stored)
	}
	values, rest := h.store.peekMany(c, stored)
	keys := make([]string, len(rest))
	for i, place := range rest {
		keys[i] = stored[place]
	}
	read, err := h.readMany(c.ctx, keys)
	if _, some := errors.AsType[*BatchError](err); err != nil && !some {
		return nil, err
	}
	for i, v := range read {
		values[rest[i]] = v
	}
	return values, err
}

// readMany asks the driver for the values of stored keys, in their order, nil where there is none.
func (h *Handle) readMany(ctx context.Context, stored []string) ([][]byte, error) {
	if len(stored) == 0 {
		return nil, nil
	}
	if b := h.store.batcher; b != nil {
		values, err := b.GetMany(ctx, stored)
		return values, h.unprefix(err)
	}
	values := make([][]byte, len(stored))
	err := h.each(stored, func(i int) (err error) {
		values[i], err = absentAsNil(h.store.driver.Get(ctx, stored[i]))
		return err
	})
	return values, err
}

// each calls do for every key and gathers what failed.
func (h *Handle) each(stored []string, do func(i int) error) error {
	var failed *BatchError
	for i, k := range stored {
		if err := do(i); err != nil {
			if failed == nil {
				failed = &BatchError{Errs: map[string]error{}}
			}
			failed.Errs[h.store.name(k)] = explain(err)
		}
	}
	if failed == nil {
		return nil
	}
	return failed
}

// unprefix returns err with the keys of a [*BatchError] as the caller names them.
func (h *Handle) unprefix(err error) error {
	var b *BatchError
	if !errors.As(err, &b) {
		return err
	}
	named := make(map[string]error, len(b.Errs))
	for k, err := range b.Errs {
		named[strings.TrimPrefix(k, h.store.prefix)] = explain(err)
	}
	return &BatchError{Errs: named}
}

// SetMany writes entries with one ttl, which may not be [KeepTTL]. All are checked before anything is written: no key may come
// twice. Where only some then fail the error is a [*BatchError] and the rest is written. It takes one round trip where the
// backend can, and is not atomic across keys. An empty batch writes nothing.
func (h *Handle) SetMany(ctx context.Context, entries []Item, ttl time.Duration) error {
	keys := make([]string, len(entries))
	size := 0
	for i, e := range entries {
		keys[i] = e.Key
		size += len(e.Value)
	}
	var c call
	stored, err := h.beginBatch(&c, keys)
	if err == nil {
		ttl, err = h.store.checkEntries(entries, len(stored), ttl)
	}
	if err == nil {
		err = h.admitBatch(ctx, &c, OpSetMany, stored)
	}
	if err == nil {
		err = h.setMany(c.ctx, stored, entries, ttl)
	}
	return h.end(ctx, &c, Event{Op: OpSetMany, Keys: len(keys), Bytes: size}, err)
}

// checkEntries checks what a batch is to write under so many distinct keys and returns its ttl.
func (in *instance) checkEntries(entries []Item, distinct int, ttl time.Duration) (time.Duration, error) {
	if distinct < len(entries) {
		return 0, Errorf(ErrInvalid, "a key comes twice in one batch")
	}
	if ttl == KeepTTL {
		return 0, Errorf(ErrInvalid, "invalid ttl: a batch cannot keep the expiry of its entries")
	}
	left := in.limits.BatchBytes
	for _, e := range entries {
		if left -= len(e.Value); left < 0 {
			return 0, Errorf(ErrTooLarge, "batch too large: more than %d bytes of values", in.limits.BatchBytes)
		}
		if err := in.checkValue(e.Value); err != nil {
			return 0, fmt.Errorf("%w: key %q", err, e.Key)
		}
	}
	return in.def.resolveTTL(ttl)
}

// setMany writes entries under their stored keys.
func (h *Handle) setMany(ctx context.Context, stored []string, entries []Item, ttl time.Duration) error {
	if b := h.store.batcher; b != nil && len(stored) > 0 {
		items := make([]Item, len(entries))
		for i, e := range entries {
			items[i] = Item{Key: stored[i], Value: e.Value}
		}
		return h.unprefix(b.SetMany(ctx, items, ttl))
	}
	return h.each(stored, func(i int) error { return h.store.driver.Set(ctx, stored[i], entries[i].Value, ttl) })
}

// DeleteMany removes keys and returns how many of them existed. All keys are checked before anything is removed; where only
// some then fail the error is a [*BatchError], the rest is removed and counted. It takes one round trip where the backend can,
// and is not atomic across keys.
func (h *Handle) DeleteMany(ctx context.Context, keys []string) (int, error) {
	var c call
	stored, err := h.enterBatch(ctx, &c, OpDeleteMany, keys)
	n := 0
	if err == nil {
		n, err = h.deleteMany(c.ctx, stored)
	}
	return n, h.end(ctx, &c, Event{Op: OpDeleteMany, Keys: len(keys), Hit: n > 0}, err)
}

// deleteMany removes stored keys.
func (h *Handle) deleteMany(ctx context.Context, stored []string) (n int, err error) {
	if b := h.store.batcher; b != nil && len(stored) > 0 {
		n, err = b.DeleteMany(ctx, stored)
		return n, h.unprefix(err)
	}
	err = h.each(stored, func(i int) error {
		existed, err := h.store.driver.Delete(ctx, stored[i])
		if existed {
			n++
		}
		return err
	})
	return n, err
}
