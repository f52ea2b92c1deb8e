package redisstore

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/luastore/store/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// openURL opens a driver for the length of the test.
func openURL(t testing.TB, url string) *Driver {
	t.Helper()
	o, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	d, err := open(testContext(t), o.target())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// testContext bounds a test that hangs, and is a context as a handle makes it: with a deadline.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// callBudget is the deadline of calls while servers change: not that of a store over a network by default, 5 s, which a call that waits
// for a server that hangs would take.
const callBudget = 2 * time.Second

// eventually polls until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// only returns the one server of a driver that has one.
func only(d *Driver) *node { return d.servers.(*single).node }
