package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/luastore/store/value"
)

// A Handle is one unit's lease on one store: the portable type on which every operation is called. It checks, bounds and observes an operation once,
// the same for every driver:
//
//	released? → key, ttl and size → policy → timeout → driver → the error wrapped with store, operation and key → observer
//
// Values are in their stored form (package value); [Load] and [Save] translate. A slice that was passed or returned must not be
// modified. Every ttl is a duration that the driver rounds up to its resolution: 0 for never, [DefaultTTL] for the default of the store, [KeepTTL] where
// the entry is to keep its expiry.
//
// Every method may answer [ErrReleased], [ErrInvalid], [ErrDenied], [ErrUnavailable], [ErrTimeout] and [ErrCanceled], and every one
// that writes [ErrUnknownOutcome]. Methods are safe for concurrent use.
type Handle struct {
	store    *instance
	lease    *lease
	released atomic.Bool
}

// ID returns the id of the store.
func (h *Handle) ID() string { return h.store.id }

// Err returns nil while the handle can be used, then an [ErrReleased] that says why it cannot.
func (h *Handle) Err() error {
	switch {
	case h.released.Load():
		return ErrReleased
	case h.lease.unit.ended.Load():
		return errUnitEnded
	}
	return nil
}

// Release gives the handle back before its unit ends. It is idempotent.
func (h *Handle) Release() {
	if !h.released.Swap(true) {
		h.lease.put()
	}
}

// Info tells what the driver of the store guarantees.
func (h *Handle) Info() Info { return h.store.info }

// Limits returns the limits of the store, defaults and those of its driver filled in.
func (h *Handle) Limits() Limits {
	l := h.store.def.Limits
	l.ValueBytes = h.store.maxVal
	return l
}

// TTLs returns the time to live of entries written without one, and the longest that is accepted; 0 means never and no maximum.
func (h *Handle) TTLs() (def, most time.Duration) { return h.store.def.DefaultTTL, h.store.def.MaxTTL }

// String names the store and says when the handle is released.
func (h *Handle) String() string {
	if h.Err() != nil {
		return fmt.Sprintf("store %q (released)", h.store.id)
	}
	return fmt.Sprintf("store %q", h.store.id)
}

// A call is one operation on its way.
type call struct {
	ctx    context.Context
	cancel context.CancelFunc // nil without a timeout
	key    string             // as stored
	start  time.Time          // zero without an observer
}

// begin does what comes before the driver for an operation on one key.
func (h *Handle) begin(ctx context.Context, op Op, key string) (call, error) {
	c := h.clock(ctx)
	if err := h.Err(); err != nil {
		return c, err
	}
	var err error
	if c.key, err = h.key(key); err != nil {
		return c, err
	}
	if err := h.allow(ctx, op, key); err != nil {
		return c, err
	}
	return h.bound(c), nil
}

// clock starts a call, and its time if somebody wants to know it.
func (h *Handle) clock(ctx context.Context) call {
	c := call{ctx: ctx}
	if h.store.reg.observe != nil {
		c.start = time.Now()
	}
	return c
}

// bound gives a call the timeout of the store, unless it ends earlier anyway.
func (h *Handle) bound(c call) call {
	timeout := h.store.timeout
	if timeout == 0 {
		return c
	}
	if d, ok := c.ctx.Deadline(); !ok || time.Until(d) > timeout {
		c.ctx, c.cancel = context.WithTimeout(c.ctx, timeout)
	}
	return c
}

// key checks a key and returns it as it is stored.
func (h *Handle) key(key string) (string, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	s := h.store
	if n, most := len(s.prefix)+len(key), s.def.Limits.KeyBytes; n > most {
		return "", Errorf(ErrInvalid, "invalid key: %d bytes with the prefix of the store, limit %d", n, most)
	}
	if s.prefix == "" {
		return key, nil
	}
	return s.prefix + key, nil
}

// writes are the operations that a read-only store refuses.
func (op Op) writes() bool {
	switch op {
	case OpSet, OpDelete, OpTouch, OpCompareAndSwap, OpIncr, OpSetMany, OpDeleteMany:
		return true
	}
	return false
}

// allow asks whether op may be done on key.
func (h *Handle) allow(ctx context.Context, op Op, key string) error {
	s := h.store
	if s.def.ReadOnly && op.writes() {
		return Errorf(ErrDenied, "permission denied: store is read-only")
	}
	if s.reg.policy == nil {
		return nil
	}
	if err := s.reg.policy(ctx, Access{Unit: h.lease.unit.name, Store: s.id, Op: op, Key: key}); err != nil {
		return Errorf(ErrDenied, "permission denied: %w", err)
	}
	return nil
}

// end does what comes after the driver and returns the error as the caller sees it. The event needs Op, Key and what was read
// or written.
func (h *Handle) end(c *call, e Event, err error) error {
	if c.cancel != nil {
		c.cancel()
	}
	switch {
	case err == nil, err == ErrNotFound:
	case errors.Is(err, ErrReleased):
	case errors.Is(err, ErrNotFound):
		err = ErrNotFound
	default:
		err = &Error{Store: h.store.id, Op: e.Op, Key: e.Key, Err: explain(err)}
	}
	if observe := h.store.reg.observe; observe != nil {
		e.Unit, e.Store, e.Err, e.Duration = h.lease.unit.name, h.store.id, err, time.Since(c.start)
		observe(c.ctx, e)
	}
	return err
}

// Get returns the stored value of key, or [ErrNotFound].
func (h *Handle) Get(ctx context.Context, key string) ([]byte, error) {
	c, err := h.begin(ctx, OpGet, key)
	var v []byte
	if err == nil {
		v, err = h.store.driver.Get(c.ctx, c.key)
	}
	if err == nil && c.cancel == nil && h.store.reg.observe == nil {
		return v, nil
	}
	return v, h.end(&c, Event{Op: OpGet, Key: key, Keys: 1, Bytes: len(v), Hit: err == nil}, err)
}

// An Entry is one entry as of one moment.
type Entry struct {
	Key   string
	Value []byte        // stored form
	TTL   time.Duration // time left; 0: never expires
}

// Entry returns the value of key and the time it has left, from one consistent read, or [ErrNotFound].
func (h *Handle) Entry(ctx context.Context, key string) (Entry, error) {
	c, err := h.begin(ctx, OpEntry, key)
	e := Entry{Key: key}
	if err == nil {
		e.Value, e.TTL, err = h.store.driver.Entry(c.ctx, c.key)
	}
	return e, h.end(&c, Event{Op: OpEntry, Key: key, Keys: 1, Bytes: len(e.Value), Hit: err == nil}, err)
}

// TTL returns the time that key has left, 0 if it never expires, or [ErrNotFound].
func (h *Handle) TTL(ctx context.Context, key string) (time.Duration, error) {
	c, err := h.begin(ctx, OpTTL, key)
	var ttl time.Duration
	if err == nil {
		ttl, err = h.store.driver.TTL(c.ctx, c.key)
	}
	return ttl, h.end(&c, Event{Op: OpTTL, Key: key, Keys: 1, Hit: err == nil}, err)
}

// Has reports whether key exists.
func (h *Handle) Has(ctx context.Context, key string) (bool, error) {
	c, err := h.begin(ctx, OpHas, key)
	found := false
	if err == nil {
		found, err = h.store.driver.Has(c.ctx, c.key)
	}
	return found, h.end(&c, Event{Op: OpHas, Key: key, Keys: 1, Hit: found}, err)
}

// Set writes a value with its expiry. Bytes that are no stored value are an [ErrInvalid], too many of them an [ErrTooLarge], a store without room
// an [ErrFull]. With [KeepTTL] an existing entry keeps its expiry and a new one gets the default.
func (h *Handle) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	c, err := h.begin(ctx, OpSet, key)
	if err == nil {
		err = h.checkValue(v)
	}
	if err == nil {
		ttl, err = h.store.def.resolveTTL(ttl)
	}
	switch {
	case err != nil:
	case ttl == KeepTTL && h.store.def.DefaultTTL > 0:
		err = h.setKeeping(&c, v)
	default:
		err = h.store.driver.Set(c.ctx, c.key, v, ttl)
	}
	return h.end(&c, Event{Op: OpSet, Key: key, Keys: 1, Bytes: len(v)}, err)
}

// maxSwaps bounds the attempts of operations that are made of a read and a compare-and-swap.
const maxSwaps = 1000

// setKeeping writes a value that keeps the expiry of an existing entry and otherwise gets the default, which no driver does in one step.
func (h *Handle) setKeeping(c *call, v []byte) error {
	return h.swapping(c, func(old []byte) ([]byte, time.Duration, error) {
		if old == nil {
			return v, h.store.def.DefaultTTL, nil
		}
		return v, KeepTTL, nil
	})
}

// swapping reads an entry, nil if there is none, asks change for its new value and ttl, and writes that if no other writer came between,
// else it tries again.
func (h *Handle) swapping(c *call, change func(old []byte) (v []byte, ttl time.Duration, err error)) error {
	d := h.store.driver
	for range maxSwaps {
		old, err := d.Get(c.ctx, c.key)
		if errors.Is(err, ErrNotFound) {
			old, err = nil, nil
		}
		if err != nil {
			return err
		}
		v, ttl, err := change(old)
		if err != nil {
			return err
		}
		if swapped, err := d.CompareAndSwap(c.ctx, c.key, old, v, ttl); swapped || err != nil {
			return err
		}
	}
	return Errorf(ErrConflict, "conflict: %d other writers came between", maxSwaps)
}

// checkValue reports bytes that must not be stored.
func (h *Handle) checkValue(v []byte) error {
	if len(v) > h.store.maxVal {
		return Errorf(ErrTooLarge, "value too large: %d bytes, limit %d", len(v), h.store.maxVal)
	}
	limits := h.store.def.Limits.Value()
	if err := value.Validate(v, limits); err != nil {
		return Errorf(ErrInvalid, "not the stored form of a value: %w", hideCause{err})
	}
	return nil
}

// hideCause keeps the text of an error and not what it wraps: bytes refused from a caller are no corrupt entry.
type hideCause struct{ error }

// Delete removes key and reports whether it existed.
func (h *Handle) Delete(ctx context.Context, key string) (bool, error) {
	c, err := h.begin(ctx, OpDelete, key)
	existed := false
	if err == nil {
		existed, err = h.store.driver.Delete(c.ctx, c.key)
	}
	return existed, h.end(&c, Event{Op: OpDelete, Key: key, Keys: 1, Hit: existed}, err)
}

// Touch sets the expiry of key and reports whether key exists. With [KeepTTL] it changes nothing.
func (h *Handle) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	c, err := h.begin(ctx, OpTouch, key)
	if err == nil {
		ttl, err = h.store.def.resolveTTL(ttl)
	}
	existed := false
	if err == nil {
		existed, err = h.store.driver.Touch(c.ctx, c.key, ttl)
	}
	return existed, h.end(&c, Event{Op: OpTouch, Key: key, Keys: 1, Hit: existed}, err)
}

// CompareAndSwap writes new with its expiry if the stored bytes equal old, in one atomic step, and reports whether they did. A nil old means only if
// key is absent, a nil new deletes. With [KeepTTL] an existing entry keeps its expiry and a new one gets the default.
func (h *Handle) CompareAndSwap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	c, err := h.begin(ctx, OpCompareAndSwap, key)
	if err == nil && new != nil {
		err = h.checkValue(new)
	}
	if err == nil {
		if old == nil && ttl == KeepTTL {
			ttl = DefaultTTL
		}
		ttl, err = h.store.def.resolveTTL(ttl)
	}
	swapped := false
	if err == nil {
		swapped, err = h.store.driver.CompareAndSwap(c.ctx, c.key, old, new, ttl)
	}
	return swapped, h.end(&c, Event{Op: OpCompareAndSwap, Key: key, Keys: 1, Bytes: len(new), Hit: swapped}, err)
}

// Incr adds delta to the number under key and returns the sum. An absent key counts as initial and is created with ttl; an existing one keeps
// its expiry. Another value is an [ErrNotNumber], a sum beyond ±2^53 an [ErrOutOfRange]; both leave the entry untouched.
func (h *Handle) Incr(ctx context.Context, key string, delta, initial float64, ttl time.Duration) (float64, error) {
	c, err := h.begin(ctx, OpIncr, key)
	if err == nil {
		err = errors.Join(checkFinite("delta", delta), checkFinite("initial", initial))
	}
	if err == nil && ttl == KeepTTL {
		ttl = DefaultTTL // an existing entry keeps its expiry anyway
	}
	if err == nil {
		ttl, err = h.store.def.resolveTTL(ttl)
	}
	var sum float64
	switch counter := h.store.counter; {
	case err != nil:
	case counter != nil:
		sum, err = counter.Incr(c.ctx, c.key, delta, initial, ttl)
	default:
		sum, err = h.incr(&c, delta, initial, ttl)
	}
	return sum, h.end(&c, Event{Op: OpIncr, Key: key, Keys: 1}, err)
}

// checkFinite reports a number that cannot be added.
func checkFinite(what string, f float64) error {
	if f-f != 0 {
		return Errorf(ErrInvalid, "invalid %s %v: want a finite number", what, f)
	}
	return nil
}

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
		if sum = base + delta + 0; !(sum >= -value.MaxInteger && sum <= value.MaxInteger) {
			return nil, 0, ErrOutOfRange
		}
		return value.AppendNumber(nil, sum), expiry, nil
	})
	return sum, err
}
