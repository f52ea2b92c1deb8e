package luafile_test

import (
	"context"
	"errors"
	"io/fs"
	"math/bits"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/luastore/store/internal/luafile"
)

func TestRead_ReturnsTheBeginning(t *testing.T) {
	files := fstest.MapFS{"a.lua": {Data: []byte("return 1")}, "b": {Mode: fs.ModeDir}}
	for _, c := range []struct {
		name string
		most int64
		want string
		fail bool
	}{{"a.lua", 100, "return 1", false}, {"a.lua", 8, "return 1", false}, {"a.lua", 3, "ret", false}, {"c.lua", 100, "", true}, {"b", 100, "", true}} {
		got, err := luafile.Read(t.Context(), files, c.name, c.most)
		if got != c.want || (err != nil) != c.fail {
			t.Errorf("%s, %d bytes: got %q, %v", c.name, c.most, got, err)
		}
	}
	if _, err := luafile.Read(t.Context(), files, "c.lua", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A stuckFS has files that are like a named pipe to which nobody writes.
type stuckFS struct{ release chan struct{} }

func (s stuckFS) Open(name string) (fs.File, error) {
	<-s.release
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func TestRead_OfWhatNeverAnswers_EndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := stuckFS{make(chan struct{})}
		defer close(stuck.release)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := luafile.Read(ctx, stuck, "pipe", 100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestReader_OfWhatNeverAnswers_OpensItEverMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := countingFS{stuckFS{make(chan struct{})}, new(atomic.Int64)}
		r := luafile.NewReader(pipe, 100)
		for second := range 1000 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := r.Read(ctx, "pipe"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			cancel()
			if n, want := pipe.opened.Load(), int64(bits.Len(uint(second)+1)); n != want {
				t.Fatalf("opened %d times in %d seconds, want %d", n, second+1, want)
			}
		}
		close(pipe.release)
		synctest.Wait()
		before := pipe.opened.Load()
		for range 2 {
			if _, err := r.Read(t.Context(), "pipe"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v", err)
			}
		}
		if n := pipe.opened.Load() - before; n != 2 {
			t.Errorf("opened %d times once it answers", n)
		}
	})
}

// Who puts a file in the place of a pipe need not start the program again.
func TestReader_OfAPipeThatBecomesAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := stuckFS{make(chan struct{})}
		defer close(pipe.release)
		files := &changingFS{}
		files.change(pipe)
		r := luafile.NewReader(files, 100)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Read(ctx, "a.lua"); err == nil {
			t.Error("a pipe answered")
		}
		files.change(fstest.MapFS{"a.lua": {Data: []byte("return 1")}})
		for range 2 {
			if got, err := r.Read(t.Context(), "a.lua"); got != "return 1" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}
	})
}

// A changingFS is another file system later.
type changingFS struct{ now atomic.Pointer[fs.FS] }

func (c *changingFS) change(files fs.FS) { c.now.Store(&files) }

func (c *changingFS) Open(name string) (fs.File, error) { return (*c.now.Load()).Open(name) }

// A countingFS counts how often a file was opened.
type countingFS struct {
	stuckFS
	opened *atomic.Int64
}

func (c countingFS) Open(name string) (fs.File, error) {
	c.opened.Add(1)
	return c.stuckFS.Open(name)
}

// A badFS does in Open what no file system should.
type badFS func()

func (bad badFS) Open(string) (fs.File, error) {
	bad()
	return nil, fs.ErrNotExist
}

func TestRead_OfAFileSystemThatPanics_PanicsInItsCaller(t *testing.T) {
	defer func() {
		if p := recover(); p != "mine" {
			t.Errorf("recovered %v", p)
		}
	}()
	_, err := luafile.Read(t.Context(), badFS(func() { panic("mine") }), "a.lua", 100)
	t.Errorf("returned %v", err)
}

func TestRead_OfAFileSystemThatEndsItsGoroutine_Fails(t *testing.T) {
	if _, err := luafile.Read(t.Context(), badFS(runtime.Goexit), "a.lua", 100); err == nil {
		t.Error("no error")
	}
}
