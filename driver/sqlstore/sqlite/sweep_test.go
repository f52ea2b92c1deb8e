package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/luastore/store/driver/sqlstore/internal/table"
)

// expired writes entries and lets them expire.
func expired(t *testing.T, d *Driver, n, bytes int) {
	t.Helper()
	for i := range n {
		err := d.write(testContext(t), bytes, func(c *conn, at instant) error {
			return c.set(fmt.Sprintf("t:%05d", i), make([]byte, bytes), time.Millisecond, at-instant(time.Hour))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSweep_LongValues_GoInTransactionsThatAreBounded(t *testing.T) {
	d := openNew(t)
	expired(t, d, 22, 1<<20)
	expired(t, d, 1, 10<<20) // in place of the first: longer than a transaction takes
	before := d.writer.groups.Load()
	if n, err := d.sweep(testContext(t)); n != 22 || err != nil {
		t.Errorf("%d removed, %v, want 22", n, err)
	}
	if got := d.writer.groups.Load() - before; got < 6 || got > 7 {
		t.Errorf("%d transactions for 31 MiB", got)
	}
}

func TestSweep_ManyRows_GoInSteps(t *testing.T) {
	d := openNew(t)
	expired(t, d, table.SweepRows+5, 1)
	before := d.writer.groups.Load()
	for _, want := range []int{table.SweepRows, 5, 0} {
		if n, err := d.sweep(testContext(t)); n != want || err != nil {
			t.Errorf("%d removed, %v, want %d", n, err, want)
		}
	}
	if got := d.writer.groups.Load() - before; got != 2 {
		t.Errorf("%d transactions, want 2", got)
	}
}

// Rows of other clients with keys that are no BLOB are removed too, and do not hold up the others.
func TestSweep_KeysOfAnyType_AreRemoved(t *testing.T) {
	path := newPath(t)
	c := openRaw(t, path)
	c.statements(t, "PRAGMA journal_mode = wal", "CREATE TABLE luastore (key BLOB PRIMARY KEY, expires INTEGER, value BLOB)")
	for _, key := range []string{"'text'", "7", "1.5", "NULL", "NULL", "x'61'"} {
		c.statements(t, fmt.Sprintf("INSERT INTO luastore VALUES (%s, 5, 'v')", key))
	}
	d := openPath(t, path, Options{Synchronous: SynchronousOff})
	if n, err := d.sweep(testContext(t)); n != 6 || err != nil {
		t.Errorf("%d removed, %v, want 6", n, err)
	}
}

func TestDeleteMany_LongValues_GoInTransactionsThatAreBounded(t *testing.T) {
	d := openNew(t)
	var keys []string
	for i := range 22 {
		keys = append(keys, fmt.Sprintf("t:%02d", i), fmt.Sprintf("t:none:%02d", i))
		if err := d.Set(testContext(t), keys[2*i], make([]byte, 1<<20), 0); err != nil {
			t.Fatal(err)
		}
	}
	before := d.writer.groups.Load()
	if n, err := d.DeleteMany(testContext(t), keys); n != 22 || err != nil {
		t.Errorf("%d deleted, %v", n, err)
	}
	if got := d.writer.groups.Load() - before; got < 6 || got > 7 {
		t.Errorf("%d transactions for 22 MiB", got)
	}
	wantKeys(t, d)
}

func TestDeleteMany_OfManyCallers_GoesInTransactionsThatAreBounded(t *testing.T) {
	d := openNew(t)
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("t:%03d", i)
	}
	before := d.writer.groups.Load()
	var calls []func() error
	for range 8 {
		calls = append(calls, func() error { _, err := d.DeleteMany(testContext(t), keys); return err })
	}
	for _, err := range together(t, d, calls...) {
		if err != nil {
			t.Error(err)
		}
	}
	if got := d.writer.groups.Load() - before; got < 4 {
		t.Errorf("%d transactions for 8 deletions of 1,000 keys each", got)
	}
}
