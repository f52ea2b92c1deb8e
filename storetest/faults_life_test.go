package storetest_test

import (
	"context"
	"time"

	"github.com/luastore/store"
)

type (
	contextIgnored  struct{ *plain }
	contextTooLate  struct{ *plain }
	worksAfterClose struct{ *plain }
	infoSaysNothing struct{ *plain }
	infoSaysShared  struct{ *plain }
	infoSaysBounded struct{ *plain }
)

func (d contextIgnored) Set(_ context.Context, key string, v []byte, ttl time.Duration) error {
	return d.plain.Set(context.Background(), key, v, ttl)
}

func (d contextTooLate) Delete(ctx context.Context, key string) (bool, error) {
	existed, err := d.plain.Delete(context.Background(), key)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return existed, err
}

func (d worksAfterClose) Close() error { return nil }

// closeOnce cannot be closed twice.
type closeOnce struct {
	*plain
	closes int
}

func (d *closeOnce) Close() error {
	if d.closes++; d.closes > 1 {
		return store.ErrUnavailable
	}
	return d.plain.Close()
}

// closeLeaves starts a goroutine that outlives it, for a batch that no rule writes in a bubble: there it would end the whole
// test binary.
type closeLeaves struct {
	*plain
	never chan struct{}
}

func (d closeLeaves) SetMany(ctx context.Context, items []store.Item, ttl time.Duration) error {
	if len(items) > 0 && items[len(items)-1].Key == "t:new" {
		go func() { <-d.never }()
	}
	return d.plain.SetMany(ctx, items, ttl)
}

// infoChanges learns about its backend while it is in use.
type infoChanges struct {
	*plain
	used bool
}

func (d *infoChanges) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	d.mu.Lock()
	d.used = true
	d.mu.Unlock()
	return d.plain.Set(ctx, key, v, ttl)
}

func (d *infoChanges) Info() store.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	info := d.plain.Info()
	info.Ordered = !d.used
	return info
}

func (d infoSaysNothing) Info() store.Info {
	info := d.plain.Info()
	info.Durability = ""
	return info
}

func (d infoSaysShared) Info() store.Info {
	info := d.plain.Info()
	info.Shared = true
	return info
}

func (d infoSaysBounded) Info() store.Info {
	info := d.plain.Info()
	info.MaxEntries, info.MaxBytes = 2000, 20_000
	return info
}

// remembering returns drivers that are connected to one space.
func remembering(space *entries) func(*plain) store.Driver {
	return func(*plain) store.Driver { return &plain{entries: space} }
}

// infoSaysShort has no such limits.
type infoSaysShort struct{ *plain }

func (d infoSaysShort) Info() store.Info {
	info := d.plain.Info()
	info.MaxKeyBytes, info.MaxValueBytes = 100, 1000
	return info
}

type refusesLongest struct{ infoSaysShort }

func (d refusesLongest) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if len(v) >= d.Info().MaxValueBytes {
		return store.ErrTooLarge
	}
	return d.plain.Set(ctx, key, v, ttl)
}

// infoWavers says something else after the first time.
type infoWavers struct {
	*plain
	asked int
}

func (d *infoWavers) Info() store.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	info := d.plain.Info()
	info.Network, info.Ordered = d.asked == 1, d.asked == 1
	return info
}
