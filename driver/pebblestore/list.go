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
	// maxListings bounds the listings that run at once: others wait, those that a disk holds up too.
	maxListings = 64
	// cursorMark begins every cursor, which could not be told from the first one otherwise if the last key is the prefix
	// itself. What follows is the last key without the prefix: a forged cursor cannot leave the prefix.
	cursorMark = "."
)

// A listed is what a listing came to.
type listed struct {
	page store.Page
	err  error
}

// List implements [store.Driver]. It runs on a goroutine of its own, which the caller leaves when ctx ends: Pebble does not look up
// while it passes over what was deleted.
func (d *Driver) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	if err := d.enter(ctx); err != nil {
		return store.Page{}, err
	}
	select {
	case d.listings <- struct{}{}:
	case <-ctx.Done():
		d.calls.RUnlock()
		return store.Page{}, d.unlisted(ctx)
	case <-d.over.c:
		d.calls.RUnlock()
		return store.Page{}, d.unlisted(ctx)
	}
	done := make(chan listed, 1)
	go func() {
		page, err := d.list(ctx, prefix, cursor, limit)
		<-d.listings
		d.calls.RUnlock()
		done <- listed{page, err}
	}()
	select {
	case l := <-done:
		return l.page, l.err
	case <-ctx.Done():
	case <-d.over.c:
	}
	return store.Page{}, d.unlisted(ctx)
}

// unlisted is the error of a listing that its caller left.
func (d *Driver) unlisted(ctx context.Context) error {
	if err := endedWhile(ctx, "while the pebble store was listing keys"); err != nil {
		return err
	}
	return d.refusal()
}

func (d *Driver) list(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
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
	switch {
	case err == nil:
		return page, nil
	case ctx.Err() != nil:
		return store.Page{}, d.unlisted(ctx)
	}
	return store.Page{}, d.readError(err)
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
