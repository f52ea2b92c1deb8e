package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// keys checks the keys of a batch, each as one operation would be, and returns them as they are stored, without repetitions.
func (h *Handle) keys(ctx context.Context, op Op, n int, key func(i int) string) (stored []string, err error) {
	if most := h.store.def.Limits.Batch; n > most {
		return nil, Errorf(ErrTooLarge, "batch too large: %d keys, limit %d", n, most)
	}
	stored = make([]string, 0, n)
	seen := make(map[string]bool, n)
	for i := range n {
		k, err := h.key(key(i))
		if err != nil {
			return nil, err
		}
		if seen[k] {
			continue
		}
		if err := h.allow(ctx, op, key(i)); err != nil {
			return nil, fmt.Errorf("%w: key %q", err, key(i))
		}
		seen[k] = true
		stored = append(stored, k)
	}
	return stored, nil
}

// beginBatch does what comes before the driver for an operation on several keys.
func (h *Handle) beginBatch(ctx context.Context, op Op, n int, key func(i int) string) (call, []string, error) {
	c := h.clock(ctx)
	if err := h.Err(); err != nil {
		return c, nil, err
	}
	stored, err := h.keys(ctx, op, n, key)
	if err != nil {
		return c, nil, err
	}
	return h.bound(c), stored, nil
}

// GetMany returns the values of those keys that exist. All keys are checked before anything is read; where only some then fail the
// error is a [*BatchError] and the rest is returned. It takes one round trip where the backend can, and is not atomic across keys.
func (h *Handle) GetMany(ctx context.Context, keys []string) (map[string][]byte, error) {
	c, stored, err := h.beginBatch(ctx, OpGetMany, len(keys), func(i int) string { return keys[i] })
	var found map[string][]byte
	if err == nil {
		found, err = h.getMany(c.ctx, stored)
	}
	size := 0
	for _, v := range found {
		size += len(v)
	}
	return found, h.end(&c, Event{Op: OpGetMany, Keys: len(stored), Bytes: size, Hit: len(found) > 0}, err)
}

// getMany returns the values of stored keys by the names that the caller gave them.
func (h *Handle) getMany(ctx context.Context, stored []string) (map[string][]byte, error) {
	found := make(map[string][]byte, len(stored))
	if b := h.store.batcher; b != nil && len(stored) > 0 {
		values, err := b.GetMany(ctx, stored)
		for i, v := range values {
			if v != nil {
				found[h.name(stored[i])] = v
			}
		}
		return found, h.unprefix(err)
	}
	err := h.each(stored, func(i int) error {
		v, err := h.store.driver.Get(ctx, stored[i])
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err == nil {
			found[h.name(stored[i])] = v
		}
		return err
	})
	return found, err
}

// each calls do for every key and gathers what failed.
func (h *Handle) each(stored []string, do func(i int) error) error {
	var failed *BatchError
	for i, k := range stored {
		if err := do(i); err != nil {
			if failed == nil {
				failed = &BatchError{Errs: map[string]error{}}
			}
			failed.Errs[h.name(k)] = explain(err)
		}
	}
	if failed == nil {
		return nil
	}
	return failed
}

// name returns a stored key as the caller names it.
func (h *Handle) name(stored string) string { return stored[len(h.store.prefix):] }

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

// SetMany writes entries with one ttl, which may not be [KeepTTL]. All are checked before anything is written: no key may come twice. Where
// only some then fail the error is a [*BatchError] and the rest is written. It takes one round trip where the backend can, and is
// not atomic across keys. An empty batch writes nothing.
func (h *Handle) SetMany(ctx context.Context, entries []Item, ttl time.Duration) error {
	c, stored, err := h.beginBatch(ctx, OpSetMany, len(entries), func(i int) string { return entries[i].Key })
	size := 0
	if err == nil {
		size, ttl, err = h.checkEntries(entries, len(stored), ttl)
	}
	if err == nil {
		err = h.setMany(c.ctx, stored, entries, ttl)
	}
	return h.end(&c, Event{Op: OpSetMany, Keys: len(entries), Bytes: size}, err)
}

// checkEntries checks what a batch is to write and returns its bytes and its ttl.
func (h *Handle) checkEntries(entries []Item, distinct int, ttl time.Duration) (size int, _ time.Duration, err error) {
	if distinct < len(entries) {
		return 0, 0, Errorf(ErrInvalid, "a key comes twice in one batch")
	}
	if ttl == KeepTTL {
		return 0, 0, Errorf(ErrInvalid, "invalid ttl: a batch cannot keep the expiry of its entries")
	}
	for _, e := range entries {
		if err := h.checkValue(e.Value); err != nil {
			return 0, 0, fmt.Errorf("%w: key %q", err, e.Key)
		}
		size += len(e.Value)
	}
	ttl, err = h.store.def.resolveTTL(ttl)
	return size, ttl, err
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

// DeleteMany removes keys and returns how many of them existed. All keys are checked before anything is removed; where only some then
// fail the error is a [*BatchError], the rest is removed and counted. It takes one round trip where the backend can.
func (h *Handle) DeleteMany(ctx context.Context, keys []string) (int, error) {
	c, stored, err := h.beginBatch(ctx, OpDeleteMany, len(keys), func(i int) string { return keys[i] })
	n := 0
	if err == nil {
		n, err = h.deleteMany(c.ctx, stored)
	}
	return n, h.end(&c, Event{Op: OpDeleteMany, Keys: len(stored), Hit: n > 0}, err)
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

// DefaultPage is the limit of a page where none is given.
const DefaultPage = 100

// List returns a page of about limit live keys that begin with prefix, which may be empty or end anywhere. The cursor is "" at first, then the Next of the page before; a
// forged one is an [ErrInvalid] or another position under the same prefix. A limit of 0 means [DefaultPage]; at most Limits.Batch. A page
// may be empty before the end, or exceed limit where the backend decides. A key alive throughout is returned at least once; exactly
// once and in byte order where Info says Ordered. Keys that are not of the form [CheckKey] wants, written by others into
// the backend, are left out.
func (h *Handle) List(ctx context.Context, prefix, cursor string, limit int) (Page, error) {
	c := h.clock(ctx)
	err := h.checkList(ctx, prefix, limit)
	var page Page
	if err == nil {
		c = h.bound(c)
		if limit == 0 {
			limit = DefaultPage
		}
		page, err = h.store.driver.List(c.ctx, h.store.prefix+prefix, cursor, limit)
		page.Keys = h.names(page.Keys)
	}
	return page, h.end(&c, Event{Op: OpList, Key: prefix, Keys: len(page.Keys), Hit: len(page.Keys) > 0}, err)
}

// checkList does what comes before the driver for a listing.
func (h *Handle) checkList(ctx context.Context, prefix string, limit int) error {
	if err := h.Err(); err != nil {
		return err
	}
	if err := checkText("prefix", prefix); err != nil {
		return err
	}
	if n, most := len(h.store.prefix)+len(prefix), h.store.def.Limits.KeyBytes; n > most {
		return Errorf(ErrInvalid, "invalid prefix: %d bytes with the prefix of the store, limit %d", n, most)
	}
	if most := h.store.def.Limits.Batch; limit < 0 || limit > most {
		return Errorf(ErrInvalid, "invalid limit %d: want 1 to %d", limit, most)
	}
	return h.allow(ctx, OpList, prefix)
}

// names returns stored keys as the caller names them, in place, without those that no caller could name.
func (h *Handle) names(stored []string) []string {
	kept := stored[:0]
	for _, k := range stored {
		if name := strings.TrimPrefix(k, h.store.prefix); CheckKey(name) == nil {
			kept = append(kept, name)
		}
	}
	return kept
}
