package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/luastore/store"
)

// The environment variables that make a child.
const (
	envTest = "CRASHTEST_TEST" // name of the test that it runs
	envDir  = "CRASHTEST_DIR"  // the folder
	envRun  = "CRASHTEST_RUN"  // tells its values from those of others
)

const (
	writers       = 8
	keysPerWriter = 16
	counters      = 4
	mostBatch     = 6
	mostBytes     = 8 << 10 // of a value
)

// isChild reports whether this process is a child that runs the test t. If so it has written until something went wrong.
func (target Target) isChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envTest) != t.Name() {
		return false
	}
	// Standard output is the one pipe that a child has on every system.
	pipe := &speaker{pipe: os.NewFile(uintptr(syscall.Stdout), "standard output")}
	if err := target.writeUntilKilled(t.Context(), pipe); err != nil {
		t.Error(errors.Join(err, pipe.say(event{Fault: err.Error()})))
	}
	return true
}

// writeUntilKilled opens the store and lets the writers loose.
func (target Target) writeUntilKilled(ctx context.Context, pipe *speaker) error {
	run, err := strconv.Atoi(os.Getenv(envRun))
	if err != nil {
		return err
	}
	if err := pipe.say(event{Opening: true}); err != nil {
		return err
	}
	d, err := target.Open(ctx, os.Getenv(envDir))
	if err != nil {
		return fmt.Errorf("open in a child: %w", err)
	}
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		w := &writer{driver: d, pipe: pipe, run: run, number: i}
		wg.Go(func() { errs[i] = w.write(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// A writer does one operation after the other.
type writer struct {
	driver store.Driver
	pipe   *speaker
	run    int
	number int
	values int // how many it made so far
}

func (w *writer) write(ctx context.Context) error {
	for {
		op, err := w.draw(ctx)
		if err != nil {
			return err
		}
		if err := w.pipe.say(event{Writer: w.number, Intent: &op}); err != nil {
			return err
		}
		got, err := w.do(ctx, op)
		if err != nil {
			return fmt.Errorf("%v: %w", op, err)
		}
		if err := w.pipe.say(event{Writer: w.number, Ack: &got}); err != nil {
			return err
		}
	}
}

// draw returns the next operation.
func (w *writer) draw(ctx context.Context) (operation, error) {
	_, batcher := w.driver.(store.Batcher)
	_, counter := w.driver.(store.Counter)
	key := w.key(rand.IntN(keysPerWriter))
	switch p := rand.IntN(100); {
	case p < 12:
		return operation{Kind: opDelete, Keys: []string{key}}, nil
	case p < 24:
		return operation{Kind: opTouch, Keys: []string{key}, TTL: drawTTL()}, nil
	case p < 38:
		return w.drawSwap(ctx, key)
	case p < 52 && counter:
		return operation{Kind: opIncr, Keys: []string{counterKey(rand.IntN(counters))}}, nil
	case p < 60 && batcher:
		keys := w.drawKeys()
		op := operation{Kind: opSetMany, Keys: keys, TTL: max(0, drawTTL())}
		for range keys {
			op.New = append(op.New, w.newValue())
		}
		return op, nil
	case p < 65 && batcher:
		return operation{Kind: opDeleteMany, Keys: w.drawKeys()}, nil
	}
	return operation{Kind: opSet, Keys: []string{key}, New: []id{w.newValue()}, TTL: drawTTL()}, nil
}

// drawSwap mostly swaps what is there, at times what is not.
func (w *writer) drawSwap(ctx context.Context, key string) (operation, error) {
	op := operation{Kind: opSwap, Keys: []string{key}, New: []id{w.newValue()}, TTL: drawTTL()}
	if rand.IntN(5) == 0 {
		op.New = []id{{}}
	}
	switch p := rand.IntN(10); {
	case p < 2:
		return op, nil // only if absent
	case p < 3:
		op.Old = id{Run: w.run, Writer: w.number, N: w.values + 1_000_000}
		return op, nil
	}
	b, err := w.driver.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return op, nil
	}
	if err != nil {
		return op, fmt.Errorf("get %q: %w", key, err)
	}
	op.Old, err = identify(key, b)
	return op, err
}

func (w *writer) key(i int) string { return fmt.Sprintf("writer%d:%02d", w.number, i) }

func counterKey(i int) string { return fmt.Sprintf("counter:%d", i) }

// drawKeys draws several keys of the writer.
func (w *writer) drawKeys() []string {
	var keys []string
	for _, i := range rand.Perm(keysPerWriter)[:1+rand.IntN(mostBatch)] {
		keys = append(keys, w.key(i))
	}
	return keys
}

// newValue returns a value that was never written before.
func (w *writer) newValue() id {
	w.values++
	v := id{Run: w.run, Writer: w.number, N: w.values, Size: rand.IntN(100)}
	switch p := rand.IntN(100); {
	case p < 10:
		v.Size = rand.IntN(mostBytes)
	case p < 35:
		v.Size = rand.IntN(1000)
	}
	return v
}

// drawTTL draws one that runs out while the store is down, one that does not, or none.
func drawTTL() time.Duration {
	switch p := rand.IntN(100); {
	case p < 30:
		return 5*time.Millisecond + rand.N(200*time.Millisecond)
	case p < 45:
		return time.Hour + rand.N(time.Hour)
	case p < 53:
		return store.KeepTTL
	}
	return 0
}

// do makes the call.
func (w *writer) do(ctx context.Context, op operation) (got answer, err error) {
	d, key := w.driver, op.Keys[0]
	switch op.Kind {
	case opSet:
		err = d.Set(ctx, key, op.New[0].bytes(key), op.TTL)
	case opDelete:
		got.Yes, err = d.Delete(ctx, key)
	case opTouch:
		got.Yes, err = d.Touch(ctx, key, op.TTL)
	case opSwap:
		got.Yes, err = d.CompareAndSwap(ctx, key, op.Old.orNil(key), op.New[0].orNil(key), op.TTL)
	case opIncr:
		got.Sum, err = d.(store.Counter).Incr(ctx, key, 1, 0, 0)
	case opSetMany:
		items := make([]store.Item, len(op.Keys))
		for i, key := range op.Keys {
			items[i] = store.Item{Key: key, Value: op.New[i].bytes(key)}
		}
		err = d.(store.Batcher).SetMany(ctx, items, op.TTL)
	case opDeleteMany:
		got.Count, err = d.(store.Batcher).DeleteMany(ctx, op.Keys)
	}
	return got, err
}

// orNil returns the value under key, nil for none.
func (v id) orNil(key string) []byte {
	if v == (id{}) {
		return nil
	}
	return v.bytes(key)
}
