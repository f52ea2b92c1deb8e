package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// An untilDone reads and writes until ctx ends, when what still waits, such as a pipe whose other side does nothing, is left to
// wait by itself. After that it is of no use.
type untilDone struct {
	ctx context.Context
	r   io.Reader // either
	w   io.Writer
	buf []byte // what a reader that is left may still write to
}

// within returns what do answers, or why ctx ended.
func within[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type answer struct {
		got T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		got, err := do()
		done <- answer{got, err}
	}()
	select {
	case a := <-done:
		return a.got, a.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// Read reads into p, or answers why ctx ended.
func (u *untilDone) Read(p []byte) (int, error) {
	if len(u.buf) < len(p) {
		u.buf = make([]byte, len(p))
	}
	buf := u.buf[:len(p)]
	n, err := within(u.ctx, func() (int, error) { return u.r.Read(buf) })
	return copy(p, buf[:n]), err
}

// Write writes p, which must not change after ctx ended, or answers why that did.
func (u *untilDone) Write(p []byte) (int, error) {
	return within(u.ctx, func() (int, error) { return u.w.Write(p) })
}

// openWithin opens a file for reading. That of a named pipe waits for somebody who writes, or for the end of ctx.
func openWithin(ctx context.Context, path string) (*os.File, error) {
	return within(ctx, func() (*os.File, error) { return os.Open(path) })
}

// A lineReader reads lines of bounded length.
type lineReader struct {
	r      *bufio.Reader
	most   int    // bytes of the longest line
	number int64  // of the line that was read last, from 1
	line   []byte // the last line
}

var errLongLine = errors.New("line too long")

// next returns the next line without its end, until the next call, and whether that end was there. [io.EOF] comes after the last line.
func (l *lineReader) next() (line []byte, whole bool, err error) {
	l.line = l.line[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.line = append(l.line, part...)
		switch {
		case len(l.line) > l.most+len("\r\n"):
			l.number++
			return nil, false, fmt.Errorf("%w: more than %d bytes, which no value that the store takes needs", errLongLine, l.most)
		case err == nil:
			l.number++
			return bytes.TrimRight(l.line, "\r\n"), true, nil
		case errors.Is(err, io.EOF) && len(l.line) > 0:
			l.number++
			return l.line, false, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}
