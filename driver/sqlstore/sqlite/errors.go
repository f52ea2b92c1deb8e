package sqlite

import (
	"context"
	"errors"

	engine "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/luastore/store"
)

var (
	errClosed   = store.Errorf(store.ErrUnavailable, "store unavailable: the SQLite driver is closed")
	errNoBlob   = store.Errorf(store.ErrCorrupt, "corrupt value: the row holds no BLOB")
	errNoExpiry = store.Errorf(store.ErrCorrupt, "corrupt value: the row has an expiry that is no number")
)

// codeOf returns the extended result code of an error of SQLite, 0 for any other.
func codeOf(err error) int {
	var e *engine.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return code.SQLITE_OK
}

// primary returns the result code without what extends it.
func primary(err error) int { return codeOf(err) & 0xff }

// isBusy reports that another connection holds a lock. Nothing was done.
func isBusy(err error) bool {
	p := primary(err)
	return p == code.SQLITE_BUSY || p == code.SQLITE_LOCKED
}

// ended is the error of a call whose context ended before anything was done.
func (d *Driver) ended(ctx context.Context) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return store.Errorf(store.ErrCanceled, "canceled before the SQLite database %s did anything: %w", d.target.Path, err)
	}
	return store.Errorf(store.ErrTimeout, "timeout before the SQLite database %s did anything: %w", d.target.Path, context.DeadlineExceeded)
}

// abandoned is the error of a write whose context ended while its transaction ran.
func (d *Driver) abandoned(ctx context.Context) error {
	reason := context.DeadlineExceeded
	if errors.Is(ctx.Err(), context.Canceled) {
		reason = context.Canceled
	}
	return store.Errorf(store.ErrUnknownOutcome,
		"unknown outcome: the SQLite database %s is still writing (%w); read the key to find out", d.target.Path, reason)
}

// busyError is the error of a call that waited in vain for a lock.
func (d *Driver) busyError(ctx context.Context) error {
	switch {
	case d.closing.Err() != nil:
		return errClosed
	case ctx.Err() != nil:
		return d.ended(ctx)
	}
	return store.Errorf(store.ErrUnavailable,
		"store unavailable: another process has kept the SQLite database %s locked for %v; nothing was done", d.target.Path, d.target.BusyTimeout)
}

// doubtError is the error of all calls from a failed commit to the next that succeeds.
func (d *Driver) doubtError() error {
	return store.Errorf(store.ErrUnavailable,
		"store unavailable: the SQLite database %s could not be synced to disk, and cannot be since; check the disk", d.target.Path)
}

// unknown is the error of writes whose commit failed in a way that may let them reappear when the file is opened again.
func (d *Driver) unknown(err error) error {
	return store.Errorf(store.ErrUnknownOutcome,
		"unknown outcome: the SQLite database %s could not sync a write to disk, nor undo it: %w; check the disk and read the key to find out", d.target.Path, err)
}

// openError is explain for what fails while the file is opened.
func (d *Driver) openError(err error) error {
	if primary(err) == code.SQLITE_CANTOPEN {
		return store.Errorf(store.ErrUnavailable,
			"store unavailable: SQLite cannot open %s or the files beside it; check that they and the folder may be read and written: %w", d.target.Path, err)
	}
	return d.explain(err)
}

// explain turns an error of SQLite into one of the store. Nothing was done, or it was undone. Other errors stay as they are.
func (d *Driver) explain(err error) error {
	path := d.target.Path
	switch primary(err) {
	case code.SQLITE_OK:
		return err
	case code.SQLITE_FULL:
		return store.Errorf(store.ErrFull, "store full: there is no room for the SQLite database %s: free some on the disk: %w", path, err)
	case code.SQLITE_TOOBIG:
		return store.Errorf(store.ErrTooLarge, "value too large for SQLite: %w", err)
	case code.SQLITE_READONLY, code.SQLITE_PERM, code.SQLITE_AUTH:
		return store.Errorf(store.ErrDenied, "permission denied: the SQLite database %s, its folder and the files beside it must be writable: %w", path, err)
	case code.SQLITE_CORRUPT:
		return store.Errorf(store.ErrCorrupt, "corrupt database: the SQLite file %s is damaged: restore a backup, or try .recover of the sqlite3 program: %w", path, err)
	case code.SQLITE_NOTADB:
		return store.Errorf(store.ErrCorrupt, "corrupt database: the file %s is no SQLite database: name another file, or restore a backup: %w", path, err)
	case code.SQLITE_CONSTRAINT:
		return store.Errorf(store.ErrInvalid, "the SQLite database %s has a rule of its own that refuses this: %w", path, err)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: the SQLite database %s: %w", path, err)
}
