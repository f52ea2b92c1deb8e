package sqlite

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

// openPath opens a driver on a file for the length of the test.
func openPath(t testing.TB, path string, o Options) *Driver {
	t.Helper()
	o.Path = path
	d, err := open(testContext(t), o.target())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// openNew opens a driver on a new file that is not synced to disk.
func openNew(t testing.TB) *Driver {
	t.Helper()
	return openPath(t, newPath(t), Options{Synchronous: SynchronousOff})
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "store.db") }

// testContext bounds a test that hangs, and is a context as a handle makes it: with a deadline.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
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
