package pebblestore

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// A hungDisk holds up, while it is told to, who waits for a log to be on disk.
type hungDisk struct {
	memory
	mu   sync.Mutex
	hung chan struct{} // nil: it is not
}

func (h *hungDisk) hang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hung = make(chan struct{})
}

func (h *hungDisk) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hung != nil {
		close(h.hung)
		h.hung = nil
	}
}

func (h *hungDisk) wait() {
	h.mu.Lock()
	hung := h.hung
	h.mu.Unlock()
	if hung != nil {
		<-hung
	}
}

func (h *hungDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := h.memory.Create(name, c)
	if err == nil && strings.HasSuffix(name, ".log") {
		f = hungFile{f, h}
	}
	return f, err
}

type hungFile struct {
	vfs.File
	disk *hungDisk
}

func (f hungFile) Sync() error {
	f.disk.wait()
	return f.File.Sync()
}

func (f hungFile) SyncData() error {
	f.disk.wait()
	return f.File.SyncData()
}

// openHung opens a store on a disk that can hang, and has one entry, t:k.
func openHung(t *testing.T) (*Driver, *hungDisk) {
	t.Helper()
	disk := &hungDisk{memory: newMemory()}
	d := openOn(t, small, disk)
	t.Cleanup(disk.resume)
	if err := d.Set(t.Context(), "t:k", []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	return d, disk
}

func TestHungDisk_WritesLeaveWithTheirContext(t *testing.T) {
	d, disk := openHung(t)
	disk.hang()
	const patience = 100 * time.Millisecond
	what := fmt.Sprintf("the last of some writes with %v left after", patience)
	boundtest.AtMost(t, what, boundtest.Scale(patience+50*time.Millisecond), func() time.Duration { return writeInVain(t, d, patience) })
	if v, err := d.Get(t.Context(), "t:k"); string(v) != "new" || err != nil {
		t.Errorf("a read while the disk hangs: %q, %v", v, err)
	}
	disk.resume()
	if err := d.Set(t.Context(), "t:k", []byte("newer"), 0); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// writeInVain makes some writes that do not reach the disk in time, and returns how long the longest took.
func writeInVain(t *testing.T, d *Driver, patience time.Duration) (longest time.Duration) {
	t.Helper()
	const writes = 8
	took := make(chan time.Duration)
	for range writes {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			start := time.Now()
			err := d.Set(ctx, "t:k", []byte("new"), 0)
			left := time.Since(start)
			if store.Kind(err) != "unknown_outcome" || !strings.Contains(err.Error(), "deadline") {
				t.Errorf("got %v", err)
			}
			took <- left
		}()
	}
	for range writes {
		longest = max(longest, <-took)
	}
	return longest
}

func TestHungDisk_CloseMakesCallsLeaveAndEndsWithTheDisk(t *testing.T) {
	d, disk := openHung(t)
	disk.hang()
	left, closed := make(chan error, 1), make(chan error, 1)
	go func() { left <- d.Set(t.Context(), "t:k", []byte("new"), 0) }()
	eventually(t, "the write shows", func() bool { v, err := d.Get(t.Context(), "t:k"); return err == nil && string(v) == "new" })
	go func() { closed <- d.Close() }()
	within(t, 5*time.Second, "a call beside Close", func() {
		if err := <-left; store.Kind(err) != "unknown_outcome" {
			t.Errorf("a call beside Close: %v", err)
		}
	})
	select {
	case err := <-closed:
		t.Errorf("closed before the disk answered: %v", err)
	default:
	}
	disk.resume()
	within(t, 5*time.Second, "Close", func() {
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// Whoever gave up leaves nothing behind but what Pebble holds, of which there is a bound.
func TestHungDisk_CallsThatEnded_DoNotLinger(t *testing.T) {
	d, disk := openHung(t)
	disk.hang()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	value := make([]byte, 1000) // so that the memory for writes is full soon, and Pebble holds who comes
	for range 2000 {
		wait.Go(func() { _ = d.Set(ctx, "t:k", value, 0) })
	}
	eventually(t, "writes wait for each other", func() bool { return len(d.stripesOf([]string{"t:k"})[0].held) == 1 })
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	<-tick.C
	cancel()
	wait.Wait()
	eventually(t, "they have left", func() bool { return runtime.NumGoroutine() < 2*maxIdle+100 })
}

// A delete that says false because of one that is not on disk yet must not be believed sooner than that one.
func TestHungDisk_AnswerThatRestsOnAnUnsyncedWrite_Waits(t *testing.T) {
	d, disk := openHung(t)
	disk.hang()
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := d.Delete(t.Context(), "t:k"); first <- err }()
	eventually(t, "the delete shows", func() bool { exists, err := d.Has(t.Context(), "t:k"); return err == nil && !exists })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // it is to begin by then, on a busy machine too
	defer cancel()
	if existed, err := d.Delete(ctx, "t:k"); store.Kind(err) != "unknown_outcome" {
		t.Errorf("a second delete, of what is not deleted for good: %v, %v", existed, err)
	}
	go func() {
		existed, err := d.Delete(t.Context(), "t:k")
		if existed {
			t.Error("it was deleted twice")
		}
		second <- err
	}()
	disk.resume()
	for name, done := range map[string]chan error{"first": first, "second": second} {
		if err := <-done; err != nil {
			t.Errorf("%s delete: %v", name, err)
		}
	}
}

func TestWrite_WhoseContextEndsBeforeItBegins_IsNeverDone(t *testing.T) {
	d, _ := openHung(t)
	held := d.stripesOf([]string{"t:k"})[0]
	held.lock(nil, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := d.Set(ctx, "t:k", []byte("new"), 0); store.Kind(err) != "timeout" {
		t.Errorf("a write that waits for a lock: %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := d.Delete(canceled, "t:k"); store.Kind(err) != "canceled" {
		t.Errorf("a write that waits for a lock: %v", err)
	}
	held.unlock()
	eventually(t, "those who left have come and gone", func() bool {
		none := d.calls.TryLock()
		if none {
			d.calls.Unlock()
		}
		return none
	})
	if v, err := d.Get(t.Context(), "t:k"); string(v) != "old" || err != nil {
		t.Errorf("a write that had left was done: %q, %v", v, err)
	}
}

// A call that began before the disk failed, and found what is not on it, must not answer by that.
func TestDriver_DecisionOnAWriteThatDidNotReachTheDisk_IsNotAnswered(t *testing.T) {
	d, _ := openHung(t)
	c := &change{d: d, batch: d.db.NewBatch(), stripes: d.stripesOf([]string{"t:k"})}
	d.disk.fail(errInjected)
	if _, err := c.apply(); store.Kind(err) != "unavailable" {
		t.Errorf("got %v", err)
	}
}
