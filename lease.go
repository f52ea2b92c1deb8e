package store

import (
	"context"
	"errors"
)

// acquire returns the present instance of id, open, with one more lease.
func (r *Registry) acquire(ctx context.Context, id string) (*instance, error) {
	for {
		in, open, err := r.lease(id)
		if err != nil || open {
			return in, err
		}
		if err := r.open(ctx, in); err != nil {
			return nil, &Error{Store: id, Op: OpOpen, Err: err}
		}
	}
}

// lease returns the present instance of id, leased if it is open. An id that was not defined is supplied.
func (r *Registry) lease(id string) (in *instance, open bool, err error) {
	in, open, err = r.take(id)
	if !errors.Is(err, ErrStoreNotFound) {
		return in, open, err
	}
	if err := r.supply(id); err != nil {
		return nil, false, err
	}
	return r.take(id)
}

// take is lease of an id that is defined. That of a store that is open takes no lock.
func (r *Registry) take(id string) (in *instance, open bool, err error) {
	if in := r.present(id); in != nil && in.lend() {
		return in, true, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.known(id); err != nil {
		return nil, false, err
	}
	in = r.stores[id]
	if in.driver == nil {
		return in, false, nil
	}
	return in, in.lend(), nil
}

// refuses, in the count of leases, says that no more are given.
const refuses = 1 << 62

// lend adds a lease, unless the instance refuses.
func (in *instance) lend() bool {
	for {
		n := in.leases.Load()
		if n&refuses != 0 {
			return false
		}
		if in.leases.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leased returns how many leases are live.
func (in *instance) leased() int64 { return in.leases.Load() &^ refuses }

// supply defines id as Options.Default says.
func (r *Registry) supply(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	if r.lookup == nil {
		return notFound(id)
	}
	d, ok := r.lookup(id)
	if !ok {
		return notFound(id)
	}
	in, err := r.newInstance(id, d)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stores[id] == nil && !r.closed.Load() {
		r.stores[id] = in
	}
	return nil
}

// present returns the instance that an id stands for if its store is open and the registry not closed, else nil.
func (r *Registry) present(id string) *instance {
	if r.closed.Load() {
		return nil
	}
	in, _ := r.serving.Load(id)
	present, _ := in.(*instance)
	return present
}

// publish makes it known that the store of an instance is open, if that is the present one of its id. r.mu is held.
func (r *Registry) publish(in *instance) {
	if in.driver != nil && r.stores[in.id] == in {
		r.serving.Store(in.id, in)
	}
}

// leased reports whether any lease is live. r.mu is held.
func (r *Registry) leased() bool {
	for in := range r.live {
		if in.leased() > 0 {
			return true
		}
	}
	return false
}

// release gives one lease back. Only the last one, when no more are given, has anything to do but count.
func (r *Registry) release(ctx context.Context, in *instance) {
	if in.leases.Add(-1) != refuses {
		return
	}
	r.mu.Lock()
	r.signalIdle()
	idle := r.settle(in)
	r.mu.Unlock()
	r.shut(ctx, idle)
}

// signalIdle tells Close that nothing is live. r.mu is held.
func (r *Registry) signalIdle() {
	if !r.closed.Load() || r.opens > 0 || r.leased() {
		return
	}
	select {
	case <-r.idle:
	default:
		close(r.idle)
	}
}

// retire takes an instance out of service: its connection is given up when its last lease ends.
func (r *Registry) retire(ctx context.Context, in *instance) {
	r.mu.Lock()
	in.retired = true
	in.leases.Or(refuses)
	idle := r.settle(in)
	r.mu.Unlock()
	r.shut(ctx, idle)
}

// settle gives up the connection of an instance that nothing uses any more, and returns it if it must be shut. r.mu is held.
func (r *Registry) settle(in *instance) *conn {
	if !in.retired || in.leased() > 0 || in.conn == nil {
		return nil
	}
	c := in.conn
	in.conn = nil
	delete(r.live, in)
	return r.drop(c)
}
