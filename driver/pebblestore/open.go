package pebblestore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	logrecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"

	"github.com/luastore/store"
)

// open opens a driver on the files of disk. It returns when ctx ends; what a slow disk opens later is closed at once.
func open(ctx context.Context, to target, disk vfs.FS) (*Driver, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	type result struct {
		d   *Driver
		err error
	}
	done := make(chan result)
	go func() {
		d, err := openFolder(to, disk)
		select {
		case done <- result{d, err}:
		case <-ctx.Done():
			if err == nil {
				d.Close()
			}
		}
	}()
	select {
	case r := <-done:
		return r.d, r.err
	case <-ctx.Done():
		return nil, endedWhile(ctx, "while the pebble store was being opened")
	}
}

func openFolder(to target, disk vfs.FS) (*Driver, error) {
	if err := makeFolder(disk, to.path); err != nil {
		return nil, err
	}
	if err := checkNames(disk, to.path); err != nil {
		return nil, err
	}
	lock, err := lockFolder(disk, to.path)
	if err != nil {
		return nil, err
	}
	if err := checkMark(disk, to.path); err != nil {
		lock.Close()
		return nil, err
	}
	d := newDriver(to, disk, lock)
	if d.db, err = pebble.Open(to.path, d.pebbleOptions()); err == nil {
		d.opened.Store(true)
		err = d.sweeper.start()
	}
	if err == nil && d.disk.broken() == nil {
		return d, nil
	}
	return nil, d.giveUp(err)
}

// newDriver returns a driver that has the folder, and no database yet.
func newDriver(to target, disk vfs.FS, lock io.Closer) *Driver {
	d := &Driver{target: to, lock: lock, lifecycle: lifecycle{over: newSignal(), wedged: newSignal(), stopped: newSignal()}}
	d.disk = &fence{FS: disk, onBreak: d.fail}
	for i := range d.stripes {
		d.stripes[i].init()
	}
	d.listings = make(chan struct{}, maxListings)
	d.workers.init()
	d.confirmer.start()
	d.sweeper.init(d)
	d.syncer.d = d
	return d
}

// giveUp releases what a failed opening has, and returns its error: that of the disk before err, which may be its consequence.
func (d *Driver) giveUp(err error) error {
	if d.db != nil {
		d.Close()
	} else {
		d.confirmer.stop()
		d.disk.drain()
		d.lock.Close()
	}
	if broken := d.disk.broken(); broken != nil {
		return openError(d.target.path, broken)
	}
	return databaseError(d.target.path, err)
}

// makeFolder makes the folder of the store, to last, in one that must exist.
func makeFolder(disk vfs.FS, path string) error {
	if info, err := disk.Stat(path); err == nil {
		if !info.IsDir() {
			return invalid("a pebble store is a folder, and %s is a file: correct the path", path)
		}
		return nil
	}
	parent := disk.PathDir(path)
	if info, err := disk.Stat(parent); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return store.Errorf(store.ErrUnavailable, "store unavailable: there is no folder %s to make the pebble store %s in: make it, or correct the path", parent, disk.PathBase(path))
	}
	err := disk.MkdirAll(path, 0o700)
	if err == nil {
		err = syncFolder(disk, parent)
	}
	if err != nil {
		return openError(path, err)
	}
	return nil
}

// syncFolder brings to disk what is in a folder.
func syncFolder(disk vfs.FS, path string) error {
	folder, err := disk.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// manifestMarker is the name of the mark that tells which manifest is the present one. Pebble takes a folder without it as new, and
// removes files in it whose names are like those of its own.
const manifestMarker = "manifest"

// checkNames refuses a folder that is no store and not a new one, before anything is written to it: new is one that is empty, or
// has what a crash in the first opening leaves.
func checkNames(disk vfs.FS, path string) error {
	names, err := disk.List(path)
	if err != nil {
		return openError(path, err)
	}
	var foreign string
	was := false
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "marker."+manifestMarker+"."):
			return nil
		case name == lockName:
			was = true
		case !isNew(name):
			foreign = name
		}
	}
	switch {
	case foreign == "":
		return nil
	case was:
		return store.Errorf(store.ErrCorrupt, "corrupt: the pebble store at %s has %s and no marker.%s file any more: restore it from a copy", path, foreign, manifestMarker)
	}
	return invalid("the folder %s holds %s and is no pebble store: name a folder that is empty or does not exist", path, foreign)
}

// isNew reports whether a folder that holds a file of that name can still be new. The folder lost+found is where a disk begins.
func isNew(name string) bool {
	return strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "marker.") || name == "LOCK" || name == "lost+found"
}

// checkMark refuses a database that is not of this driver, and one of which Pebble could not read how it begins: it would take that
// for an empty one, and remove all its tables. The folder is locked.
func checkMark(disk vfs.FS, path string) error {
	begin, err := manifestBegin(disk, path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && unmark(disk, path):
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, io.EOF), logrecord.IsInvalidRecord(err):
		return corruptError(path, err)
	case err != nil:
		return openError(path, err)
	case begin != "" && !strings.Contains(begin, layout):
		return invalid("the folder %s holds a Pebble database of another program, or of a later version of this one: name another folder", path)
	}
	return nil
}

// unmark makes a folder new again in whose first opening the power was lost, such that the mark of the manifest is there and the
// manifest is not. It reports whether it was one: a store has other files too.
func unmark(disk vfs.FS, path string) bool {
	names, err := disk.List(path)
	if err != nil {
		return false
	}
	for _, name := range names {
		if !isNew(name) && name != lockName {
			return false
		}
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.") {
			err = errors.Join(err, disk.Remove(disk.PathJoin(path, name)))
		}
	}
	return errors.Join(err, syncFolder(disk, path)) == nil
}

// manifestBegin returns the first record of the manifest, "" if there is no manifest yet.
func manifestBegin(disk vfs.FS, path string) (string, error) {
	marker, name, err := atomicfs.LocateMarker(disk, path, manifestMarker)
	if err != nil {
		return "", err
	}
	defer marker.Close()
	if name == "" {
		return "", nil
	}
	file, err := disk.Open(disk.PathJoin(path, name))
	if err != nil {
		return "", err
	}
	defer file.Close()
	first, err := logrecord.NewReader(file, 0).Next()
	if err != nil {
		return "", err
	}
	begin, err := io.ReadAll(io.LimitReader(first, 1<<10))
	return string(begin), err
}
