package store

import (
	"context"
	"errors"
	"sync"
	"time"
)

// DefaultRetries is how often [Handle.Update] tries again where the options say nothing.
const DefaultRetries = 64

// ErrRemove is what the function of an update returns to remove the entry, in the way of [io/fs.SkipDir]. It is no failure, and
// no method returns it.
var ErrRemove = errors.New("remove the entry")

// errNoValue answers a function that was to return a value and returned nothing.
var errNoValue = Errorf(ErrAborted, "aborted: the function returned no value")

// errOneTry answers an update without retries that was disturbed.
var errOneTry = Errorf(ErrConflict, "conflict: another writer was faster")

// errUnwound is what the observer sees where a function panicked or ended its goroutine.
var errUnwound = Errorf(ErrAborted, "aborted: the function did not return")

// UpdateOptions configure one [Handle.Update]. Nil means the defaults.
type UpdateOptions struct {
	// Retries is how often to call the function again when other writers won. Default: [DefaultRetries]; negative: never.
	Retries int
}

// Update replaces the value of key by what fn makes of it, atomically, and returns the new value: it reads the entry, calls fn
// with its value, nil if there is none, and writes what fn returns if nobody else wrote meanwhile. Otherwise it does so again,
// after a pause that grows from try to try, so that fn may be called several times and should change nothing but what it
// returns; when it runs out of retries the error is an [ErrConflict]. Updates of the same entry in this process let one that lost half
// of the default retries go first, none for longer than 250 milliseconds before an attempt.
//
// With [KeepTTL] an existing entry keeps its expiry and a new one gets the default; another ttl holds for both.
//
// If fn returns an error, Update returns the same and writes nothing. For [ErrRemove] it removes the entry and returns nil. If fn
// returns neither a value nor an error, the error is an [ErrAborted]. No lock is held while fn runs, which may use any store, this
// entry included, panic, and take its time: the timeout of the store is for each step on the store alone.
//
// The policy is asked once, for OpUpdate. A value that was changed and changed back while fn ran goes unnoticed.
func (h *Handle) Update(ctx context.Context, key string, ttl time.Duration, o *UpdateOptions,
	fn func(old []byte) ([]byte, error)) (v []byte, err error) {
	var c call
	u := update{h: h, ctx: ctx, c: &c, fn: fn, retries: DefaultRetries, pause: newBackoff()}
	if o != nil && o.Retries != 0 {
		u.retries = max(o.Retries, 0)
	}
	e := Event{Op: OpUpdate, Key: key, Keys: 1}
	err = h.begin(&c, key)
	if err == nil {
		err = u.setTTL(ttl)
	}
	if err == nil {
		err = h.permit(ctx, OpUpdate, key)
	}
	if err == nil {
		returned := false
		defer func() {
			if !returned {
				h.tell(ctx, &c, e, errUnwound)
			}
		}()
		v, err = u.run()
		returned = true
	}
	e.Bytes, e.Hit = len(v), u.found
	if u.own {
		h.tell(ctx, &c, e, err)
		return nil, err
	}
	return v, h.end(ctx, &c, e, err)
}

// An update is one call of [Handle.Update].
type update struct {
	h       *Handle
	ctx     context.Context // of the caller
	c       *call
	fn      func(old []byte) ([]byte, error)
	retries int
	ttl     time.Duration // of an entry that exists
	created time.Duration // ttl of one that does not

	found bool          // there was an entry, at the last attempt
	own   bool          // the error is fn's own
	tries int           // attempts that came so far as to call fn
	pause backoff       // between attempts
	took  time.Duration // what fn took at the last attempt of an unlucky one
}

// setTTL checks the ttl of an update.
func (u *update) setTTL(ttl time.Duration) (err error) {
	if u.ttl, err = u.h.store.def.resolveTTL(ttl); err != nil {
		return err
	}
	if u.created = u.ttl; ttl == KeepTTL {
		u.created = u.h.store.def.DefaultTTL
	}
	return nil
}

// run tries until an attempt was not disturbed.
func (u *update) run() ([]byte, error) {
	for {
		v, done, err := u.inTurn()
		if done || err != nil {
			return v, err
		}
		if u.tries > u.retries {
			if u.tries == 1 {
				return nil, errOneTry
			}
			return nil, Errorf(ErrConflict, "conflict: other writers were faster, at each of %d tries", u.tries)
		}
		if err := u.pause.wait(u.ctx); err != nil {
			return nil, err
		}
	}
}

// unlucky is after how many lost attempts an update goes before the others of this process. Without that, those who have just won are
// more often in time again than those who pause, some of which would use up all their retries.
const unlucky = DefaultRetries / 2

// inTurn makes an attempt. Those who are unlucky do so one after the other, and all others of this process let them pass. No turn is
// longer than maxPause, and nobody waits longer than that before an attempt: fn may take its time, or update the same entry itself. One
// whose fn has been seen to be as slow has no other turn.
func (u *update) inTurn() (v []byte, done bool, err error) {
	turns := u.h.store.unlucky
	if u.tries < unlucky || u.took > maxPause {
		if err := turns.yield(u.ctx, u.c.key, maxPause); err != nil {
			return nil, false, err
		}
		return u.attempt()
	}
	patience, cancel := context.WithTimeout(u.ctx, maxPause)
	leave, err := turns.enter(patience, u.c.key)
	cancel()
	if u.ctx.Err() != nil {
		if err == nil {
			leave()
		}
		return nil, false, explain(u.ctx.Err())
	}
	if err != nil {
		return u.attempt()
	}
	leave = sync.OnceFunc(leave)
	over := time.AfterFunc(maxPause, leave)
	defer func() {
		over.Stop()
		leave()
	}()
	v, done, err = u.attempt()
	if done || err != nil || u.tries > u.retries || u.took > maxPause || !turns.crowded(u.c.key) {
		return v, done, err
	}
	return u.attempt() // at once: what others had under way when its turn came, which won, is over
}

// attempt reads, calls fn and writes once. It reports false if another writer came between.
func (u *update) attempt() (v []byte, done bool, err error) {
	if u.tries > 0 {
		u.pause.again()
	}
	old, err := u.h.read(u.ctx, u.c.key)
	if err != nil {
		return nil, false, err
	}
	u.found = old != nil
	u.tries++
	v, err = u.call(old)
	ttl := u.ttl
	switch {
	case errors.Is(err, ErrRemove):
		v, ttl = nil, 0
	case err != nil:
		u.own = true
		return nil, false, err
	case v == nil:
		return nil, false, errNoValue
	default:
		if err := u.h.store.checkValue(v); err != nil {
			return nil, false, err
		}
		if old == nil {
			ttl = u.created
		}
	}
	err = u.h.step(u.ctx, func(ctx context.Context) (err error) {
		done, err = u.h.store.driver.CompareAndSwap(ctx, u.c.key, old, v, ttl)
		return err
	})
	if err != nil || !done {
		return nil, false, err
	}
	return v, true, nil
}

// call calls fn, and sees how long that takes where it matters.
func (u *update) call(old []byte) ([]byte, error) {
	if u.tries <= unlucky {
		return u.fn(old)
	}
	begin := time.Now()
	defer func() { u.took = time.Since(begin) }()
	return u.fn(old)
}

// step calls the driver for an operation that calls code of its caller between such steps: each has the timeout of the store,
// and that code may have released the handle.
func (h *Handle) step(ctx context.Context, do func(ctx context.Context) error) error {
	if err := h.Err(); err != nil {
		return err
	}
	ctx, cancel := h.store.bound(ctx)
	if cancel != nil {
		defer cancel()
	}
	return do(ctx)
}

// read is a step that returns the value of a stored key, nil if there is none.
func (h *Handle) read(ctx context.Context, stored string) (v []byte, err error) {
	err = h.step(ctx, func(ctx context.Context) (err error) {
		v, err = absentAsNil(h.store.driver.Get(ctx, stored))
		return err
	})
	return v, err
}
