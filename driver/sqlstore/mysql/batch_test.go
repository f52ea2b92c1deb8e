package mysql

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
	"github.com/luastore/store/internal/mariadbtest"
)

func TestSetMany_WithAnEntryTooLarge_WritesTheOthersAndNamesIt(t *testing.T) {
	d, ctx := openURL(t, mariadbtest.Shared(t).URL()+"?max_value_bytes=10"), testContext(t)
	err := d.SetMany(ctx, []store.Item{{Key: "t:1", Value: []byte("v")}, {Key: "t:2", Value: make([]byte, 11)}, {Key: "t:3"}}, 0)
	var batch *store.BatchError
	if !errors.As(err, &batch) || !slices.Equal(batch.Keys(), []string{"t:2"}) || store.Kind(err) != "too_large" {
		t.Errorf("got %v", err)
	}
	if n := must(d.DeleteMany(ctx, []string{"t:1", "t:2", "t:3"}))(t); n != 2 {
		t.Errorf("%d of the others were written", n)
	}
}

func TestBatch_OfAThousandLongKeys_IsOneStatement(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	d := openURL(t, server.URL()+"?max_conns=1")
	var items []store.Item
	for i := range 1000 {
		items = append(items, store.Item{Key: fmt.Sprintf("t:%04d%s", i, strings.Repeat("k", 1018)), Value: []byte("'\\\x00\"")})
	}
	n := must(questions(d, func() {
		must(0, d.SetMany(ctx, items, time.Hour))(t)
		values := must(d.GetMany(ctx, keysOf(items)))(t)
		for _, v := range values {
			if string(v) != "'\\\x00\"" {
				t.Fatalf("got %q", v)
			}
		}
		if n := must(d.DeleteMany(ctx, keysOf(items)))(t); n != 1000 {
			t.Errorf("deleted %d", n)
		}
	}))(t)
	if n != 3 {
		t.Errorf("%d statements, want 3", n)
	}
}

// questions returns how many statements the one session of d ran in fn.
func questions(d *Driver, fn func()) (int, error) {
	count := func() (n int, err error) {
		var name string
		err = d.db.QueryRow("SHOW SESSION STATUS LIKE 'Questions'").Scan(&name, &n)
		return n, err
	}
	before, err := count()
	if err != nil {
		return 0, err
	}
	fn()
	after, err := count()
	return after - before - 1, err
}

func TestDeleteMany_CountsNoExpiredRows(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	d := openURL(t, server.URL())
	server.Exec(t, "INSERT INTO luastore (`key`, `value`, expires) VALUES ('t:1', '', 1), ('t:2', '', NULL)")
	if n := must(d.DeleteMany(ctx, []string{"t:1", "t:2", "t:3"}))(t); n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
}

func TestSweep_RemovesExpiredRowsInBoundedSteps(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	d := openURL(t, server.URL())
	fill(t, d, 2*table.SweepRows+500)
	must(0, d.SetMany(ctx, []store.Item{{Key: "t:live"}}, 0))(t)
	must(0, d.SetMany(ctx, []store.Item{{Key: "t:later"}}, time.Hour))(t)
	left := 2*table.SweepRows + 502
	for _, want := range []int{table.SweepRows, table.SweepRows, 500, 0} {
		if n := must(d.sweep(ctx))(t); n != want {
			t.Errorf("a step removed %d rows, want %d", n, want)
		}
		left -= want
		if n := server.Query(t, "SELECT COUNT(*) FROM luastore"); n != fmt.Sprint(left) {
			t.Errorf("%s rows are left, want %d", n, left)
		}
	}
}

// fill writes rows that have expired.
func fill(t testing.TB, d *Driver, n int) {
	t.Helper()
	var items []store.Item
	for i := range n {
		items = append(items, store.Item{Key: fmt.Sprint("t:", i)})
	}
	for part := range slices.Chunk(items, 1000) {
		must(0, d.SetMany(testContext(t), part, time.Millisecond))(t)
	}
	eventually(t, "the rows expire", func() bool { return !must(d.Has(testContext(t), items[n-1].Key))(t) })
}

func TestSweep_InTheBackground_LeavesTheLiveAndEndsWithTheDriver(t *testing.T) {
	server := mariadbtest.Shared(t)
	fill(t, openURL(t, server.URL()), 1500)
	d := must(open(testContext(t), must(ParseURL(server.URL()))(t).target(), 20*time.Millisecond))(t)
	must(0, d.Set(testContext(t), "t:live", nil, 0))(t)
	eventually(t, "the rows are gone", func() bool { return server.Query(t, "SELECT COUNT(*) FROM luastore") == "1" })
	must(0, d.Close())(t)
	server.Exec(t, "INSERT INTO luastore (`key`, `value`, expires) VALUES ('t:gone', '', 1)")
	if n, err := d.sweep(testContext(t)); n != 0 || store.Kind(err) != "unavailable" {
		t.Errorf("a sweep after Close: %d, %v", n, err)
	}
}

func TestList_CursorLongerThanAnyKey_IsInvalid(t *testing.T) {
	d := openURL(t, mariadbtest.Shared(t).URL())
	for _, n := range []int{5 << 10, 20 << 20} {
		if _, err := d.List(testContext(t), "t:", "."+strings.Repeat("z", n), 10); store.Kind(err) != "invalid" {
			t.Errorf("a cursor of %d bytes: %v", n, err)
		}
	}
	must(d.List(testContext(t), "t:", table.Cursor("", strings.Repeat("z", 3072)), 10))(t)
}

func TestList_OverManyExpiredRows_TakesBoundedSteps(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	d := openURL(t, server.URL())
	fill(t, d, 1000)
	must(0, d.Set(ctx, "t:9999", nil, 0))(t)
	page := must(d.List(ctx, "t:", "", 10))(t)
	if len(page.Keys) != 0 || page.Next == "" {
		t.Errorf("the first page is %v", page)
	}
	pages, keys := 0, 0
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		page := must(d.List(ctx, "t:", cursor, 10))(t)
		keys += len(page.Keys)
		cursor = page.Next
	}
	if pages != 101 || keys != 1 {
		t.Errorf("%d pages with %d keys", pages, keys)
	}
}
