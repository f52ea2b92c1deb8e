package mysql

import (
	"context"
	"database/sql"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
)

// maxPage bounds a page whatever limit is asked for.
const maxPage = 10_000

// maxCursorBytes is more than that of any row: InnoDB has no primary key of more than 3072 bytes.
const maxCursorBytes = 4 << 10

// beyond is greater than all keys: UTF-8 has no such byte.
const beyond = "\xff"

// List returns a page of the live keys that begin with prefix, in byte order.
func (d *Driver) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	last, further, err := table.ParseCursor(prefix, cursor)
	if err != nil {
		return store.Page{}, err
	}
	if len(cursor) > maxCursorBytes {
		return store.Page{}, store.Errorf(store.ErrInvalid, "invalid cursor of %d bytes: want the one that the page before returned", len(cursor))
	}
	from, to := prefix, orElse(table.After(prefix), beyond)
	if further {
		from = last + "\x00"
	}
	limit = min(max(limit, 1), maxPage)
	var page store.Page
	err = d.read(ctx, func(c *sql.Conn) (err error) {
		page, err = d.page(ctx, c, prefix, from, to, limit)
		return err
	})
	return page, err
}

// page reads the rows of a page and the one after it, which tells whether there is a next page.
func (d *Driver) page(ctx context.Context, c *sql.Conn, prefix, from, to string, limit int) (store.Page, error) {
	rows, err := c.QueryContext(ctx, d.sql.list, []byte(from), []byte(to), limit+1)
	if err != nil {
		return store.Page{}, err
	}
	defer rows.Close()
	var page store.Page
	var last string
	for n := 0; rows.Next(); n++ {
		if n == limit {
			page.Next = table.Cursor(prefix, last)
			break
		}
		var alive bool
		if err := rows.Scan(&last, &alive); err != nil {
			return store.Page{}, err
		}
		if alive {
			page.Keys = append(page.Keys, last)
		}
	}
	return page, rows.Err()
}
