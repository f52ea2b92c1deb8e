package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"

	"github.com/luastore/store"
)

var errClosed = store.Errorf(store.ErrUnavailable, "store unavailable: the pebble driver is closed")

// ended is the error of a call whose context ended before it began, nil if it has not.
func ended(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return store.Errorf(store.ErrCanceled, "canceled before the pebble store did anything: %w", err)
	default:
		return store.Errorf(store.ErrTimeout, "timeout before the pebble store did anything: %w", err)
	}
}

// failedError is the error of calls on a store whose disk failed.
func failedError(path string, err error) error {
	return store.Errorf(store.ErrUnavailable,
		"store unavailable: the pebble store at %s failed (%w); see to its disk, then open the store again: what was acknowledged is there", path, err)
}

// unknownError is the error of a write that began and was not confirmed.
func unknownError(path string, reason error) error {
	return store.Errorf(store.ErrUnknownOutcome,
		"unknown outcome: the pebble store at %s may or may not keep this write (%w); read the key to find out", path, reason)
}

// lockError is the error of taking the lock of a folder. Another process that has it shows as a bare error number.
func lockError(path string, err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return openError(path.Path, err)
	}
	return store.Errorf(store.ErrUnavailable,
		"store unavailable: pebble store at %s is in use by another process, or was opened twice by this one: stop that process, or use another path", path)
}

// openError is the error of opening a store.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return store.Errorf(store.ErrDenied, "permission denied: cannot open the pebble store at %s: %w", path, err)
	case pebble.IsCorruptionError(err):
		return store.Errorf(store.ErrCorrupt, "corrupt: cannot open the pebble store at %s, restore it from a copy: %w", path, err)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: cannot open the pebble store at %s: %w", path, err)
}

// readError is the error of reading an entry.
func (d *Driver) readError(err error) error {
	switch {
	case d.disk.broken() != nil:
		return d.refusal()
	case pebble.IsCorruptionError(err):
		return store.Errorf(store.ErrCorrupt, "corrupt value: the files of the pebble store at %s are damaged, restore them from a copy: %w", d.target.path, err)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: cannot read from the pebble store at %s: %w", d.target.path, err)
}

func fatalError(message string) error { return fmt.Errorf("pebble gave up: %s", message) }

func sprintf(format string, args []any) string { return fmt.Sprintf(format, args...) }

func invalid(format string, args ...any) error {
	return store.Errorf(store.ErrInvalid, format, args...)
}
