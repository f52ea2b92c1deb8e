package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
)

// Batches are the commands that single calls send, one for each key, pipelined to each server: every key has its own reply, so
// that a failure has a name (MGET answers nil for a key of another type), and each goes to the server that has its slot.

// GetMany returns the values of keys, in order, nil for those that do not exist, and for those that failed.
func (d *Driver) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	return d.gotten(ctx, keys, d.many(ctx, keys, true, d.sending(ctx, d.getOf(keys))))
}

// getOf returns what makes the command that reads one of keys.
func (d *Driver) getOf(keys []string) func(i int) rueidis.Completed {
	return func(i int) rueidis.Completed { return d.build.Get().Key(keys[i]).Build() }
}

// gotten returns the values that a batch of reads got.
func (d *Driver) gotten(ctx context.Context, keys []string, results []rueidis.RedisResult) ([][]byte, error) {
	if err := unanswered(results); err != nil {
		return nil, d.readError(ctx, err)
	}
	values := make([][]byte, len(keys))
	var failed failures
	for i := range results {
		v, err := payload(results[i].ToMessage())
		switch {
		case err == nil:
			values[i] = v
		case !rueidis.IsRedisNil(err):
			failed.add(keys[i], d.readError(ctx, err))
		}
	}
	return values, failed.err()
}

// unanswered returns why no server answered anything, nil where one did.
func unanswered(results []rueidis.RedisResult) (why error) {
	for i := range results {
		if why = results[i].NonRedisError(); why == nil {
			return nil
		}
	}
	return why
}

// unsent returns why nothing was sent at all, nil where something may have been.
func unsent(results []rueidis.RedisResult) (why error) {
	for i := range results {
		var not *notSent
		if why = results[i].NonRedisError(); !errors.As(why, &not) {
			return nil
		}
	}
	return why
}

// SetMany writes entries, all with one ttl.
func (d *Driver) SetMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	keys := keysIn(entries)
	set := func(i int) rueidis.Completed { return d.set(keys[i], entries[i].Value, ttl) }
	results := d.many(ctx, keys, false, d.sending(ctx, set))
	if err := unsent(results); err != nil {
		return d.writeError(ctx, err)
	}
	var failed failures
	for i := range results {
		if err := confirmed(results[i]); err != nil {
			failed.add(keys[i], d.writeError(ctx, err))
		}
	}
	return failed.err()
}

func keysIn(entries []store.Item) []string {
	keys := make([]string, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	return keys
}

// DeleteMany removes keys and returns how many existed.
func (d *Driver) DeleteMany(ctx context.Context, keys []string) (int, error) {
	del := func(i int) rueidis.Completed { return d.build.Del().Key(keys[i]).Build() }
	results := d.many(ctx, keys, false, d.sending(ctx, del))
	if err := unsent(results); err != nil {
		return 0, d.writeError(ctx, err)
	}
	deleted := 0
	var failed failures
	for i := range results {
		n, err := results[i].ToInt64()
		if err != nil {
			failed.add(keys[i], d.writeError(ctx, err))
		}
		deleted += int(n)
	}
	return deleted, failed.err()
}

// failures collects the keys of a batch that failed.
type failures struct{ errs map[string]error }

func (f *failures) add(key string, err error) {
	if f.errs == nil {
		f.errs = make(map[string]error)
	}
	f.errs[key] = err
}

func (f *failures) err() error {
	if f.errs == nil {
		return nil
	}
	return &store.BatchError{Errs: f.errs}
}
