package store

import (
	"context"
	"time"
)

// Fetch returns the value of key; where there is none it calls fn, stores what that returns, with its ttl, and returns it. Of all
// callers in this process that miss the key at the same time one calls fn and the others wait for what it returns, each as long
// as its own context lasts. Where fn fails, panics, or the unit that computes ends, one of those that wait computes instead.
//
// The value was computed by fn of this very call if hit is false; otherwise it was in the store, or another call computed it.
//
// The context that fn gets must be used for what fn does with stores: a fetch in it never waits for another that computes, but
// computes itself, so that calls which need each other's entries, or their own, cannot wait in a circle.
//
// If fn returns an error, Fetch returns the same and stores nothing; if it returns no value either, the error is an
// [ErrAborted]. Where the store is unavailable, does not answer in time, or is full, fn's value is returned all the same,
// though not stored. Every other error is returned: what is denied, invalid, corrupt or released is not computed around.
//
// The ttl may not be [KeepTTL]. The policy is asked once, for OpFetch. A read-only store denies a miss before fn is called.
func (h *Handle) Fetch(ctx context.Context, key string, ttl time.Duration,
	fn func(ctx context.Context) ([]byte, error)) (v []byte, hit bool, err error) {
	var c call
	f := fetch{h: h, ctx: ctx, c: &c, fn: fn}
	e := Event{Op: OpFetch, Key: key, Keys: 1}
	err = h.begin(&c, key)
	if err == nil {
		f.ttl, err = h.store.checkFetch(ttl)
	}
	if err == nil {
		err = h.permit(ctx, OpFetch, key)
	}
	if err == nil {
		returned := false
		defer func() {
			if !returned {
				h.tell(ctx, &c, e, errUnwound)
			}
		}()
		v, err = f.run()
		returned = true
	}
	e.Bytes, e.Hit = len(v), err == nil && !f.computed
	if f.own {
		h.tell(ctx, &c, e, err)
		return nil, false, err
	}
	return v, e.Hit, h.end(ctx, &c, e, err)
}

// checkFetch checks the ttl of what a fetch stores.
func (in *instance) checkFetch(ttl time.Duration) (time.Duration, error) {
	if ttl == KeepTTL {
		return 0, Errorf(ErrInvalid, "invalid ttl: there is no entry whose expiry could be kept")
	}
	return in.def.resolveTTL(ttl)
}

// A fetch is one call of [Handle.Fetch].
type fetch struct {
	h   *Handle
	ctx context.Context // of the caller
	c   *call
	ttl time.Duration
	fn  func(ctx context.Context) ([]byte, error)

	away     bool // the store could not be read: nothing will be stored
	computed bool // fn was called
	own      bool // the error is fn's own
}

func (f *fetch) run() ([]byte, error) {
	flights := f.h.store.flights
	ended := flights.count()
	v, err := f.get()
	if v != nil || err != nil {
		return v, err
	}
	if f.h.store.def.ReadOnly {
		return nil, errReadOnly
	}
	for {
		flight, mine, now := flights.join(f.ctx, f.h.lease.unit, f.c.key)
		if mine {
			return f.lead(flight, now != ended)
		}
		if !flight.mayWait(f.ctx, f.h.lease.unit) {
			return f.compute()
		}
		if v, err := flight.wait(f.ctx); v != nil || err != nil {
			return v, err
		}
		flights.leave(f.c.key, flight)
		if err := f.h.Err(); err != nil {
			return nil, err
		}
	}
}

// get reads the entry. It returns neither a value nor an error where the value is to be computed.
func (f *fetch) get() ([]byte, error) {
	v, err := f.h.read(f.ctx, f.c.key)
	if f.without(err) {
		f.away = true
		return nil, nil
	}
	return v, err
}

// without reports whether err is one that leaves the caller without the store and with time to do without it.
func (f *fetch) without(err error) bool {
	switch Kind(err) {
	case "unavailable", "timeout", "full", "unknown_outcome":
		return f.ctx.Err() == nil
	}
	return false
}

// lead computes the value for all who wait for a flight. Stale says that another flight has ended since this call read: it may
// have stored the value.
func (f *fetch) lead(mine *flight, stale bool) (v []byte, err error) {
	defer func() {
		if err != nil {
			v = nil
		}
		f.h.store.flights.end(f.c.key, mine, v)
	}()
	if stale && !f.away {
		if v, err := f.get(); v != nil || err != nil {
			return v, err
		}
	}
	return f.compute()
}

// compute calls fn and stores what it returns.
func (f *fetch) compute() ([]byte, error) {
	v, err := f.call()
	switch {
	case err != nil:
		f.own = true
		return nil, err
	case v == nil:
		return nil, errNoValue
	}
	if err := f.h.store.checkValue(v); err != nil {
		return nil, err
	}
	if f.away {
		return v, nil
	}
	err = f.h.step(f.ctx, func(ctx context.Context) error {
		return f.h.store.driver.Set(ctx, f.c.key, v, f.ttl)
	})
	if err != nil && !f.without(err) {
		return nil, err
	}
	return v, nil
}

// call calls fn.
func (f *fetch) call() ([]byte, error) {
	f.computed = true
	u := f.h.lease.unit
	u.computing.Add(1)
	defer u.computing.Add(-1)
	return f.fn(computing(f.ctx))
}
