package luafile_test

import (
	"context"
	"errors"
	"io/fs"
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

func TestReader_OfWhatNeverAnswers_WaitsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := countingFS{stuckFS{make(chan struct{})}, new(atomic.Int64)}
		r := luafile.NewReader(stuck, 100)
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := r.Read(ctx, "pipe"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		if n := stuck.opened.Load(); n != 1 {
			t.Errorf("opened %d times at once", n)
		}
		close(stuck.release)
		synctest.Wait()
		for range 2 {
			if _, err := r.Read(t.Context(), "pipe"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v", err)
			}
		}
		if n := stuck.opened.Load(); n != 3 {
			t.Errorf("opened %d times in all", n)
		}
	})
}

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
