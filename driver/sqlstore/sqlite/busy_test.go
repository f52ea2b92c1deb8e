package sqlite

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	engine "modernc.org/sqlite/lib"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// Each call waits for busy_timeout since it was made, not since those before it gave up.
func TestDriver_LockHeldElsewhere_CallsThatWaitTogetherEndTogether(t *testing.T) {
	const patience = 100 * time.Millisecond
	path := newPath(t)
	d := openPath(t, path, Options{Synchronous: SynchronousOff, BusyTimeout: patience})
	release := hold(t, path)
	defer release()
	start := time.Now()
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			if err := d.Set(context.Background(), "t:k", []byte("v"), 0); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got %v, want unavailable", err)
			}
		})
	}
	wait.Wait()
	if took := time.Since(start); took > boundtest.Scale(5*patience) || took < patience { // one after another: 10*patience
		t.Errorf("ten calls took %v", took)
	}
}

// doubting opens a driver that could neither sync a write nor undo it, on a disk that works again.
func doubting(t *testing.T) *Driver {
	t.Helper()
	f := addFaults(t, newPath(t))
	d := f.open(t, Options{})
	seed(t, d)
	f.failing(always(engine.SQLITE_IOERR_FSYNC, commitSync))
	if err := d.Set(testContext(t), "t:k", []byte("new"), 0); !errors.Is(err, store.ErrUnknownOutcome) {
		t.Fatalf("got %v, want an unknown outcome", err)
	}
	f.failing(nil)
	return d
}

func TestDoubt_IsSettledThoughNobodyWrites(t *testing.T) {
	d := doubting(t)
	eventually(t, "reads work again", func() bool {
		v, err := d.Get(testContext(t), "t:k")
		if err == nil && string(v) != "old" {
			t.Fatalf("got %q", v)
		}
		return err == nil
	})
}

func TestDoubt_WhileAnotherProcessWrites_WaitsForIt(t *testing.T) {
	d := doubting(t)
	release := hold(t, d.target.Path)
	before := d.writer.taken.Load()
	answer := make(chan error)
	go func() { answer <- d.Set(testContext(t), "t:k", []byte("newer"), 0) }()
	eventually(t, "the write waits", func() bool { return d.writer.taken.Load() > before })
	time.AfterFunc(20*time.Millisecond, release)
	if err := <-answer; err != nil {
		t.Errorf("once the other is done: %v", err)
	}
	if v, err := d.Get(testContext(t), "t:k"); string(v) != "newer" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
}
