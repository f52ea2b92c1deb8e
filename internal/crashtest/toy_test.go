package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// A toy is the simplest durable driver there can be: a map behind one mutex, and a file to which each change is appended before it
// is acknowledged. What a fault changes is in its hooks.
type toy struct {
	mu      sync.Mutex
	entries map[string]record
	file    *os.File
	hooks   hooks
}

// A record is one change of one key.
type record struct {
	Key     string
	Value   []byte
	Expires int64 // nanoseconds since the Unix epoch; 0: never
	Deleted bool
}

// hooks take the place of what a correct toy does; nil: nothing does.
type hooks struct {
	open   func() error                                // before anything else
	append func(f *os.File, line []byte) error         // of one record to the file
	replay func(r record, last bool) record            // of one record from the file
	list   func(keys []string, cursor string) []string // of a listing
	incr   func(sum float64) (answered float64)        // of an increment
	swap   func(swapped bool) (answered bool)
	delete func(existed bool) (answered bool)
	count  func(deleted int) (answered int)
}

// openToy plays back the file in dir, but for a last line without an end, and goes on in one that holds what came of it: a kill
// leaves either of the two.
func openToy(dir string, h hooks) (*toy, error) {
	if h.open != nil {
		if err := h.open(); err != nil {
			return nil, err
		}
	}
	name := filepath.Join(dir, "log")
	content, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	t := &toy{entries: map[string]record{}, hooks: h}
	if err := t.replay(content[:bytes.LastIndexByte(content, '\n')+1]); err != nil {
		return nil, err
	}
	if t.file, err = os.Create(name + ".new"); err != nil {
		return nil, err
	}
	for _, r := range t.entries {
		err = errors.Join(err, json.NewEncoder(t.file).Encode(r))
	}
	return t, errors.Join(err, os.Rename(t.file.Name(), name))
}

func (t *toy) replay(content []byte) error {
	lines := bytes.SplitAfter(content, []byte("\n"))
	lines = lines[:len(lines)-1]
	for i, line := range lines {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if t.hooks.replay != nil {
			r = t.hooks.replay(r, i == len(lines)-1)
		}
		t.entries[r.Key] = r
	}
	return nil
}

// live returns the record of key, Deleted if there is none or it has expired.
func (t *toy) live(key string) record {
	r, ok := t.entries[key]
	if !ok || r.Deleted || r.Expires != 0 && time.Now().UnixNano() >= r.Expires {
		return record{Key: key, Deleted: true}
	}
	return r
}

// put writes and applies one change.
func (t *toy) put(r record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if t.hooks.append != nil {
		err = t.hooks.append(t.file, line)
	} else {
		_, err = t.file.Write(line)
	}
	if err == nil {
		t.entries[r.Key] = r
	}
	return err
}

// expires returns when an entry that took the place of old expires.
func expires(old record, ttl time.Duration) int64 {
	switch ttl {
	case store.KeepTTL:
		return old.Expires
	case 0:
		return 0
	}
	return time.Now().Add(ttl).UnixNano()
}

func (t *toy) Get(ctx context.Context, key string) ([]byte, error) {
	v, _, err := t.Entry(ctx, key)
	return v, err
}

func (t *toy) Entry(_ context.Context, key string) ([]byte, time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.live(key)
	switch {
	case r.Deleted:
		return nil, 0, store.ErrNotFound
	case r.Expires == 0:
		return r.Value, 0, nil
	}
	return r.Value, max(time.Until(time.Unix(0, r.Expires)), time.Millisecond), nil
}

func (t *toy) TTL(ctx context.Context, key string) (time.Duration, error) {
	_, ttl, err := t.Entry(ctx, key)
	return ttl, err
}

func (t *toy) Has(_ context.Context, key string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.live(key).Deleted, nil
}

func (t *toy) Set(_ context.Context, key string, v []byte, ttl time.Duration) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.put(record{Key: key, Value: v, Expires: expires(t.live(key), ttl)})
}

func (t *toy) Delete(_ context.Context, key string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	existed := !t.live(key).Deleted
	err := t.put(record{Key: key, Deleted: true})
	if t.hooks.delete != nil {
		existed = t.hooks.delete(existed)
	}
	return existed, err
}

func (t *toy) Touch(_ context.Context, key string, ttl time.Duration) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.live(key)
	if r.Deleted {
		return false, nil
	}
	r.Expires = expires(r, ttl)
	return true, t.put(r)
}

func (t *toy) CompareAndSwap(_ context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.live(key)
	swapped := r.Deleted == (old == nil) && (r.Deleted || bytes.Equal(r.Value, old))
	var err error
	if swapped {
		err = t.put(record{Key: key, Value: new, Expires: expires(r, ttl), Deleted: new == nil})
	}
	if t.hooks.swap != nil {
		swapped = t.hooks.swap(swapped)
	}
	return swapped, err
}

func (t *toy) Incr(_ context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.live(key)
	sum := initial + delta
	if !r.Deleted {
		n, _ := value.ParseNumber(r.Value)
		sum, ttl = n+delta, store.KeepTTL
	}
	err := t.put(record{Key: key, Value: value.AppendNumber(nil, sum), Expires: expires(r, ttl)})
	if t.hooks.incr != nil {
		sum = t.hooks.incr(sum)
	}
	return sum, err
}

func (t *toy) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i], _ = t.Get(ctx, key)
	}
	return values, nil
}

func (t *toy) SetMany(ctx context.Context, items []store.Item, ttl time.Duration) error {
	for _, item := range items {
		if err := t.Set(ctx, item.Key, item.Value, ttl); err != nil {
			return err
		}
	}
	return nil
}

func (t *toy) DeleteMany(ctx context.Context, keys []string) (n int, err error) {
	for _, key := range keys {
		existed, err := t.Delete(ctx, key)
		if err != nil {
			return n, err
		}
		if existed {
			n++
		}
	}
	if t.hooks.count != nil {
		n = t.hooks.count(n)
	}
	return n, nil
}

// List takes the last key of a page for its cursor.
func (t *toy) List(_ context.Context, prefix, cursor string, limit int) (store.Page, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(t.entries)), func(key string) bool {
		return t.live(key).Deleted || !strings.HasPrefix(key, prefix) || key <= cursor
	})
	if t.hooks.list != nil {
		keys = t.hooks.list(keys, cursor)
	}
	if len(keys) <= limit {
		return store.Page{Keys: keys}, nil
	}
	return store.Page{Keys: keys[:limit], Next: keys[limit-1]}, nil
}

func (t *toy) Info() store.Info { return store.Info{Driver: "toy"} }

func (t *toy) Close() error { return t.file.Close() }
