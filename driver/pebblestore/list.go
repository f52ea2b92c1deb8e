package pebblestore

import (
	"context"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/luastore/store"
)

const (
	// maxPage bounds a page whatever limit is asked for.
	maxPage = 10_000
	// maxExpired bounds the expired entries that are passed over for one page, which may so end short of its limit.
	maxExpired = 2_000
	// cursorMark begins every cursor, which could not be told from the first one otherwise if the last key is the prefix
	// itself. What follows is the last key without the prefix: a forged cursor cannot leave the prefix.
	cursorMark = "."
)

// List implements [store.Driver].
func (d *Driver) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	if err := d.enter(ctx); err != nil {
		return store.Page{}, err
	}
	defer d.calls.RUnlock()
	from := appendDataKey(nil, prefix)
	to := successor(from)
	if cursor != "" {
		rest, ok := strings.CutPrefix(cursor, cursorMark)
		if !ok {
			return store.Page{}, invalid("invalid cursor: want the one that the page before returned")
		}
		from = append(append(from, rest...), 0)
	}
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return store.Page{}, d.readError(err)
	}
	defer it.Close()
	page, err := d.page(ctx, it, min(max(limit, 1), maxPage), prefix)
	if err == nil {
		err = it.Error()
	}
	if err != nil {
		return store.Page{}, d.listError(ctx, err)
	}
	return page, nil
}

// page reads the next page from it.
func (d *Driver) page(ctx context.Context, it *pebble.Iterator, limit int, prefix string) (page store.Page, err error) {
	now, expiring, expired := clock(), d.expiring.Load(), 0
	var last string
	for more := it.First(); more; more = it.Next() {
		if len(page.Keys) == limit || expired == maxExpired {
			page.Next = cursorMark + last[len(prefix):]
			return page, nil
		}
		if err := ctx.Err(); err != nil {
			return page, err
		}
		last = string(it.Key()[1:])
		if expiring {
			live, err := isLive(it, now)
			if err != nil {
				return page, err
			}
			if !live {
				expired++
				continue
			}
		}
		page.Keys = append(page.Keys, last)
	}
	return page, nil
}

// isLive reports whether the entry at which it stands is alive. One that nobody can read exists: it can be deleted.
func isLive(it *pebble.Iterator, now int64) (bool, error) {
	stored, err := it.ValueAndErr()
	if err != nil {
		return false, err
	}
	e, err := parseEntry(stored)
	return err != nil || e.live(now), nil
}

func (d *Driver) listError(ctx context.Context, err error) error {
	if err := ended(ctx); err != nil {
		return err
	}
	return d.readError(err)
}

// successor returns the first key that is above all that begin with prefix, which is not made of 0xff alone.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; ; i-- {
		if prefix[i] != 0xff {
			next := append([]byte(nil), prefix[:i+1]...)
			next[i]++
			return next
		}
	}
}
