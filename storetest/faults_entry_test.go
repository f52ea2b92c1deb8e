package storetest_test

import (
	"context"
	"runtime"
	"strings"
	"time"

	"github.com/luastore/store"
)

type (
	ttlKeptOnOverwrite    struct{ *plain }
	ttlRoundedDown        struct{ *plain }
	ttlRoundedUpTooFar    struct{ *plain }
	ttlZeroAtTheEnd       struct{ *plain }
	ttlExtendedByReads    struct{ *plain }
	keepTTLForgottenOnSet struct{ *plain }
	keepTTLOfExpired      struct{ *plain }
	sweptByOldExpiry      struct{ *plain }
)

func (d ttlKeptOnOverwrite) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if ttl == 0 {
		ttl = store.KeepTTL
	}
	return d.plain.Set(ctx, key, v, ttl)
}

func (d ttlRoundedDown) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if ttl > time.Millisecond {
		ttl = ttl.Truncate(time.Millisecond)
	}
	return d.plain.Set(ctx, key, v, ttl)
}

func (d ttlRoundedUpTooFar) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if ttl > 0 {
		ttl = (ttl + time.Millisecond - 1).Truncate(time.Millisecond) // of a driver that says a nanosecond
	}
	return d.plain.Set(ctx, key, v, ttl)
}

func (d ttlZeroAtTheEnd) TTL(ctx context.Context, key string) (time.Duration, error) {
	_, err := d.plain.TTL(ctx, key)
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.byKey[key]; err == nil && !e.expires.IsZero() {
		return time.Until(e.expires).Truncate(time.Millisecond), nil
	}
	return 0, err
}

func (d ttlExtendedByReads) Get(ctx context.Context, key string) ([]byte, error) {
	v, ttl, err := d.plain.Entry(ctx, key)
	if err == nil && ttl > 0 {
		_, err = d.plain.Touch(ctx, key, ttl+2*time.Millisecond)
	}
	return v, err
}

func (d keepTTLForgottenOnSet) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	return d.plain.Set(ctx, key, v, max(ttl, 0))
}

func (d keepTTLOfExpired) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.mu.Unlock()
	old := d.byKey[key]
	d.put(key, v, ttl)
	if ttl == store.KeepTTL {
		d.byKey[key] = plainEntry{v, old.expires}
	}
	return nil
}

// Set removes the entry when its first expiry comes, whatever was written since.
func (d sweptByOldExpiry) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if ttl > 0 && ttl < time.Minute {
		time.AfterFunc(ttl, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.byKey, key)
		})
	}
	return d.plain.Set(ctx, key, v, ttl)
}

type (
	deleteOfExpired  struct{ *plain }
	deleteNotAtomic  struct{ *plain }
	expiredInHas     struct{ *plain }
	expiredInList    struct{ *plain }
	tornEntry        struct{ *plain }
	tornSet          struct{ *plain }
	missWithoutError struct{ *plain }
	reusedBuffers    struct{ *plain }
	zeroTerminated   struct{ *plain }
	emptyIsAbsent    struct{ *plain }
	nilForNothing    struct{ *plain }
	touchShortens    struct{ *plain }
)

// yield lets other goroutines come between.
func yield() {
	for range 50 {
		runtime.Gosched()
	}
}

func (d deleteOfExpired) Delete(ctx context.Context, key string) (bool, error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	defer d.mu.Unlock()
	_, ok := d.byKey[key]
	delete(d.byKey, key)
	return ok, nil
}

func (d deleteNotAtomic) Delete(ctx context.Context, key string) (bool, error) {
	existed, err := d.plain.Has(ctx, key)
	if err != nil || !existed {
		return false, err
	}
	yield()
	_, err = d.plain.Delete(ctx, key)
	return existed, err
}

func (d expiredInHas) Has(ctx context.Context, key string) (bool, error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	defer d.mu.Unlock()
	_, ok := d.byKey[key]
	return ok, nil
}

func (d expiredInList) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	page, err := d.plain.List(ctx, prefix, cursor, limit)
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.byKey {
		if _, ok := d.live(key); !ok && strings.HasPrefix(key, prefix) {
			page.Keys = append(page.Keys, key)
		}
	}
	return page, err
}

func (d tornEntry) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	v, _, err := d.plain.Entry(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	yield()
	ttl, err := d.plain.TTL(ctx, key)
	return v, ttl, err
}

func (d tornSet) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.plain.Set(ctx, key, v, 0); err != nil || ttl == 0 {
		return err
	}
	yield()
	_, err := d.plain.Touch(ctx, key, ttl)
	return err
}

func (d missWithoutError) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := d.plain.Get(ctx, key)
	if store.Kind(err) == "not_found" {
		return nil, nil
	}
	return v, err
}

// staleReads answers now and then what a replica that lags behind would.
type staleReads struct {
	*plain
	reads int
	old   []byte
}

func (d *staleReads) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := d.plain.Get(ctx, key)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reads++; d.reads%8 == 0 && d.old != nil && err == nil {
		return d.old, nil
	}
	if d.reads%8 == 1 {
		d.old = v
	}
	return v, err
}

// laggingReads answers now and then, as a replica that lags behind would, what an entry was before its last write.
type laggingReads struct {
	*plain
	reads  int
	before map[string][]byte // by key
}

func (d *laggingReads) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.mu.Unlock()
	if e, ok := d.live(key); ok {
		d.before[key] = e.value
	}
	d.put(key, v, ttl)
	return nil
}

func (d *laggingReads) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := d.plain.Get(ctx, key)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	if old, ok := d.before[key]; ok && err == nil && d.reads%64 == 0 {
		return old, nil
	}
	return v, err
}

// Set writes into the bytes of the value that was there, which a caller may hold.
func (d reusedBuffers) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.mu.Unlock()
	e, _ := d.live(key)
	d.put(key, append(e.value[:0], v...), ttl)
	return nil
}

func (d zeroTerminated) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	cut, _, _ := strings.Cut(string(v), "\x00")
	return d.plain.Set(ctx, key, []byte(cut), ttl)
}

func (d emptyIsAbsent) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := d.plain.Get(ctx, key)
	if err == nil && len(v) == 0 {
		return nil, store.ErrNotFound
	}
	return v, err
}

func (d nilForNothing) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	v, ttl, err := d.plain.Entry(ctx, key)
	if len(v) == 0 {
		v = nil
	}
	return v, ttl, err
}

func (d touchShortens) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	return d.plain.Touch(ctx, key, min(ttl, 1000*time.Hour))
}

// keysMapped keeps entries under another key than the caller's.
type keysMapped struct {
	*plain
	stored func(key string) string
}

func trimRight(key string) string { return strings.TrimRight(key, " ") }
func cutAt255(key string) string  { return key[:min(255, len(key))] }

func (d keysMapped) Get(ctx context.Context, key string) ([]byte, error) {
	return d.plain.Get(ctx, d.stored(key))
}

func (d keysMapped) Has(ctx context.Context, key string) (bool, error) {
	return d.plain.Has(ctx, d.stored(key))
}

func (d keysMapped) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	return d.plain.Set(ctx, d.stored(key), v, ttl)
}

type (
	touchOfAbsent    struct{ *plain }
	touchRevives     struct{ *plain }
	touchNotAtomic   struct{ *plain }
	swapNotAtomic    struct{ *plain }
	swapLosesKeepTTL struct{ *plain }
	swapOverwrites   struct{ *plain }
	swapBothNil      struct{ *plain }
	swapOfExpired    struct{ *plain }
	swapByLength     struct{ *plain }
)

func (d touchOfAbsent) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	_, err := d.plain.Touch(ctx, key, ttl)
	return err == nil, err
}

func (d touchRevives) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	defer d.mu.Unlock()
	e, ok := d.byKey[key]
	if ok {
		d.put(key, e.value, ttl)
	}
	return ok, nil
}

func (d touchNotAtomic) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	v, err := d.plain.Get(ctx, key)
	if err != nil {
		return d.plain.Touch(ctx, key, ttl)
	}
	yield()
	return true, d.plain.Set(ctx, key, v, ttl)
}

func (d swapNotAtomic) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	v, err := d.plain.Get(ctx, key)
	if err != nil || new == nil || string(v) != string(old) {
		return d.plain.CompareAndSwap(ctx, key, old, new, ttl)
	}
	yield()
	return true, d.plain.Set(ctx, key, new, ttl)
}

func (d swapLosesKeepTTL) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	return d.plain.CompareAndSwap(ctx, key, old, new, max(ttl, 0))
}

func (d swapOverwrites) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if old == nil && new != nil {
		return true, d.plain.Set(ctx, key, new, ttl)
	}
	return d.plain.CompareAndSwap(ctx, key, old, new, ttl)
}

func (d swapBothNil) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	swapped, err := d.plain.CompareAndSwap(ctx, key, old, new, ttl)
	return swapped && (old != nil || new != nil), err
}

func (d swapOfExpired) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	defer d.mu.Unlock()
	e, ok := d.byKey[key]
	if ok != (old != nil) || string(e.value) != string(old) {
		return false, nil
	}
	delete(d.byKey, key)
	if new != nil {
		d.put(key, new, ttl)
	}
	return true, nil
}

func (d swapByLength) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if v, err := d.plain.Get(ctx, key); err == nil && len(v) == len(old) {
		old = v
	}
	return d.plain.CompareAndSwap(ctx, key, old, new, ttl)
}
