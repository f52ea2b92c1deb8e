package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/luastore/store"
)

const (
	// longestPath is how many bytes SQLite takes, on systems other than Windows.
	longestPath = 504
	// mostLinks is how many symbolic links in a row are followed.
	mostLinks = 40
	// lookEvery is how often reads look whether the file is still there.
	lookEvery = time.Second
)

// resolve returns the path that SQLite ends up with, of a file that may not be there yet: the log lies beside it, and those who
// mean one file by different names shall share one driver. What cannot be resolved stays as it is, and shows when it is opened.
func resolve(path string) string {
	for range mostLinks {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
		link, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(path), link)
		}
		path = link
	}
	if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(folder, filepath.Base(path))
	}
	return path
}

// checkPath says what is wrong in words that SQLite does not have: to it, all of this is a file that cannot be opened. It does
// not open the file, because closing it would drop the locks that other drivers of this process hold.
func (t *target) checkPath() error {
	if !filepath.IsAbs(t.Path) {
		return store.Errorf(store.ErrUnavailable, "store unavailable: the SQLite database %s is below a working folder that is not there any more: give an absolute path", t.Path)
	}
	if runtime.GOOS != "windows" && len(t.Path) > longestPath {
		return invalid("the path of a SQLite database has %d bytes, and SQLite takes %d: name a shorter one", len(t.Path), longestPath)
	}
	folder := filepath.Dir(t.Path)
	if _, err := os.Stat(folder); err != nil {
		return store.Errorf(store.ErrUnavailable, "store unavailable: the folder of the SQLite database %s cannot be used, make it first: %w", t.Path, err)
	}
	info, err := os.Stat(t.Path)
	switch {
	case err == nil:
		return t.checkFile(info)
	case t.MustExist:
		return store.Errorf(store.ErrUnavailable, "store unavailable: there is no SQLite database to use at %s, and create is false: %w", t.Path, err)
	}
	return nil
}

// checkFile reports what is no file of a database, or would be one with two logs.
func (t *target) checkFile(info os.FileInfo) error {
	switch {
	case info.IsDir():
		return invalid("%s is a folder: a SQLite URL needs the path of a file", t.Path)
	case !info.Mode().IsRegular():
		return invalid("%s is not a regular file, which a SQLite database has to be", t.Path)
	case links(info) > 1:
		return invalid("the SQLite database %s has %d names (hard links): processes that use different ones would lose writes of each other, because the log goes by the name; remove all but one, or use symbolic links", t.Path, links(info))
	}
	return nil
}

// A file is that of a database while it is open. Without this, writes to a file that was removed are lost though they succeed.
type file struct {
	path   string
	opened os.FileInfo
	looked atomic.Int64 // the instant of the last look that was fine
}

// lookAt returns the file that is at path now.
func lookAt(path string) (*file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, store.Errorf(store.ErrUnavailable, "store unavailable: the SQLite database %s was removed while it was opened: %w", path, err)
	}
	return &file{path: path, opened: info}, nil
}

// check reports that the file is not the one that is at the path.
func (f *file) check() error {
	info, err := os.Stat(f.path)
	if err == nil && os.SameFile(info, f.opened) {
		return nil
	}
	if err == nil {
		err = errors.New("it is another file now")
	}
	return store.Errorf(store.ErrUnavailable,
		"store unavailable: the SQLite database %s was removed or replaced while it was in use (%w); put the file back, or open the store again", f.path, err)
}

// checkAt is check where the last one is long ago.
func (f *file) checkAt(at instant) error {
	if since := at - instant(f.looked.Load()); 0 <= since && since < instant(lookEvery) {
		return nil
	}
	if err := f.check(); err != nil {
		return err
	}
	f.looked.Store(int64(at))
	return nil
}
