package postgres

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luastore/store"
)

// Where a refusal takes longer than redialGap, an attempt of another call is under way whenever one is refused.
func TestPool_ServerIsFullAndFarAway_CallsDoNotWaitForEachOtherForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(8, 3*time.Second)
		defer p.close()
		p.dial = func(context.Context) (*conn, error) {
			time.Sleep(redialGap + 200*time.Millisecond)
			return nil, &crowded{store.Errorf(store.ErrUnavailable, "no room")}
		}
		errs := make(chan error, 2)
		for range cap(errs) {
			go func() { errs <- second(p.acquire(context.Background())) }()
			time.Sleep(redialGap + 100*time.Millisecond)
		}
		start := time.Now()
		for range cap(errs) {
			if err := <-errs; store.Kind(err) != "unavailable" {
				t.Error(err)
			}
		}
		if took := time.Since(start); took > 2*p.timeout {
			t.Errorf("they took %v", took)
		}
		if p.lent != 0 || len(p.slots) != 0 {
			t.Errorf("%d are lent, %d slots taken", p.lent, len(p.slots))
		}
	})
}
