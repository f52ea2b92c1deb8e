package sqlite

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store"
)

// writes are calls that change what seed wrote.
var writes = map[string]func(ctx context.Context, d *Driver) error{
	"Set":    func(ctx context.Context, d *Driver) error { return d.Set(ctx, "t:k", []byte("new"), 0) },
	"Delete": func(ctx context.Context, d *Driver) error { _, err := d.Delete(ctx, "t:k"); return err },
	"Touch":  func(ctx context.Context, d *Driver) error { _, err := d.Touch(ctx, "t:k", time.Hour); return err },
	"CompareAndSwap": func(ctx context.Context, d *Driver) error {
		_, err := d.CompareAndSwap(ctx, "t:k", []byte("old"), []byte("new"), 0)
		return err
	},
	"Incr": func(ctx context.Context, d *Driver) error { _, err := d.Incr(ctx, "t:n", 1, 0, 0); return err },
	"SetMany": func(ctx context.Context, d *Driver) error {
		return d.SetMany(ctx, []store.Item{{Key: "t:k", Value: []byte("new")}}, 0)
	},
	"DeleteMany": func(ctx context.Context, d *Driver) error { _, err := d.DeleteMany(ctx, []string{"t:k"}); return err },
}

func seed(t *testing.T, d *Driver) {
	t.Helper()
	ctx := testContext(t)
	if err := d.Set(ctx, "t:k", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Incr(ctx, "t:n", 5, 0, 0); err != nil {
		t.Fatal(err)
	}
}

func wantSeed(t *testing.T, d *Driver) {
	t.Helper()
	ctx := testContext(t)
	v, ttl, err := d.Entry(ctx, "t:k")
	if string(v) != "old" || ttl != 0 || err != nil {
		t.Errorf("the entry is %q, %v, %v", v, ttl, err)
	}
	if n, err := d.Incr(ctx, "t:n", 0, 0, 0); n != 5 || err != nil {
		t.Errorf("the counter is %v, %v", n, err)
	}
}

func TestWrite_WhoseContextEndsWhileItWaits_IsNeverDone(t *testing.T) {
	for name, write := range writes {
		for kind, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
			"timeout": func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 20*time.Millisecond)
			},
			"canceled": func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(20*time.Millisecond, cancel)
				return ctx, cancel
			},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				d := openNew(t)
				seed(t, d)
				release := hold(t, d.target.Path)
				ctx, cancel := end(testContext(t))
				defer cancel()
				if err := write(ctx, d); store.Kind(err) != kind {
					t.Errorf("got %v, want %s", err, kind)
				}
				release()
				wantSeed(t, d)
			})
		}
	}
}

func TestWrite_WhoseContextEndsInItsTransaction_AnswersUnknownOutcomeAtOnce(t *testing.T) {
	d := openNew(t)
	ctx, cancel := context.WithCancel(testContext(t))
	inside, proceed := make(chan struct{}), make(chan struct{})
	answered := make(chan error, 1)
	go func() {
		answered <- d.write(ctx, 0, func(c *conn, at instant) error {
			close(inside)
			<-proceed
			return c.set("t:k", []byte("v"), 0, at)
		})
	}()
	<-inside
	waiting := make(chan error, 1)
	short, stop := context.WithCancel(testContext(t))
	go func() { waiting <- d.Set(short, "t:later", []byte("v"), 0) }()
	eventually(t, "the next write waits", func() bool { return len(d.writer.queue) == 1 })
	cancel()
	if err := <-answered; !errors.Is(err, store.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("in the transaction: %v, want an unknown outcome", err)
	}
	stop()
	if err := <-waiting; !errors.Is(err, store.ErrCanceled) {
		t.Errorf("in the queue: %v, want canceled", err)
	}
	close(proceed)
	d.Delete(testContext(t), "t:none") // comes after it
	wantKeys(t, d, "t:k")
}

// What was answered is what was done, however calls are cut off: neither is an increment done that was said not to be, nor one
// lost that was confirmed.
func TestWrite_CutOffAtRandom_TellsTheTruth(t *testing.T) {
	d := openPath(t, newPath(t), Options{})
	var mu sync.Mutex
	done, unknown, undone := 0, 0, 0
	var wait sync.WaitGroup
	for range 32 {
		wait.Go(func() {
			for i := range 100 {
				limit := rand.N(4 * time.Millisecond)
				if i%10 == 0 { // some are done however slow the disk is
					limit = time.Minute
				}
				ctx, cancel := context.WithTimeout(testContext(t), limit)
				_, err := d.Incr(ctx, "t:n", 1, 0, 0)
				cancel()
				mu.Lock()
				switch store.Kind(err) {
				case "":
					done++
				case "unknown_outcome":
					unknown++
				case "timeout":
					undone++
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	n, err := d.Incr(testContext(t), "t:n", 0, 0, 0)
	if int(n) < done || int(n) > done+unknown || err != nil {
		t.Errorf("%v increments, %d confirmed, %d unknown, %d refused, %v", n, done, unknown, undone, err)
	}
	if done == 0 || undone == 0 {
		t.Errorf("%d confirmed, %d unknown, %d refused: the test shows nothing", done, unknown, undone)
	}
}

func TestClose_WhileWritesWait_AnswersUnavailableAndDoesNothing(t *testing.T) {
	path := newPath(t)
	d := openPath(t, path, Options{Synchronous: SynchronousOff})
	seed(t, d)
	release := hold(t, path)
	before := d.writer.taken.Load()
	answers := make(chan error, len(writes))
	for _, write := range writes {
		go func() { answers <- write(testContext(t), d) }()
	}
	eventually(t, "they wait", func() bool { return d.writer.taken.Load()-before+int64(len(d.writer.queue)) == int64(len(writes)) })
	d.Close()
	for range writes {
		if err := <-answers; !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v, want unavailable", err)
		}
	}
	release()
	wantSeed(t, openPath(t, path, Options{}))
}

func TestClose_DuringATransaction_FinishesIt(t *testing.T) {
	path := newPath(t)
	d := openPath(t, path, Options{Synchronous: SynchronousOff})
	inside, proceed := make(chan struct{}), make(chan struct{})
	answered := make(chan error, 1)
	go func() {
		answered <- d.write(testContext(t), 0, func(c *conn, at instant) error {
			close(inside)
			<-proceed
			return c.set("t:k", []byte("v"), 0, at)
		})
	}()
	<-inside
	closed := make(chan struct{})
	go func() { d.Close(); close(closed) }()
	<-d.closing.Done()
	close(proceed)
	if err := <-answered; err != nil {
		t.Errorf("the write: %v", err)
	}
	<-closed
	wantKeys(t, openPath(t, path, Options{}), "t:k")
}
