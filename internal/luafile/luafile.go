// Package luafile reads the files that scripts require.
package luafile

import (
	"context"
	"errors"
	"io"
	"io/fs"
)

// errUnwound answers a file system that ended its goroutine.
var errUnwound = errors.New("the file system did not return")

// Read returns the first most bytes of a file. It returns an error when ctx ends first: what is no file but a named pipe may never
// answer, and is left to wait by itself then, on a thread of the system. A panic of files is one of its caller.
func Read(ctx context.Context, files fs.FS, name string, most int64) (string, error) {
	type answer struct {
		source   string
		err      error
		panicked any
	}
	done := make(chan answer, 1)
	go func() {
		a := answer{err: errUnwound}
		defer func() {
			a.panicked = recover()
			done <- a
		}()
		a.source, a.err = read(files, name, most)
	}()
	select {
	case a := <-done:
		if a.panicked != nil {
			panic(a.panicked)
		}
		return a.source, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func read(files fs.FS, name string, most int64) (string, error) {
	f, err := files.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most))
	return string(b), err
}
