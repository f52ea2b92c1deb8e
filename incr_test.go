package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
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

func TestHandle_Incr_CountsFromInitialAndKeepsTheExpiry(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{DefaultTTL: time.Minute}, nil)
		for _, want := range []float64{12.5, 15} {
			sum, err := h.Incr(ctx, "a:b", 2.5, 10, time.Second)
			if sum != want || err != nil {
				t.Fatalf("%v, %v, want %v", sum, err, want)
			}
		}
		if e, _ := b.entry("a:b"); e.ttl != time.Second || string(e.value) != string(num(15)) {
			t.Errorf("stored %x with ttl %v", e.value, e.ttl)
		}
	})
}

func TestHandle_Incr_OfWhatCannotBeCounted_ChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{}, nil)
		b.put("a:text", str("10"), 0)
		b.put("a:corrupt", []byte{0xc1}, 0)
		b.put("a:most", num(value.MaxInteger), 0)
		b.put("a:infinite", num(math.Inf(1)), 0)
		for key, want := range map[string]error{
			"a:text": store.ErrNotNumber, "a:corrupt": store.ErrNotNumber, "a:most": store.ErrOutOfRange,
			"a:infinite": store.ErrOutOfRange,
		} {
			before, _ := b.entry(key)
			sum, err := h.Incr(ctx, key, 1, 0, 0)
			if !errors.Is(err, want) || !errors.Is(err, store.ErrInvalid) || sum != 0 {
				t.Errorf("%s: %v, %v, want %v", key, sum, err, want)
			}
			if after, _ := b.entry(key); string(after.value) != string(before.value) {
				t.Errorf("%s changed to %x", key, after.value)
			}
		}
		if _, err := h.Incr(ctx, "a:new", 1, value.MaxInteger, 0); !errors.Is(err, store.ErrOutOfRange) {
			t.Errorf("beyond the most: %v", err)
		}
		if _, exists := b.entry("a:new"); exists {
			t.Error("a refused sum was stored")
		}
	})
}

func TestHandle_Incr_ReachesTheLastExactInteger(t *testing.T) {
	b := newBackend()
	b.plain = true
	ctx, h := openStore(t, b, store.Definition{}, nil)
	for key, c := range map[string]struct{ initial, delta float64 }{
		"a:up": {value.MaxInteger - 1, 1}, "a:down": {1 - value.MaxInteger, -1}, "a:at once": {0, value.MaxInteger},
	} {
		sum, err := h.Incr(ctx, key, c.delta, c.initial, 0)
		if math.Abs(sum) != value.MaxInteger || err != nil {
			t.Errorf("%s: %v, %v", key, sum, err)
		}
	}
}

func TestHandle_IncrToMinusZero_StoresZero(t *testing.T) {
	b := newBackend()
	b.plain = true
	ctx, h := openStore(t, b, store.Definition{}, nil)
	sum, err := h.Incr(ctx, "a:b", math.Copysign(0, -1), math.Copysign(0, -1), 0)
	ok(t, err)
	if e, _ := b.entry("a:b"); math.Signbit(sum) || string(e.value) != string(num(0)) {
		t.Errorf("sum %v stored as %x", sum, e.value)
	}
}

func TestHandle_Incr_IsExactUnderManyGoroutines(t *testing.T) {
	both(t, func(t *testing.T, b *backend) {
		ctx, h := openStore(t, b, store.Definition{}, nil)
		const goroutines, each = 64, 50
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				for range each {
					if _, err := h.Incr(ctx, "a:b", 1, 0, 0); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if e, _ := b.entry("a:b"); string(e.value) != string(num(goroutines*each)) {
			t.Errorf("counted to %x, want %x", e.value, num(goroutines*each))
		}
	})
}
