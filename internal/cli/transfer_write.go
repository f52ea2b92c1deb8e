package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/luastore/store"
)

// A batch of entries that never expire is written in one call: so many at most, with so many bytes of values.
const (
	batchEntries = 200
	batchBytes   = 256 << 10
)

// An importLine is the entry of one line.
type importLine struct {
	number  int64
	key     string
	value   []byte
	expires time.Time // zero: never
}

// A lineError is what went wrong with one line. Code is the exit code that it leads to.
type lineError struct {
	number int64
	code   int
	err    error
}

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

// An importWriter writes entries with several calls under way, of which no two write the same key: of several lines with one key the
// last one stays. Its methods but sure and counts are for one goroutine.
type importWriter struct {
	handle *store.Handle
	slots  chan struct{} // one for each call under way
	calls  sync.WaitGroup

	batch []importLine // to be written together, when it is full
	bytes int          // of its values

	mu       sync.Mutex
	busy     map[string]bool // keys of the batch and of calls under way
	open     map[int64]bool  // first lines of calls under way
	failed   *lineError      // of the first line that failed
	imported int64
	expired  int64
}

func newImportWriter(h *store.Handle) *importWriter {
	return &importWriter{handle: h, slots: make(chan struct{}, concurrent), busy: map[string]bool{}, open: map[int64]bool{}}
}

// add takes the entry of one line, and writes it then or later. It returns what failed by now, of this line or of one before.
func (w *importWriter) add(ctx context.Context, line importLine) error {
	if !w.claim(line.key) { // a line before has the key, and goes first
		if err := w.flush(ctx); err != nil {
			return err
		}
		w.calls.Wait()
		w.claim(line.key)
	}
	if !line.expires.IsZero() {
		return w.start(ctx, []importLine{line})
	}
	if len(w.batch) > 0 && w.bytes+len(line.value) > batchBytes {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	w.batch = append(w.batch, line)
	w.bytes += len(line.value)
	if len(w.batch) < min(batchEntries, w.handle.Limits().Batch) {
		return w.err()
	}
	return w.flush(ctx)
}

// claim marks a key as busy and reports whether it was not.
func (w *importWriter) claim(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy[key] {
		return false
	}
	w.busy[key] = true
	return true
}

// flush writes the batch.
func (w *importWriter) flush(ctx context.Context) error {
	if len(w.batch) == 0 {
		return w.err()
	}
	lines := w.batch
	w.batch, w.bytes = nil, 0
	return w.start(ctx, lines)
}

// end writes what is left, and returns when nothing is under way any more.
func (w *importWriter) end(ctx context.Context) error {
	err := w.flush(ctx)
	w.calls.Wait()
	return errors.Join(w.err(), err)
}

// err returns what failed.
func (w *importWriter) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		return nil
	}
	return w.failed
}

// start writes lines by one call, when one of the others has ended.
func (w *importWriter) start(ctx context.Context, lines []importLine) error {
	w.mu.Lock()
	w.open[lines[0].number] = true
	w.mu.Unlock()
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err() // the lines stay open
	}
	w.calls.Go(func() {
		defer func() { <-w.slots }()
		w.close(lines, w.write(ctx, lines))
	})
	return w.err()
}

// close notes that a call has ended.
func (w *importWriter) close(lines []importLine, failed *lineError) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range lines {
		delete(w.busy, line.key)
	}
	delete(w.open, lines[0].number)
	if failed != nil && (w.failed == nil || failed.number < w.failed.number) {
		w.failed = failed
	}
}

// sure returns the number of lines from the first on that are done, of those that were read.
func (w *importWriter) sure(read int64) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		read = min(read, w.failed.number-1)
	}
	if len(w.batch) > 0 {
		read = min(read, w.batch[0].number-1)
	}
	for first := range w.open {
		read = min(read, first-1)
	}
	return read
}

// counts returns how many entries were written, and how many had expired.
func (w *importWriter) counts() (imported, expired int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.imported, w.expired
}

func (w *importWriter) count(imported, expired int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.imported += int64(imported)
	w.expired += int64(expired)
}

// write writes lines by one call.
func (w *importWriter) write(ctx context.Context, lines []importLine) *lineError {
	if len(lines) == 1 {
		return w.writeOne(ctx, lines[0])
	}
	items := make([]store.Item, len(lines))
	for i, line := range lines {
		items[i] = store.Item{Key: line.key, Value: line.value}
	}
	err := w.handle.SetMany(ctx, items, 0)
	var some *store.BatchError
	switch kind := store.Kind(err); {
	case err == nil:
		w.count(len(lines), 0)
		return nil
	case errors.As(err, &some):
		return w.writeRest(lines, some)
	case kind == "denied" || kind == "too_large" || kind == "invalid":
		return w.writeEach(ctx, lines) // nothing was written: one line is at fault, and not the others
	}
	return lineFailure(lines[0], err)
}

// writeRest notes a batch of which some entries failed.
func (w *importWriter) writeRest(lines []importLine, some *store.BatchError) *lineError {
	w.count(len(lines)-len(some.Errs), 0)
	for _, line := range lines {
		if err := some.Errs[line.key]; err != nil {
			return lineFailure(line, err)
		}
	}
	return lineFailure(lines[0], some)
}

// writeEach writes lines one after another, up to the first that fails.
func (w *importWriter) writeEach(ctx context.Context, lines []importLine) *lineError {
	for _, line := range lines {
		if failed := w.writeOne(ctx, line); failed != nil {
			return failed
		}
	}
	return nil
}

// writeOne writes one line. Of an entry that has expired meanwhile nothing may be left, not even what its key had before: it would be
// gone as well if the line had been imported in time.
func (w *importWriter) writeOne(ctx context.Context, line importLine) *lineError {
	ttl := time.Duration(0)
	if !line.expires.IsZero() {
		if ttl = time.Until(line.expires); ttl <= 0 {
			return w.drop(ctx, line)
		}
		ttl = max(ttl, store.MinTTL)
	}
	if err := w.handle.Set(ctx, line.key, line.value, ttl); err != nil {
		return lineFailure(line, err)
	}
	w.count(1, 0)
	return nil
}

// drop removes what the key of an expired entry has.
func (w *importWriter) drop(ctx context.Context, line importLine) *lineError {
	if _, err := w.handle.Delete(ctx, line.key); err != nil {
		return lineFailure(line, err)
	}
	w.count(0, 1)
	return nil
}

// lineFailure is what a store answered to the entry of one line.
func lineFailure(line importLine, err error) *lineError {
	code := exitScript
	switch store.Kind(err) {
	case "denied", "unavailable", "timeout":
		code = exitConfig
	}
	var wrapped *store.Error
	if errors.As(err, &wrapped) { // names the store and the key, which the command line and the line do
		err = wrapped.Err
	}
	return &lineError{line.number, code, fmt.Errorf("key %q: %w", line.key, err)}
}
