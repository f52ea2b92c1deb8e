package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

const (
	envPath    = "SQLITE_TEST_PATH" // makes a child of TestDriver_SecondProcess_CountsWithTheFirst
	increments = 300
)

// count increments one counter with a few goroutines.
func count(ctx context.Context, d *Driver) error {
	errs := make([]error, 3)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() {
			for range increments {
				if _, err := d.Incr(ctx, "t:n", 1, 0, 0); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func TestDriver_SecondProcess_CountsWithTheFirst(t *testing.T) {
	path, child := os.LookupEnv(envPath)
	if !child {
		path = newPath(t)
	}
	d := openPath(t, path, Options{Synchronous: SynchronousOff})
	var other *exec.Cmd
	var out strings.Builder
	if !child {
		other = exec.CommandContext(testContext(t), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
		other.Env = append(os.Environ(), envPath+"="+path)
		other.Stdout, other.Stderr = &out, &out
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := count(testContext(t), d); err != nil {
		t.Error(err)
	}
	if child {
		return
	}
	if err := other.Wait(); err != nil {
		t.Fatalf("the other process: %v\n%s", err, &out)
	}
	if n, err := d.Incr(testContext(t), "t:n", 0, 0, 0); n != 6*increments || err != nil {
		t.Errorf("%v increments of %d, %v", n, 6*increments, err)
	}
}

func TestDriver_TwoOnOneFile_CountTogether(t *testing.T) {
	path := newPath(t)
	a, b := openPath(t, path, Options{Synchronous: SynchronousOff}), openPath(t, path, Options{Synchronous: SynchronousOff})
	var wait sync.WaitGroup
	for _, d := range []*Driver{a, b} {
		wait.Go(func() {
			if err := count(testContext(t), d); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, d := range []*Driver{a, b} {
		if n, err := d.Incr(testContext(t), "t:n", 0, 0, 0); n != 6*increments || err != nil {
			t.Errorf("%v increments of %d, %v", n, 6*increments, err)
		}
	}
}

func TestDriver_TablesOfOneFile_AreApart(t *testing.T) {
	path := newPath(t)
	a, b := openPath(t, path, Options{}), openPath(t, path, Options{Table: "order"})
	ctx := testContext(t)
	if err := errors.Join(a.Set(ctx, "t:a", []byte("v"), time.Hour), b.Set(ctx, "t:b", []byte("v"), time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, a, "t:a")
	wantKeys(t, b, "t:b")
}

func TestDriver_LockHeldElsewhere_ReadsGoOn(t *testing.T) {
	d := openNew(t)
	seed(t, d)
	release := hold(t, d.target.Path)
	defer release()
	if v, err := d.Get(testContext(t), "t:k"); string(v) != "old" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
}

func TestDriver_LockHeldElsewhere_EndsAWriteAfterBusyTimeout(t *testing.T) {
	path := newPath(t)
	d := openPath(t, path, Options{Synchronous: SynchronousOff, BusyTimeout: 30 * time.Millisecond})
	seed(t, d)
	release := hold(t, path)
	for name, write := range writes {
		err := write(context.Background(), d)
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "another process has kept the SQLite database "+path+" locked for 30ms") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Opener(&Options{Path: path, Table: "another", BusyTimeout: 30 * time.Millisecond}).Open(testContext(t)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("opening: %v", err)
	}
	release()
	wantSeed(t, d)
}

func TestDriver_LockHeldElsewhere_EndsACallAtItsDeadline(t *testing.T) {
	d := openNew(t)
	release := hold(t, d.target.Path)
	defer release()
	const deadline = 50 * time.Millisecond
	calls := map[string]func(context.Context) error{
		"Set": func(ctx context.Context) error { return d.Set(ctx, "t:k", []byte("v"), 0) },
		"Open": func(ctx context.Context) error {
			_, err := Opener(&Options{Path: d.target.Path}).Open(ctx)
			return err
		},
	}
	for name, call := range calls {
		boundtest.AtMost(t, name+" with a deadline of 50 ms", boundtest.Scale(deadline+50*time.Millisecond), func() time.Duration {
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			start := time.Now()
			if err := call(ctx); !errors.Is(err, store.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want a timeout", name, err)
			}
			return time.Since(start)
		})
	}
}

// A read-only snapshot of another process keeps the log from being used again, and it grows until that ends; then it shrinks.
func TestDriver_LogThatGrewBesideAReader_ShrinksAfterIt(t *testing.T) {
	d := openNew(t)
	ctx := testContext(t)
	seed(t, d)
	reader := openRaw(t, d.target.Path)
	reader.statements(t, "BEGIN", "SELECT * FROM luastore")
	for i := range 20 {
		if err := d.Set(ctx, "t:large", megabyte(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	long := logSize(t, d)
	if long < longLog {
		t.Fatalf("the log has %d bytes", long)
	}
	reader.statements(t, "COMMIT")
	if longest, cut := writeUntilCut(t, d, long); !cut {
		t.Errorf("the log has %d bytes, and never was shorter", longest)
	}
}

// Where there is always a reader of this driver, the log is used again all the same.
func TestDriver_LogBesideReadersWithoutAPause_StaysShort(t *testing.T) {
	d := openNew(t)
	seed(t, d)
	ctx, stop := context.WithCancel(testContext(t))
	var wait sync.WaitGroup
	var begun atomic.Int64
	for range 2 {
		wait.Go(func() {
			for ctx.Err() == nil {
				d.read(ctx, func(c *conn, _ view) error { return readUntilTheNext(c, &begun) })
			}
		})
	}
	longest, cut := writeUntilCut(t, d, 0)
	stop()
	wait.Wait()
	if !cut {
		t.Errorf("the log has %d bytes, and never was shorter", longest)
	}
	if n := begun.Load(); n < 10 {
		t.Errorf("only %d reads began", n)
	}
}

// writeUntilCut writes until the log is shorter than it was, or has stayed short all the time: much at first, and then little for
// longer than the driver lets it be when it was not cut in time, as on a machine that stood still. The disk is not to fill up where
// it never is.
func writeUntilCut(t *testing.T, d *Driver, before int64) (longest int64, cut bool) {
	t.Helper()
	longest = before
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.Now().Add(3 * cutEvery)
	i := 0
	for ; time.Now().Before(late); i++ {
		v := megabyte(i)
		if i >= 300 && longest < longLog {
			return longest, true
		}
		if i >= 300 {
			<-tick.C
			v = v[:1]
		}
		if err := d.Set(testContext(t), fmt.Sprint("t:", i%5), v, 0); err != nil {
			t.Fatal(err)
		}
		size := logSize(t, d)
		if size < longest {
			return longest, true
		}
		longest = size
	}
	// A slow machine has not written all by then, but several times as much as a log may have that stays short.
	return longest, i >= 5*longLog>>20 && longest < longLog
}

// readUntilTheNext reads until another read begins, or for a moment where none can.
func readUntilTheNext(c *conn, begun *atomic.Int64) error {
	var row [1]any
	return c.rows(expiryQuery, row[:], func() bool {
		mine := begun.Add(1)
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for start := time.Now(); begun.Load() == mine && time.Since(start) < cutWait/10; {
			<-tick.C
		}
		return false
	}, []byte("t:k"), int64(0))
}

// megabyte returns a value that differs from the one before: SQLite writes no page that stays as it is.
func megabyte(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 1<<20) }

func logSize(t *testing.T, d *Driver) int64 {
	t.Helper()
	info, err := os.Stat(d.target.Path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestClose_OfTheLast_LeavesOneFile(t *testing.T) {
	path := newPath(t)
	a, b := openPath(t, path, Options{}), openPath(t, path, Options{})
	seed(t, a)
	for i, d := range []*Driver{a, b} {
		d.Close()
		if _, err := os.Stat(path + "-wal"); errors.Is(err, os.ErrNotExist) != (i == 1) {
			t.Errorf("after Close of %d of 2: %v", i+1, err)
		}
	}
}
