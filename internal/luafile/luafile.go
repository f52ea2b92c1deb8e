// Package luafile reads the files that scripts require.
package luafile

import (
	"context"
	"io"
	"io/fs"
)

// Read returns the first most bytes of a file. It returns an error when ctx ends first: what is no file but a named pipe may never
// answer, and is left to wait by itself then.
func Read(ctx context.Context, files fs.FS, name string, most int64) (string, error) {
	type answer struct {
		source string
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		source, err := read(files, name, most)
		done <- answer{source, err}
	}()
	select {
	case a := <-done:
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
