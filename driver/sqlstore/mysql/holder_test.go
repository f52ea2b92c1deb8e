package mysql

import (
	"database/sql"
	"testing"

	"github.com/luastore/store/internal/mariadbtest"
)

// A holder is a transaction of somebody else, on the same table.
type holder struct {
	t    testing.TB
	conn *sql.Conn
}

// begin starts a transaction in the database of d.
func begin(t testing.TB, d *Driver) *holder {
	t.Helper()
	h := &holder{t, must(openOptions(t, optionsOf(d)).db.Conn(testContext(t)))(t)}
	t.Cleanup(func() { h.conn.Close() })
	h.exec("START TRANSACTION")
	return h
}

// optionsOf returns the options that d was opened with, which may be changed.
func optionsOf(d *Driver) *Options {
	o := d.target.Options
	o.Password = d.target.password.Value()
	return &o
}

func (h *holder) exec(query string, args ...any) {
	h.t.Helper()
	if _, err := h.conn.ExecContext(testContext(h.t), query, args...); err != nil {
		h.t.Fatalf("%s: %v", query, err)
	}
}

// lock locks the row of a key.
func (h *holder) lock(key string) {
	h.t.Helper()
	h.exec("SELECT 1 FROM luastore WHERE `key` = ? FOR UPDATE", []byte(key))
}

func (h *holder) commit() {
	h.t.Helper()
	h.exec("COMMIT")
}

// waitForWaiter returns when some transaction of the server waits for a row lock.
func waitForWaiter(t testing.TB, server *mariadbtest.Server) {
	t.Helper()
	eventually(t, "a statement waits for a row lock", func() bool { return waiters(t, server) != "0" })
}

// waiters returns how many statements of the server wait for a row lock.
func waiters(t testing.TB, server *mariadbtest.Server) string {
	t.Helper()
	return server.Query(t, "SELECT count FROM information_schema.innodb_metrics WHERE name = 'lock_row_lock_current_waits'")
}

// inBackground runs fn and returns a function that waits for what it returns.
func inBackground[T any](fn func() (T, error)) (wait func() (T, error)) {
	var v T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err = fn()
	}()
	return func() (T, error) {
		<-done
		return v, err
	}
}
