package store

import (
	"context"
	"time"

	"github.com/luastore/store/value"
)

// Load returns the value of key as a T, or [ErrNotFound]. How Lua values become Go values is told at [value.Unmarshal]; an
// entry that does not fit T is an [ErrInvalid], bytes that are no value an [ErrCorrupt].
func Load[T any](ctx context.Context, h *Handle, key string) (T, error) {
	var v, none T
	b, err := h.Get(ctx, key)
	if err != nil {
		return none, err
	}
	if err := value.Unmarshal(b, &v, h.store.limits.Value()); err != nil {
		return none, h.Fail(ctx, OpGet, key, err)
	}
	return v, nil
}

// Save writes a Go value with its expiry; see [Handle.Set] for ttl. How Go values become Lua values is told at
// [value.Marshal]; one that cannot is an [ErrInvalid] that names the place, and nothing is written.
func Save[T any](ctx context.Context, h *Handle, key string, v T, ttl time.Duration) error {
	b, err := value.Marshal(v, h.store.limits.Value())
	if err != nil {
		return h.Fail(ctx, OpSet, key, err)
	}
	return h.set(ctx, key, b, ttl, true)
}

// LoadMany returns the values of those keys that exist, as [Handle.GetMany] reads and [Load] translates them. One that does not
// fit T ends it with an error that names the key.
func LoadMany[T any](ctx context.Context, h *Handle, keys []string) (map[string]T, error) {
	found, err := h.GetMany(ctx, keys)
	values := make(map[string]T, len(found))
	for key, b := range found {
		var v T
		if err := value.Unmarshal(b, &v, h.store.limits.Value()); err != nil {
			return nil, h.Fail(ctx, OpGetMany, key, err)
		}
		values[key] = v
	}
	return values, err
}

// SaveMany writes Go values with one ttl, as [Save] translates and [Handle.SetMany] writes them.
func SaveMany[T any](ctx context.Context, h *Handle, values map[string]T, ttl time.Duration) error {
	entries := make([]Item, 0, min(len(values), h.store.limits.Batch+1))
	for key, v := range values {
		if len(entries) > h.store.limits.Batch {
			break // too many already, as SetMany says
		}
		b, err := value.Marshal(v, h.store.limits.Value())
		if err != nil {
			return h.Fail(ctx, OpSetMany, key, err)
		}
		entries = append(entries, Item{Key: key, Value: b})
	}
	return h.SetMany(ctx, entries, ttl)
}

// Update is [Handle.Update] with default options on Go values: fn gets the present value and whether there is one. An entry that
// does not fit T is an [ErrInvalid], and fn is not called.
func Update[T any](ctx context.Context, h *Handle, key string, ttl time.Duration, fn func(old T, found bool) (T, error)) (T, error) {
	var result, none T
	var failed error
	_, err := h.Update(ctx, key, ttl, nil, func(b []byte) ([]byte, error) {
		var old T
		if b != nil {
			if failed = value.Unmarshal(b, &old, h.store.limits.Value()); failed != nil {
				return nil, failed
			}
		}
		v, err := fn(old, b != nil)
		if err != nil {
			result = none
			return nil, err
		}
		result = v
		b, failed = value.Marshal(v, h.store.limits.Value())
		return b, failed
	})
	switch {
	case failed != nil:
		return none, h.wrap(OpUpdate, key, failed)
	case err != nil:
		return none, err
	}
	return result, nil
}

// Fetch is [Handle.Fetch] on Go values.
func Fetch[T any](ctx context.Context, h *Handle, key string, ttl time.Duration, fn func(ctx context.Context) (T, error)) (v T, hit bool, err error) {
	var none T
	var failed error
	b, hit, err := h.Fetch(ctx, key, ttl, func(ctx context.Context) ([]byte, error) {
		v, err := fn(ctx)
		if err != nil {
			return nil, err
		}
		var b []byte
		b, failed = value.Marshal(v, h.store.limits.Value())
		return b, failed
	})
	switch {
	case failed != nil:
		return none, false, h.wrap(OpFetch, key, failed)
	case err != nil:
		return none, false, err
	}
	if err := value.Unmarshal(b, &v, h.store.limits.Value()); err != nil {
		return none, false, h.Fail(ctx, OpFetch, key, err)
	}
	return v, hit, nil
}
