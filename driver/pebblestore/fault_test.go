package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
)

// A faultyDisk fails one call, by its number, and with full set all later ones that need room.
type faultyDisk struct {
	*errorfs.FS
	memory memory
	at     atomic.Int64
	full   bool // the disk is full from then on: what is written before it shows is cut short

	calls atomic.Int64
	hit   atomic.Pointer[errorfs.Op]
	short atomic.Bool // the next write is cut short
}

var errInjected = errors.New("injected I/O error")

func newFaultyDisk(at int64, full bool) *faultyDisk {
	f := &faultyDisk{memory: newMemory(), full: full}
	f.at.Store(at)
	f.FS = errorfs.Wrap(shortDisk{f.memory, f}, errorfs.InjectorFunc(f.fault))
	return f
}

// fail makes the next call fail.
func (f *faultyDisk) fail() { f.at.Store(f.calls.Load()) }

// fault decides on one call.
func (f *faultyDisk) fault(op errorfs.Op) error {
	n, at := f.calls.Add(1)-1, f.at.Load()
	if n == at {
		f.hit.Store(&op)
	}
	grows := slices.Contains([]errorfs.OpKind{errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFilePreallocate, errorfs.OpMkdirAll}, op.Kind)
	switch {
	case n == at && f.full && op.Kind == errorfs.OpFileWrite:
		f.short.Store(true)
		return nil
	case n > at && f.full && grows:
		return syscall.ENOSPC
	case n == at && f.full:
		return syscall.ENOSPC
	case n == at:
		return errInjected
	}
	return nil
}

// ReuseForWrite is what errorfs lets pass, and what it opens too.
func (f *faultyDisk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.fault(errorfs.Op{Kind: errorfs.OpReuseForWrite, Path: oldname}); err != nil {
		return nil, err
	}
	file, err := f.memory.ReuseForWrite(oldname, newname, c)
	if err != nil {
		return nil, err
	}
	return errorfs.WrapFile(shortFile{file, f}, errorfs.InjectorFunc(f.fault)), nil
}

// A shortDisk is the memory behind a faulty disk, where writes can be cut short.
type shortDisk struct {
	memory
	faults *faultyDisk
}

func (s shortDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := s.memory.Create(name, c)
	if err != nil {
		return nil, err
	}
	return shortFile{file, s.faults}, nil
}

type shortFile struct {
	vfs.File
	faults *faultyDisk
}

func (f shortFile) Write(p []byte) (int, error) {
	if !f.faults.short.CompareAndSwap(true, false) {
		return f.File.Write(p)
	}
	n, _ := f.File.Write(p[:len(p)/2])
	return n, syscall.ENOSPC
}

// A faultRun is a workload on a disk of which one call fails.
type faultRun struct {
	disk    *faultyDisk
	records []*record
	failed  error // the first error of the workload
	wrong   string
}

// workload is how many operations it has.
const workload = 500

// runFault opens a store, does the workload, closes the store, and looks at what is left.
func runFault(at int64, full bool) *faultRun {
	r := &faultRun{disk: newFaultyDisk(at, full)}
	d, err := open(context.Background(), small, r.disk)
	if err == nil {
		r.work(d)
		if err := d.Close(); (err != nil) != (d.disk.broken() != nil) {
			r.wrong = fmt.Sprintf("Close answers %v after the failure %v", err, d.disk.broken())
		}
	} else {
		r.failed = err
	}
	if r.wrong == "" {
		r.wrong = r.look()
	}
	return r
}

// work does the workload until something fails, and then looks at what a store that failed answers.
func (r *faultRun) work(d *Driver) {
	s := newScribbler(d, 0, 8, 1)
	s.large = true
	r.records = s.all()
	for range workload {
		if r.failed = s.step(context.Background()); r.failed != nil {
			break
		}
	}
	if r.failed == nil {
		return
	}
	if kind := store.Kind(r.failed); kind != "unknown_outcome" && kind != "unavailable" {
		r.wrong = fmt.Sprintf("the workload fails with %v", r.failed)
		return
	}
	if d.disk.broken() == nil {
		return // it was a read that failed
	}
	for name, call := range everyCall(d) {
		if err := call(context.Background()); store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), "open the store again") {
			r.wrong = fmt.Sprintf("%s after a failure: %v", name, err)
		}
	}
}

// look opens the store again: as the disk is now, and as a loss of power would leave it.
func (r *faultRun) look() string {
	lost := r.disk.memory.crash(vfs.CrashCloneCfg{})
	for name, disk := range map[string]memory{"after a loss of power": lost, "afterwards": r.disk.memory} {
		b := blackout{disk: disk, possible: map[string][]state{}}
		for _, rec := range r.records {
			rec.forget()
			b.possible[rec.key] = rec.possible()
		}
		if what := b.verify(small); what != "" {
			return name + ": " + what
		}
	}
	return ""
}

// everyCall returns a call of every method.
func everyCall(d *Driver) map[string]func(context.Context) error {
	const key = "p:0:0"
	return map[string]func(context.Context) error{
		"Get":    func(ctx context.Context) error { _, err := d.Get(ctx, key); return err },
		"Entry":  func(ctx context.Context) error { _, _, err := d.Entry(ctx, key); return err },
		"TTL":    func(ctx context.Context) error { _, err := d.TTL(ctx, key); return err },
		"Has":    func(ctx context.Context) error { _, err := d.Has(ctx, key); return err },
		"Set":    func(ctx context.Context) error { return d.Set(ctx, key, nil, 0) },
		"Delete": func(ctx context.Context) error { _, err := d.Delete(ctx, key); return err },
		"Touch":  func(ctx context.Context) error { _, err := d.Touch(ctx, key, time.Hour); return err },
		"CompareAndSwap": func(ctx context.Context) error {
			_, err := d.CompareAndSwap(ctx, key, nil, []byte("x"), 0)
			return err
		},
		"Incr":       func(ctx context.Context) error { _, err := d.Incr(ctx, key, 1, 0, 0); return err },
		"List":       func(ctx context.Context) error { _, err := d.List(ctx, "", "", 10); return err },
		"GetMany":    func(ctx context.Context) error { _, err := d.GetMany(ctx, []string{key, "p:x"}); return err },
		"SetMany":    func(ctx context.Context) error { return d.SetMany(ctx, []store.Item{{Key: key}, {Key: "p:x"}}, 0) },
		"DeleteMany": func(ctx context.Context) error { _, err := d.DeleteMany(ctx, []string{key, "p:x"}); return err },
	}
}

// A survey collects which calls were failed.
type survey struct {
	mu    sync.Mutex
	kinds map[string]int
}

func (s *survey) add(op *errorfs.Op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	base := op.Path[strings.LastIndexByte(op.Path, '/')+1:]
	for _, part := range []string{"MANIFEST", "marker", ".sst", ".log"} {
		if strings.Contains(base, part) {
			base = part
		}
	}
	s.kinds[fmt.Sprintf("%d %s", op.Kind, base)]++
}

// TestFault_OfEveryCall_IsAnErrorOrDurable fails each call to the disk of a workload, one a run: with an I/O error that passes, and
// with a disk that is full from then on, in turns; with a long run in both ways. Under the race detector it takes a sample.
func TestFault_OfEveryCall_IsAnErrorOrDurable(t *testing.T) {
	t.Parallel()
	ways := 1
	if scaled(2) > 2 {
		ways = 2
	}
	stride := int64(1)
	if boundtest.Race {
		stride = 17
	}
	offset := rand.Int64N(stride)
	seen := survey{kinds: map[string]int{}}
	var next, failed atomic.Int64
	var end atomic.Bool
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for !end.Load() && !t.Failed() {
				at := offset + stride*(next.Add(1)-1)
				for way := range ways {
					full := (at/stride+int64(way))%2 == 1
					var r *faultRun
					within(t, 30*time.Second, fmt.Sprintf("a workload of which call %d fails", at), func() { r = runFault(at, full) })
					if r == nil {
						return
					}
					op := r.disk.hit.Load()
					if op == nil {
						end.Store(true)
					} else {
						seen.add(op)
					}
					if r.failed != nil {
						failed.Add(1)
					}
					if r.wrong != "" {
						t.Errorf("call %d (%+v), disk full: %v, then: %v; %s", at, op, full, r.failed, r.wrong)
					}
				}
			}
		})
	}
	running.Wait()
	t.Logf("%d calls failed, %d workloads did: %v", next.Load(), failed.Load(), seen.kinds)
}
