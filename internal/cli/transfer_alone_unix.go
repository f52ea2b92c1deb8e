//go:build unix && !aix && !solaris

package cli

import (
	"errors"
	"os"
	"syscall"
)

// openAlone opens a file that no other process has open so, and makes it where it is not there; [errLocked] says that one has. A file
// system that has no locks leaves it to people to write one file at a time.
func openAlone(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		file.Close()
		return nil, errLocked
	}
	return file, nil
}
