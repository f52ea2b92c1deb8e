package store

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// A flight is the computing of one missing value by one caller, for which others wait. Its fields do not change until done is
// closed, and not after.
type flight struct {
	ctx   context.Context // of the call that computes
	unit  *Unit           // of that call
	done  chan struct{}   // closed when it has ended
	value []byte          // what came of it; nil: nothing that others could use
}

// A route is what a flight is for: a stored key, for the callers of one unit alone or, where that is nil, of all.
type route struct {
	key  string
	unit *Unit
}

// flights are those of one connection.
type flights struct {
	seed   maphash.Seed
	landed [256]atomic.Uint64 // how many have come to an end, for each share of the keys
	mu     sync.Mutex
	routes map[route]*flight
}

func newFlights() *flights { return &flights{seed: maphash.MakeSeed(), routes: map[route]*flight{}} }

// landings counts the flights that have come to an end for key, and for others by which it does no harm to be misled.
func (fs *flights) landings(key string) *atomic.Uint64 {
	return &fs.landed[maphash.String(fs.seed, key)%uint64(len(fs.landed))]
}

// join returns the flight on a route, and whether it was begun for this call just now.
func (fs *flights) join(ctx context.Context, u *Unit, r route) (f *flight, begun bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.routes[r]; f != nil {
		return f, false
	}
	f = &flight{ctx: ctx, unit: u, done: make(chan struct{})}
	fs.routes[r] = f
	return f, true
}

// end ends a flight with what came of it.
func (fs *flights) end(r route, f *flight, v []byte) {
	fs.land(r, f)
	f.value = v
	close(f.done)
}

// land makes room for another flight on a route, unless that was done already.
func (fs *flights) land(r route, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.routes[r] == f {
		delete(fs.routes, r)
		fs.landings(r.key).Add(1)
	}
}

// wait waits, for a call of a unit, for what comes of a flight: nil if the call is to try itself, because the one that computes
// has failed, or has no time left and may return who knows when.
func (f *flight) wait(ctx context.Context, u *Unit) ([]byte, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, explain(ctx.Err())
	case <-u.done:
		return nil, u.over(ctx)
	case <-f.ctx.Done():
	case <-f.unit.done:
	}
	select {
	case <-f.done: // perhaps at the same time
		return f.value, nil
	default:
		return nil, nil
	}
}

// over returns why a call in ctx has no unit any more.
func (u *Unit) over(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err != nil:
		return explain(err)
	case u.ended.Load():
		return errUnitEnded
	}
	return Errorf(ErrCanceled, "canceled: the context of the unit of work has ended")
}

// A computation is what the context of a function that computes carries. What outlives the function, with its context, is free to
// wait again.
type computation struct{ over atomic.Bool }

type computingKey struct{}

// Computing returns a context in which a fetch waits for no other that computes, as the one that [Handle.Fetch] gives to its
// function. It is for a host whose functions are called while a fetch computes, and have another context than that.
func Computing(ctx context.Context) context.Context {
	if isComputing(ctx) {
		return ctx
	}
	return context.WithValue(ctx, computingKey{}, &computation{})
}

func isComputing(ctx context.Context) bool {
	c, ok := ctx.Value(computingKey{}).(*computation)
	return ok && !c.over.Load()
}
