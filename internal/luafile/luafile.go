// Package luafile reads the files that scripts require.
package luafile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
)

// errUnwound answers a file system that ended its goroutine.
var errUnwound = errors.New("the file system did not return")

// A Reader reads files, each only once at a time: who asks for one that is being read waits for that. What is no file but a named pipe
// may never answer and takes a thread of the system as long, of which a process has 10,000: it is left to wait by itself, once. Its methods are
// safe for concurrent use.
type Reader struct {
	files fs.FS
	most  int64

	mu      sync.Mutex
	pending map[string]*reading // by name
}

// A reading is one attempt to read a file.
type reading struct {
	done     chan struct{} // closed when what follows is set
	source   string
	err      error
	panicked any
}

// NewReader returns a Reader of the first most bytes of files.
func NewReader(files fs.FS, most int64) *Reader {
	return &Reader{files: files, most: most, pending: map[string]*reading{}}
}

// Read reads a file with a new [Reader].
func Read(ctx context.Context, files fs.FS, name string, most int64) (string, error) {
	return NewReader(files, most).Read(ctx, name)
}

// Read returns the beginning of a file, as it was after the call or a little before. It returns an error when ctx ends first. A panic of
// the file system is one of each caller.
func (r *Reader) Read(ctx context.Context, name string) (string, error) {
	a := r.begin(name)
	select {
	case <-a.done:
		if a.panicked != nil {
			panic(a.panicked)
		}
		return a.source, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// begin returns the attempt that is under way, or a new one.
func (r *Reader) begin(name string) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.pending[name]; a != nil {
		return a
	}
	a := &reading{done: make(chan struct{}), err: errUnwound}
	r.pending[name] = a
	go func() {
		defer func() {
			a.panicked = recover()
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.pending, name)
			close(a.done)
		}()
		a.source, a.err = r.read(name)
	}()
	return a
}

func (r *Reader) read(name string) (string, error) {
	f, err := r.files.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, r.most))
	return string(b), err
}
