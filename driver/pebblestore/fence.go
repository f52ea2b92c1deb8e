package pebblestore

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A fence stands between Pebble and its files. Pebble cannot live with a failed write to its log or its manifest: it panics, with
// locks held, or asks its logger to end the process. So it is never told. At the first failure of an operation that changes
// something the fence closes: the disk stays as it is at that moment, which is a state that a crash could have left and from
// which Pebble recovers, and whatever else Pebble writes succeeds and goes nowhere. The driver is told instead. It confirms no
// write that was under way, and closes Pebble, which does so in peace.
//
// Failures to read, and to remove what is not needed any more, are told to Pebble, which can live with them.
type fence struct {
	vfs.FS
	onBreak func(error) // called once, with the first failure, while Pebble waits

	failure atomic.Pointer[error]
	ops     sync.RWMutex // held shared by what changes the disk
}

// errBroken is the error of opening, for reading, behind a closed fence: what Pebble wrote may not be there.
var errBroken = errors.New("the store failed before")

// broken returns the failure that closed the fence, or nil.
func (f *fence) broken() error {
	if err := f.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// fail closes the fence.
func (f *fence) fail(err error) {
	if f.failure.CompareAndSwap(nil, &err) {
		f.onBreak(err)
	}
}

// drain returns when nothing changes the disk any more. The fence is closed.
func (f *fence) drain() {
	f.ops.Lock()
	defer f.ops.Unlock()
}

// do does what changes the disk, and reports whether it succeeded; it closes the fence if not.
func (f *fence) do(op func() error) bool {
	f.ops.RLock()
	defer f.ops.RUnlock()
	if f.broken() != nil {
		return false
	}
	err := op()
	if err != nil {
		f.fail(err)
	}
	return err == nil
}

// file returns the file that open opens for writing, or one that swallows everything.
func (f *fence) file(open func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File = nowhere{}
	f.do(func() error {
		opened, err := open()
		if err == nil {
			file = opened
		}
		return err
	})
	return &fencedFile{File: file, fence: f}, nil
}

func (f *fence) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f *fence) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, c) })
}

func (f *fence) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.file(func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, opts...) })
}

// OpenDir opens a folder, whose Sync is a write.
func (f *fence) OpenDir(name string) (vfs.File, error) {
	return f.file(func() (vfs.File, error) { return f.FS.OpenDir(name) })
}

func (f *fence) Link(oldname, newname string) error {
	f.do(func() error { return f.FS.Link(oldname, newname) })
	return nil
}

func (f *fence) Rename(oldname, newname string) error {
	f.do(func() error { return f.FS.Rename(oldname, newname) })
	return nil
}

func (f *fence) MkdirAll(name string, perm os.FileMode) error {
	f.do(func() error { return f.FS.MkdirAll(name, perm) })
	return nil
}

func (f *fence) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if f.broken() != nil {
		return nil, errBroken
	}
	return f.FS.Open(name, opts...)
}

func (f *fence) Remove(name string) error { return f.remove(f.FS.Remove, name) }

func (f *fence) RemoveAll(name string) error { return f.remove(f.FS.RemoveAll, name) }

func (f *fence) remove(remove func(string) error, name string) error {
	f.ops.RLock()
	defer f.ops.RUnlock()
	if f.broken() != nil {
		return nil
	}
	return remove(name)
}

// Lock does nothing: the driver has the lock already, and keeps it for as long as it needs.
func (f *fence) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap hides what is behind the fence.
func (f *fence) Unwrap() vfs.FS { return nil }

// A fencedFile is a file open for writing. Errors of a Preallocate, which only makes writes faster, are told to Pebble.
type fencedFile struct {
	vfs.File
	fence *fence
}

func (f *fencedFile) Write(p []byte) (int, error) {
	f.fence.do(func() error { return wrote(p)(f.File.Write(p)) })
	return len(p), nil
}

func (f *fencedFile) WriteAt(p []byte, off int64) (int, error) {
	f.fence.do(func() error { return wrote(p)(f.File.WriteAt(p, off)) })
	return len(p), nil
}

// wrote returns the error of a write of p.
func wrote(p []byte) func(int, error) error {
	return func(n int, err error) error {
		if err == nil && n < len(p) {
			return io.ErrShortWrite
		}
		return err
	}
}

func (f *fencedFile) Sync() error {
	f.fence.do(f.File.Sync)
	return nil
}

func (f *fencedFile) SyncData() error {
	f.fence.do(f.File.SyncData)
	return nil
}

func (f *fencedFile) SyncTo(length int64) (full bool, err error) {
	f.fence.do(func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, nil
}

func (f *fencedFile) Preallocate(offset, length int64) error {
	f.fence.ops.RLock()
	defer f.fence.ops.RUnlock()
	if f.fence.broken() != nil {
		return nil
	}
	return f.File.Preallocate(offset, length)
}

// Stat must not fail: Pebble asks for the size of a log that it goes on with.
func (f *fencedFile) Stat() (info vfs.FileInfo, err error) {
	if !f.fence.do(func() error {
		info, err = f.File.Stat()
		return err
	}) {
		info = noInfo{}
	}
	return info, nil
}

// Close closes the file in any case.
func (f *fencedFile) Close() error {
	if err := f.File.Close(); err != nil {
		f.fence.fail(fmt.Errorf("close: %w", err))
	}
	return nil
}

// nowhere is a file that takes everything and has nothing.
type nowhere struct{}

func (nowhere) Close() error                           { return nil }
func (nowhere) Read([]byte) (int, error)               { return 0, io.EOF }
func (nowhere) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (nowhere) Write(p []byte) (int, error)            { return len(p), nil }
func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nowhere) Preallocate(int64, int64) error         { return nil }
func (nowhere) Stat() (vfs.FileInfo, error)            { return noInfo{}, nil }
func (nowhere) Sync() error                            { return nil }
func (nowhere) SyncTo(int64) (bool, error)             { return false, nil }
func (nowhere) SyncData() error                        { return nil }
func (nowhere) Prefetch(int64, int64) error            { return nil }
func (nowhere) Fd() uintptr                            { return vfs.InvalidFd }

// noInfo describes nowhere.
type noInfo struct{}

func (noInfo) Name() string           { return "" }
func (noInfo) Size() int64            { return 0 }
func (noInfo) Mode() iofs.FileMode    { return 0 }
func (noInfo) ModTime() time.Time     { return time.Time{} }
func (noInfo) IsDir() bool            { return false }
func (noInfo) Sys() any               { return nil }
func (noInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
