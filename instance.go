package store

import (
	"context"
	"sync/atomic"
	"time"
)

// An instance is one definition of one id. Its fields up to the blank line do not change once driver is set.
type instance struct {
	id      string
	def     Definition
	reg     *Registry
	prefix  string // "" or with its colon
	driver  Driver // nil until first use; set under Registry.mu
	batcher Batcher
	counter Counter
	peeker  Peeker
	lanes   *lanes   // of the connection
	unlucky *lanes   // of the connection
	flights *flights // of the connection
	info    Info
	limits  Limits        // those of def, and of the driver once it is open
	timeout time.Duration // of each operation; 0: none
	bare    bool          // there are no timeout, policy, observer and near cache: only the driver has work to do

	// Guarded by Registry.mu.
	conn    *conn // held from first use until the instance is retired and its last lease has ended
	retired bool

	_      [64]byte     // what each unit writes is on a cache line of its own, not on one that every operation reads
	leases atomic.Int64 // live ones, and the bit refuses, which is changed under Registry.mu
}

// newInstance checks a definition.
func (r *Registry) newInstance(id string, d Definition) (*instance, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := checkID(id); err != nil {
		return nil, err
	}
	d, err := d.complete(r.limits)
	if err != nil {
		return nil, Errorf(ErrInvalid, "store %q: %w", id, err)
	}
	in := &instance{id: id, def: d, reg: r, limits: d.Limits}
	if d.Prefix != "" {
		in.prefix = d.Prefix + ":"
	}
	return in, nil
}

// attach gives in the driver of c. A reference to c becomes that of the instance. Registry.mu is held.
func (in *instance) attach(c *conn) {
	in.conn = c
	in.info = c.info
	in.batcher, _ = c.driver.(Batcher)
	in.counter, _ = c.driver.(Counter)
	in.peeker, _ = c.driver.(Peeker)
	in.lanes, in.unlucky, in.flights = c.lanes, c.unlucky, c.flights
	in.timeout = in.def.Timeout
	if in.timeout == 0 && c.info.Network {
		in.timeout = DefaultTimeout
	}
	in.bare = in.timeout == 0 && in.peeker == nil && in.reg.policy == nil && in.reg.observe == nil
	in.limits.ValueBytes = tighter(in.limits.ValueBytes, c.info.MaxValueBytes)
	in.limits.KeyBytes = tighter(in.limits.KeyBytes, c.info.MaxKeyBytes)
	in.driver = c.driver
	in.reg.live[in] = struct{}{}
	in.reg.publish(in)
}

// tighter returns the smaller of two limits, of which the second may be 0 for none.
func tighter(limit, other int) int {
	if other > 0 {
		return min(limit, other)
	}
	return limit
}

// bound gives ctx the timeout of the store, with a cancel function, unless it has none or ctx ends earlier anyway.
func (in *instance) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if in.timeout == 0 {
		return ctx, nil
	}
	if d, ok := ctx.Deadline(); ok && time.Until(d) <= in.timeout {
		return ctx, nil
	}
	return context.WithTimeout(ctx, in.timeout)
}

// key checks a key and returns it as it is stored.
func (in *instance) key(key string) (string, error) {
	// The length comes first: no message repeats a key of a megabyte.
	if err := in.checkLength("key", key); err != nil {
		return "", err
	}
	if !plainKey(key) {
		if err := CheckKey(key); err != nil {
			return "", err
		}
	}
	if in.prefix == "" {
		return key, nil
	}
	return in.prefix + key, nil
}

// checkLength reports a key or the beginning of one that is too long with the prefix of the store.
func (in *instance) checkLength(what, text string) error {
	if n, most := len(in.prefix)+len(text), in.limits.KeyBytes; n > most {
		return Errorf(ErrInvalid, "invalid %s: %d bytes with the prefix of the store, limit %d", what, n, most)
	}
	return nil
}

// name returns a stored key as the caller names it.
func (in *instance) name(stored string) string { return stored[len(in.prefix):] }
