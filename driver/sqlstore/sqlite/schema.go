package sqlite

import (
	"fmt"

	"github.com/luastore/store"
)

// columns counts the columns of a table that are those of ours, and all that it has.
const columns = `SELECT sum((lower(name) = 'key' AND upper(type) = 'BLOB' AND pk = 1)
	OR (lower(name) = 'expires' AND upper(type) IN ('INTEGER', 'BIGINT', 'INT') AND pk = 0 AND "notnull" = 0)
	OR (lower(name) = 'value' AND upper(type) = 'BLOB' AND pk = 0 AND hidden = 0)) = 3 AND count(*) = 3 FROM pragma_table_xinfo(?1)`

// kind is what a name means: table, view, index, or nothing.
const kind = `SELECT type FROM sqlite_schema WHERE type IN ('table', 'view', 'index') AND name = ?1 COLLATE NOCASE`

// rule finds what may undo, ignore or add to what a statement does.
const rule = `SELECT 'trigger ' || name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE
	UNION ALL SELECT 'unique index ' || name FROM pragma_index_list(?1) WHERE "unique" AND origin <> 'pk' LIMIT 1`

// index finds an index whose first column is expires: without it each sweep would read the whole table.
const index = `SELECT 1 FROM pragma_index_list(?1) AS l JOIN pragma_index_info(l.name) AS i WHERE i.seqno = 0 AND lower(i.name) = 'expires'`

// setUp prepares the file and the table, and sees that what it set is so. It may be called again after it failed.
func (c *conn) setUp(to target) error {
	if err := c.pragmas(to); err != nil {
		return err
	}
	if err := c.begin(); err != nil {
		return err
	}
	err := c.schema(to)
	if err == nil {
		_, err = c.exec(unmarkQuery) // a file that cannot be written shows here: to begin is no error there
	}
	if err == nil {
		_, err = c.exec(commitQuery)
	}
	if err != nil {
		c.rollback()
	}
	return err
}

// pragmas sets how this connection works, and reads it back: SQLite ignores what it cannot do.
func (c *conn) pragmas(to target) error {
	// The driver tries again by itself, for as long as the contexts of its callers allow.
	if _, err := c.text("PRAGMA busy_timeout = 0"); err != nil {
		return err
	}
	if _, err := c.text("PRAGMA synchronous = " + to.Synchronous); err != nil {
		return err
	}
	level := map[string]int64{SynchronousOff: 0, SynchronousNormal: 1, SynchronousFull: 2}[to.Synchronous]
	switch is, err := c.text("PRAGMA synchronous"); {
	case err != nil:
		return err
	case is != level:
		return store.Errorf(store.ErrUnavailable, "store unavailable: SQLite does not take synchronous=%s for %s", to.Synchronous, to.Path)
	}
	switch journal, err := c.text("PRAGMA journal_mode = WAL"); {
	case err != nil:
		return err
	case journal != "wal":
		return store.Errorf(store.ErrUnavailable,
			"store unavailable: SQLite cannot use a write-ahead log for %s (its journal mode stays %v): the file must be on a local file system that has shared memory",
			to.Path, journal)
	}
	// Commits do not move the log, see walog. On macOS a sync reaches the disk only so; elsewhere this means nothing.
	for _, set := range []string{"wal_autocheckpoint = 0", "fullfsync = 1", "checkpoint_fullfsync = 1"} {
		if _, err := c.text("PRAGMA " + set); err != nil {
			return err
		}
	}
	return nil
}

// schema makes the table and its index, or checks those that are there.
func (c *conn) schema(to target) error {
	is, err := c.text(kind, to.Table)
	if err != nil {
		return err
	}
	if is == "index" {
		return invalid("%s in the SQLite database %s is an index: name another table", to.Table, to.Path)
	}
	if is == nil {
		if to.MustExist {
			return store.Errorf(store.ErrUnavailable, "store unavailable: the SQLite database %s has no table %s, and create is false", to.Path, to.Table)
		}
		if _, err := c.text(fmt.Sprintf("CREATE TABLE %s (key BLOB NOT NULL PRIMARY KEY, expires INTEGER, value BLOB NOT NULL) STRICT, WITHOUT ROWID", quote(to.Table))); err != nil {
			return err
		}
	}
	fits, err := c.text(columns, to.Table)
	if err != nil {
		return err
	}
	if is == "view" || fits != int64(1) {
		return invalid("%s in the SQLite database %s is no table of this store: want the columns key BLOB PRIMARY KEY, expires INTEGER, value BLOB and no others; name another table", to.Table, to.Path)
	}
	if err := c.rules(to); err != nil {
		return err
	}
	indexed, err := c.text(index, to.Table)
	if err != nil || indexed != nil {
		return err
	}
	name := to.Table + "_expires"
	statement := fmt.Sprintf("CREATE INDEX %s ON %s (expires) WHERE expires IS NOT NULL", quote(name), quote(to.Table))
	if to.MustExist {
		return store.Errorf(store.ErrUnavailable, "store unavailable: the table %s in the SQLite database %s has no index on expires, and create is false: run %s", to.Table, to.Path, statement)
	}
	if is, err = c.text(kind, name); err != nil {
		return err
	}
	if is != nil {
		return invalid("the name %s, which the index of the table %s needs, is that of another %v in the SQLite database %s: name another table", name, to.Table, is, to.Path)
	}
	_, err = c.text(statement)
	return err
}

// rules reports what others made of the table, in which a write would not do what it says: a trigger may undo the transactions of
// others, or let a write seem done.
func (c *conn) rules(to target) error {
	found, err := c.text(rule, to.Table)
	if err != nil || found == nil {
		return err
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: the table %s in the SQLite database %s has a rule of its own, the %v: drop that, or name another table", to.Table, to.Path, found)
}

func (c *conn) begin() error {
	_, err := c.exec(beginQuery)
	return err
}

// rollback ends a transaction that failed. After some errors SQLite has ended it already.
func (c *conn) rollback() {
	_, _ = c.exec(rollbackQuery)
}
