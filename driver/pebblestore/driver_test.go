package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// stored returns how many keys the database has, of any kind.
func stored(t testing.TB, d *Driver) int {
	t.Helper()
	it, err := d.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	n := 0
	for more := it.First(); more; more = it.Next() {
		n++
	}
	return n
}

func TestSweeper_ReclaimsAllThatExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openOn(t, small, newMemory())
		ctx := t.Context()
		for i := range 3 * sweepStep {
			if err := d.Set(ctx, fmt.Sprintf("t:%d", i), []byte("v"), time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			key := fmt.Sprintf("t:%d", i)
			if err := d.Set(ctx, key, []byte("new"), []time.Duration{0, time.Hour, store.KeepTTL}[i]); err != nil {
				t.Fatal(err)
			}
		}
		wantConsistent(t, d)
		time.Sleep(2 * time.Minute)
		wantConsistent(t, d)
		if n := stored(t, d); n != 3 {
			t.Errorf("%d keys are left, want two entries, and the expiry of one", n)
		}
		time.Sleep(time.Hour)
		if n := stored(t, d); n != 1 {
			t.Errorf("%d keys are left, want one entry", n)
		}
		d.Close()
	})
}

func TestSweeper_AfterReopening_GoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemory()
		d := openOn(t, small, disk)
		if d.expiring.Load() {
			t.Error("a new store looks for old expiries")
		}
		for i, ttl := range []time.Duration{0, time.Minute, time.Hour} {
			if err := d.Set(t.Context(), fmt.Sprintf("t:%d", i), []byte("v"), ttl); err != nil {
				t.Fatal(err)
			}
		}
		d.Close()
		time.Sleep(2 * time.Minute)
		d = openOn(t, small, disk)
		synctest.Wait()
		time.Sleep(time.Second)
		if n := stored(t, d); n != 3 || !d.expiring.Load() {
			t.Errorf("%d keys are left, want two entries, and the expiry of one", n)
		}
		d.Close()
	})
}

// One step holds no lock for long and reads no more than it reclaims.
func TestSweeper_StepIsBounded(t *testing.T) {
	d := openOn(t, small, newMemory())
	d.sweeper.stop()
	for i := range 10 {
		if err := d.Set(t.Context(), fmt.Sprintf("t:%d", i), nil, store.MinTTL); err != nil {
			t.Fatal(err)
		}
	}
	next, found, err := d.expired(0, maxTime-1, 4)
	if len(found) != 4 || next == never || err != nil {
		t.Errorf("%d entries, next at %d, %v", len(found), next, err)
	}
}

// Between the look at what has expired and the removal, others write.
func TestSweeper_LeavesWhatWasReplacedMeanwhile(t *testing.T) {
	d := openOn(t, small, newMemory())
	d.sweeper.stop()
	keys := []string{"t:never", "t:later", "t:gone", "t:absent"}
	for _, key := range keys {
		if err := d.Set(t.Context(), key, []byte("v"), store.MinTTL); err != nil {
			t.Fatal(err)
		}
	}
	_, found, err := d.expired(0, maxTime-1, len(keys))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Set(t.Context(), "t:never", nil, 0), d.Set(t.Context(), "t:later", nil, time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Delete(t.Context(), "t:absent"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one has expired", func() bool { exists, err := d.Has(t.Context(), "t:gone"); return err == nil && !exists })
	if skipped := d.reclaim(found); skipped != never {
		t.Errorf("what expires at %d was skipped", skipped)
	}
	if n := stored(t, d); n != 3 {
		t.Errorf("%d keys are left, want two entries, and the expiry of one", n)
	}
	wantConsistent(t, d)
}

func TestList_PastManyExpired_EndsPagesEarly(t *testing.T) {
	d := openOn(t, target{path: folder, cache: DefaultCacheBytes, memtable: DefaultMemtableBytes}, newMemory())
	d.sweeper.stop()
	var items []store.Item
	for i := range 3 * maxExpired {
		items = append(items, store.Item{Key: fmt.Sprintf("t:%06d", i), Value: []byte("v")})
	}
	if err := d.SetMany(t.Context(), items, store.MinTTL); err != nil {
		t.Fatal(err)
	}
	if err := d.Set(t.Context(), "t:z", nil, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all have expired", func() bool { exists, err := d.Has(t.Context(), items[0].Key); return err == nil && !exists })
	pages, keys := 0, 0
	for cursor := ""; ; {
		page, err := d.List(t.Context(), "t:", cursor, 10)
		if err != nil {
			t.Fatal(err)
		}
		pages, keys, cursor = pages+1, keys+len(page.Keys), page.Next
		if cursor == "" {
			break
		}
	}
	if keys != 1 || pages != 4 {
		t.Errorf("%d keys in %d pages, want 1 in 4", keys, pages)
	}
}

func TestDriver_EntryThatIsNone_IsCorruptAndCanBeReplaced(t *testing.T) {
	d := openOn(t, small, newMemory())
	d.expiring.Store(true)
	for name, replace := range map[string]func(key string) error{
		"Set":    func(key string) error { return d.Set(t.Context(), key, []byte("v"), time.Hour) },
		"Delete": func(key string) error { _, err := d.Delete(t.Context(), key); return err },
	} {
		key := "t:" + name
		if err := d.db.Set(appendDataKey(nil, key), []byte("short"), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Get(t.Context(), key); store.Kind(err) != "corrupt" {
			t.Errorf("Get: %v", err)
		}
		if page, err := d.List(t.Context(), key, "", 10); len(page.Keys) != 1 || err != nil {
			t.Errorf("List: %v, %v", page, err)
		}
		if err := replace(key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantConsistent(t, d)
}

func TestDriver_DiskThatCannotBeRead_FailsTheCallAlone(t *testing.T) {
	memory := newMemory()
	faults := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead && strings.HasSuffix(op.Path, ".sst") {
			return errInjected
		}
		return nil
	})}
	d := openOn(t, small, memory)
	if err := d.Set(t.Context(), "t:k", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := d.db.Flush(); err != nil {
		t.Fatal(err)
	}
	d.Close()
	d = openOn(t, small, errorfs.Wrap(memory, faults))
	faults.On()
	_, err := d.Get(t.Context(), "t:k")
	set := d.Set(t.Context(), "t:k", []byte("new"), 0) // it needs the old expiry
	faults.Off()
	if store.Kind(err) != "unavailable" || !errors.Is(err, errInjected) || store.Kind(set) != "unavailable" {
		t.Errorf("while the disk cannot be read: Get %v, Set %v", err, set)
	}
	if v, err := d.Get(t.Context(), "t:k"); string(v) != "v" || err != nil {
		t.Errorf("afterwards: %q, %v", v, err)
	}
	wantConsistent(t, d)
}

// What asks Pebble's logger to end the process is a mistake in Pebble: nothing else leads there.
func TestDriver_PebbleThatGivesUp_FailsTheStoreAndNotTheProcess(t *testing.T) {
	disk := newMemory()
	d := openOn(t, small, disk)
	if err := d.Set(t.Context(), "t:k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	d.db.Metrics() // Pebble is at work
	stuck := make(chan struct{})
	go func() {
		defer close(stuck)
		logger{d}.Fatalf("cannot %s", "go on")
	}()
	eventually(t, "the store has failed", func() bool { return d.disk.broken() != nil })
	for name, call := range everyCall(d) {
		within(t, 5*time.Second, name, func() {
			if err := call(t.Context()); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "cannot go on") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	within(t, 5*time.Second, "Close", func() {
		if err := d.Close(); store.Kind(err) != "unavailable" {
			t.Errorf("Close: %v", err)
		}
	})
	select {
	case <-stuck:
		t.Error("Pebble goes on")
	default:
	}
	again := openOn(t, small, disk)
	if v, err := again.Get(t.Context(), "t:k"); string(v) != "v" || err != nil {
		t.Errorf("after opening again: %q, %v", v, err)
	}
}

// Calls under way tell their callers that the disk failed, and those call again, while the driver is only about to learn of it.
func TestDriver_DiskThatHasJustFailed_RefusesCalls(t *testing.T) {
	d := openOn(t, small, newMemory())
	learn, told := d.disk.onBreak, make(chan struct{})
	d.disk.onBreak = func(err error) { <-told; learn(err) }
	go d.disk.fail(errInjected)
	eventually(t, "the disk has failed", func() bool { return d.disk.broken() != nil })
	for name, call := range everyCall(d) {
		if err := call(t.Context()); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "open the store again") {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(told)
}

func TestDriver_Failure_IsLogged(t *testing.T) {
	var out syncBuffer
	to := small
	to.logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	disk := newFaultyDisk(1<<60, false)
	d := openOn(t, to, disk)
	disk.fail()
	if err := d.Set(t.Context(), "t:k", []byte("v"), 0); store.Kind(err) != "unknown_outcome" {
		t.Errorf("got %v", err)
	}
	d.Close()
	eventually(t, "the failure is in the log", func() bool { return strings.Contains(out.String(), "a pebble store failed") })
	for _, want := range []string{"level=DEBUG", "level=ERROR", "a pebble store failed", "injected I/O error", "store=/store"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in the log:\n%s", want, &out)
		}
	}
}

// What may have been written matches no error that says that nothing was.
func TestDriver_UnknownOutcome_IsNothingElse(t *testing.T) {
	for name, end := range map[string]func(d *Driver, disk *hungDisk, cancel func()){
		"closed":   func(d *Driver, _ *hungDisk, _ func()) { go d.Close() },
		"canceled": func(_ *Driver, _ *hungDisk, cancel func()) { cancel() },
		"failed":   func(d *Driver, _ *hungDisk, _ func()) { d.disk.fail(errInjected) },
	} {
		d, disk := openHung(t)
		disk.hang()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		result := make(chan error, 1)
		go func() { result <- d.Set(ctx, "t:k", []byte("new"), 0) }()
		eventually(t, "the write shows", func() bool { v, err := d.Get(t.Context(), "t:k"); return err == nil && string(v) == "new" })
		end(d, disk, cancel)
		err := <-result
		for _, other := range []error{store.ErrUnavailable, store.ErrCanceled, store.ErrTimeout, store.ErrFull} {
			if !errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, other) {
				t.Errorf("%s: %v, which is %v", name, err, other)
			}
		}
		disk.resume()
	}
}

// Without sync, what was acknowledged last may not be there.
func TestDriver_FailureWithoutSync_PromisesNoMoreThanThereIs(t *testing.T) {
	to := small
	to.noSync = true
	disk := newFaultyDisk(1<<60, false)
	d := openOn(t, to, disk)
	disk.fail()
	eventually(t, "the disk fails", func() bool { return d.Set(t.Context(), "t:k", make([]byte, 1000), 0) != nil })
	if _, err := d.Get(t.Context(), "t:k"); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "a second before") {
		t.Errorf("got %v", err)
	}
}

func TestBatch_OfNothing_IsRefusedAsAnyOther(t *testing.T) {
	d := openOn(t, small, newMemory())
	calls := map[string]func(context.Context) error{
		"GetMany":    func(ctx context.Context) error { _, err := d.GetMany(ctx, nil); return err },
		"SetMany":    func(ctx context.Context) error { return d.SetMany(ctx, nil, 0) },
		"DeleteMany": func(ctx context.Context) error { _, err := d.DeleteMany(ctx, nil); return err },
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls {
		if err := call(canceled); store.Kind(err) != "canceled" {
			t.Errorf("%s, canceled: %v", name, err)
		}
		if err := call(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.Close()
	for name, call := range calls {
		if err := call(t.Context()); store.Kind(err) != "unavailable" {
			t.Errorf("%s, closed: %v", name, err)
		}
	}
}

// A handler of logs that hangs must not hold up who waits for the disk.
func TestDriver_FailureWhoseLogHangs_IsToldToCallers(t *testing.T) {
	logged, goOn := make(chan struct{}), make(chan struct{})
	defer close(goOn)
	to := small
	to.logger = slog.New(hangingLog{slog.DiscardHandler, logged, goOn})
	disk := newFaultyDisk(1<<60, false)
	d := openOn(t, to, disk)
	disk.fail()
	within(t, 5*time.Second, "a write", func() {
		if err := d.Set(t.Context(), "t:k", []byte("v"), 0); store.Kind(err) != "unknown_outcome" {
			t.Errorf("got %v", err)
		}
	})
	within(t, 5*time.Second, "Close", func() { d.Close() })
	<-logged
}

// A hangingLog does not return from an error that it is told of.
type hangingLog struct {
	slog.Handler
	logged chan<- struct{}
	goOn   <-chan struct{}
}

func (hangingLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (h hangingLog) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h hangingLog) Handle(context.Context, slog.Record) error {
	h.logged <- struct{}{}
	<-h.goOn
	return nil
}

// A syncBuffer is a buffer that many may write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestDriver_WithoutSync_IsOnDiskAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemory()
		to := small
		to.noSync = true
		d := openOn(t, to, disk)
		has := func() bool {
			after, err := open(context.Background(), to, disk.crash(vfs.CrashCloneCfg{}))
			if err != nil {
				t.Fatal(err)
			}
			defer after.Close()
			exists, err := after.Has(context.Background(), "t:k")
			if err != nil {
				t.Fatal(err)
			}
			return exists
		}
		if err := d.Set(t.Context(), "t:k", []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
		if has() {
			t.Error("it is on disk at once: then sync=false is of no use")
		}
		time.Sleep(syncInterval + time.Millisecond)
		synctest.Wait()
		if !has() {
			t.Error("it is not on disk a second later")
		}
		d.Close()
	})
}

func TestSetMany_OfMoreThanOneWriteHolds_WritesAll(t *testing.T) {
	d := openOn(t, target{path: folder, cache: DefaultCacheBytes, memtable: DefaultMemtableBytes}, newMemory())
	var items []store.Item
	for i := range 12 {
		items = append(items, store.Item{Key: fmt.Sprintf("t:%02d", i), Value: bytes.Repeat([]byte{byte(i)}, maxBatchBytes/5)})
	}
	items[3].Value = bytes.Repeat([]byte{3}, 2*maxBatchBytes)
	if err := d.SetMany(t.Context(), items, time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		if v, err := d.Get(t.Context(), item.Key); !bytes.Equal(v, item.Value) || err != nil {
			t.Errorf("%s: %d bytes, %v", item.Key, len(v), err)
		}
	}
	wantConsistent(t, d)
}

func TestGet_AllocatesTheValueAlone(t *testing.T) {
	d := openOn(t, small, newMemory())
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := d.Set(ctx, "t:k", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(1000, func() {
		if _, err := d.Get(ctx, "t:k"); err != nil {
			t.Error(err)
		}
	})
	if allocs > 1 && !boundtest.Race {
		t.Errorf("%v allocations", allocs)
	}
}
