package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/luastore/store/internal/encoded"
	"github.com/luastore/store/value"
)

// A Handle is one unit's lease on one store: the portable type on which every operation is called. It checks, bounds and
// observes an operation once, the same for every driver:
//
//	released? → key, ttl and size → policy → timeout → driver → the error wrapped with store, operation and key → observer
//
// Values are in their stored form (package value); [Load] and [Save] translate. A slice that was passed or returned must not
// be modified. Every ttl is a duration that the driver rounds up to its resolution: 0 for never, [DefaultTTL] for the default of
// the store, [KeepTTL] where the entry is to keep its expiry.
//
// Every method may answer [ErrReleased], [ErrInvalid], [ErrDenied], [ErrUnavailable], [ErrTimeout] and [ErrCanceled], and every
// one that writes [ErrUnknownOutcome]. Methods are safe for concurrent use.
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
func (h *Handle) Limits() Limits { return h.store.limits }

// TTLs returns the time to live of entries written without one, and the longest that is accepted; 0 means never and no maximum.
func (h *Handle) TTLs() (def, most time.Duration) { return h.store.def.DefaultTTL, h.store.def.MaxTTL }

// String names the store and says when the handle is released.
func (h *Handle) String() string {
	if h.Err() != nil {
		return fmt.Sprintf("store %q (released)", h.store.id)
	}
	return fmt.Sprintf("store %q", h.store.id)
}

// A call is one operation on its way. It stays where its operation put it: copying it takes longer than all checks.
type call struct {
	ctx    context.Context    // for the driver: the caller's, with the timeout of the store
	cancel context.CancelFunc // nil without a timeout
	key    string             // as stored
	start  time.Time          // zero without an observer
	peeked struct{ hits, misses int }
}

// open starts a call.
func (h *Handle) open(c *call) error {
	if h.store.reg.observe != nil {
		c.start = time.Now()
	}
	return h.Err()
}

// begin starts a call on one key, which must be valid.
func (h *Handle) begin(c *call, key string) error {
	err := h.open(c)
	if err == nil {
		c.key, err = h.store.key(key)
	}
	return err
}

// permit asks whether a call whose arguments are valid may be made.
func (h *Handle) permit(ctx context.Context, op Op, key string) error {
	if err := h.store.writable(op); err != nil {
		return err
	}
	return h.allow(ctx, op, key)
}

// admit is permit for a call that is one step on the driver, to which it gives the timeout of the store.
func (h *Handle) admit(ctx context.Context, c *call, op Op, key string) error {
	err := h.permit(ctx, op, key)
	if err == nil {
		c.ctx, c.cancel = h.store.bound(ctx)
	}
	return err
}

// enter does all that comes before the driver for an operation whose one argument is a key.
func (h *Handle) enter(ctx context.Context, c *call, op Op, key string) error {
	err := h.begin(c, key)
	if err == nil {
		err = h.admit(ctx, c, op, key)
	}
	return err
}

// direct returns the stored key of a call that has nothing but the driver before it: nobody observes it or decides on it, it has no
// timeout of its own, and its key is plain. It is the short way of the operations that scripts call most. Where it is not ok the
// long way finds out why.
func (h *Handle) direct(key string) (stored string, ok bool) {
	s := h.store
	if !s.bare || h.released.Load() || h.lease.unit.ended.Load() || len(s.prefix)+len(key) > s.limits.KeyBytes || !plainKey(key) {
		return "", false
	}
	if s.prefix != "" {
		key = s.prefix + key
	}
	return key, true
}

// writable reports that a read-only store refuses op.
func (in *instance) writable(op Op) error {
	if !in.def.ReadOnly {
		return nil
	}
	if op.Writes() && op != OpFetch { // a fetch that hits writes nothing
		return errReadOnly
	}
	return nil
}

var errReadOnly = Errorf(ErrDenied, denied+"it is read-only")

// allow asks the policy whether op may be done on key. Nothing but the text of its error comes through: one that was not found
// in a store of permissions must not look like a miss.
func (h *Handle) allow(ctx context.Context, op Op, key string) error {
	return h.ask(ctx, Access{Op: op, Key: key})
}

// ask is allow for an access whose unit and store are those of the handle.
func (h *Handle) ask(ctx context.Context, a Access) error {
	s := h.store
	if s.reg.policy == nil {
		return nil
	}
	a.Unit, a.Store = h.lease.unit.name, s.id
	err := s.reg.policy(ctx, a)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDenied):
		return Errorf(ErrDenied, "%v", err)
	}
	return Errorf(ErrDenied, denied+"%v", err)
}

// settled reports that nothing comes after the driver: a shortcut for what scripts call most, where there is a policy or a key is not
// all ASCII.
func (h *Handle) settled(c *call, err error) (error, bool) {
	switch {
	case c.cancel != nil || h.store.reg.observe != nil:
		return err, false
	case err == nil:
		return nil, true
	case errors.Is(err, ErrNotFound):
		return ErrNotFound, true
	}
	return err, false
}

// end does what comes after the driver and returns the error as the caller sees it. The event needs Op, Key and what was read
// or written.
func (h *Handle) end(ctx context.Context, c *call, e Event, err error) error {
	if c.cancel != nil {
		c.cancel()
	}
	err = h.wrap(e.Op, e.Key, err)
	h.tell(ctx, c, e, err)
	return err
}

// wrap says where an error came about, once. A key that was not found, and a handle that is released, need no more words. The bare error of
// a miss, which comes most, is recognised without a search.
func (h *Handle) wrap(op Op, key string, err error) error {
	switch {
	case err == nil, any(err) == any(ErrNotFound), errors.Is(err, ErrReleased):
		return err
	case errors.Is(err, ErrNotFound):
		return ErrNotFound
	}
	return &Error{Store: h.store.id, Op: op, Key: key, Err: explain(err)}
}

// tell tells the observer, if there is one, how a call ended.
func (h *Handle) tell(ctx context.Context, c *call, e Event, err error) {
	if h.store.reg.observe != nil {
		e.Unit, e.Store, e.Err = h.lease.unit.name, h.store.id, err
		e.PeekHits, e.PeekMisses = c.peeked.hits, c.peeked.misses
		h.store.reg.tell(ctx, e, c.start)
	}
}

// Fail ends an operation that failed where the handle did not see it, and returns the error as the caller sees it. The observer
// is told: of arguments that there was no calling the handle with, such as a value that cannot be stored, as of any other
// operation; of a value that was read and turned out to be corrupt by a second event. A released handle says so before it finds
// fault.
func (h *Handle) Fail(ctx context.Context, op Op, key string, err error) error {
	var c call
	if released := h.open(&c); released != nil {
		err = released
	}
	return h.end(ctx, &c, Event{Op: op, Key: key, Keys: 1}, err)
}

// Get returns the stored value of key, or [ErrNotFound].
func (h *Handle) Get(ctx context.Context, key string) ([]byte, error) {
	if stored, ok := h.direct(key); ok {
		v, err := h.store.driver.Get(ctx, stored)
		if err != nil {
			err = h.wrap(OpGet, key, err)
		}
		return v, err
	}
	var c call
	v, err := h.peek(ctx, &c, OpGet, key)
	if err == nil && v == nil {
		v, err = h.store.driver.Get(c.ctx, c.key)
	}
	if err, done := h.settled(&c, err); done {
		return v, err
	}
	return v, h.end(ctx, &c, Event{Op: OpGet, Key: key, Keys: 1, Bytes: len(v), Hit: err == nil}, err)
}

// An Entry is one entry as of one moment.
type Entry struct {
	Key   string
	Value []byte        // stored form
	TTL   time.Duration // time left; 0: never expires
}

// Version returns the [Version] of the value.
func (e Entry) Version() string { return Version(e.Value) }

// Entry returns the value of key and the time it has left, from one consistent read, or [ErrNotFound].
func (h *Handle) Entry(ctx context.Context, key string) (Entry, error) {
	var c call
	err := h.enter(ctx, &c, OpEntry, key)
	e := Entry{Key: key}
	if err == nil {
		e.Value, e.TTL, err = h.store.driver.Entry(c.ctx, c.key)
	}
	return e, h.end(ctx, &c, Event{Op: OpEntry, Key: key, Keys: 1, Bytes: len(e.Value), Hit: err == nil}, err)
}

// TTL returns the time that key has left, 0 if it never expires, or [ErrNotFound].
func (h *Handle) TTL(ctx context.Context, key string) (time.Duration, error) {
	var c call
	err := h.enter(ctx, &c, OpTTL, key)
	var ttl time.Duration
	if err == nil {
		ttl, err = h.store.driver.TTL(c.ctx, c.key)
	}
	return ttl, h.end(ctx, &c, Event{Op: OpTTL, Key: key, Keys: 1, Hit: err == nil}, err)
}

// Has reports whether key exists.
func (h *Handle) Has(ctx context.Context, key string) (bool, error) {
	if stored, ok := h.direct(key); ok {
		found, err := h.store.driver.Has(ctx, stored)
		if err != nil {
			err = h.wrap(OpHas, key, err)
		}
		return found, err
	}
	var c call
	v, err := h.peek(ctx, &c, OpHas, key)
	found := v != nil
	if err == nil && !found {
		found, err = h.store.driver.Has(c.ctx, c.key)
	}
	if err, done := h.settled(&c, err); done {
		return found, err
	}
	return found, h.end(ctx, &c, Event{Op: OpHas, Key: key, Keys: 1, Hit: found}, err)
}

// Set writes a value with its expiry. Bytes that are no stored value are an [ErrInvalid], too many of them an [ErrTooLarge], a
// store without room an [ErrFull]. With [KeepTTL] an existing entry keeps its expiry and a new one gets the default.
func (h *Handle) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	return h.set(ctx, key, v, ttl, false)
}

// SetEncoded is [Handle.Set] for a value that was just encoded within the [Handle.Limits]: it is not checked a second time. It is for
// package storelua; hosts use [Handle.Set] or [Save], as only packages of this module can make such a v.
func (h *Handle) SetEncoded(ctx context.Context, key string, v encoded.Value, ttl time.Duration) error {
	b := v.Bytes()
	return h.set(ctx, key, b, ttl, b != nil)
}

// set is Set of a value that is known to be one, or is to be checked.
func (h *Handle) set(ctx context.Context, key string, v []byte, ttl time.Duration, known bool) error {
	if stored, ok := h.direct(key); ok && h.store.plainWrite(v, known, &ttl) {
		if err := h.store.driver.Set(ctx, stored, v, ttl); err != nil {
			return h.wrap(OpSet, key, err)
		}
		return nil
	}
	var c call
	err := h.begin(&c, key)
	if err == nil && !known {
		err = h.store.checkValue(v)
	}
	if err == nil {
		ttl, err = h.store.def.resolveTTL(ttl)
	}
	if err == nil {
		err = h.admit(ctx, &c, OpSet, key)
	}
	switch {
	case err != nil:
	case ttl == KeepTTL && h.store.def.DefaultTTL > 0:
		err = h.setKeeping(&c, v)
	default:
		err = h.store.driver.Set(c.ctx, c.key, v, ttl)
	}
	if err, done := h.settled(&c, err); done {
		return err
	}
	return h.end(ctx, &c, Event{Op: OpSet, Key: key, Keys: 1, Bytes: len(v)}, err)
}

// plainWrite reports whether a value can be written with a ttl, which it resolves, in one step of the driver. Where it cannot, the
// long way finds out why, or takes more steps.
func (in *instance) plainWrite(v []byte, known bool, ttl *time.Duration) bool {
	resolved, err := in.def.resolveTTL(*ttl)
	if err != nil || resolved == KeepTTL || in.def.ReadOnly {
		return false
	}
	if !known && in.checkValue(v) != nil {
		return false
	}
	*ttl = resolved
	return true
}

// setKeeping writes a value that keeps the expiry of an existing entry and otherwise gets the default, which no driver does in
// one step.
func (h *Handle) setKeeping(c *call, v []byte) error {
	err := h.swapping(c, func(old []byte) ([]byte, time.Duration, error) {
		if old == nil {
			return v, h.store.def.DefaultTTL, nil
		}
		return v, KeepTTL, nil
	})
	if errors.Is(err, ErrCorrupt) { // there is an entry, such as a list in Redis, that can be overwritten but not read
		return h.store.driver.Set(c.ctx, c.key, v, KeepTTL)
	}
	return err
}

// checkValue reports bytes that must not be stored.
func (in *instance) checkValue(v []byte) error {
	if most := in.limits.ValueBytes; len(v) > most {
		return Errorf(ErrTooLarge, "value too large: %d bytes, limit %d", len(v), most)
	}
	if err := value.Validate(v, in.limits.Value()); err != nil {
		// Only its text: bytes refused from a caller are no corrupt entry.
		return Errorf(ErrInvalid, "not the stored form of a value: %v", err)
	}
	return nil
}

// Delete removes key and reports whether it existed.
func (h *Handle) Delete(ctx context.Context, key string) (bool, error) {
	var c call
	err := h.enter(ctx, &c, OpDelete, key)
	existed := false
	if err == nil {
		existed, err = h.store.driver.Delete(c.ctx, c.key)
	}
	return existed, h.end(ctx, &c, Event{Op: OpDelete, Key: key, Keys: 1, Hit: existed}, err)
}

// Touch sets the expiry of key and reports whether key exists. With [KeepTTL] it changes nothing.
func (h *Handle) Touch(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	var c call
	err := h.begin(&c, key)
	if err == nil {
		ttl, err = h.store.def.resolveTTL(ttl)
	}
	if err == nil {
		err = h.admit(ctx, &c, OpTouch, key)
	}
	existed := false
	if err == nil {
		existed, err = h.store.driver.Touch(c.ctx, c.key, ttl)
	}
	return existed, h.end(ctx, &c, Event{Op: OpTouch, Key: key, Keys: 1, Hit: existed}, err)
}
