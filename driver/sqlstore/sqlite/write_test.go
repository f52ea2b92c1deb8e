package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/luastore/store"
)

// hold begins a transaction on a connection of its own, as another process would, and returns what ends it.
func hold(t testing.TB, path string) (release func()) {
	t.Helper()
	c := openRaw(t, path)
	if _, err := c.text("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := c.text("COMMIT"); err != nil {
			t.Error(err)
		}
	}
}

// openRaw opens a connection that knows nothing of the driver, for the length of the test.
func openRaw(t testing.TB, path string) *conn {
	t.Helper()
	o := Options{Path: path}
	c, err := connect(o.target(), readWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	if _, err := c.text("PRAGMA busy_timeout = 10000"); err != nil {
		t.Fatal(err)
	}
	return c
}

// statements runs each of all.
func (c *conn) statements(t testing.TB, all ...string) {
	t.Helper()
	for _, sql := range all {
		if _, err := c.text(sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// together calls each of calls in a goroutine of its own while another connection holds the lock of writers, so that the writer
// takes most of them into one transaction, and returns their errors.
func together(t *testing.T, d *Driver, calls ...func() error) []error {
	t.Helper()
	release := hold(t, d.target.Path)
	before := d.writer.taken.Load()
	errs := make([]error, len(calls))
	var wait sync.WaitGroup
	wait.Go(func() { d.Set(testContext(t), "t:first", []byte("v"), 0) })
	eventually(t, "the first is waiting for the lock", func() bool { return d.writer.taken.Load() > before })
	for i, call := range calls {
		wait.Go(func() { errs[i] = call() })
	}
	eventually(t, "all are in the queue", func() bool { return len(d.writer.queue) == len(calls) })
	release()
	wait.Wait()
	return errs
}

func TestDriver_ManyWriters_ShareTransactions(t *testing.T) {
	d := openPath(t, newPath(t), Options{})
	const writers, each = 64, 25
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			for j := range each {
				if err := d.Set(testContext(t), fmt.Sprintf("t:%d:%d", i, j), []byte("v"), 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if got := d.writer.groups.Load(); got > writers*each/4 {
		t.Errorf("%d transactions for %d writes of %d writers", got, writers*each, writers)
	}
	page, err := d.List(testContext(t), "t:", "", 10_000)
	if len(page.Keys) != writers*each || err != nil {
		t.Errorf("%d keys, %v", len(page.Keys), err)
	}
}

func TestDriver_WritesOfOneTransaction_SeeEachOther(t *testing.T) {
	d := openNew(t)
	const n = 100
	var calls []func() error
	sums := make([]float64, n)
	won := make([]bool, n)
	for i := range n {
		calls = append(calls, func() (err error) {
			sums[i], err = d.Incr(testContext(t), "t:n", 1, 0, 0)
			return err
		}, func() (err error) {
			won[i], err = d.CompareAndSwap(testContext(t), "t:once", nil, []byte("v"), 0)
			return err
		})
	}
	for _, err := range together(t, d, calls...) {
		if err != nil {
			t.Error(err)
		}
	}
	if groups := d.writer.groups.Load(); groups > 3 {
		t.Errorf("%d transactions: the test shows little", groups)
	}
	seen, winners := map[float64]bool{}, 0
	for i := range n {
		seen[sums[i]] = true
		if won[i] {
			winners++
		}
	}
	if len(seen) != n || !seen[1] || !seen[n] || winners != 1 {
		t.Errorf("%d different sums of %d, %d creators of one key", len(seen), n, winners)
	}
}

func TestDriver_WriteThatIsRefused_DoesNotFailTheOthers(t *testing.T) {
	path := newPath(t)
	openRaw(t, path).statements(t, "PRAGMA journal_mode = wal",
		"CREATE TABLE luastore (key BLOB NOT NULL PRIMARY KEY, expires INTEGER, value BLOB NOT NULL CHECK (length(value) < 10))")
	d := openPath(t, path, Options{Synchronous: SynchronousOff})
	ctx := testContext(t)
	d.Set(ctx, "t:old", []byte("v"), 0)
	errs := together(t, d,
		func() error { return d.Set(ctx, "t:a", []byte("v"), 0) },
		func() error { return d.Set(ctx, "t:long", []byte("0123456789"), 0) },
		func() error { _, err := d.Delete(ctx, "t:old"); return err },
		func() error {
			return d.SetMany(ctx, []store.Item{{Key: "t:b", Value: []byte("v")}, {Key: "t:longer", Value: []byte("0123456789")}}, 0)
		},
	)
	if errs[0] != nil || store.Kind(errs[1]) != "invalid" || errs[2] != nil {
		t.Errorf("got %v", errs)
	}
	var batch *store.BatchError
	if !errors.As(errs[3], &batch) || len(batch.Errs) != 1 || store.Kind(batch.Errs["t:longer"]) != "invalid" {
		t.Errorf("the batch: %v", errs[3])
	}
	wantKeys(t, d, "t:a", "t:b", "t:first")
}

func TestDriver_WriteThatFindsNoRoom_DoesNotFailTheOthers(t *testing.T) {
	d := openNew(t)
	ctx := testContext(t)
	for i := range 10 {
		d.Set(ctx, fmt.Sprint("t:", i), make([]byte, 100), 0)
	}
	limit := func(pages int) {
		t.Helper()
		if err := d.write(ctx, 0, func(c *conn, _ instant) error {
			_, err := c.text(fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit(20)
	errs := together(t, d,
		func() error { return d.Set(ctx, "t:a", []byte("v"), 0) },
		func() error { return d.Set(ctx, "t:large", make([]byte, 1<<20), 0) },
		func() error { _, err := d.Delete(ctx, "t:0"); return err },
		func() error { _, err := d.Incr(ctx, "t:n", 1, 0, 0); return err },
	)
	if errs[0] != nil || !errors.Is(errs[1], store.ErrFull) || errs[2] != nil || errs[3] != nil {
		t.Errorf("got %v", errs)
	}
	wantKeys(t, d, "t:1", "t:2", "t:3", "t:4", "t:5", "t:6", "t:7", "t:8", "t:9", "t:a", "t:first", "t:n")
	if n, err := d.Incr(ctx, "t:n", 0, 0, 0); n != 1 || err != nil {
		t.Errorf("an increment beside it was done %v times, %v", n, err)
	}
	limit(1 << 20)
	if err := d.Set(ctx, "t:large", make([]byte, 1<<20), 0); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}

func TestDriver_ValueBeyondTheLimit_IsTooLargeAndNotWritten(t *testing.T) {
	d := openPath(t, newPath(t), Options{Synchronous: SynchronousOff, MaxValueBytes: 10})
	ctx := testContext(t)
	long := make([]byte, 11)
	if err := d.Set(ctx, "t:k", long, 0); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Set: %v", err)
	}
	if _, err := d.CompareAndSwap(ctx, "t:k", nil, long, 0); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("CompareAndSwap: %v", err)
	}
	var batch *store.BatchError
	if err := d.SetMany(ctx, []store.Item{{Key: "t:k", Value: long}, {Key: "t:short", Value: long[:10]}}, 0); !errors.As(err, &batch) || !errors.Is(batch.Errs["t:k"], store.ErrTooLarge) || len(batch.Errs) != 1 {
		t.Errorf("SetMany: %v", err)
	}
	wantKeys(t, d, "t:short")
}

// A batch of any size is written, in transactions that are bounded.
func TestDriver_LargeBatch_IsSplit(t *testing.T) {
	d := openNew(t)
	ctx := testContext(t)
	var entries []store.Item
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprintf("t:%02d", i))
		entries = append(entries, store.Item{Key: keys[i], Value: make([]byte, 1<<20)})
	}
	if err := d.SetMany(ctx, entries, 0); err != nil {
		t.Fatal(err)
	}
	if got := d.writer.groups.Load(); got != 5 {
		t.Errorf("%d transactions for 20 MiB, want 5", got)
	}
	wantKeys(t, d, keys...)
	many := make([]string, 5000)
	for i := range many {
		many[i] = fmt.Sprintf("t:%02d", i)
	}
	if n, err := d.DeleteMany(ctx, many); n != 20 || err != nil {
		t.Errorf("DeleteMany: %d, %v", n, err)
	}
	wantKeys(t, d)
}

func wantKeys(t *testing.T, d *Driver, want ...string) {
	t.Helper()
	page, err := d.List(context.Background(), "", "", 10_000)
	if err != nil || fmt.Sprint(page.Keys) != fmt.Sprint(want) || page.Next != "" {
		t.Errorf("keys %q, next %q, %v, want %q", page.Keys, page.Next, err, want)
	}
}
