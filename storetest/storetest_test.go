package storetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/storetest"
)

// opening returns a harness whose spaces hold what open returns.
func opening(open func() store.Driver) storetest.Harness {
	opener := store.Opener{Open: func(context.Context) (store.Driver, error) { return open(), nil }}
	return storetest.Harness{InProcess: true, Opener: func(testing.TB) store.Opener { return opener }}
}

func TestRun_PlainDriver_PassesInVirtualTime(t *testing.T) {
	storetest.Run(t, opening(func() store.Driver { return newPlain() }))
}

func TestRun_PlainDriver_PassesInRealTime(t *testing.T) {
	h := opening(func() store.Driver { return newPlain() })
	h.InProcess = false
	storetest.Run(t, h)
}

// bare has no optional interface, no order and a coarse clock, as a driver over a poor backend.
type bare struct{ store.Driver }

func (b bare) Info() store.Info {
	info := b.Driver.Info()
	info.Ordered, info.TTLResolution = false, 10*time.Millisecond
	return info
}

func (b bare) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	return b.Driver.Set(ctx, key, v, b.coarse(ttl))
}

func (b bare) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	return b.Driver.Touch(ctx, key, b.coarse(ttl))
}

func (b bare) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	return b.Driver.CompareAndSwap(ctx, key, old, new, b.coarse(ttl))
}

func (b bare) coarse(ttl time.Duration) time.Duration {
	if r := b.Info().TTLResolution; ttl > 0 {
		return (ttl + r - 1) / r * r
	}
	return ttl
}

func TestRun_BareDriver_PassesWithoutOptionalInterfaces(t *testing.T) {
	storetest.Run(t, opening(func() store.Driver { return bare{newPlain()} }))
}

func TestRun_SharedPersistentDriver_Passes(t *testing.T) {
	storetest.Run(t, storetest.Harness{InProcess: true, Persistent: true, Opener: func(testing.TB) store.Opener {
		space := newEntries()
		return store.Opener{Open: func(context.Context) (store.Driver, error) { return &plain{entries: space, shared: true}, nil }}
	}})
}
