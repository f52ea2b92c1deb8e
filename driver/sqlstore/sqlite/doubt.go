package sqlite

import (
	"time"

	code "modernc.org/sqlite/lib"
)

// failed returns what a commit that failed means. SQLite takes it back, and the next transaction overwrites its part of the log.
// But until then all of it may be in the log, complete: whoever opens the file after a crash would take it for committed. So
// another transaction has to succeed before this one is known to be undone.
func (w *writer) failed(err error) error {
	w.conn.rollback()
	if primary(err) != code.SQLITE_IOERR {
		return w.d.explain(err) // it failed before its last page was written
	}
	w.d.doubtful.Store(true)
	patience := &operation{until: time.Now().Add(w.d.target.BusyTimeout)}
	if w.insist(patience, w.settle) != nil {
		return w.d.unknown(err)
	}
	return w.d.explain(err)
}

// settle overwrites in the log what a commit that failed may have left there.
func (w *writer) settle() error {
	if err := w.conn.begin(); err != nil {
		return err
	}
	for _, q := range []query{markQuery, unmarkQuery, commitQuery} {
		if _, err := w.conn.exec(q); err != nil {
			w.conn.rollback()
			return err
		}
	}
	w.d.doubtful.Store(false)
	return nil
}

// settled is settle where there is a doubt.
func (w *writer) settled() error {
	if !w.d.doubtful.Load() {
		return nil
	}
	if err := w.settle(); err != nil && !isBusy(err) {
		return w.d.doubtError()
	} else if err != nil {
		return err
	}
	return nil
}
