package postgres

import (
	"context"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
)

const (
	// mostPage bounds a page whatever limit is asked for.
	mostPage = 10_000
	// leastLook is how many rows one statement looks at, at least: some of them may have expired.
	leastLook = 100
	// mostLooks is how many statements look for the first key of a page.
	mostLooks = 10
)

// beyond is greater than every key: keys are UTF-8, in which this byte does not occur.
const beyond = "\xff"

// List returns a page of keys, in order, by the range of the primary key that the prefix is. A statement looks at a bounded number
// of rows, so that a page may be short, or empty, where many of them have expired and are not yet swept.
func (d *Driver) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	from := prefix
	last, ok, err := table.ParseCursor(prefix, cursor)
	if err != nil {
		return store.Page{}, err
	}
	if ok {
		from = last + "\x00" // the least key after it
	}
	limit = min(max(limit, 1), mostPage)
	var page store.Page
	for looks := 1; ; looks++ {
		seen, more, err := d.look(ctx, &page, from, prefix, limit)
		if err != nil {
			return store.Page{}, d.readError(ctx, err)
		}
		switch {
		case !more:
			return page, nil
		case len(page.Keys) > 0 || looks == mostLooks:
			page.Next = table.Cursor(prefix, seen)
			return page, nil
		}
		from = seen + "\x00"
	}
}

// look adds the live keys at from and after, up to limit. It returns the last key that it looked at, and whether there are more.
func (d *Driver) look(ctx context.Context, page *store.Page, from, prefix string, limit int) (seen string, more bool, err error) {
	rows := max(limit, leastLook)
	err = d.read(ctx, func(c *conn) error {
		page.Keys, seen, more = nil, "", false
		n := 0
		_, err := c.exec(ctx, d.ask.list, func(row [][]byte) error {
			if n++; n > rows || len(page.Keys) == limit {
				more = true
				return nil
			}
			seen = string(row[0])
			if isTrue(row[1]) {
				page.Keys = append(page.Keys, seen)
			}
			return nil
		}, []byte(from), []byte(orElse(table.After(prefix), beyond)), int8Bytes(int64(rows)+1))
		return err
	})
	return seen, more, err
}

// sweep removes some of the rows that have expired.
func (d *Driver) sweep(ctx context.Context) (int, error) { return d.change(ctx, d.ask.sweep) }
