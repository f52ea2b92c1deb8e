package mysql

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/mariadbtest"
)

// A statement that began before an entry expired, and got its lock after, must take it for absent: others saw that it was.
func TestWrite_ThatWaitedForARowLock_JudgesExpiryByTheTimeAfterwards(t *testing.T) {
	server := mariadbtest.Shared(t)
	one, two := []byte{1}, []byte{2}
	for name, w := range map[string]func(ctx context.Context, d *Driver) (any, error){
		"Touch":  func(ctx context.Context, d *Driver) (any, error) { return d.Touch(ctx, "t:k", 0) },
		"Delete": func(ctx context.Context, d *Driver) (any, error) { return d.Delete(ctx, "t:k") },
		"Swap":   func(ctx context.Context, d *Driver) (any, error) { return d.CompareAndSwap(ctx, "t:k", one, two, 0) },
		"SwapKeep": func(ctx context.Context, d *Driver) (any, error) {
			return d.CompareAndSwap(ctx, "t:k", one, two, store.KeepTTL)
		},
		"SwapDelete": func(ctx context.Context, d *Driver) (any, error) { return d.CompareAndSwap(ctx, "t:k", one, nil, 0) },
		"Create": func(ctx context.Context, d *Driver) (any, error) {
			ok, err := d.CompareAndSwap(ctx, "t:k", nil, two, 0)
			return !ok, err
		},
		"Incr": func(ctx context.Context, d *Driver) (any, error) {
			n, err := d.Incr(ctx, "t:k", 1, 10, 0)
			return n != 11, err
		},
		"DeleteMany": func(ctx context.Context, d *Driver) (any, error) {
			n, err := d.DeleteMany(ctx, []string{"t:k"})
			return n != 0, err
		},
		"SetKeep": func(ctx context.Context, d *Driver) (any, error) {
			if err := d.Set(ctx, "t:k", two, store.KeepTTL); err != nil {
				return nil, err
			}
			_, err := d.Get(ctx, "t:k")
			return errors.Is(err, store.ErrNotFound), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			d := openURL(t, server.URL())
			must(0, d.Set(ctx, "t:k", one, 400*time.Millisecond))(t)
			h := begin(t, d)
			h.lock("t:k")
			wait := inBackground(func() (any, error) { return w(ctx, d) })
			waitForWaiter(t, server)
			eventually(t, "the entry expires", func() bool { return !must(d.Has(ctx, "t:k"))(t) })
			h.commit()
			if lived, err := wait(); lived != false || err != nil {
				t.Errorf("the expired entry lived: %v, %v", lived, err)
			}
			must(d.DeleteMany(ctx, []string{"t:k"}))(t)
		})
	}
}

func TestDeadlock_IsTriedAgain(t *testing.T) {
	server := mariadbtest.Shared(t)
	d, ctx := openURL(t, server.URL()), testContext(t)
	items := []store.Item{{Key: "t:1", Value: []byte("new")}, {Key: "t:2", Value: []byte("new")}}
	must(0, d.SetMany(ctx, []store.Item{{Key: "t:1"}, {Key: "t:2"}}, 0))(t)
	deadlocks := func() string {
		return server.Query(t, "SELECT count FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'")
	}
	before := deadlocks()
	h := begin(t, d)
	for range 100 { // the server undoes the transaction that has done less
		h.exec("INSERT INTO luastore (`key`, `value`) VALUES (CONCAT('h:', UUID()), '')")
	}
	h.exec("UPDATE luastore SET `value` = 'held' WHERE `key` = 't:2'")
	wait := inBackground(func() (int, error) { return 0, d.SetMany(ctx, items, 0) })
	waitForWaiter(t, server)
	h.exec("UPDATE luastore SET `value` = 'held' WHERE `key` = 't:1'")
	h.commit()
	if _, err := wait(); err != nil {
		t.Errorf("the deadlock shows: %v", err)
	}
	for _, item := range items {
		if v := must(d.Get(ctx, item.Key))(t); string(v) != "new" {
			t.Errorf("%s holds %q", item.Key, v)
		}
	}
	if after := deadlocks(); after == before {
		t.Errorf("there was no deadlock: %s before, %s after", before, after)
	}
}

func TestIncr_ByTwoDrivers_CountsEachOnce(t *testing.T) {
	server := mariadbtest.Shared(t)
	drivers := []*Driver{openURL(t, server.URL()), openURL(t, server.URL())}
	each := 50
	if boundtest.Race {
		each = 5
	}
	ctx := testContext(t)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for range each {
				if _, err := drivers[i%2].Incr(ctx, "t:n", 1, 0, 0); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := must(drivers[0].Incr(ctx, "t:n", 0, 0, 0))(t); int(n) != 64*each {
		t.Errorf("counted %v, want %d", n, 64*each)
	}
}

func TestStatementTimeout_EndsWhatWaitsAndUndoesIt(t *testing.T) {
	server := mariadbtest.Shared(t)
	beside, ctx := openURL(t, server.URL()), testContext(t)
	// To open is statements too: on a busy machine they do not take that long where there is a table.
	d := openURL(t, server.URL()+"?statement_timeout=1500ms")
	must(0, beside.Set(ctx, "t:k", []byte("old"), 0))(t)
	h := begin(t, beside)
	h.lock("t:k")
	if err := d.Set(ctx, "t:k", []byte("new"), 0); store.Kind(err) != "timeout" {
		t.Errorf("Set beside a lock: %v, want a timeout", err)
	}
	must(0, beside.Set(ctx, "t:n", []byte{1}, 0))(t)
	h.lock("t:n")
	if _, err := d.Incr(ctx, "t:n", 1, 0, 0); store.Kind(err) != "timeout" {
		t.Errorf("Incr beside a lock: %v, want a timeout", err)
	}
	h.commit()
	if v := must(beside.Get(ctx, "t:k"))(t); string(v) != "old" {
		t.Errorf("the key holds %q", v)
	}
}

func TestStatement_GivenUpByItsCaller_EndsOnTheServer(t *testing.T) {
	server := mariadbtest.Shared(t)
	beside := openURL(t, server.URL())
	// To open is statements too: on a busy machine they do not take that long where there is a table.
	d := openURL(t, server.URL()+"?statement_timeout=1500ms")
	must(0, d.Set(testContext(t), "t:k", []byte("old"), 0))(t)
	h := begin(t, beside)
	h.lock("t:k")
	ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	d.metAt.Store(math.MaxInt64)
	if _, err := d.Incr(ctx, "t:k", 1, 0, 0); store.Kind(err) != "timeout" {
		t.Errorf("an increment that never got its lock: %v, want a timeout", err)
	}
	if err := d.Set(ctx, "t:k", []byte("new"), 0); store.Kind(err) != "timeout" {
		t.Errorf("a write after the deadline: %v", err)
	}
	eventually(t, "nothing waits any more", func() bool { return waiters(t, server) == "0" })
	h.commit()
	if v := must(beside.Get(testContext(t), "t:k"))(t); string(v) != "old" {
		t.Errorf("the key holds %q", v)
	}
}

func TestTransaction_ThatIsNotCommitted_LeavesNoLock(t *testing.T) {
	server, ctx := mariadbtest.Shared(t), testContext(t)
	d := openURL(t, server.URL()+"?max_conns=1")
	d.metAt.Store(math.MaxInt64)
	must(0, d.Set(ctx, "t:k", []byte("no number"), 0))(t)
	if _, err := d.Incr(ctx, "t:k", 1, 0, 0); !errors.Is(err, store.ErrNotNumber) {
		t.Errorf("got %v", err)
	}
	soon, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	must(0, openURL(t, server.URL()).Set(soon, "t:k", nil, 0))(t)
	must(0, d.Set(ctx, "t:after", nil, 0))(t)
	if !must(openURL(t, server.URL()).Has(ctx, "t:after"))(t) {
		t.Error("a later write belongs to the transaction")
	}
}
