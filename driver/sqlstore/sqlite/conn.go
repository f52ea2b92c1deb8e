package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	engine "modernc.org/sqlite"

	"github.com/luastore/store"
)

// A query is one of the statements that connections prepare once.
type query int

const (
	beginQuery query = iota
	commitQuery
	rollbackQuery
	beginReadQuery
	getQuery
	expiryQuery
	listQuery
	expiredQuery
	setQuery
	setKeepQuery
	deleteQuery
	touchQuery
	createQuery
	swapQuery
	swapKeepQuery
	removeQuery
	updateQuery
	staleQuery
	sweepQuery
	takeQuery
	schemaQuery
	markQuery
	unmarkQuery
	queries // how many there are
)

// texts are the statements, where TABLE stands for the quoted name of the table. An expired row is not there in any of them.
var texts = [queries]string{
	beginQuery:     `BEGIN IMMEDIATE`,
	commitQuery:    `COMMIT`,
	rollbackQuery:  `ROLLBACK`,
	beginReadQuery: `BEGIN`,
	// The length is known before the value is fetched, and is negative for what is no BLOB.
	getQuery: `SELECT CASE WHEN typeof(value) = 'blob' AND length(value) <= ?3 THEN value END,
		CASE typeof(value) WHEN 'blob' THEN length(value) ELSE -1 END, expires
		FROM TABLE WHERE key = ?1 AND (expires IS NULL OR expires > ?2)`,
	expiryQuery: `SELECT expires FROM TABLE WHERE key = ?1 AND (expires IS NULL OR expires > ?2)`,
	// 1 is alive, 2 undecided, see view.
	listQuery: `SELECT key, CASE WHEN expires IS NULL OR expires > ?3 THEN 1 WHEN expires > ?5 THEN 2 ELSE 0 END
		FROM TABLE WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?4`,
	expiredQuery: `SELECT 1 FROM TABLE WHERE expires <= ?1 LIMIT 1`,
	setQuery: `INSERT INTO TABLE (key, expires, value) VALUES (?1, ?2, ?3)
		ON CONFLICT (key) DO UPDATE SET expires = excluded.expires, value = excluded.value`,
	setKeepQuery: `INSERT INTO TABLE (key, expires, value) VALUES (?1, NULL, ?2)
		ON CONFLICT (key) DO UPDATE SET expires = CASE WHEN expires > ?3 THEN expires END, value = excluded.value`,
	deleteQuery: `DELETE FROM TABLE WHERE key = ?1 AND (expires IS NULL OR expires > ?2)`,
	touchQuery:  `UPDATE TABLE SET expires = ?3 WHERE key = ?1 AND (expires IS NULL OR expires > ?2)`,
	createQuery: `INSERT INTO TABLE (key, expires, value) VALUES (?1, ?3, ?4)
		ON CONFLICT (key) DO UPDATE SET expires = excluded.expires, value = excluded.value WHERE expires <= ?2`,
	swapQuery:     `UPDATE TABLE SET expires = ?4, value = ?5 WHERE key = ?1 AND value = ?3 AND (expires IS NULL OR expires > ?2)`,
	swapKeepQuery: `UPDATE TABLE SET value = ?4 WHERE key = ?1 AND value = ?3 AND (expires IS NULL OR expires > ?2)`,
	removeQuery:   `DELETE FROM TABLE WHERE key = ?1 AND value = ?3 AND (expires IS NULL OR expires > ?2)`,
	updateQuery:   `UPDATE TABLE SET value = ?2 WHERE key = ?1`,
	staleQuery:    `SELECT key, octet_length(value) FROM TABLE WHERE expires <= ?1 LIMIT ?2`,
	sweepQuery:    `DELETE FROM TABLE WHERE key IS ?1 AND expires <= ?2`,
	takeQuery:     `DELETE FROM TABLE WHERE key = ?1 AND (expires IS NULL OR expires > ?2) RETURNING octet_length(value)`,
	schemaQuery:   `PRAGMA schema_version`,
	// A row that no call can name and nobody sees, see (*writer).settle.
	markQuery:   `INSERT INTO TABLE (key, expires, value) VALUES (x'', 0, x'') ON CONFLICT (key) DO NOTHING`,
	unmarkQuery: `DELETE FROM TABLE WHERE key = x''`,
}

// A mode says what a connection is for.
type mode int

const (
	readOnly mode = iota
	readWrite
)

// A conn is one connection with its prepared statements. One goroutine uses it at a time. It is not behind database/sql, which
// would cost half the time of a read; nor do contexts reach it, each of which would cost a goroutine a call.
type conn struct {
	raw   driver.Conn
	texts *strings.Replacer
	stmts [queries]statement
	args  []driver.NamedValue
}

// A statement is what the client's statements are.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

var errNoRow = errors.New("no row")

// connect opens a connection to the file of to.
func connect(to target, m mode) (*conn, error) {
	connector, err := engine.NewConnector(to.dsn(m))
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	return &conn{raw: raw, texts: strings.NewReplacer("TABLE", quote(to.Table))}, nil
}

// dsn returns the file as the client takes it.
func (t *target) dsn(m mode) string {
	path := filepath.ToSlash(t.Path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/
	}
	q := url.Values{"_error_rc": {"1"}}
	switch {
	case m == readOnly:
		q.Set("mode", "ro")
	case t.MustExist:
		q.Set("mode", "rw")
	default:
		q.Set("mode", "rwc")
	}
	if t.vfs != "" {
		q.Set("vfs", t.vfs)
	}
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// quote makes a name that was checked safe where the language expects one.
func quote(name string) string { return `"` + name + `"` }

// prepared returns the statement of q.
func (c *conn) prepared(q query) (statement, error) {
	if c.stmts[q] != nil {
		return c.stmts[q], nil
	}
	s, err := c.raw.Prepare(c.texts.Replace(texts[q]))
	if err != nil {
		return nil, err
	}
	c.stmts[q] = s.(statement)
	return c.stmts[q], nil
}

// bind returns values as arguments. They are those of the next call.
func (c *conn) bind(values []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, v := range values {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args
}

// exec runs q and returns how many rows it changed.
func (c *conn) exec(q query, values ...any) (int64, error) {
	s, err := c.prepared(q)
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(context.Background(), c.bind(values))
	clear(c.args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// rows calls each with every row that q finds, until it answers false.
func (c *conn) rows(q query, row []any, each func() bool, values ...any) (err error) {
	s, err := c.prepared(q)
	if err != nil {
		return err
	}
	found, err := s.QueryContext(context.Background(), c.bind(values))
	clear(c.args)
	if err != nil {
		return err
	}
	defer func() {
		if closing := found.Close(); err == nil {
			err = closing
		}
	}()
	dest := make([]driver.Value, len(row))
	for {
		err := found.Next(dest)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range dest {
			row[i] = dest[i]
		}
		if !each() {
			return nil
		}
	}
}

// row fills row with the first that q finds, or returns errNoRow.
func (c *conn) row(q query, row []any, values ...any) error {
	found := false
	err := c.rows(q, row, func() bool { found = true; return false }, values...)
	if err == nil && !found {
		err = errNoRow
	}
	return err
}

// text runs a statement once and returns the first column of its first row, nil where it has none.
func (c *conn) text(sql string, values ...any) (first any, err error) {
	row, err := c.line(context.Background(), sql, values...)
	if err != nil || len(row) == 0 {
		return nil, err
	}
	return row[0], nil
}

// line runs a statement once and returns its first row, nil where it has none. A ctx that can end interrupts it, for the price of
// a goroutine.
func (c *conn) line(ctx context.Context, sql string, values ...any) (first []driver.Value, err error) {
	s, err := c.raw.Prepare(sql)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	found, err := s.(statement).QueryContext(ctx, c.bind(values))
	if err != nil {
		return nil, err
	}
	defer found.Close()
	first = make([]driver.Value, len(found.Columns()))
	if err := found.Next(first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return first, nil
}

func (c *conn) close() {
	for _, s := range c.stmts {
		if s != nil {
			s.Close()
		}
	}
	c.raw.Close()
}

// entry returns the value of key and when it expires (0: never), or store.ErrNotFound.
func (c *conn) entry(key string, by view, maxBytes int) (v []byte, expires int64, err error) {
	var row [3]any
	err = c.row(getQuery, row[:], []byte(key), by.sure.micros(), int64(maxBytes))
	if errors.Is(err, errNoRow) {
		return nil, 0, store.ErrNotFound
	}
	if err != nil {
		return nil, 0, err
	}
	if expires, err = expiry(row[2]); err != nil {
		return nil, 0, err
	}
	if err := by.decide(expires); err != nil {
		return nil, 0, err
	}
	length, _ := row[1].(int64)
	switch {
	case length < 0:
		return nil, 0, errNoBlob
	case length > int64(maxBytes):
		return nil, 0, store.Errorf(store.ErrCorrupt, "corrupt value: it has %d bytes, more than the %d of max_value_bytes", length, maxBytes)
	}
	v, _ = row[0].([]byte)
	if v == nil {
		v = []byte{}
	}
	return v, expires, nil
}

// expiry returns what an expires column holds, 0 for never.
func expiry(column any) (int64, error) {
	switch at := column.(type) {
	case nil:
		return 0, nil
	case int64:
		return at, nil
	}
	return 0, errNoExpiry
}
