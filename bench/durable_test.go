package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/pebblestore"
	"github.com/luastore/store/driver/sqlstore/sqlite"
	"github.com/luastore/store/value"
)

// many is how many callers write at the same time, where it is not one.
const many = 64

// keyCount is how many keys the writers and readers of a table go through.
const keyCount = 10_000

// record is what a key of the tables and its value are together, in bytes.
const record = 57

// benchKey returns the i-th key, of 13 bytes.
func benchKey(i int) string { return fmt.Sprintf("bench:%07d", i%keyCount) }

// benchValue is a stored string that makes a record with its key.
var benchValue = value.AppendString(nil, strings.Repeat("v", record-len("bench:0000000")-2))

// written counts the values of freshValue.
var written atomic.Uint64

// freshValue returns a value as long as benchValue that no key holds: SQLite writes nothing where a row would stay what it is.
func freshValue() []byte {
	v := slices.Clone(benchValue)
	for i, n := len(v)-1, written.Add(1); n > 0; i, n = i-1, n/10 {
		v[i] = '0' + byte(n%10)
	}
	return v
}

// A subject is one open store, as its driver and as a handle of that.
type subject struct {
	ctx    context.Context
	driver store.Driver
	handle *store.Handle
}

// openSubject opens a store until the benchmark ends.
func openSubject(b *testing.B, open store.Opener) subject {
	b.Helper()
	d, err := open.Open(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	reg := store.New(nil)
	b.Cleanup(func() { reg.Close(context.Background()) })
	again := store.Opener{Open: func(context.Context) (store.Driver, error) { return d, nil }}
	if err := reg.Define("bench", store.Definition{Open: again}); err != nil {
		b.Fatal(err)
	}
	ctx, unit := reg.Begin(context.Background(), "bench")
	b.Cleanup(func() { unit.End() })
	h, err := unit.Get(ctx, "bench")
	if err != nil {
		b.Fatal(err)
	}
	return subject{ctx, d, h}
}

// fill writes all keys.
func (s subject) fill(b *testing.B) {
	b.Helper()
	for page := range slices.Chunk(benchItems(), 1000) {
		if err := s.handle.SetMany(s.ctx, page, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func benchItems() []store.Item {
	items := make([]store.Item, keyCount)
	for i := range items {
		items[i] = store.Item{Key: benchKey(i), Value: benchValue}
	}
	return items
}

// count names n of something in the name of a bench.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// callers returns a bench whose calls are spread over n goroutines, each of which goes through keys of its own. Each has made one
// call before.
func callers(n int, do func(key string) error) func(calls int) {
	run := func(calls int) {
		var wg sync.WaitGroup
		for caller := range min(n, calls) {
			wg.Go(func() {
				for i := range (calls + n - 1 - caller) / n {
					if err := do(benchKey(caller + i*n)); err != nil {
						panic(err)
					}
				}
			})
		}
		wg.Wait()
	}
	run(n)
	return run
}

// rawLoop is the table's bench of what any durable write costs: a record is appended to a file and synced, by one writer.
const rawLoop = "write + fdatasync"

// addRawLoop adds it, in a folder beside those of the stores.
func addRawLoop(b *testing.B, t *table) {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	bytes := []byte(strings.Repeat("r", record))
	t.add(rawLoop, callers(1, func(string) error {
		if _, err := f.Write(bytes); err != nil {
			return err
		}
		return datasync(f)
	}))
}

// addDurable adds durable sets of a store, by its driver and by a handle, and how they are to stand to the raw loop.
func addDurable(b *testing.B, t *table, name string, open store.Opener, alone, together float64) {
	s := openSubject(b, open)
	for _, c := range []struct {
		writers int
		target  float64
	}{{1, alone}, {many, together}} {
		driver := name + " driver set, " + count(c.writers, "writer")
		handle := name + " handle set, " + count(c.writers, "writer")
		t.add(driver, callers(c.writers, func(key string) error { return s.driver.Set(s.ctx, key, freshValue(), 0) }))
		t.add(handle, callers(c.writers, func(key string) error { return s.handle.Set(s.ctx, key, freshValue(), 0) }))
		t.atLeast(c.target, driver, rawLoop)
		t.atLeast(c.target, handle, rawLoop)
	}
}

// BenchmarkDurable prints the table of sets that are on disk when they are acknowledged, with the defaults of each driver.
func BenchmarkDurable(b *testing.B) {
	t := &table{title: fmt.Sprintf("Durable sets of %d bytes, beside a loop that appends as many to a file and syncs it", record)}
	addRawLoop(b, t)
	addDurable(b, t, "Pebble", pebblestore.Opener(&pebblestore.Options{Path: filepath.Join(b.TempDir(), "store")}), 0.8, 10)
	addDurable(b, t, "SQLite", sqlite.Opener(&sqlite.Options{Path: filepath.Join(b.TempDir(), "store.db")}), 0.4, 4)
	show(b, t)
}

// BenchmarkPebbleGet prints the table of reads from Pebble beside those of Pebble alone.
func BenchmarkPebbleGet(b *testing.B) {
	open := pebblestore.Opener(&pebblestore.Options{Path: filepath.Join(b.TempDir(), "store"), NoSync: true})
	s := openSubject(b, open)
	s.fill(b)
	db := barePebble(b)
	bare := func(key string) error {
		v, closer, err := db.Get([]byte(key))
		if err != nil {
			return err
		}
		_ = slices.Clone(v)
		return closer.Close()
	}
	t := &table{title: fmt.Sprintf("Reads from Pebble, %d keys that were just written; ratios of throughput", keyCount)}
	for _, readers := range []int{1, many} {
		suffix := ", " + count(readers, "reader")
		t.add("bare Get and copy"+suffix, callers(readers, bare))
		t.add("driver get"+suffix, callers(readers, func(key string) error { _, err := s.driver.Get(s.ctx, key); return err }))
		t.add("handle get"+suffix, callers(readers, func(key string) error { _, err := s.handle.Get(s.ctx, key); return err }))
		t.atLeast(0.8, "driver get"+suffix, "bare Get and copy"+suffix)
		t.atLeast(0, "handle get"+suffix, "bare Get and copy"+suffix)
	}
	show(b, t)
}

// barePebble returns Pebble with the options of the driver and all keys.
func barePebble(b *testing.B) *pebble.DB {
	b.Helper()
	o := &pebble.Options{
		FormatMajorVersion: pebble.FormatWALSyncChunks,
		CacheSize:          pebblestore.DefaultCacheBytes,
		MemTableSize:       pebblestore.DefaultMemtableBytes,
		Logger:             silent{b},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(filepath.Join(b.TempDir(), "bare"), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	for _, item := range benchItems() {
		if err := db.Set([]byte(item.Key), item.Value, pebble.NoSync); err != nil {
			b.Fatal(err)
		}
	}
	return db
}

// silent is a logger of Pebble, which otherwise prints what it does.
type silent struct{ b *testing.B }

func (silent) Infof(string, ...any)                {}
func (silent) Errorf(string, ...any)               {}
func (s silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
