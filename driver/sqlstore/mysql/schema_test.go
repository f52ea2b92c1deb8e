package mysql

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/mariadbtest"
)

func TestOpen_TableThatCannotHoldAStore_IsRefusedWithTheReason(t *testing.T) {
	const columns = "(`key` VARBINARY(1024) NOT NULL PRIMARY KEY, `value` LONGBLOB NOT NULL, `expires` BIGINT NULL, KEY (`expires`)) ENGINE=InnoDB"
	for change, want := range map[string]string{
		"VARBINARY(1024)>VARCHAR(255)":                     "column key is not VARBINARY",
		"VARBINARY(1024)>VARBINARY(1023)":                  "column key is not VARBINARY",
		"VARBINARY(1024)>BINARY(255)":                      "column key is not VARBINARY",
		" PRIMARY KEY>":                                    "primary key is not the column key",
		" PRIMARY KEY, >, PRIMARY KEY(`key`(9)), ":         "primary key is not the column key",
		"LONGBLOB>LONGTEXT":                                "column value is not LONGBLOB",
		"LONGBLOB>BLOB":                                    "column value is not LONGBLOB",
		"BIGINT NULL>INT NULL":                             "column expires is not BIGINT",
		"BIGINT NULL>BIGINT NOT NULL":                      "column expires is not BIGINT",
		", KEY (`expires`)>":                               "no index begins with its column expires",
		"ENGINE=InnoDB>ENGINE=MyISAM":                      "engine is not InnoDB",
		"`value`>`val`":                                    "column value is not LONGBLOB",
		"LONGBLOB NOT NULL>LONGBLOB NULL":                  "column value is not LONGBLOB NOT NULL",
		"BIGINT NULL>BIGINT UNSIGNED NULL":                 "column expires is not BIGINT NULL",
		"KEY (`expires`)>UNIQUE KEY (`expires`)":           "unique index expires",
		", KEY >, UNIQUE KEY u (`value`(9)), KEY ":         "unique index u besides",
		", KEY >, note INT NOT NULL, KEY ":                 "column note has no default",
		"BIGINT NULL,>BIGINT AS (LENGTH(`value`)) STORED,": "column expires is generated",
		"ENGINE=InnoDB>ENGINE=InnoDB; CREATE TRIGGER luastore_t BEFORE INSERT ON luastore FOR EACH ROW SET NEW.`value` = 'x'": "trigger luastore_t",
	} {
		from, to, _ := strings.Cut(change, ">")
		server := mariadbtest.Shared(t)
		ddl := strings.Replace(columns, from, to, 1)
		if strings.Contains(ddl, "MyISAM") {
			ddl = strings.Replace(ddl, "(1024)", "(900)", 1) + " ROW_FORMAT=DYNAMIC"
		}
		server.Exec(t, "CREATE TABLE luastore "+ddl)
		o := must(ParseURL(server.URL()))(t)
		_, err := Opener(o).Open(testContext(t))
		if store.Kind(err) != "invalid" || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "CREATE TABLE") {
			t.Errorf("%s: %v, want %q", change, err, want)
		}
	}
}

func TestOpen_TableOfOthersWithMoreColumns_IsTaken(t *testing.T) {
	server := mariadbtest.Shared(t)
	server.Exec(t, "CREATE TABLE luastore (note TEXT NULL, n INT NOT NULL DEFAULT 7, id BIGINT NOT NULL AUTO_INCREMENT, size BIGINT AS (LENGTH(`value`)) VIRTUAL, expires BIGINT NULL, `value` LONGBLOB NOT NULL, `key` VARBINARY(2000) NOT NULL, PRIMARY KEY (`key`), KEY e (expires, `key`), KEY (id)) ENGINE=InnoDB")
	d := openURL(t, server.URL()+"?create=false")
	must(0, d.Set(testContext(t), "t:k", []byte("v"), 0))(t)
}

func TestOpen_WithoutTableAndCreateFalse_TellsHowToCreateIt(t *testing.T) {
	server := mariadbtest.Shared(t)
	o := must(ParseURL(server.URL() + "?create=false&table=entries"))(t)
	_, err := Opener(o).Open(testContext(t))
	if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "create=false") {
		t.Fatalf("got %v", err)
	}
	_, ddl, _ := strings.Cut(err.Error(), "create it with: ")
	server.Exec(t, ddl)
	openURL(t, server.URL()+"?create=false&table=entries")
}

func TestOpen_ByManyAtOnce_CreatesTheTableOnce(t *testing.T) {
	server := mariadbtest.Shared(t)
	o := must(ParseURL(server.URL() + "?max_conns=1"))(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			d, err := Opener(o).Open(testContext(t))
			if err != nil {
				t.Error(err)
				return
			}
			d.Close()
		})
	}
	wg.Wait()
}

func TestTables_InOneDatabase_DoNotMix(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	a, b := openURL(t, server.URL()), openURL(t, server.URL()+"?table=select") // a word of the language
	must(0, a.Set(ctx, "t:k", []byte("a"), 0))(t)
	must(0, b.Set(ctx, "t:k", []byte("b"), 0))(t)
	if v := must(a.Get(ctx, "t:k"))(t); string(v) != "a" {
		t.Errorf("got %q", v)
	}
}

// Whatever the size of the table and the statistics of it: what is planned is a search for the keys.
func TestStatements_UseTheirIndexes(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	d := openURL(t, server.URL())
	for part := range 5 {
		var items []store.Item
		for i := range 1000 {
			items = append(items, store.Item{Key: fmt.Sprintf("t:%d-%04d", part, i), Value: make([]byte, 100)})
		}
		must(0, d.SetMany(ctx, items, store.MaxTTL))(t)
	}
	server.Exec(t, "ANALYZE TABLE luastore")
	key, v := []byte("t:2-0500"), []byte("v")
	for _, c := range []struct {
		query string
		args  []any
		plan  string
	}{
		{d.sql.list, []any{[]byte("t:2"), []byte("t:3"), 101}, "range PRIMARY"},
		{d.sql.list, []any{[]byte("t:"), []byte("t;"), 101}, "range PRIMARY"},
		{d.sql.list, []any{[]byte(""), []byte(beyond), 101}, "range PRIMARY"},
		{d.sql.get, []any{key}, "const PRIMARY"},
		{d.sql.lock, []any{key}, "const PRIMARY"},
		{d.sql.touch, []any{1, key}, "range PRIMARY"},
		{d.sql.swap, []any{v, 1, key, v}, "range PRIMARY"},
		{d.sql.delete, []any{key}, "const PRIMARY"},
		{d.sql.swapDelete, []any{key, make([]byte, 100)}, "const PRIMARY"},
		{d.sql.getMany + placeholders(100) + ")", asArgs(keysFrom(100)), "range PRIMARY"},
		{d.sql.getMany + placeholders(1000) + ")", asArgs(keysFrom(1000)), "range PRIMARY"},
		{d.sql.deleteMany + placeholders(1000) + d.sql.deleteManyEnd, asArgs(keysFrom(1000)), "range PRIMARY"},
		{d.sql.reclaim + placeholders(1000) + d.sql.reclaimEnd, asArgs(keysFrom(1000)), "range PRIMARY"},
		{d.sql.expired, nil, "range luastore_expires"},
	} {
		if got := explain(t, d, c.query, c.args); got != c.plan {
			t.Errorf("%.120s: %s, want %s", c.query, got, c.plan)
		}
	}
}

func keysFrom(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("t:3-%04d", i)
	}
	return keys
}

// explain returns how the server accesses the table, and by which index.
func explain(t testing.TB, d *Driver, query string, args []any) string {
	t.Helper()
	rows, err := d.db.QueryContext(testContext(t), "EXPLAIN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns := must(rows.Columns())(t)
	found := map[string]*string{}
	to := make([]any, len(columns))
	for i, name := range columns {
		var text string
		p := &text
		found[name], to[i] = p, new(any)
	}
	if !rows.Next() {
		t.Fatal("no plan")
	}
	must(0, rows.Scan(to...))(t)
	for i, name := range columns {
		*found[name] = fmt.Sprintf("%s", *(to[i].(*any)))
	}
	return *found["type"] + " " + *found["key"]
}
