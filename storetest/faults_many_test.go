package storetest_test

import (
	"context"
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

type (
	incrNotAtomic    struct{ *plain }
	incrLosesInitial struct{ *plain }
	incrResetsTTL    struct{ *plain }
	incrNotCanonical struct{ *plain }
	incrOverwrites   struct{ *plain }
	incrBeyond       struct{ *plain }
	incrStays        struct{ *plain }
)

func (d incrNotAtomic) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	v, err := d.plain.Get(ctx, key)
	f, ok := value.ParseNumber(v)
	if err != nil || !ok {
		return d.plain.Incr(ctx, key, delta, initial, ttl)
	}
	yield()
	return f + delta, d.plain.Set(ctx, key, value.AppendNumber(nil, f+delta), store.KeepTTL)
}

func (d incrLosesInitial) Incr(ctx context.Context, key string, delta, _ float64, ttl time.Duration) (float64, error) {
	return d.plain.Incr(ctx, key, delta, 0, ttl)
}

func (d incrResetsTTL) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	sum, err := d.plain.Incr(ctx, key, delta, initial, ttl)
	if err == nil {
		_, err = d.plain.Touch(ctx, key, ttl)
	}
	return sum, err
}

// Incr stores every sum as a float, as a script that packs a Lua number might.
func (d incrNotCanonical) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	sum, err := d.plain.Incr(ctx, key, delta, initial, ttl)
	if err == nil {
		form := binary.BigEndian.AppendUint64([]byte{0xcb}, math.Float64bits(sum))
		err = d.plain.Set(ctx, key, form, store.KeepTTL)
	}
	return sum, err
}

func (d incrOverwrites) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	sum, err := d.plain.Incr(ctx, key, delta, initial, ttl)
	if err == store.ErrNotNumber {
		_ = d.plain.Set(ctx, key, value.AppendNumber(nil, delta), store.KeepTTL)
	}
	return sum, err
}

func (d incrBeyond) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	sum, err := d.plain.Incr(ctx, key, delta, initial, ttl)
	if err == store.ErrOutOfRange {
		return value.MaxInteger, d.plain.Set(ctx, key, value.AppendNumber(nil, value.MaxInteger), store.KeepTTL)
	}
	return sum, err
}

func (d incrStays) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	sum, err := d.plain.Incr(ctx, key, delta, initial, ttl)
	v, _ := d.plain.Get(ctx, key)
	if f, ok := value.ParseNumber(v); err == store.ErrOutOfRange && ok && math.Abs(f+delta) <= value.MaxInteger {
		return f, nil
	}
	return sum, err
}

type (
	getManySorted     struct{ *plain }
	getManyNotNil     struct{ *plain }
	setManyForgetsTTL struct{ *plain }
	setManyLeavesOut  struct{ *plain }
	deleteManyCounts  struct{ *plain }
)

func (d getManySorted) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	return d.plain.GetMany(ctx, slices.Sorted(slices.Values(keys)))
}

func (d getManyNotNil) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	values, err := d.plain.GetMany(ctx, keys)
	for i := range values {
		values[i] = append([]byte{}, values[i]...)
	}
	return values, err
}

func (d setManyForgetsTTL) SetMany(ctx context.Context, items []store.Item, _ time.Duration) error {
	return d.plain.SetMany(ctx, items, 0)
}

func (d setManyLeavesOut) SetMany(ctx context.Context, items []store.Item, ttl time.Duration) error {
	return d.plain.SetMany(ctx, items[:max(0, len(items)-1)], ttl)
}

func (d deleteManyCounts) DeleteMany(ctx context.Context, keys []string) (int, error) {
	_, err := d.plain.DeleteMany(ctx, keys)
	return len(keys), err
}

type (
	listBesideSweep  struct{ *plain }
	prefixIsGlob     struct{ *plain }
	prefixIsLike     struct{ *plain }
	prefixRangeEnd   struct{ *plain }
	listRepeats      struct{ *plain }
	listSkips        struct{ *plain }
	listByPosition   struct{ *plain }
	listUnordered    struct{ *plain }
	listWithoutLimit struct{ *plain }
	listTrustsCursor struct{ *plain }
)

// Set reclaims an entry some time after it has expired.
func (d listBesideSweep) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if ttl > 0 && ttl < time.Minute {
		time.AfterFunc(ttl+50*time.Millisecond, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if _, ok := d.live(key); !ok {
				delete(d.byKey, key)
			}
		})
	}
	return d.plain.Set(ctx, key, v, ttl)
}

// List first notes the keys that there are and then leaves out those that it finds expired: not those that are reclaimed in
// between.
func (d listBesideSweep) List(ctx context.Context, prefix, _ string, _ int) (store.Page, error) {
	if err := d.enter(ctx); err != nil {
		return store.Page{}, err
	}
	keys := slices.Sorted(maps.Keys(d.byKey))
	d.mu.Unlock()
	yield()
	d.mu.Lock()
	defer d.mu.Unlock()
	keys = slices.DeleteFunc(keys, func(key string) bool {
		_, ok := d.live(key)
		_, there := d.byKey[key]
		return !strings.HasPrefix(key, prefix) || there && !ok
	})
	return store.Page{Keys: keys}, nil
}

// all returns all live keys, in order.
func (p *plain) all(ctx context.Context, match func(key string) bool) (store.Page, error) {
	page, err := p.List(ctx, "", "", math.MaxInt)
	page.Keys = slices.DeleteFunc(page.Keys, func(key string) bool { return !match(key) })
	return page, err
}

func (d prefixIsGlob) List(ctx context.Context, prefix, _ string, _ int) (store.Page, error) {
	return d.all(ctx, func(key string) bool {
		// Path patterns do not match across a slash.
		ok, _ := path.Match(strings.ReplaceAll(prefix, "/", "|")+"*", strings.ReplaceAll(key, "/", "|"))
		return ok
	})
}

func (d prefixIsLike) List(ctx context.Context, prefix, _ string, _ int) (store.Page, error) {
	pattern := strings.NewReplacer("%", "*", "_", "?", "*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`, "/", "|").Replace(prefix) + "*"
	return d.all(ctx, func(key string) bool {
		ok, _ := path.Match(pattern, strings.ReplaceAll(key, "/", "|"))
		return ok
	})
}

// List ends the range at the prefix and a rune that is not the last one, as ranges to prefix+"\xff" do where text is UTF-16.
func (d prefixRangeEnd) List(ctx context.Context, prefix, _ string, _ int) (store.Page, error) {
	return d.all(ctx, func(key string) bool { return key >= prefix && key < prefix+"\uffff" })
}

func (d listRepeats) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	page, err := d.plain.List(ctx, prefix, cursor, limit)
	if cursor != "" && strings.HasPrefix(cursor, prefix) {
		page.Keys = slices.Insert(page.Keys, 0, cursor)[:min(limit, len(page.Keys)+1)]
	}
	return page, err
}

func (d listSkips) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	page, err := d.plain.List(ctx, prefix, cursor, limit)
	if page.Next != "" && limit > 1 {
		page.Keys = page.Keys[:limit-1]
	}
	return page, err
}

func (d listByPosition) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	page, err := d.all(ctx, func(key string) bool { return strings.HasPrefix(key, prefix) })
	start := min(len(cursor), len(page.Keys)) // the cursor is as long as there are keys before it
	end := min(start+limit, len(page.Keys))
	if end < len(page.Keys) {
		page.Next = strings.Repeat("x", end)
	}
	page.Keys = page.Keys[start:end]
	return page, err
}

func (d listUnordered) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	page, err := d.plain.List(ctx, prefix, cursor, limit)
	rand.Shuffle(len(page.Keys), func(i, j int) { page.Keys[i], page.Keys[j] = page.Keys[j], page.Keys[i] })
	return page, err
}

func (d listWithoutLimit) List(ctx context.Context, prefix, cursor string, _ int) (store.Page, error) {
	return d.plain.List(ctx, prefix, cursor, math.MaxInt)
}

// List lets the cursor say under which prefix it goes on.
func (d listTrustsCursor) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	if under, after, ok := strings.Cut(cursor, "|"); ok {
		prefix, cursor = under, after
	}
	page, err := d.plain.List(ctx, prefix, cursor, limit)
	if page.Next != "" {
		page.Next = prefix + "|" + page.Next
	}
	return page, err
}
