package sqlite

import (
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"modernc.org/libc"
	engine "modernc.org/sqlite/lib"
)

// faults stand between SQLite and the files of one database and make calls fail.
type faults struct {
	path     string
	vfs      string
	readOnly atomic.Bool // files open for reading alone
	noShm    atomic.Bool // there is no shared memory

	slow atomic.Pointer[func(c fileCall)] // is called with each, and may wait; nil: is not

	mu    sync.Mutex
	calls int                    // so far
	fail  func(c fileCall) int32 // result code of a call that fails, 0 for one that does not; nil: none fails
}

// A fileCall is one call of SQLite that changes something on disk.
type fileCall struct {
	number int    // counted from 1
	op     string // open, write, sync, truncate or delete
	file   string // db, wal or other
}

// failing makes calls fail as fail says, from now on; nil makes none fail.
func (f *faults) failing(fail func(c fileCall) int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.fail = 0, fail
}

func (f *faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// step counts a call and returns the code that it fails with, if it does.
func (f *faults) step(op, name string) int32 {
	c := fileCall{op: op, file: "other"}
	switch {
	case strings.HasSuffix(name, "-wal"):
		c.file = "wal"
	case strings.HasSuffix(name, filepath.Base(f.path)):
		c.file = "db"
	}
	if slow := f.slow.Load(); slow != nil {
		(*slow)(c)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	c.number = f.calls
	if f.fail == nil {
		return engine.SQLITE_OK
	}
	return f.fail(c)
}

// target is that of o on the file, with the faults in between.
func (f *faults) target(o Options) target {
	o.Path = f.path
	to := o.target()
	to.vfs = f.vfs
	return to
}

// open opens a driver with the faults in between, for the length of the test.
func (f *faults) open(t testing.TB, o Options) *Driver {
	t.Helper()
	d, err := open(testContext(t), f.target(o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// addFaults registers what stands between SQLite and the files of path, for the length of the test.
func addFaults(t testing.TB, path string) *faults {
	t.Helper()
	f := &faults{path: path, vfs: "faults-" + path}
	s := newShim(f)
	t.Cleanup(s.remove)
	return f
}

// A shim is a VFS of SQLite that calls its own one, where that is not to fail.
type shim struct {
	faults *faults
	tls    *libc.TLS
	vfs    uintptr
	under  *engine.Tsqlite3_vfs
	files  sync.Map // handle: *shimFile

	// SQLite holds the addresses of these, which are to stay where they are.
	open     func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32
	remove_  func(*libc.TLS, uintptr, uintptr, int32) int32
	close    func(*libc.TLS, uintptr) int32
	write    func(*libc.TLS, uintptr, uintptr, int32, int64) int32
	truncate func(*libc.TLS, uintptr, int64) int32
	sync     func(*libc.TLS, uintptr, int32) int32
}

// A shimFile is an open file.
type shimFile struct {
	name  string
	under *engine.Tsqlite3_io_methods
	over  uintptr // ours
}

// in returns a struct of C.
func in[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// address returns a function as C takes it, f being where it stays.
func address[F any](f *F) uintptr { return *(*uintptr)(unsafe.Pointer(f)) }

// function returns what is at an address of C.
func function[F any](address uintptr) F {
	return *(*F)(unsafe.Pointer(&address))
}

func newShim(f *faults) *shim {
	s := &shim{faults: f, tls: libc.NewTLS()}
	s.open, s.remove_, s.close, s.write, s.truncate, s.sync = s.xOpen, s.xDelete, s.xClose, s.xWrite, s.xTruncate, s.xSync
	s.under = in[engine.Tsqlite3_vfs](engine.Xsqlite3_vfs_find(s.tls, 0))
	s.vfs = libc.Xcalloc(s.tls, 1, libc.Tsize_t(unsafe.Sizeof(engine.Tsqlite3_vfs{})))
	over := in[engine.Tsqlite3_vfs](s.vfs)
	*over = *s.under
	over.FzName, _ = libc.CString(f.vfs)
	over.FxOpen = address(&s.open)
	over.FxDelete = address(&s.remove_)
	engine.Xsqlite3_vfs_register(s.tls, s.vfs, 0)
	return s
}

func (s *shim) remove() {
	engine.Xsqlite3_vfs_unregister(s.tls, s.vfs)
	s.tls.Close()
}

func (s *shim) xOpen(tls *libc.TLS, vfs, zName, handle uintptr, flags int32, out uintptr) int32 {
	name := libc.GoString(zName)
	if code := s.faults.step("open", name); code != 0 {
		in[engine.Tsqlite3_file](handle).FpMethods = 0
		return code
	}
	if s.faults.readOnly.Load() && flags&engine.SQLITE_OPEN_MAIN_DB != 0 {
		flags = flags&^(engine.SQLITE_OPEN_READWRITE|engine.SQLITE_OPEN_CREATE) | engine.SQLITE_OPEN_READONLY
	}
	call := function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](s.under.FxOpen)
	if code := call(tls, vfs, zName, handle, flags, out); code != 0 {
		return code
	}
	file := in[engine.Tsqlite3_file](handle)
	under := in[engine.Tsqlite3_io_methods](file.FpMethods)
	p := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(engine.Tsqlite3_io_methods{})))
	over := in[engine.Tsqlite3_io_methods](p)
	*over = *under
	over.FxClose, over.FxWrite = address(&s.close), address(&s.write)
	over.FxTruncate, over.FxSync = address(&s.truncate), address(&s.sync)
	if s.faults.noShm.Load() {
		over.FiVersion = 1
	}
	s.files.Store(handle, &shimFile{name, under, p})
	file.FpMethods = p
	return 0
}

// of returns the file of a handle, and the code that a call of it fails with.
func (s *shim) of(handle uintptr, op string) (*shimFile, int32) {
	v, _ := s.files.Load(handle)
	file := v.(*shimFile)
	return file, s.faults.step(op, file.name)
}

func (s *shim) xClose(tls *libc.TLS, handle uintptr) int32 {
	v, _ := s.files.LoadAndDelete(handle)
	file := v.(*shimFile)
	code := function[func(*libc.TLS, uintptr) int32](file.under.FxClose)(tls, handle)
	libc.Xfree(tls, file.over)
	return code
}

func (s *shim) xWrite(tls *libc.TLS, handle, p uintptr, n int32, at int64) int32 {
	file, code := s.of(handle, "write")
	if code != 0 {
		return code
	}
	return function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](file.under.FxWrite)(tls, handle, p, n, at)
}

func (s *shim) xTruncate(tls *libc.TLS, handle uintptr, size int64) int32 {
	file, code := s.of(handle, "truncate")
	if code != 0 {
		return code
	}
	return function[func(*libc.TLS, uintptr, int64) int32](file.under.FxTruncate)(tls, handle, size)
}

// xSync syncs nothing, which these tests could not tell.
func (s *shim) xSync(_ *libc.TLS, handle uintptr, _ int32) int32 {
	_, code := s.of(handle, "sync")
	return code
}

func (s *shim) xDelete(tls *libc.TLS, vfs, zName uintptr, syncDir int32) int32 {
	if code := s.faults.step("delete", libc.GoString(zName)); code != 0 {
		return code
	}
	return function[func(*libc.TLS, uintptr, uintptr, int32) int32](s.under.FxDelete)(tls, vfs, zName, syncDir)
}
