package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/luastore/store"
)

var (
	errClosed = store.Errorf(store.ErrUnavailable, "store unavailable: the pebble driver is closed")
	// errClosing is why a write was not confirmed.
	errClosing = errors.New("the driver was closed meanwhile")
)

// ended is the error of a call whose context ended before it began, nil if it has not.
func ended(ctx context.Context) error { return endedWhile(ctx, "before the pebble store did anything") }

// endedWhile is the error of a call whose context ended, and which wrote nothing; nil if it has not.
func endedWhile(ctx context.Context, when string) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return store.Errorf(store.ErrCanceled, "canceled %s: %w", when, err)
	default:
		return store.Errorf(store.ErrTimeout, "timeout %s: %w", when, err)
	}
}

// failedError is the error of calls on a store whose disk failed.
func (d *Driver) failedError(err error) error {
	what := "what was acknowledged"
	if d.target.noSync {
		what = "what was acknowledged up to about a second before"
	}
	return store.Errorf(store.ErrUnavailable,
		"store unavailable: the pebble store at %s failed (%w); see to its disk, then open the store again: %s is there", d.target.path, flat(err), what)
}

// unknownError is the error of a write that began and was not confirmed, for a reason that is none of the errors of this module:
// only one of them may match.
func (d *Driver) unknownError(reason error) error {
	return store.Errorf(store.ErrUnknownOutcome,
		"unknown outcome: the pebble store at %s may or may not keep this write (%w); read the key to find out", d.target.path, flat(reason))
}

// openError is the error of opening a store.
func openError(path string, err error) error {
	err = flat(err)
	switch {
	case vfs.IsNoSpaceError(err):
		return store.Errorf(store.ErrFull, "store full: opening the pebble store at %s needs room on its disk, about that of two memtables: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return store.Errorf(store.ErrDenied, "permission denied: cannot open the pebble store at %s: %w", path, err)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: cannot open the pebble store at %s: %w", path, err)
}

// databaseError is the error of Pebble when it opens a store. It has no word of its own for files that are missing or cut short.
func databaseError(path string, err error) error {
	if pebble.IsCorruptionError(err) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, pebble.ErrDBNotPristine) ||
		strings.Contains(err.Error(), "object size mismatch") {
		return corruptError(path, err)
	}
	return openError(path, err)
}

func corruptError(path string, err error) error {
	return store.Errorf(store.ErrCorrupt, "corrupt: the files of the pebble store at %s are damaged, restore them from a copy: %w", path, flat(err))
}

// readError is the error of reading an entry.
func (d *Driver) readError(err error) error {
	switch {
	case d.disk.broken() != nil:
		return d.refusal()
	case pebble.IsCorruptionError(err):
		return corruptError(d.target.path, err)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: cannot read from the pebble store at %s: %w", d.target.path, flat(err))
}

// flat returns err with a text on one line.
func flat(err error) error {
	if !strings.Contains(err.Error(), "\n") {
		return err
	}
	return flatError{err}
}

type flatError struct{ err error }

func (f flatError) Error() string { return strings.ReplaceAll(f.err.Error(), "\n", "; ") }

func (f flatError) Unwrap() error { return f.err }

func fatalError(message string) error { return fmt.Errorf("pebble gave up: %s", message) }

func sprintf(format string, args []any) string { return fmt.Sprintf(format, args...) }

func invalid(format string, args ...any) error {
	return store.Errorf(store.ErrInvalid, format, args...)
}
