package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"
)

// versionBytes is how much of a SHA-256 makes a version.
const versionBytes = 16

// Version returns the version of a stored value: the first 16 bytes of its SHA-256, as 32 hexadecimal digits. It says what the
// value is and nothing of when it was written: a value that was changed and changed back has its old version again, and so has
// one whose expiry was changed.
func Version(v []byte) string {
	sum := sha256.Sum256(v)
	return hex.EncodeToString(sum[:versionBytes])
}

// checkVersion reports what no call of [Version] returned.
func checkVersion(version string) error {
	if len(version) == 2*versionBytes {
		if b, err := hex.DecodeString(version); err == nil && hex.EncodeToString(b) == version {
			return nil
		}
	}
	return Errorf(ErrInvalid, "invalid version %s: want the one that entry returned", quote(version))
}

// CompareAndSwap writes new with its expiry if the stored bytes equal old, in one atomic step, and reports whether they did. A
// nil old means only if key is absent. A nil new deletes, and ttl says nothing. With [KeepTTL] an existing entry keeps its
// expiry and a new one gets the default.
func (h *Handle) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	return h.compareAndSwap(ctx, OpCompareAndSwap, key, old, new, ttl)
}

// SetIfAbsent is [Handle.Set] where key is absent, in one atomic step. Where it is not, it reports false and writes nothing.
func (h *Handle) SetIfAbsent(ctx context.Context, key string, v []byte, ttl time.Duration) (bool, error) {
	return h.compareAndSwap(ctx, OpSet, key, nil, orEmpty(v), ttl)
}

// orEmpty returns v, and for nil bytes that are no value: where nil would delete it must be refused.
func orEmpty(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v
}

func (h *Handle) compareAndSwap(ctx context.Context, op Op, key string, old, new []byte, ttl time.Duration) (bool, error) {
	var c call
	err := h.begin(&c, key)
	if err == nil {
		ttl, err = h.store.checkSwap(new, ttl, old == nil)
	}
	if err == nil {
		err = h.admit(ctx, &c, op, key)
	}
	swapped := false
	if err == nil {
		swapped, err = h.store.driver.CompareAndSwap(c.ctx, c.key, old, new, ttl)
	}
	return swapped, h.end(ctx, &c, Event{Op: op, Key: key, Keys: 1, Bytes: len(new), Hit: swapped}, err)
}

// SetIfVersion is [Handle.Set] where the value of key has that [Version], atomically. Where it has another or none, it reports
// false and writes nothing. It takes a read and a compare-and-swap.
func (h *Handle) SetIfVersion(ctx context.Context, key string, v []byte, version string, ttl time.Duration) (bool, error) {
	return h.swapVersion(ctx, OpSet, key, orEmpty(v), version, ttl)
}

// DeleteIfVersion is [Handle.Delete] where the value of key has that [Version]; see [Handle.SetIfVersion].
func (h *Handle) DeleteIfVersion(ctx context.Context, key, version string) (bool, error) {
	return h.swapVersion(ctx, OpDelete, key, nil, version, 0)
}

// swapVersion swaps the value that has a version for another, or for none.
func (h *Handle) swapVersion(ctx context.Context, op Op, key string, new []byte, version string, ttl time.Duration) (bool, error) {
	var c call
	err := h.begin(&c, key)
	if err == nil {
		err = checkVersion(version)
	}
	if err == nil {
		ttl, err = h.store.checkSwap(new, ttl, false)
	}
	if err == nil {
		err = h.admit(ctx, &c, op, key)
	}
	var old []byte
	if err == nil {
		old, err = absentAsNil(h.store.driver.Get(c.ctx, c.key))
	}
	swapped := false
	// When the swap fails another writer came between: at that moment the version was no longer the one asked for.
	if err == nil && old != nil && Version(old) == version {
		swapped, err = h.store.driver.CompareAndSwap(c.ctx, c.key, old, new, ttl)
	}
	return swapped, h.end(ctx, &c, Event{Op: op, Key: key, Keys: 1, Bytes: len(new), Hit: swapped}, err)
}

// absentAsNil returns what a driver read, and nil where there is no entry. A value is never nil.
func absentAsNil(v []byte, err error) ([]byte, error) {
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err == nil:
		return orEmpty(v), nil
	}
	return nil, err
}

// checkSwap checks what a conditional write is to write, nil to delete, and returns its ttl as the driver wants it.
func (in *instance) checkSwap(new []byte, ttl time.Duration, creates bool) (time.Duration, error) {
	if new == nil {
		return 0, nil
	}
	if err := in.checkValue(new); err != nil {
		return 0, err
	}
	if creates && ttl == KeepTTL {
		ttl = DefaultTTL
	}
	return in.def.resolveTTL(ttl)
}
