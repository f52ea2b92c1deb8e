// Package luafile reads the files that scripts require.
package luafile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"time"
)

// errUnwound answers a file system that ended its goroutine.
var errUnwound = errors.New("the file system did not return")

// patience is how long a file may take to be read before the next who asks for it has it opened once more; twice as long before the
// third time, and so on.
const patience = time.Second

// A Reader reads files. Who asks for one that is being read waits for that. What is no file but a named pipe may never answer and takes a
// thread of the system as long, of which a process has 10,000: it is left to wait by itself, and opened again ever more seldom, as somebody may have put a
// file in its place. Its methods are safe for concurrent use.
type Reader struct {
	files fs.FS
	most  int64

	mu      sync.Mutex
	pending map[string]*reading // the last of each name
}

// A reading is one attempt to read a file.
type reading struct {
	begun    time.Time
	patience time.Duration
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

// Read returns the beginning of a file, as it was after the call or up to a second before, or before that if it takes so long to be read.
// It returns an error when ctx ends first. A panic of the file system is one of each caller.
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
	a := &reading{begun: time.Now(), patience: patience, done: make(chan struct{}), err: errUnwound}
	if last := r.pending[name]; last != nil {
		if a.begun.Sub(last.begun) < last.patience {
			return last
		}
		a.patience = 2 * last.patience
	}
	r.pending[name] = a
	go func() {
		defer func() {
			a.panicked = recover()
			r.end(name, a)
		}()
		a.source, a.err = r.read(name)
	}()
	return a
}

// end tells who waits that an attempt has ended.
func (r *Reader) end(name string, a *reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending[name] == a {
		delete(r.pending, name)
	}
	close(a.done)
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
