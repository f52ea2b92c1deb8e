package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
)

// fill opens a store by URL for the length of the test and writes entries, each fifth of which expires.
func fill(t *testing.T, url string, entries int) store.Driver {
	t.Helper()
	d, err := open(t.Context(), "test", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	for i := range entries {
		ttl := time.Duration(0)
		if i%5 == 0 {
			ttl = time.Hour
		}
		if err := d.Set(t.Context(), fmt.Sprintf("app:item:%d", i), fmt.Append(nil, i), ttl); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestMove_AllEntries_ArriveWithTheTimeTheyHaveLeft(t *testing.T) {
	dir := t.TempDir()
	from, to := "sqlite:"+filepath.Join(dir, "old.db"), "sqlite:"+filepath.Join(dir, "new.db")
	const entries = 2500
	fill(t, from, entries)
	target := fill(t, to, 0)
	moved, err := move(t.Context(), from, to, "")
	if err != nil || moved != entries {
		t.Fatalf("%d entries copied, %v", moved, err)
	}
	for i := range entries {
		v, ttl, err := target.Entry(t.Context(), fmt.Sprintf("app:item:%d", i))
		if expires := ttl > 59*time.Minute && ttl <= time.Hour; err != nil || string(v) != fmt.Sprint(i) || expires != (i%5 == 0) {
			t.Fatalf("entry %d: %q, %v, %v", i, v, ttl, err)
		}
	}
}

func TestMove_Prefix_CopiesNothingElse(t *testing.T) {
	dir := t.TempDir()
	from, to := "sqlite:"+filepath.Join(dir, "old.db"), "sqlite:"+filepath.Join(dir, "new.db")
	fill(t, from, 20)
	if moved, err := move(t.Context(), from, to, "app:item:1"); err != nil || moved != 11 {
		t.Errorf("%d entries copied, %v", moved, err)
	}
}

func TestMove_Mistakes_SayWhichSideAndWhatToDo(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"", "mem:", "--from is missing"},
		{"mem:", "", "--to is missing"},
		{"memory", "mem:", "--from: invalid store URL"},
		{"mem:", "sqlite:/no/such/folder/x.db", "--to: "},
	} {
		if _, err := move(t.Context(), c.from, c.to, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("from %q to %q: %v, want %q", c.from, c.to, err, c.want)
		}
	}
}

func TestMove_Interrupted_SaysSo(t *testing.T) {
	dir := t.TempDir()
	from := "sqlite:" + filepath.Join(dir, "old.db")
	fill(t, from, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := move(ctx, from, "mem:", ""); store.Kind(err) != "canceled" {
		t.Errorf("%v, want canceled", err)
	}
}
