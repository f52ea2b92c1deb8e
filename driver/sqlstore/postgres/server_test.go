package postgres

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/pgtest"
	"github.com/luastore/store/value"
)

// hold locks the row of key in a transaction of another connection, until release is called.
func hold(t *testing.T, d *Driver, key string) (c *conn, release func()) {
	t.Helper()
	c = must(d.pool.acquire(testContext(t)))(t)
	if _, err := c.execAll(testContext(t), request{d.ask.begin, nil}, request{d.ask.lock, [][]byte{[]byte(key)}}); err != nil {
		t.Fatal(err)
	}
	return c, sync.OnceFunc(func() {
		c.exec(testContext(t), d.ask.rollback, nil)
		d.pool.release(c)
	})
}

func TestDriver_StatementTimeout_EndsTheStatementAndChangesNothing(t *testing.T) {
	server := pgtest.Shared(t)
	// To open is statements too: on a busy machine they do not take that long.
	other, d := openURL(t, server.URL()), openURL(t, server.URL()+"?statement_timeout=1s")
	ctx := testContext(t)
	other.Set(ctx, "k:k", []byte("old"), 0)
	_, release := hold(t, other, "k:k")
	var wait sync.WaitGroup
	for name, write := range map[string]func() error{
		"set":  func() error { return d.Set(ctx, "k:k", []byte("new"), 0) },
		"incr": func() error { _, err := d.Incr(ctx, "k:k", 1, 0, 0); return err },
		"swap": func() error { _, err := d.CompareAndSwap(ctx, "k:k", []byte("old"), []byte("new"), 0); return err },
		"many": func() error { _, err := d.DeleteMany(ctx, []string{"k:k"}); return err },
	} {
		wait.Go(func() {
			if err := write(); store.Kind(err) != "timeout" {
				t.Errorf("%s of a locked row: %v, want a timeout", name, err)
			}
		})
	}
	wait.Wait()
	release()
	if v, err := other.Get(ctx, "k:k"); string(v) != "old" {
		t.Errorf("after the timeouts: %q, %v", v, err)
	}
}

func TestDriver_EndedContext_CancelsTheStatementOnTheServer(t *testing.T) {
	server := pgtest.Shared(t)
	other, d := openURL(t, server.URL()), openURL(t, server.URL())
	d.Set(testContext(t), "k:k", []byte("old"), 0)
	_, release := hold(t, other, "k:k")
	defer release()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	abandoned := make(chan error, 1)
	go func() { abandoned <- d.Set(ctx, "k:k", []byte("new"), 0) }()
	waiting := func(n string) func() bool {
		return func() bool {
			return server.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == n
		}
	}
	eventually(t, "the server waits for the lock", waiting("1"))
	cancel()
	if err := <-abandoned; store.Kind(err) != "unknown_outcome" {
		t.Errorf("a write abandoned while it waited: %v", err)
	}
	eventually(t, "the server waits for the lock no longer", waiting("0"))
}

func TestDriver_AllConnectionsInUse_EndsWithTheDeadline(t *testing.T) {
	d := openURL(t, pgtest.Shared(t).URL()+"?max_conns=1")
	c := must(d.pool.acquire(testContext(t)))(t)
	boundtest.AtMost(t, "a call with a deadline of 50 ms", boundtest.Scale(100*time.Millisecond), func() time.Duration {
		ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if err := d.Set(ctx, "k:k", nil, 0); store.Kind(err) != "timeout" {
			t.Errorf("%v, want a timeout", err)
		}
		return time.Since(begin)
	})
	d.pool.release(c)
	if err := d.Set(testContext(t), "k:k", nil, 0); err != nil {
		t.Error(err)
	}
}

func TestDriver_ReadOnlyServer_IsUnavailableToWritesAndSaysWhy(t *testing.T) {
	server := pgtest.Shared(t)
	openURL(t, server.URL())
	server.Exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	d := openURL(t, server.URL())
	ctx := testContext(t)
	if _, err := d.Get(ctx, "k:k"); store.Kind(err) != "not_found" {
		t.Error(err)
	}
	for _, err := range []error{d.Set(ctx, "k:k", nil, 0), second(d.Incr(ctx, "k:n", 1, 0, 0)), second(d.Touch(ctx, "k:k", 0))} {
		if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "standby or read-only") {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestDriver_TableDropped_IsUnavailableAndTellsHowToCreateIt(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	ctx := testContext(t)
	d.Set(ctx, "k:k", nil, 0)
	server.Exec(t, "DROP TABLE luastore")
	for _, err := range []error{d.Set(ctx, "k:k", nil, 0), second(d.Get(ctx, "k:k")), second(d.Incr(ctx, "k:n", 1, 0, 0)), second(d.List(ctx, "", "", 1))} {
		if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "CREATE TABLE") {
			t.Errorf("got %v", err)
		}
	}
	openURL(t, server.URL())
	if err := d.Set(ctx, "k:k", nil, 0); err != nil {
		t.Errorf("after the table was created again: %v", err)
	}
}

func TestDriver_MissingPrivileges_AreDenied(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	server.Exec(t, "REVOKE INSERT, DELETE ON luastore FROM luastore")
	ctx := testContext(t)
	for _, err := range []error{d.Set(ctx, "k:k", nil, 0), second(d.Delete(ctx, "k:k"))} {
		if store.Kind(err) != "denied" || !strings.Contains(err.Error(), "SELECT, INSERT, UPDATE and DELETE") {
			t.Errorf("got %v", err)
		}
	}
}

func TestOpen_WhereTheTableIsMissing_SaysHowToCreateIt(t *testing.T) {
	server := pgtest.Shared(t)
	openKind := func(url, want, text string) {
		t.Helper()
		_, err := Opener(must(ParseURL(url))(t)).Open(testContext(t))
		if store.Kind(err) != want || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %s with %q", err, want, text)
		}
	}
	openKind(server.URL()+"?create=false", "unavailable", `CREATE TABLE IF NOT EXISTS "luastore"`)
	server.Exec(t, "ALTER SCHEMA public OWNER TO postgres; REVOKE CREATE ON SCHEMA public FROM PUBLIC; REVOKE CREATE ON SCHEMA public FROM luastore")
	openKind(server.URL(), "denied", `CREATE TABLE IF NOT EXISTS "luastore"`)
	server.Exec(t, ddl("luastore")+"; GRANT SELECT, INSERT, UPDATE, DELETE ON luastore TO luastore")
	openURL(t, server.URL()+"?create=false")
	for create, text := range map[string]string{
		"TABLE bad1 (key text PRIMARY KEY, value bytea NOT NULL, expires bigint)":                  "columns",
		"TABLE bad2 (key bytea, value bytea NOT NULL, expires bigint)":                             "primary key",
		"TABLE bad3 (key bytea PRIMARY KEY, value bytea NOT NULL, expires bigint, x int NOT NULL)": "values for the columns x",
		"VIEW bad4 AS SELECT 1 AS key":                                                             "no table",
	} {
		server.Exec(t, "CREATE "+create)
		openKind(server.URL()+"?table="+strings.Fields(create)[1], "unavailable", text)
	}
	server.Exec(t, "CREATE TABLE bare (key bytea PRIMARY KEY, value bytea NOT NULL, expires bigint)")
	openKind(server.URL()+"?table=bare&create=false", "unavailable", "no index on the column expires")
}

func TestDriver_Deadlock_IsTriedAgain(t *testing.T) {
	server := pgtest.Shared(t)
	// Who has waited for so long looks for a deadlock, and is given up if there is one: the batch, which finds it as long as a busy
	// machine makes it in time. The other one has much more patience.
	patience := func(d string) {
		server.Exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = %L', current_database(), '`+d+`'); END $$`)
	}
	patience("2min")
	other := openURL(t, server.URL()+"?statement_timeout=1m") // the batch that is made again may get the first row before it, some times
	patience("2s")
	d := openURL(t, server.URL())
	ctx := testContext(t)
	d.SetMany(ctx, []store.Item{{Key: "k:a"}, {Key: "k:b"}}, 0)
	rival, release := hold(t, other, "k:b")
	defer release()
	done := make(chan error, 1)
	go func() {
		done <- d.SetMany(ctx, []store.Item{{Key: "k:b", Value: []byte("v")}, {Key: "k:a", Value: []byte("v")}}, 0)
	}()
	eventually(t, "the batch waits for the second row", func() bool {
		return server.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == "1"
	})
	if _, err := rival.exec(ctx, other.ask.bump, nil, []byte("k:a"), []byte("rival")); err != nil {
		t.Fatalf("the rival lost: %v", err)
	}
	if _, err := rival.exec(ctx, other.ask.commit, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the batch that was rolled back: %v", err)
	}
	if v, err := d.Get(ctx, "k:a"); string(v) != "v" {
		t.Errorf("%q, %v", v, err)
	}
	eventually(t, "the server counts a deadlock", func() bool {
		return server.Query(t, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") != "0"
	})
}

func TestBatches_LockRowsInTheOrderOfKeys(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	ctx := testContext(t)
	var entries []store.Item
	var keys []string
	for i := 9; i > 0; i-- {
		keys = append(keys, fmt.Sprint("k:", i))
		entries = append(entries, store.Item{Key: fmt.Sprint("k:", i)})
	}
	for name, batch := range map[string]func() error{
		"set": func() error { return d.SetMany(ctx, entries, 0) }, "delete": func() error { return second(d.DeleteMany(ctx, keys)) },
	} {
		if err := d.SetMany(ctx, entries, 0); err != nil {
			t.Fatal(err)
		}
		_, release := hold(t, d, "k:1")
		done := make(chan error, 1)
		go func() { done <- batch() }()
		eventually(t, "the batch waits", func() bool {
			return server.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == "1"
		})
		if free := server.Query(t, "SELECT count(*) FROM (SELECT FROM luastore FOR UPDATE SKIP LOCKED) free"); free != "8" {
			t.Errorf("while %s waits for the first row %s are free, want the 8 others", name, free)
		}
		release()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestDriver_IncrByTwoDrivers_CountsEach(t *testing.T) {
	server := pgtest.Shared(t)
	drivers := []*Driver{openURL(t, server.URL()), openURL(t, server.URL()+"?statement_cache=false")}
	ctx := testContext(t)
	var wait sync.WaitGroup
	for i := range 64 {
		wait.Go(func() {
			for range 10 {
				if _, err := drivers[i%2].Incr(ctx, "k:n", 1, 0, time.Hour); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	v, err := drivers[0].Get(ctx, "k:n")
	if n, ok := value.ParseNumber(v); !ok || n != 640 {
		t.Errorf("%v, %v", n, err)
	}
}

func TestList_OfAPrefix_IsARangeOfTheKey(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	server.Exec(t, `INSERT INTO luastore SELECT convert_to('p' || i % 100 || ':' || i, 'UTF8'), 'v' FROM generate_series(1, 20000) i; ANALYZE luastore`)
	sql := strings.NewReplacer("$1", `'p7:'::bytea`, "$2", `'p7;'::bytea`, "$3", "101").Replace(d.ask.list.sql)
	plan := server.Query(t, "EXPLAIN (FORMAT JSON) "+sql)
	if !strings.Contains(plan, `"Index Cond": "((key >= `) || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "~~") {
		t.Errorf("the plan is %s", plan)
	}
}

func TestSweep_RemovesWhatHasExpired_InBoundedSteps(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	fill := `INSERT INTO luastore SELECT convert_to('s:' || i, 'UTF8'), 'v', i FROM generate_series(1, 2500) i;
		INSERT INTO luastore VALUES ('k:never', 'v', NULL), ('k:later', 'v', 9e15)`
	server.Exec(t, fill)
	for _, want := range []int{1000, 1000, 500, 0} {
		if n, err := d.sweep(testContext(t)); n != want || err != nil {
			t.Errorf("a step removed %d, %v, want %d", n, err, want)
		}
	}
	server.Exec(t, "DELETE FROM luastore; "+fill)
	o := must(ParseURL(server.URL()))(t)
	soon := must(open(testContext(t), o.target(), 10*time.Millisecond))(t)
	defer soon.Close()
	eventually(t, "all are removed", func() bool { return server.Query(t, "SELECT count(*) FROM luastore") == "2" })
}

func TestList_ManyExpiredRows_LooksAtABoundedNumber(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	server.Exec(t, `INSERT INTO luastore SELECT convert_to('s:' || lpad(i::text, 5, '0'), 'UTF8'), 'v', i FROM generate_series(1, 3000) i;
		INSERT INTO luastore VALUES ('s:z', 'v')`)
	var keys []string
	pages := 0
	for cursor := ""; ; pages++ {
		page := must(d.List(testContext(t), "s:", cursor, 10))(t)
		keys = append(keys, page.Keys...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if fmt.Sprint(keys) != "[s:z]" || pages != 3 {
		t.Errorf("%v in %d pages", keys, pages)
	}
}

// counter passes connections on and counts what comes back.
func counter(t *testing.T, target string) (addr string, received *atomic.Int64) {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { listener.Close() })
	received = new(atomic.Int64)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				conn.Close()
				return
			}
			go func() { io.Copy(server, conn); server.Close() }()
			go func() {
				io.Copy(conn, io.TeeReader(server, countingWriter{received}))
				conn.Close()
			}()
		}
	}()
	return listener.Addr().String(), received
}

type countingWriter struct{ n *atomic.Int64 }

func (w countingWriter) Write(p []byte) (int, error) { w.n.Add(int64(len(p))); return len(p), nil }

func TestDriver_ValueBeyondTheLimit_IsCorruptAndNotFetched(t *testing.T) {
	server := pgtest.Shared(t)
	addr, received := counter(t, server.Addr())
	d := openURL(t, strings.Replace(server.URL(), server.Addr(), addr, 1)+"?max_value_bytes=1000")
	ctx := testContext(t)
	server.Exec(t, `INSERT INTO luastore SELECT convert_to('k:' || i, 'UTF8'), decode(repeat('ab', 1000000 * i), 'hex') FROM generate_series(1, 3) i;
		INSERT INTO luastore VALUES ('k:4', decode(repeat('ab', 1000), 'hex'))`)
	before := received.Load()
	_, _, entryErr := d.Entry(ctx, "k:1")
	for _, err := range []error{second(d.Get(ctx, "k:1")), entryErr} {
		if store.Kind(err) != "corrupt" {
			t.Errorf("got %v", err)
		}
	}
	values, err := d.GetMany(ctx, []string{"k:1", "k:4", "k:2", "k:none"})
	if store.Kind(err) != "corrupt" || len(values) != 4 || values[0] != nil || len(values[1]) != 1000 || values[3] != nil {
		t.Errorf("a batch: %v", err)
	}
	if _, err := d.Incr(ctx, "k:1", 1, 0, 0); store.Kind(err) != "invalid" {
		t.Errorf("incr: %v", err)
	}
	if n := received.Load() - before; n > 10_000 {
		t.Errorf("%d bytes came", n)
	}
	if has, err := d.Has(ctx, "k:1"); !has || err != nil {
		t.Error(has, err)
	}
	if err := d.Set(ctx, "k:5", make([]byte, 1001), 0); store.Kind(err) != "too_large" {
		t.Errorf("a longer value: %v", err)
	}
	if err := d.Set(ctx, "k:1", []byte("v"), 0); err != nil {
		t.Error(err)
	}
	if deleted, err := d.Delete(ctx, "k:2"); !deleted || err != nil {
		t.Error(deleted, err)
	}
}

func TestGetMany_BeyondItsBound_IsTooLargeAndStops(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	server.Exec(t, `INSERT INTO luastore SELECT convert_to('k:' || i, 'UTF8'), decode(repeat('ab', 15000000), 'hex') FROM generate_series(1, 8) i`)
	var keys []string
	for i := range 8 {
		keys = append(keys, fmt.Sprint("k:", i+1))
	}
	if _, err := d.GetMany(testContext(t), keys); store.Kind(err) != "too_large" {
		t.Errorf("got %v", err)
	}
	if values, err := d.GetMany(testContext(t), keys[:3]); err != nil || len(values[2]) != 15_000_000 {
		t.Errorf("fewer: %v", err)
	}
}

func TestDriver_IdleConnectionsThatEnded_AreNotUsed(t *testing.T) {
	server := pgtest.Shared(t)
	d := openURL(t, server.URL())
	ctx := testContext(t)
	for i := range 20 {
		server.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'luastore'")
		eventually(t, "the connection ended", func() bool {
			return server.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'luastore'") == "0"
		})
		if err := d.Set(ctx, "k:k", nil, 0); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
	}
}

func TestOpen_WrongLogin_IsUnavailableAndSaysSo(t *testing.T) {
	server := pgtest.Shared(t)
	for raw, want := range map[string]string{
		strings.Replace(server.URL(), server.Password, "wrong", 1):                 "refused the login",
		"postgres://luastore:" + server.Password + "@" + server.Addr() + "/nosuch": "no such database",
		"postgres://luastore:" + server.Password + "@127.0.0.1:1/x":                ": dial tcp 127.0.0.1:1:",
		"postgres://luastore:" + server.Password + "@nosuch.invalid/x":             ": lookup nosuch.invalid",
	} {
		_, err := Opener(must(ParseURL(raw))(t)).Open(testContext(t))
		if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), server.Password) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestOpen_TLS(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, &pgtest.Options{TLS: true})
	plain, _, _ := strings.Cut(server.URL(), "?")
	for parameters, want := range map[string]string{
		"?sslmode=require": "", "": "", "?sslmode=prefer": "",
		"?sslmode=verify-full&sslrootcert=" + server.CAFile:                     "",
		"?sslmode=verify-ca&sslrootcert=" + server.CAFile:                       "",
		"?sslmode=require&channel_binding=require&sslrootcert=" + server.CAFile: "",
		"?sslmode=disable":                          "unavailable",
		"?sslmode=verify-full":                      "unavailable",
		"?sslmode=verify-ca":                        "unavailable",
		"?sslmode=verify-full&sslrootcert=/no/file": "invalid",
	} {
		d, err := Opener(must(ParseURL(plain + parameters))(t)).Open(testContext(t))
		if store.Kind(err) != want {
			t.Errorf("%s: %v, want %q", parameters, err, want)
		}
		if err == nil {
			d.Close()
		}
	}
}
