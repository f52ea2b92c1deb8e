package cli

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// concurrent is how many calls an export or an import has under way at most.
const concurrent = 64

// chunk is how much is written at a time, in whole lines.
const chunk = 64 << 10

// An exportRun writes the entries of one store as lines, in the order in which they are listed. What it holds at a time is a page of
// keys and as many values as it has calls under way.
type exportRun struct {
	handle *store.Handle
	prefix string
	out    io.Writer
	// pageEnd is called when all lines up to the end of a page were written, with the cursor of the next page; nil: nothing is.
	pageEnd func(next string) error
	// unread is called with an entry that cannot be read, which is left out.
	unread   func(key string, err error)
	progress *progress

	pages      int   // listed
	entries    int64 // written
	unreadable int64 // left out
	buf        []byte
}

// header begins the export. The lines of a page are written only when it has ended, or when there are many.
func (e *exportRun) header(at time.Time) error {
	e.buf = appendHeader(e.buf, e.handle.ID(), at)
	return e.flush()
}

// run exports what comes after a cursor, which is "" for everything.
func (e *exportRun) run(ctx context.Context, cursor string) error {
	limit := min(store.KeysPage, e.handle.Limits().Batch)
	for {
		page, err := e.handle.List(ctx, e.prefix, cursor, limit)
		if err != nil {
			return err
		}
		e.pages++
		if err := e.page(ctx, page.Keys); err != nil {
			return err
		}
		if err := e.flush(); err != nil {
			return err
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
		if e.pageEnd != nil {
			if err := e.pageEnd(cursor); err != nil {
				return err
			}
		}
	}
}

// end writes the last line.
func (e *exportRun) end() error {
	e.buf = appendEnd(e.buf, e.entries)
	return e.flush()
}

// flush writes what is waiting.
func (e *exportRun) flush() error {
	if len(e.buf) == 0 {
		return nil
	}
	_, err := e.out.Write(e.buf)
	if e.buf = e.buf[:0]; err != nil {
		e.buf = nil // a writer that was left to wait still has it
	}
	return outputError(err)
}

// A writeError is one of the output, not of the store.
type writeError struct{ err error }

func (e *writeError) Error() string { return "cannot write the export: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// outputError returns the [writeError] of err, if that is one.
func outputError(err error) error {
	if err == nil {
		return nil
	}
	return &writeError{err}
}

// A fetched is one entry, or why there is none.
type fetched struct {
	store.Entry
	expires time.Time
	err     error
}

// page writes the entries of keys. It returns when nothing is under way any more.
func (e *exportRun) page(ctx context.Context, keys []string) error {
	fetching, stop := context.WithCancel(ctx)
	defer stop()
	queue := make(chan chan fetched, concurrent-1)
	go func() {
		defer close(queue)
		for _, key := range keys {
			came := make(chan fetched, 1)
			queue <- came
			go func() { came <- e.fetch(fetching, key) }()
		}
	}()
	var failed error
	for came := range queue {
		got := <-came
		if failed == nil {
			if failed = e.take(got); failed != nil {
				stop() // what follows only fails, at once
			}
		}
	}
	return failed
}

// fetch reads one entry. The instant at which it expires counts from before it was asked for, by the clock of this machine: it is not
// late, and early by the time that the question took at most, which an import adds again on its way.
func (e *exportRun) fetch(ctx context.Context, key string) fetched {
	asked := time.Now()
	entry, err := e.handle.Entry(ctx, key)
	got := fetched{Entry: entry, err: err}
	got.Key = key
	if err != nil {
		return got
	}
	if entry.TTL > 0 {
		got.expires = asked.Add(entry.TTL)
	}
	got.err = value.Validate(entry.Value, e.handle.Limits().Value())
	return got
}

// take writes what was fetched. An entry that has gone since it was listed is none, one that cannot be read is told.
func (e *exportRun) take(got fetched) error {
	switch {
	case got.err == nil:
	case errors.Is(got.err, store.ErrNotFound):
		return nil
	case errors.Is(got.err, store.ErrCorrupt) || errors.Is(got.err, store.ErrTooLarge):
		e.unreadable++
		e.unread(got.Key, got.err)
		return nil
	default:
		return got.err
	}
	e.buf = appendEntry(e.buf, got.Key, got.Value, got.expires)
	e.entries++
	e.progress.add(1, 0)
	if len(e.buf) < chunk {
		return nil
	}
	return e.flush()
}
