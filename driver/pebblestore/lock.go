package pebblestore

import (
	"errors"
	"io"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/luastore/store"
)

// lockName is the file whose lock keeps a folder for one driver. It stays there, as a sign that the folder was a store.
const lockName = "luastore.lock"

// lockFolder keeps a folder from all others, of this process too, until what it returns is closed. It does not wait.
//
// The lock of Pebble alone does not do that on Unix. It is the process that has it, not the opening: it is gone when anything in the
// process closes any other opening of its file, as a copy of the folder does, and it excludes nobody in the process who gets to the
// folder by another name. It is taken as well, against programs that know Pebble only.
func lockFolder(disk vfs.FS, path string) (io.Closer, error) {
	var own io.Closer = nothing{}
	if disk == vfs.Default {
		var err error
		if own, err = lockFile(filepath.Join(path, lockName)); err != nil {
			return nil, lockError(path, err)
		}
	}
	lock, err := disk.Lock(disk.PathJoin(path, "LOCK"))
	if err != nil {
		own.Close()
		return nil, lockError(path, err)
	}
	return locks{lock, own}, nil
}

// locks are released in their order.
type locks [2]io.Closer

func (l locks) Close() error { return errors.Join(l[0].Close(), l[1].Close()) }

// lockError is the error of taking the lock of a folder.
func lockError(path string, err error) error {
	if isLocked(err) {
		return store.Errorf(store.ErrUnavailable,
			"store unavailable: pebble store at %s is in use by another process, or was opened twice by this one: stop that process, or use another path", path)
	}
	return openError(path, err)
}
