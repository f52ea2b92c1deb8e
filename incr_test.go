package store_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

// A driver without a counter that hangs on one key must not stop the counters of others.
func TestIncr_WithoutACounter_StandsInTheQueueOfItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.plain = true
		b.before = func(ctx context.Context, c fakeCall) error {
			if c.key == "a:slow" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		ctx, h := openStore(t, b, store.Definition{Timeout: time.Minute}, nil)
		begin := time.Now()
		go func() { kindIs(t, second(h.Incr(ctx, "a:slow", 1, 0, 0)), "timeout") }()
		synctest.Wait()
		for i := range 1000 {
			ok(t, second(h.Incr(ctx, fmt.Sprintf("a:%d", i), 1, 0, 0)))
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("other keys took %v", took)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		kindIs(t, second(h.Incr(short, "a:slow", 1, 0, 0)), "timeout")
		if took := time.Since(begin); took != time.Second {
			t.Errorf("the next in the queue gave up after %v", took)
		}
		time.Sleep(time.Hour)
		b.before = nil
		ok(t, second(h.Incr(ctx, "a:slow", 1, 0, 0))) // the queue is free again
	})
}

func TestIncr_WithoutACounter_WhereOthersAlwaysWin_EndsAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.plain = true
		tries := b.outrun()
		ctx, h := openStore(t, b, store.Definition{Timeout: time.Second}, nil)
		begin := time.Now()
		kindIs(t, second(h.Incr(ctx, "a:b", 1, 0, 0)), "timeout")
		if took := time.Since(begin); took != time.Second || tries() < 5 {
			t.Errorf("gave up after %v and %d tries", took, tries())
		}
	})
}
