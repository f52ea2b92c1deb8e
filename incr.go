package store

import (
	"context"
	"time"

	"github.com/luastore/store/value"
)

// Incr adds delta to the number under key and returns the sum. An absent key counts as initial and is created with ttl, of which
// [KeepTTL] means the default; an existing one keeps its expiry. Another value is an [ErrNotNumber], a sum beyond ±2^53 an
// [ErrOutOfRange]; both leave the entry untouched.
func (h *Handle) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	var c call
	err := h.begin(&c, key)
	if err == nil {
		ttl, err = h.store.checkIncr(delta, initial, ttl)
	}
	if err == nil {
		err = h.admit(ctx, &c, OpIncr, key)
	}
	var sum float64
	switch counter := h.store.counter; {
	case err != nil:
	case counter != nil:
		sum, err = counter.Incr(c.ctx, c.key, delta, initial, ttl)
	default:
		sum, err = h.incr(&c, delta, initial, ttl)
	}
	return sum, h.end(ctx, &c, Event{Op: OpIncr, Key: key, Keys: 1}, err)
}

// checkIncr checks the arguments of Incr and returns the ttl of an entry that it creates.
func (in *instance) checkIncr(delta, initial float64, ttl time.Duration) (time.Duration, error) {
	if !finite(delta) {
		return 0, Errorf(ErrInvalid, "invalid delta %v: want a finite number", delta)
	}
	if !finite(initial) {
		return 0, Errorf(ErrInvalid, "invalid initial %v: want a finite number", initial)
	}
	if ttl == KeepTTL {
		ttl = DefaultTTL // an existing entry keeps its expiry anyway
	}
	return in.def.resolveTTL(ttl)
}

// finite reports whether f is neither infinite nor NaN.
func finite(f float64) bool { return f-f == 0 }

// incr is Incr for drivers that are no [Counter].
func (h *Handle) incr(c *call, delta, initial float64, ttl time.Duration) (sum float64, err error) {
	err = h.swapping(c, func(old []byte) ([]byte, time.Duration, error) {
		base, expiry := initial, ttl
		if old != nil {
			var ok bool
			if base, ok = value.ParseNumber(old); !ok {
				return nil, 0, ErrNotNumber
			}
			expiry = KeepTTL
		}
		var exact bool
		if sum, exact = value.Add(base, delta); !exact {
			return nil, 0, ErrOutOfRange
		}
		return value.AppendNumber(nil, sum), expiry, nil
	})
	if err != nil {
		return 0, err
	}
	return sum, nil
}

// swapping does in several steps what a driver does not do in one: it reads an entry, nil if there is none, asks change for its
// new value and ttl, and writes that if no other writer came between, else it tries again until the call has no time left:
// [DefaultTimeout] where it has no deadline. The callers of this process that it is about stand in a queue meanwhile, as they
// would only disturb each other.
func (h *Handle) swapping(c *call, change func(old []byte) (v []byte, ttl time.Duration, err error)) error {
	patience := c.ctx
	if _, ok := patience.Deadline(); !ok {
		var cancel context.CancelFunc
		patience, cancel = context.WithTimeout(patience, DefaultTimeout)
		defer cancel()
	}
	leave, err := h.store.lanes.enter(patience, c.key)
	if err != nil {
		return err
	}
	defer leave()
	for pause := newBackoff(); ; {
		old, err := absentAsNil(h.store.driver.Get(c.ctx, c.key))
		if err != nil {
			return err
		}
		v, ttl, err := change(old)
		if err != nil {
			return err
		}
		if swapped, err := h.store.driver.CompareAndSwap(c.ctx, c.key, old, v, ttl); swapped || err != nil {
			return err
		}
		if err := pause.wait(patience); err != nil {
			return err
		}
	}
}
