//go:build unix && !aix && !solaris

package pebblestore

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// lockFile takes a lock that belongs to the open file: it excludes whoever opens the file anew, in this process too, and lasts
// until that very opening is closed.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: path, Err: err}
	}
	return f, nil
}

// isLocked reports whether err says that somebody else has a lock.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) && !isPath(err)
}

// isPath reports whether err is about a name, such as a folder where nothing may be made, and not about a lock.
func isPath(err error) bool {
	_, ok := errors.AsType[*os.PathError](err)
	return ok
}
