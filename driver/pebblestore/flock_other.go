//go:build !unix || aix || solaris

package pebblestore

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// lockFile does nothing. On Windows the lock of Pebble is an opening that excludes all others.
func lockFile(string) (io.Closer, error) { return nothing{}, nil }

// isLocked reports whether err says that somebody else has a lock.
func isLocked(err error) bool {
	const sharingViolation = syscall.Errno(32)
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return false
	}
	return errors.Is(err, sharingViolation)
}
