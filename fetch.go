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
// The context that fn gets must be used for what fn does with stores, or one made with [Computing]: a fetch in it never waits for
// another that computes, but computes itself, so that calls which need each other's entries, or their own, cannot wait in a
// circle. For a function that passes it on to nobody there is a second rule: while fn runs, no other fetch of its unit waits for
// another unit. A program that fetches several keys at once and wants each computed once in all gives each its own unit.
//
// If fn returns an error, Fetch returns the same and stores nothing; if it returns no value either, the error is an
// [ErrAborted]. Where the store is unavailable, does not answer in time, or is full, fn's value is returned all the same,
// though not stored. Every other error is returned: what is denied, invalid, corrupt or released is not computed around.
//
// The ttl may not be [KeepTTL]. The policy is asked once, for OpFetch. A read-only store denies a miss before fn is called.
func (h *Handle) Fetch(ctx context.Context, key string, ttl time.Duration,
	fn func(ctx context.Context) ([]byte, error)) (v []byte, hit bool, err error) {
	var c call
	err = h.begin(&c, key)
	if err == nil {
		ttl, err = h.store.checkFetch(ttl)
	}
	if err == nil {
		err = h.permit(ctx, OpFetch, key)
	}
	if err == nil {
		landed := h.store.flights.landings(c.key).Load()
		if v = h.store.peek(ctx, &c, c.key); v == nil {
			v, err = h.read(ctx, c.key)
		}
		if away := goesWithout(ctx, err); away || v == nil && err == nil {
			f := &fetch{h: h, ctx: ctx, key: c.key, ttl: ttl, fn: fn, away: away}
			return f.miss(c, key, landed)
		}
	}
	hit = err == nil
	return v, hit, h.end(ctx, &c, Event{Op: OpFetch, Key: key, Keys: 1, Bytes: len(v), Hit: hit}, err)
}

// checkFetch checks the ttl of what a fetch stores.
func (in *instance) checkFetch(ttl time.Duration) (time.Duration, error) {
	if ttl == KeepTTL {
		return 0, Errorf(ErrInvalid, "invalid ttl: there is no entry whose expiry could be kept")
	}
	return in.def.resolveTTL(ttl)
}

// goesWithout reports whether err leaves a fetch without the store and with time to do without it.
func goesWithout(ctx context.Context, err error) bool {
	switch Kind(err) {
	case "unavailable", "timeout", "full", "unknown_outcome":
		return ctx.Err() == nil
	}
	return false
}

// A fetch is one call of [Handle.Fetch] that found nothing.
type fetch struct {
	h   *Handle
	ctx context.Context // of the caller
	key string          // as stored
	ttl time.Duration
	fn  func(ctx context.Context) ([]byte, error)

	away     bool // the store could not be read: nothing will be stored
	computed bool // fn was called
	own      bool // the error is fn's own
}

// miss is the rest of a call once it has missed. So many flights had landed before it read.
func (f *fetch) miss(c call, key string, landed uint64) (v []byte, hit bool, err error) {
	e := Event{Op: OpFetch, Key: key, Keys: 1}
	returned := false
	defer func() {
		if !returned {
			f.h.tell(f.ctx, &c, e, errUnwound)
		}
	}()
	v, err = f.run(landed)
	returned = true
	e.Bytes, e.Hit = len(v), err == nil && !f.computed
	if f.own {
		f.h.tell(f.ctx, &c, e, err)
		return nil, false, err
	}
	return v, e.Hit, f.h.end(f.ctx, &c, e, err)
}

// run gets the value from another call that computes it, or computes it for this one and all others.
func (f *fetch) run(landed uint64) ([]byte, error) {
	if f.h.store.def.ReadOnly {
		return nil, errReadOnly
	}
	flights, unit := f.h.store.flights, f.h.lease.unit
	r := route{key: f.key}
	for {
		flight, mine := flights.join(f.ctx, unit, r)
		switch {
		case mine:
			return f.lead(r, flight, landed)
		case isComputing(f.ctx):
			// Those for whom this call computes could be waiting in the same way for each other.
			return f.compute()
		case flight.unit != unit && unit.computing.Load() > 0:
			// Perhaps this call is made by what its unit computes, and the context was not passed on.
			r.unit = unit
			continue
		}
		if v, err := flight.wait(f.ctx, unit); v != nil || err != nil {
			return v, err
		}
		flights.land(r, flight)
		if err := f.h.Err(); err != nil {
			return nil, err
		}
	}
}

// lead computes the value for all who wait for a flight. If another has landed since this call read, what it computed may be
// stored now.
func (f *fetch) lead(r route, mine *flight, landed uint64) (v []byte, err error) {
	flights := f.h.store.flights
	defer func() {
		if err != nil {
			v = nil
		}
		flights.end(r, mine, v)
	}()
	if !f.away && flights.landings(f.key).Load() != landed {
		v, err := f.h.read(f.ctx, f.key)
		f.away = goesWithout(f.ctx, err)
		if v != nil || err != nil && !f.away {
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
		return f.h.store.driver.Set(ctx, f.key, v, f.ttl)
	})
	if err != nil && !goesWithout(f.ctx, err) {
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
	ctx := f.ctx
	if !isComputing(ctx) {
		c := &computation{}
		defer c.over.Store(true)
		ctx = context.WithValue(ctx, computingKey{}, c)
	}
	return f.fn(ctx)
}
