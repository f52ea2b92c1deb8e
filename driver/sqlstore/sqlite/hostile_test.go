package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
)

// openFails opens a driver that must not open, and checks the kind and the text of its error.
func openFails(t *testing.T, o Options, kind, text string) {
	t.Helper()
	d, err := Opener(&o).Open(testContext(t))
	if err == nil {
		d.Close()
	}
	if store.Kind(err) != kind || !strings.Contains(fmt.Sprint(err), text) {
		t.Errorf("got %v of kind %s, want %s with %q", err, store.Kind(err), kind, text)
	}
}

func TestOpen_WhatIsNoDatabase_SaysSo(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	content := bytes.Repeat([]byte("this is no database. "), 1000)
	if err := os.WriteFile(text, content, 0o600); err != nil {
		t.Fatal(err)
	}
	openFails(t, Options{Path: text}, "corrupt", "is no SQLite database")
	if after, err := os.ReadFile(text); !bytes.Equal(after, content) || err != nil {
		t.Errorf("the file was changed: %v", err)
	}
	openFails(t, Options{Path: dir}, "invalid", "is a folder")
	openFails(t, Options{Path: filepath.Join(dir, "none", "store.db")}, "unavailable", "the folder of the SQLite database")
	openFails(t, Options{Path: filepath.Join(text, "store.db")}, "unavailable", "SQLite")
	openFails(t, Options{Path: filepath.Join(dir, "none"), MustExist: true}, "unavailable", "create is false")
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("a file was made all the same")
	}
}

func TestOpen_WithoutCreate_SaysWhatIsMissing(t *testing.T) {
	path := newPath(t)
	c := openRaw(t, path)
	c.statements(t, "CREATE TABLE other (x)")
	openFails(t, Options{Path: path, MustExist: true}, "unavailable", "has no table luastore, and create is false")
	c.statements(t, "CREATE TABLE luastore (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, expires BIGINT)")
	openFails(t, Options{Path: path, MustExist: true}, "unavailable", `run CREATE INDEX "luastore_expires" ON "luastore" (expires)`)
	c.statements(t, "CREATE INDEX mine ON luastore (expires)")
	d := openPath(t, path, Options{MustExist: true})
	seed(t, d)
	wantSeed(t, d)
}

func TestOpen_TableOfAnotherShape_IsInvalidAndNotTouched(t *testing.T) {
	for _, sql := range []string{
		"CREATE TABLE luastore (id INTEGER PRIMARY KEY, name TEXT)",
		"CREATE TABLE luastore (key BLOB NOT NULL, expires INTEGER, value BLOB NOT NULL)",
		"CREATE TABLE luastore (key TEXT NOT NULL PRIMARY KEY, expires INTEGER, value BLOB NOT NULL)",
		"CREATE TABLE luastore (key BLOB NOT NULL PRIMARY KEY, expires TEXT, value BLOB NOT NULL)",
		"CREATE TABLE luastore (key BLOB NOT NULL PRIMARY KEY, expires INTEGER NOT NULL, value BLOB NOT NULL)",
		"CREATE TABLE luastore (key BLOB NOT NULL PRIMARY KEY, expires INTEGER, value BLOB NOT NULL, more TEXT)",
		"CREATE TABLE luastore (key BLOB NOT NULL PRIMARY KEY, expires INTEGER, value BLOB AS (key))",
		"CREATE TABLE luastore (key BLOB NOT NULL, expires INTEGER, value BLOB NOT NULL, PRIMARY KEY (key, expires))",
		"CREATE TABLE luastore (key BLOB NOT NULL PRIMARY KEY, expires INTEGER)",
		"CREATE VIEW luastore AS SELECT x'00' AS key, 1 AS expires, x'00' AS value",
	} {
		path := newPath(t)
		c := openRaw(t, path)
		c.statements(t, sql)
		if _, err := Opener(&Options{Path: path}).Open(testContext(t)); store.Kind(err) != "invalid" || !strings.Contains(err.Error(), "is no table of this store") {
			t.Errorf("%s: %v, want invalid", sql, err)
		}
		if now, err := c.text("SELECT sql FROM sqlite_schema WHERE name = 'luastore'"); now != sql || err != nil {
			t.Errorf("the table is now %v, %v", now, err)
		}
	}
}

func TestOpen_FileThatIsNotWritable_IsDenied(t *testing.T) {
	path := newPath(t)
	openPath(t, path, Options{}).Close()
	f := addFaults(t, path)
	f.readOnly.Store(true)
	_, err := open(testContext(t), f.target(Options{}))
	if store.Kind(err) != "denied" || !strings.Contains(err.Error(), "must be writable") {
		t.Errorf("got %v, want denied", err)
	}
}

func TestOpen_FileSystemWithoutSharedMemory_SaysSo(t *testing.T) {
	path := newPath(t)
	f := addFaults(t, path)
	f.noShm.Store(true)
	_, err := open(testContext(t), f.target(Options{}))
	if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "must be on a local file system") {
		t.Errorf("got %v, want unavailable", err)
	}
}

// Every page is overwritten with garbage, one at a time: each call answers, and an error says what happened.
func TestDriver_DamagedPages_AreCorruptNeverAPanic(t *testing.T) {
	path := newPath(t)
	d := openPath(t, path, Options{Synchronous: SynchronousOff})
	ctx := testContext(t)
	for i := range 200 {
		if err := d.Set(ctx, fmt.Sprintf("t:%03d", i), bytes.Repeat([]byte{byte(i)}, 100), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	d.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	const page = 4096
	for at := 0; at < len(whole); at += page {
		for _, garbage := range []byte{0x00, 0x05, 0xff} {
			damaged := bytes.Clone(whole)
			copy(damaged[at:min(at+page, len(damaged))], bytes.Repeat([]byte{garbage}, page))
			found += useDamaged(t, damaged)
		}
	}
	for _, cut := range []int{1, 15, 100, page, page + 1, len(whole) / 2, len(whole) - 1} {
		found += useDamaged(t, whole[:cut])
	}
	if found < 10 {
		t.Errorf("only %d files were found damaged: the test shows little", found)
	}
}

// useDamaged calls everything on a file and returns 1 if an error came of it.
func useDamaged(t *testing.T, content []byte) (found int) {
	t.Helper()
	path := newPath(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	to := (&Options{Path: path, Synchronous: SynchronousOff}).target()
	d, err := open(testContext(t), to)
	if err != nil {
		wantTold(t, err)
		return 1
	}
	defer d.Close()
	ctx := testContext(t)
	calls := []func() error{
		func() error { _, err := d.Get(ctx, "t:100"); return err },
		func() error { _, err := d.TTL(ctx, "t:199"); return err },
		func() error { _, err := d.List(ctx, "", "", 1000); return err },
		func() error { _, err := d.GetMany(ctx, []string{"t:001", "t:150"}); return err },
		func() error { _, err := d.sweep(ctx); return err },
	}
	for _, write := range writes {
		calls = append(calls, func() error { return write(ctx, d) })
	}
	for _, call := range calls {
		if err := call(); err != nil && !errors.Is(err, store.ErrNotFound) {
			wantTold(t, err)
			found = 1
		}
	}
	return found
}

// wantTold checks that an error of a damaged file is one that tells what to do.
func wantTold(t *testing.T, err error) {
	t.Helper()
	switch kind := store.Kind(err); kind {
	case "corrupt", "unavailable", "invalid", "full":
	default:
		t.Errorf("%v is of kind %s", err, kind)
	}
}

// A log without a whole header holds no transaction: what was in it is gone, and the rest is there.
func TestOpen_DamagedLog_FindsWhatWasMovedIntoTheDatabase(t *testing.T) {
	path := newPath(t)
	d := openPath(t, path, Options{Synchronous: SynchronousOff})
	seed(t, d)
	d.Close()
	for name, log := range map[string][]byte{
		"empty":   {},
		"cut":     {0x37, 0x7f, 0x06, 0x82, 0, 0},
		"garbage": bytes.Repeat([]byte{0xa5}, 10_000),
		"zeros":   make([]byte, 10_000),
	} {
		if err := os.WriteFile(path+"-wal", log, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := open(testContext(t), (&Options{Path: path, Synchronous: SynchronousOff}).target())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantSeed(t, d)
		d.Close()
	}
}

// Tables without STRICT take anything from anybody.
func TestDriver_RowsThatOthersWrote_AreCorruptOrAbsent(t *testing.T) {
	path := newPath(t)
	c := openRaw(t, path)
	c.statements(t, "PRAGMA journal_mode = wal",
		"CREATE TABLE luastore (key BLOB PRIMARY KEY, expires INTEGER, value BLOB)",
		"INSERT INTO luastore VALUES (CAST('t:null' AS BLOB), NULL, NULL)",
		"INSERT INTO luastore VALUES (CAST('t:text' AS BLOB), NULL, 'text')",
		"INSERT INTO luastore VALUES (CAST('t:number' AS BLOB), NULL, 7)",
		"INSERT INTO luastore VALUES (CAST('t:real' AS BLOB), 1e300, x'07')",
		"INSERT INTO luastore VALUES (CAST('t:soon' AS BLOB), 'soon', x'07')",
		"INSERT INTO luastore VALUES (CAST('t:negative' AS BLOB), -1, x'07')",
		"INSERT INTO luastore VALUES (CAST('t:zero' AS BLOB), 0, x'07')",
		"INSERT INTO luastore VALUES (CAST('t:far' AS BLOB), 9223372036854775807, x'07')",
		"INSERT INTO luastore VALUES (CAST('t:long' AS BLOB), NULL, zeroblob(2000))",
		"INSERT INTO luastore VALUES (CAST('t:empty' AS BLOB), NULL, x'')",
		"INSERT INTO luastore VALUES ('t:string', NULL, x'07')",
		"INSERT INTO luastore VALUES (7, NULL, x'07')",
		"INSERT INTO luastore VALUES (NULL, NULL, x'07')",
	)
	d := openPath(t, path, Options{Synchronous: SynchronousOff, MaxValueBytes: 1000})
	ctx := testContext(t)
	for key, want := range map[string][3]string{ // kinds of Get, TTL, Incr
		"t:null":     {"corrupt", "", "corrupt"},
		"t:text":     {"corrupt", "", "corrupt"},
		"t:number":   {"corrupt", "", "corrupt"},
		"t:real":     {"corrupt", "corrupt", "corrupt"},
		"t:soon":     {"corrupt", "corrupt", "corrupt"},
		"t:negative": {"not_found", "not_found", ""},
		"t:zero":     {"not_found", "not_found", ""},
		"t:far":      {"", "", ""},
		"t:long":     {"corrupt", "", "corrupt"},
		"t:empty":    {"", "", "invalid"},
		"t:string":   {"not_found", "not_found", ""},
	} {
		exists := want[0] != "not_found"
		if has, err := d.Has(ctx, key); has != exists || err != nil {
			t.Errorf("Has %s: %v, %v", key, has, err)
		}
		_, getting := d.Get(ctx, key)
		ttl, ttlErr := d.TTL(ctx, key)
		_, counting := d.Incr(ctx, key, 1, 0, 0)
		if got := [3]string{store.Kind(getting), store.Kind(ttlErr), store.Kind(counting)}; got != want {
			t.Errorf("%s: kinds %q, want %q", key, got, want)
		}
		if ttl > store.MaxTTL || ttl < 0 {
			t.Errorf("%s: ttl %v", key, ttl)
		}
		if want[0] == "corrupt" {
			if swapped, err := d.CompareAndSwap(ctx, key, []byte("text"), []byte("v"), 0); swapped || err != nil {
				t.Errorf("CompareAndSwap %s: %v, %v", key, swapped, err)
			}
		}
	}
	_, err := d.GetMany(ctx, []string{"t:null", "t:far", "t:soon"})
	var batch *store.BatchError
	if !errors.As(err, &batch) || fmt.Sprint(batch.Keys()) != "[t:null t:soon]" {
		t.Errorf("GetMany: %v", err)
	}
	page, err := d.List(ctx, "", "", 100)
	if err != nil || len(page.Keys) != 11 {
		t.Errorf("List: %q, %v", page.Keys, err)
	}
	for _, key := range page.Keys {
		if err := d.Set(ctx, key, []byte("v"), 0); err != nil {
			t.Errorf("Set %s: %v", key, err)
		}
		if existed, err := d.Delete(ctx, key); !existed || err != nil {
			t.Errorf("Delete %s: %v, %v", key, existed, err)
		}
	}
	wantKeys(t, d)
}

func TestDriver_TableDroppedMeanwhile_IsUnavailable(t *testing.T) {
	d := openNew(t)
	seed(t, d)
	openRaw(t, d.target.Path).statements(t, "DROP TABLE luastore")
	ctx := testContext(t)
	if _, err := d.Get(ctx, "t:k"); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "no such table") {
		t.Errorf("Get: %v", err)
	}
	for name, write := range writes {
		if err := write(ctx, d); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "no such table") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
