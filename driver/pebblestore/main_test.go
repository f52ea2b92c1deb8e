package pebblestore

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/luastore/store/internal/boundtest"
)

// folder is where stores are on file systems in memory.
const folder = "/store"

// A memory is a file system in memory whose power can be cut. It does itself what a [vfs.MemFS] does under a lock that it takes
// twice, and so may wait for ever for who cuts the power in between.
type memory struct{ *vfs.MemFS }

func newMemory() memory { return memory{vfs.NewCrashableMem()} }

// crash returns what a loss of power now leaves.
func (m memory) crash(cfg vfs.CrashCloneCfg) memory { return memory{m.CrashClone(cfg)} }

// ReuseForWrite makes a file of an old one, with what that holds.
func (m memory) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := m.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return m.OpenReadWrite(newname, c)
}

// small makes tables, and logs, of a few dozen writes.
var small = target{path: folder, cache: minCacheBytes, memtable: minMemtableBytes}

// openOn opens a store on a file system in memory.
func openOn(t testing.TB, to target, disk vfs.FS) *Driver {
	t.Helper()
	d, err := open(context.Background(), to, disk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// inconsistent returns what is wrong with the whole database, or "": an entry that is none, one that expires and is not in the
// index, or something in the index that is no entry's.
func inconsistent(d *Driver) string {
	entries, indexed := map[string]int64{}, map[string]int64{}
	it, err := d.db.NewIter(&pebble.IterOptions{})
	if err != nil {
		return err.Error()
	}
	defer it.Close()
	for more := it.First(); more; more = it.Next() {
		key := it.Key()
		if expires, name, ok := parseExpiryKey(key); ok {
			if _, twice := indexed[name]; twice || len(it.Value()) > 0 {
				return "index twice, or with a value: " + strconv.Quote(name)
			}
			indexed[name] = expires
			continue
		}
		e, err := parseEntry(it.Value())
		if err != nil || key[0] != dataKind {
			return "no entry: " + strconv.Quote(string(key))
		}
		if e.expires != 0 {
			entries[string(key[1:])] = e.expires
		}
	}
	if err := it.Error(); err != nil {
		return err.Error()
	}
	for name, expires := range entries {
		if indexed[name] != expires {
			return "not in the index: " + strconv.Quote(name)
		}
	}
	for name := range indexed {
		if _, ok := entries[name]; !ok {
			return "in the index and nowhere else: " + strconv.Quote(name)
		}
	}
	return ""
}

// wantConsistent checks the whole database.
func wantConsistent(t testing.TB, d *Driver) {
	t.Helper()
	if what := inconsistent(d); what != "" {
		t.Error(what)
	}
}

// scaled returns how often to do what is done n times in everyday tests without the race detector.
func scaled(n int) int {
	if boundtest.Race {
		n /= 10
	}
	if f, err := strconv.ParseFloat(os.Getenv("STORETEST_SCALE"), 64); err == nil {
		n = int(float64(n) * f)
	}
	return max(n, 1)
}

// within fails the test if fn takes longer than what never happens.
func within(t testing.TB, d time.Duration, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	late := time.NewTimer(boundtest.Scale(d))
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		t.Errorf("%s takes longer than %v", what, d)
	}
}

// eventually polls until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}
