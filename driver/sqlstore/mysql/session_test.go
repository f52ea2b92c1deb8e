package mysql

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/mariadbtest"
)

// foreign are charsets in which the last byte of a character may be a quote or a backslash, and one in which it may not.
var foreign = []string{"gbk", "big5", "sjis", "latin1"}

func TestSession_WhateverTheCharset_KeysAndValuesAreOnlyBytes(t *testing.T) {
	for _, charset := range foreign {
		t.Run("InitConnect/"+charset, func(t *testing.T) {
			server := mariadbtest.Shared(t)
			server.Exec(t, "SET GLOBAL init_connect = 'SET NAMES "+charset+"'")
			t.Cleanup(func() { server.Exec(t, "SET GLOBAL init_connect = ''") })
			wantOnlyBytes(t, openURL(t, server.URL()))
		})
		t.Run("AfterSetup/"+charset, func(t *testing.T) {
			d := openURL(t, mariadbtest.Shared(t).URL()+"?max_conns=1")
			must(d.db.ExecContext(testContext(t), "SET NAMES "+charset))(t)
			wantOnlyBytes(t, d)
		})
	}
	t.Run("SkipHandshake", func(t *testing.T) {
		server := mariadbtest.Start(t, &mariadbtest.Options{Args: []string{"--character-set-server=gbk", "--skip-character-set-client-handshake"}})
		wantOnlyBytes(t, openURL(t, server.URL()))
	})
}

// wantOnlyBytes states that nothing in a key or a value becomes a part of a statement, prepared or not.
func wantOnlyBytes(t *testing.T, d *Driver) {
	t.Helper()
	ctx := testContext(t)
	must(0, d.Set(ctx, "victim", []byte("secret"), 0))(t)
	hostile := []string{
		"使') OR 1=1 -- ", "使') OR 1=1 UNION SELECT 0xe4bdbf, 1, 'x' -- ", "使' OR 1=1) -- ", "\xbf') OR 1=1 -- ", "\xbf\\') OR 1=1 -- ",
		"\x81'", "\xa5\\", "'", "\\", "\"", "\x00\n\r\x1a", "?", "x'00'",
	}
	for _, ttl := range []time.Duration{0, time.Hour} {
		for _, key := range hostile {
			if values := must(d.GetMany(ctx, []string{key}))(t); values[0] != nil {
				t.Errorf("GetMany of %q reads %q", key, values[0])
			}
			if n := must(d.DeleteMany(ctx, []string{key}))(t); n != 0 {
				t.Errorf("DeleteMany of %q removed %d", key, n)
			}
			items := []store.Item{{Key: key, Value: []byte(key)}, {Key: "beside", Value: []byte("v")}}
			must(0, d.SetMany(ctx, items, ttl))(t)
			if values := must(d.GetMany(ctx, []string{key, "beside"}))(t); string(values[0]) != key || string(values[1]) != "v" {
				t.Errorf("%q became %q", key, values)
			}
			if v := must(d.Get(ctx, key))(t); string(v) != key {
				t.Errorf("%q became %q", key, v)
			}
			if n := must(d.DeleteMany(ctx, []string{key, "beside"}))(t); n != 2 {
				t.Errorf("DeleteMany of %q removed %d", key, n)
			}
		}
	}
	if page := must(d.List(ctx, "", "", 100))(t); len(page.Keys) != 1 || page.Keys[0] != "victim" {
		t.Errorf("left are %q", page.Keys)
	}
}

func TestSession_WithoutPreparedStatements_DoesTheSame(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	server.Exec(t, "SET GLOBAL max_prepared_stmt_count = 0")
	t.Cleanup(func() { server.Exec(t, "SET GLOBAL max_prepared_stmt_count = DEFAULT") })
	d := openURL(t, server.URL()+"?max_conns=1")
	must(d.db.ExecContext(ctx, "SET NAMES gbk"))(t)
	hostile := "使' OR 1=1 -- \x00\xbf'\\"
	must(0, d.Set(ctx, "victim", []byte(hostile), time.Hour))(t)
	must(0, d.Set(ctx, hostile, []byte(hostile), time.Hour))(t)
	if v, ttl, err := d.Entry(ctx, hostile); string(v) != hostile || ttl <= 0 || err != nil {
		t.Errorf("got %q, %v, %v", v, ttl, err)
	}
	if !must(d.CompareAndSwap(ctx, hostile, []byte(hostile), []byte{}, 0))(t) || !must(d.Delete(ctx, hostile))(t) {
		t.Error("it was neither swapped nor deleted")
	}
	if v := must(d.Get(ctx, "victim"))(t); string(v) != hostile {
		t.Errorf("the other became %q", v)
	}
	d.metAt.Store(math.MaxInt64)
	for want := 1.0; want < 4; want++ {
		if n := must(d.Incr(ctx, "n", 1, 0, 0))(t); n != want {
			t.Errorf("counted %v, want %v", n, want)
		}
	}
	most := bytes.Repeat([]byte{'\''}, d.Info().MaxValueBytes)
	if err := d.Set(ctx, "most", most, 0); store.Kind(err) != "unavailable" { // twice as long as text: it cannot be sent
		t.Errorf("a value that only a prepared statement can hold: %v", err)
	}
}

// globals change what statements mean, or how many rows they are about.
var globals = map[string]string{
	"completion_type=1":  "NO_CHAIN",
	"completion_type=2":  "NO_CHAIN",
	"sql_select_limit=3": "DEFAULT",
	"sql_safe_updates=1": "0",
	"max_join_size=1":    "DEFAULT",
	"autocommit=0":       "1",
	"unique_checks=0":    "1",
	"sql_auto_is_null=1": "0",
	"sql_mode='ORACLE,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE,PIPES_AS_CONCAT'": "DEFAULT",
	"time_zone='-11:00'":                  "SYSTEM",
	"tx_isolation='SERIALIZABLE'":         "'REPEATABLE-READ'",
	"div_precision_increment=0":           "4",
	"low_priority_updates=1":              "0",
	"old_mode='ZERO_DATE_TIME_CAST'":      "DEFAULT",
	"collation_connection='utf8mb4_bin'":  "DEFAULT",
	"character_set_client='sjis'":         "DEFAULT",
	"group_concat_max_len=4":              "DEFAULT",
	"max_sort_length=8":                   "DEFAULT",
	"innodb_lock_wait_timeout=1":          "50",
	"lock_wait_timeout=1":                 "DEFAULT",
	"max_statement_time=1":                "0",
	"eq_range_index_dive_limit=1":         "DEFAULT",
	"optimizer_search_depth=0":            "DEFAULT",
	"in_predicate_conversion_threshold=2": "1000",
}

func TestSession_WhateverTheServerIsSetTo_WorksTheSame(t *testing.T) {
	server := mariadbtest.Shared(t)
	for setting, before := range globals {
		t.Run(setting, func(t *testing.T) {
			name, _, _ := strings.Cut(setting, "=")
			server.Exec(t, "SET GLOBAL "+setting)
			t.Cleanup(func() { server.Exec(t, "SET GLOBAL "+name+" = "+before+"; TRUNCATE TABLE luastore") })
			wantUsual(t, openURL(t, server.URL()), func() *Driver { return openURL(t, server.URL()) })
		})
	}
}

// wantUsual states what any operation does, and that it lasts.
func wantUsual(t *testing.T, d *Driver, another func() *Driver) {
	t.Helper()
	ctx := testContext(t)
	d.metAt.Store(math.MaxInt64) // in transactions
	for want := 1.0; want < 4; want++ {
		if n := must(d.Incr(ctx, "n", 1, 0, 0))(t); n != want {
			t.Errorf("counted %v, want %v", n, want)
		}
		must(0, d.Set(ctx, fmt.Sprint("after:", want), []byte("v"), time.Hour))(t)
	}
	var items []store.Item
	for i := range 10 {
		items = append(items, store.Item{Key: fmt.Sprint("s:", i), Value: []byte("v")})
	}
	must(0, d.SetMany(ctx, items, time.Hour))(t)
	for _, v := range must(d.GetMany(ctx, keysOf(items)))(t) {
		if string(v) != "v" {
			t.Errorf("GetMany lacks some of its keys: %q", v)
		}
	}
	if page := must(d.List(ctx, "s:", "", 10))(t); len(page.Keys) != 10 || page.Next != "" {
		t.Errorf("listed %v", page)
	}
	if ttl := must(d.TTL(ctx, "after:1"))(t); ttl < 59*time.Minute || ttl > time.Hour {
		t.Errorf("an hour is %v", ttl)
	}
	if n := must(d.DeleteMany(ctx, keysOf(items[:5])))(t); n != 5 {
		t.Errorf("deleted %d", n)
	}
	must(0, d.Set(ctx, "t:k", []byte("7"), 0))(t)
	wantKinds(t, d, "", "", "")
	must(0, d.Close())(t)
	if page := must(another().List(ctx, "", "", 100))(t); len(page.Keys) < 9 {
		t.Errorf("left are %q", page.Keys)
	}
}

func TestDial_WhoseSetupIsRefused_LeavesNothing(t *testing.T) {
	d := openURL(t, mariadbtest.Shared(t).URL())
	broken := &connector{config: d.dialer.config, setup: []string{"SET nonsense = 1"}, timeout: time.Minute, closing: context.Background()}
	before := runtime.NumGoroutine()
	for range 20 {
		if _, err := broken.Connect(testContext(t)); number(err) != 1193 {
			t.Errorf("got %v", err)
		}
	}
	eventually(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
	if len(broken.links.open) != 0 {
		t.Errorf("%d connections are open", len(broken.links.open))
	}
}
