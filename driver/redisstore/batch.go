package redisstore

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
)

// Batches are pipelines of the commands that single calls send, one for each key: every key has its own reply, so that a
// failure has a name (MGET answers nil for a key of another type), and no command spans the slots of a cluster, so that nothing
// has to be split by slot.

// GetMany returns the values of keys, in order, nil for those that do not exist, and for those that failed.
func (d *Driver) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	results, err := d.getMany(ctx, keys)
	if err == nil && broken(ctx, firstFailure(results)) {
		results, err = d.getMany(ctx, keys)
	}
	if err == nil {
		err = results[0].NonRedisError() // replies come in order: without the first there is none
	}
	if err != nil {
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

func (d *Driver) getMany(ctx context.Context, keys []string) ([]rueidis.RedisResult, error) {
	commands := make([]rueidis.Completed, len(keys))
	for i, key := range keys {
		commands[i] = d.client.B().Get().Key(key).Build()
	}
	return d.doMulti(ctx, commands)
}

func firstFailure(results []rueidis.RedisResult) error {
	for i := range results {
		if err := results[i].NonRedisError(); err != nil {
			return err
		}
	}
	return nil
}

// SetMany writes entries, all with one ttl.
func (d *Driver) SetMany(ctx context.Context, entries []store.Item, ttl time.Duration) error {
	if len(entries) == 0 {
		return nil
	}
	commands := make([]rueidis.Completed, len(entries))
	for i := range entries {
		commands[i] = d.set(entries[i].Key, entries[i].Value, ttl)
	}
	results, err := d.doMulti(ctx, commands)
	if err != nil {
		return d.writeError(ctx, err)
	}
	var failed failures
	for i := range results {
		if err := confirmed(results[i]); err != nil {
			failed.add(entries[i].Key, d.writeError(ctx, err))
		}
	}
	return failed.err()
}

// DeleteMany removes keys and returns how many existed.
func (d *Driver) DeleteMany(ctx context.Context, keys []string) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	commands := make([]rueidis.Completed, len(keys))
	for i, key := range keys {
		commands[i] = d.client.B().Del().Key(key).Build()
	}
	results, err := d.doMulti(ctx, commands)
	if err != nil {
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
