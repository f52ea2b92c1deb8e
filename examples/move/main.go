// Command move copies all entries of one store to another, whatever their drivers, with the time that each has left. Try
//
//	go run ./examples/move --from sqlite:app.db --to redis+cluster://redis-1,redis-2
//
// Nobody should write meanwhile: a host replaces its definition by one that is ReadOnly, moves, and replaces it by the new one.
// Entries that are there already are overwritten, others are left alone, and nothing is removed from the old store. A move that was
// interrupted is begun again.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/all"
)

const (
	pageSize = 1000
	workers  = 64
	timeout  = 30 * time.Second // of each call
)

func main() {
	from := flag.String("from", "", "URL of the store to copy")
	to := flag.String("to", "", "URL of the store to copy to")
	prefix := flag.String("prefix", "", "copy only keys that begin with this; default all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	moved, err := move(ctx, *from, *to, *prefix)
	if err != nil {
		fmt.Fprintf(os.Stderr, "move: %v (%d entries were copied; begin again when that is mended)\n", err, moved)
		os.Exit(1)
	}
	fmt.Printf("%d entries copied and compared\n", moved)
}

// move copies entries and returns how many.
func move(ctx context.Context, from, to, prefix string) (int64, error) {
	source, err := open(ctx, "--from", from)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	target, err := open(ctx, "--to", to)
	if err != nil {
		return 0, err
	}
	defer target.Close()
	var moved atomic.Int64
	for cursor, more := "", true; more; more = cursor != "" {
		page, err := list(ctx, source, prefix, cursor)
		if err != nil {
			return moved.Load(), err
		}
		err = each(page.Keys, func(key string) error {
			there, err := copyEntry(ctx, source, target, key)
			if there {
				moved.Add(1)
			}
			return err
		})
		if err != nil {
			return moved.Load(), err
		}
		cursor = page.Next
	}
	return moved.Load(), nil
}

// open opens the driver that a URL names. Drivers, unlike handles, see the keys of every store with a Prefix.
func open(ctx context.Context, name, url string) (store.Driver, error) {
	if url == "" {
		return nil, fmt.Errorf("%s is missing: want the URL of a store, such as sqlite:app.db", name)
	}
	opener, err := all.Opener(url)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d, err := opener.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

func list(ctx context.Context, d store.Driver, prefix, cursor string) (store.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return d.List(ctx, prefix, cursor, pageSize)
}

// copyEntry copies one entry and reads it back. It reports false for one that has expired or was deleted since it was listed.
func copyEntry(ctx context.Context, source, target store.Driver, key string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	v, ttl, err := source.Entry(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %q: %w", key, err)
	}
	if err := target.Set(ctx, key, v, ttl); err != nil {
		return false, fmt.Errorf("write %q: %w", key, err)
	}
	got, err := target.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) && ttl > 0 {
		return true, nil // it expired on the way
	}
	if err == nil && string(got) != string(v) {
		err = errors.New("another value is there: does somebody write to the new store?")
	}
	if err != nil {
		return false, fmt.Errorf("compare %q: %w", key, err)
	}
	return true, nil
}

// each runs do for many keys at a time and returns the first error.
func each(keys []string, do func(key string) error) error {
	errs := make([]error, len(keys))
	var next atomic.Int64
	var failed atomic.Bool
	var wait sync.WaitGroup
	for range min(workers, len(keys)) {
		wait.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(keys) && !failed.Load(); i = next.Add(1) - 1 {
				if errs[i] = do(keys[i]); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	wait.Wait()
	return cmp.Or(errs...)
}
