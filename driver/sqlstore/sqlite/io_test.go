package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"

	engine "modernc.org/sqlite/lib"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// commitSync is the sync of the log that ends a commit.
func commitSync(c fileCall) bool { return c.op == "sync" && c.file == "wal" }

// once makes the first call fail that is one of which.
func once(code int32, which func(fileCall) bool) func(fileCall) int32 {
	done := false
	return func(c fileCall) int32 {
		if done || !which(c) {
			return 0
		}
		done = true
		return code
	}
}

func always(code int32, which func(fileCall) bool) func(fileCall) int32 {
	return func(c fileCall) int32 {
		if which(c) {
			return code
		}
		return 0
	}
}

// After a sync that failed the log may hold the whole transaction. Unless it is overwritten it is there after a crash, though
// nobody saw it before.
func TestCommit_WhoseSyncFailsOnce_IsUndoneForGood(t *testing.T) {
	path := newPath(t)
	f := addFaults(t, path)
	d := f.open(t, Options{})
	seed(t, d)
	for name, write := range writes {
		f.failing(once(engine.SQLITE_IOERR_FSYNC, commitSync))
		if err := write(testContext(t), d); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want unavailable", name, err)
		}
		wantSeed(t, afterCrash(t, path))
	}
	f.failing(nil)
	wantSeed(t, d)
	if err := d.Set(testContext(t), "t:new", []byte("v"), 0); err != nil {
		t.Errorf("the next write: %v", err)
	}
}

func TestCommit_WhoseSyncGoesOnFailing_HasAnUnknownOutcomeAndNothingIsReadUntilItIsSettled(t *testing.T) {
	path := newPath(t)
	f := addFaults(t, path)
	d := f.open(t, Options{})
	seed(t, d)
	ctx := testContext(t)
	f.failing(always(engine.SQLITE_IOERR_FSYNC, commitSync))
	if err := d.Set(ctx, "t:k", []byte("new"), 0); !errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("got %v, want an unknown outcome", err)
	}
	if v, err := d.Get(ctx, "t:k"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a read meanwhile: %q, %v, want unavailable", v, err)
	}
	if err := d.Set(ctx, "t:k", []byte("newer"), 0); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a write meanwhile: %v, want unavailable", err)
	}
	f.failing(nil)
	if existed, err := d.Delete(ctx, "t:none"); existed || err != nil {
		t.Errorf("a write once the disk works again: %v, %v", existed, err)
	}
	wantSeed(t, d)
	wantSeed(t, afterCrash(t, path))
}

// afterCrash opens a copy of the files as they are, which is what a process that is killed now leaves.
func afterCrash(t *testing.T, path string) *Driver {
	t.Helper()
	to := newPath(t)
	for _, suffix := range []string{"", "-wal"} {
		copyFile(t, path+suffix, to+suffix)
	}
	return openPath(t, to, Options{Synchronous: SynchronousOff})
}

// copyFile copies what is there. That drops the locks of this process on the file, which matter to other processes alone.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}

func TestDriver_DiskFull_AnswersFullAndReadsGoOn(t *testing.T) {
	path := newPath(t)
	f := addFaults(t, path)
	d := f.open(t, Options{})
	seed(t, d)
	f.failing(always(engine.SQLITE_FULL, func(c fileCall) bool { return c.op == "write" }))
	for name, write := range writes {
		if err := write(testContext(t), d); !errors.Is(err, store.ErrFull) {
			t.Errorf("%s: %v, want full", name, err)
		}
	}
	if v, err := d.Get(testContext(t), "t:k"); string(v) != "old" || err != nil {
		t.Errorf("a read: %q, %v", v, err)
	}
	f.failing(nil)
	wantSeed(t, d)
	wantSeed(t, afterCrash(t, path))
}

// A workload runs while one of the calls that SQLite makes of the file system fails, each in turn, once or from then on. What was
// answered is what a crash after it leaves, and what the driver shows.
func TestDriver_AnyCallOfTheFileSystemFails_NothingAcknowledgedIsLost(t *testing.T) {
	// The log is moved often, so that calls of that fail too.
	small := func(f *faults) target {
		to := f.target(Options{})
		to.checkpointPages = 64
		return to
	}
	whole := addFaults(t, newPath(t))
	d, err := open(testContext(t), small(whole))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	calls := runWorkload(t, whole, d)
	if calls < workload {
		t.Fatalf("%d calls for %d operations", calls, workload)
	}
	stride := max(1, int(30/scale(t))) // every one in a long run, at a scale of 20
	if boundtest.Race {
		stride *= 20 // it is about what SQLite does, which is slow then
	}
	for first := 1; first <= calls; first += stride {
		for i, code := range []int32{engine.SQLITE_IOERR_FSYNC, engine.SQLITE_IOERR_WRITE, engine.SQLITE_FULL} {
			lasting := (first/stride+i)%2 == 0
			t.Run(fmt.Sprintf("call=%d/code=%d/lasting=%v", first, code, lasting), func(t *testing.T) {
				f := addFaults(t, newPath(t))
				f.failing(func(c fileCall) int32 {
					// An error that cannot come from the call says nothing.
					fits := c.op == "sync" && code == engine.SQLITE_IOERR_FSYNC || c.op != "sync" && code != engine.SQLITE_IOERR_FSYNC
					if fits && (c.number == first || lasting && c.number > first) {
						return code
					}
					return 0
				})
				d, err := open(testContext(t), small(f))
				if err != nil {
					return // and nothing was acknowledged
				}
				defer d.Close()
				runWorkload(t, f, d)
			})
		}
	}
}

// scale returns how much more than in everyday tests is done.
func scale(t *testing.T) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(os.Getenv("STORETEST_SCALE"), 64)
	if err != nil || f <= 0 {
		return 1
	}
	return f
}

const workload = 500 // operations

// runWorkload does operations on a few keys, each of which it may know the value of or not, checks what there is in the end, and
// returns how many calls of the file system that took.
func runWorkload(t *testing.T, f *faults, d *Driver) (calls int) {
	t.Helper()
	ctx := context.Background()
	may := map[string]map[string]bool{} // what a key may hold: "" nothing
	for i := range workload {
		key, v := fmt.Sprint("t:", i%23), fmt.Sprint(i)
		if may[key] == nil {
			may[key] = map[string]bool{"": true}
		}
		var err error
		if i%5 == 4 {
			v = ""
			_, err = d.Delete(ctx, key)
		} else {
			err = d.Set(ctx, key, append([]byte(v+" "), make([]byte, i*7%3000)...), 0)
		}
		switch {
		case err == nil:
			may[key] = map[string]bool{v: true}
		case errors.Is(err, store.ErrUnknownOutcome):
			may[key][v] = true
		}
	}
	calls = f.count()
	wantOneOf(t, afterCrash(t, f.path), may, "after a crash")
	f.failing(nil)
	if err := d.Set(ctx, "u:k", []byte("v"), 0); err != nil {
		t.Errorf("once all works again: %v", err)
	}
	wantOneOf(t, d, may, "in the driver")
	return calls
}

func wantOneOf(t *testing.T, d *Driver, may map[string]map[string]bool, where string) {
	t.Helper()
	for key, values := range may {
		got := ""
		stored, err := d.Get(testContext(t), key)
		if err == nil {
			_, err = fmt.Sscan(string(stored), &got)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) || !values[got] {
			t.Errorf("%s %s is %q, %v, and may be %v", where, key, got, err, values)
		}
	}
}
