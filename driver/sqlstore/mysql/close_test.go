package mysql

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/mariadbtest"
)

func TestClose_WithCallsInFlight_MakesThemReturn(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	d := openURL(t, server.URL()+"?max_conns=2")
	must(0, d.Set(ctx, "t:k", nil, 0))(t)
	h := begin(t, openURL(t, server.URL()))
	h.lock("t:k")
	sent := inBackground(func() (int, error) { return 0, d.Set(ctx, "t:k", []byte("x"), 0) })
	d.metAt.Store(math.MaxInt64)
	locked := inBackground(func() (float64, error) { return d.Incr(ctx, "t:k", 1, 0, 0) })
	eventually(t, "both wait", func() bool { return waiters(t, server) == "2" })
	queued := inBackground(func() ([]byte, error) { return d.Get(ctx, "t:k") })
	start := time.Now()
	must(0, d.Close())(t)
	if took := time.Since(start); took > boundtest.Scale(time.Second) {
		t.Errorf("Close took %v", took)
	}
	if _, err := sent(); store.Kind(err) != "unknown_outcome" {
		t.Errorf("a write under way: %v", err)
	}
	if _, err := locked(); store.Kind(err) != "unavailable" {
		t.Errorf("a transaction under way, which nobody commits: %v", err)
	}
	if _, err := queued(); store.Kind(err) != "unavailable" {
		t.Errorf("a call in the queue: %v", err)
	}
}

func TestPool_Exhausted_CallsWaitNoLongerThanTheyMay(t *testing.T) {
	server := mariadbtest.Shared(t)
	d := openURL(t, server.URL()+"?max_conns=1")
	must(0, d.Set(testContext(t), "t:k", nil, 0))(t)
	h := begin(t, openURL(t, server.URL()))
	h.lock("t:k")
	first := inBackground(func() (int, error) { return 0, d.Set(testContext(t), "t:k", []byte("x"), 0) })
	waitForWaiter(t, server)
	boundtest.AtMost(t, "a call with a deadline of 100 ms", boundtest.Scale(150*time.Millisecond), func() time.Duration {
		ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := d.Get(ctx, "t:k"); store.Kind(err) != "timeout" {
			t.Errorf("got %v, want a timeout", err)
		}
		return time.Since(start)
	})
	h.commit()
	must(first())(t)
}
