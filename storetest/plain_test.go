package storetest_test

import (
	"bytes"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// plain is the simplest driver there can be: a map behind one mutex, held for the whole of each call.
type plain struct {
	*entries
	closed bool
	shared bool
}

// entries are what drivers that are connected to the same space share.
type entries struct {
	mu    sync.Mutex
	byKey map[string]plainEntry
}

type plainEntry struct {
	value   []byte
	expires time.Time // zero: never
}

func newEntries() *entries { return &entries{byKey: map[string]plainEntry{}} }

func newPlain() *plain { return &plain{entries: newEntries()} }

// enter begins a call, with the mutex locked if it answers no error.
func (p *plain) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return store.ErrUnavailable
	}
	return nil
}

// live returns the entry under key unless it has expired.
func (p *plain) live(key string) (plainEntry, bool) {
	e, ok := p.byKey[key]
	if ok && !e.expires.IsZero() && !time.Now().Before(e.expires) {
		return plainEntry{}, false
	}
	return e, ok
}

// put writes an entry that takes the place of the live one.
func (p *plain) put(key string, v []byte, ttl time.Duration) {
	e := plainEntry{value: v}
	switch {
	case ttl == store.KeepTTL:
		old, _ := p.live(key)
		e.expires = old.expires
	case ttl > 0:
		e.expires = time.Now().Add(ttl)
	}
	p.byKey[key] = e
}

func (e plainEntry) left() time.Duration {
	if e.expires.IsZero() {
		return 0
	}
	return max(time.Until(e.expires), time.Millisecond)
}

func (p *plain) Get(ctx context.Context, key string) ([]byte, error) {
	v, _, err := p.Entry(ctx, key)
	return v, err
}

func (p *plain) Entry(ctx context.Context, key string) ([]byte, time.Duration, error) {
	if err := p.enter(ctx); err != nil {
		return nil, 0, err
	}
	defer p.mu.Unlock()
	e, ok := p.live(key)
	if !ok {
		return nil, 0, store.ErrNotFound
	}
	return e.value, e.left(), nil
}

func (p *plain) TTL(ctx context.Context, key string) (time.Duration, error) {
	_, ttl, err := p.Entry(ctx, key)
	return ttl, err
}

func (p *plain) Has(ctx context.Context, key string) (bool, error) {
	if err := p.enter(ctx); err != nil {
		return false, err
	}
	defer p.mu.Unlock()
	_, ok := p.live(key)
	return ok, nil
}

func (p *plain) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.mu.Unlock()
	p.put(key, v, ttl)
	return nil
}

func (p *plain) Delete(ctx context.Context, key string) (bool, error) {
	if err := p.enter(ctx); err != nil {
		return false, err
	}
	defer p.mu.Unlock()
	_, ok := p.live(key)
	delete(p.byKey, key)
	return ok, nil
}

func (p *plain) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if err := p.enter(ctx); err != nil {
		return false, err
	}
	defer p.mu.Unlock()
	e, ok := p.live(key)
	if ok {
		p.put(key, e.value, ttl)
	}
	return ok, nil
}

func (p *plain) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := p.enter(ctx); err != nil {
		return false, err
	}
	defer p.mu.Unlock()
	e, ok := p.live(key)
	switch {
	case ok != (old != nil), !bytes.Equal(e.value, old):
		return false, nil
	case new == nil:
		delete(p.byKey, key)
	default:
		p.put(key, new, ttl)
	}
	return true, nil
}

func (p *plain) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	if err := p.enter(ctx); err != nil {
		return 0, err
	}
	defer p.mu.Unlock()
	number := initial
	if e, ok := p.live(key); ok {
		f, isNumber := value.ParseNumber(e.value)
		if !isNumber {
			return 0, store.ErrNotNumber
		}
		number, ttl = f, store.KeepTTL
	}
	sum, ok := add(number, delta)
	if !ok {
		return 0, store.ErrOutOfRange
	}
	p.put(key, value.AppendNumber(nil, sum), ttl)
	return sum, nil
}

// add returns a + b unless it is beyond ±2^53, where 2^53 + 1 is 2^53 again.
func add(a, b float64) (sum float64, ok bool) {
	sum = a + b
	switch {
	case sum == 0:
		return 0, true // not -0
	case math.Abs(sum) == value.MaxInteger:
		return sum, sum-a == b && sum-b == a
	}
	return sum, math.Abs(sum) < value.MaxInteger
}

func (p *plain) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	values := make([][]byte, len(keys))
	for i, key := range keys {
		e, _ := p.live(key)
		values[i] = e.value
	}
	return values, nil
}

func (p *plain) SetMany(ctx context.Context, items []store.Item, ttl time.Duration) error {
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.mu.Unlock()
	for _, item := range items {
		p.put(item.Key, item.Value, ttl)
	}
	return nil
}

func (p *plain) DeleteMany(ctx context.Context, keys []string) (int, error) {
	if err := p.enter(ctx); err != nil {
		return 0, err
	}
	defer p.mu.Unlock()
	deleted := 0
	for _, key := range keys {
		if _, ok := p.live(key); ok {
			deleted++
		}
		delete(p.byKey, key)
	}
	return deleted, nil
}

// List takes the last key of a page for its cursor.
func (p *plain) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	if err := p.enter(ctx); err != nil {
		return store.Page{}, err
	}
	defer p.mu.Unlock()
	keys := slices.Sorted(maps.Keys(p.byKey))
	keys = slices.DeleteFunc(keys, func(key string) bool {
		_, ok := p.live(key)
		return !ok || !strings.HasPrefix(key, prefix) || cursor != "" && key <= cursor
	})
	if len(keys) <= limit {
		return store.Page{Keys: keys}, nil
	}
	return store.Page{Keys: keys[:limit], Next: keys[limit-1]}, nil
}

func (p *plain) Info() store.Info {
	return store.Info{
		Driver: "plain", Durability: "none", Consistency: "linearizable", Clock: "this process", TTLResolution: time.Nanosecond,
		Ordered: true, Shared: p.shared,
	}
}

func (p *plain) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}
