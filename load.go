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
	return h.Set(ctx, key, b, ttl)
}
