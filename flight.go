package store

import (
	"context"
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

// flights are those of one connection, by stored key.
type flights struct {
	landed atomic.Uint64 // how many have come to an end; grows under mu
	mu     sync.Mutex
	byKey  map[string]*flight
}

func newFlights() *flights { return &flights{byKey: map[string]*flight{}} }

// join returns the flight of key, and whether it was begun for this call just now, with how many have landed before.
func (fs *flights) join(ctx context.Context, u *Unit, key string) (f *flight, begun bool, landed uint64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.byKey[key]; f != nil {
		return f, false, 0
	}
	f = &flight{ctx: ctx, unit: u, done: make(chan struct{})}
	fs.byKey[key] = f
	return f, true, fs.landed.Load()
}

// end ends a flight with what came of it.
func (fs *flights) end(key string, f *flight, v []byte) {
	fs.land(key, f)
	f.value = v
	close(f.done)
}

// land makes room for another flight of key, unless that was done already.
func (fs *flights) land(key string, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.byKey[key] == f {
		delete(fs.byKey, key)
		fs.landed.Add(1)
	}
}

// wait waits for what comes of a flight: nil if the waiter is to try itself, because the call that computes has failed, or has
// no time left and may return who knows when.
func (f *flight) wait(ctx context.Context) ([]byte, error) {
	select {
	case <-f.done:
		return f.value, nil
	default:
	}
	select {
	case <-f.done:
		return f.value, nil
	case <-ctx.Done():
		return nil, explain(ctx.Err())
	case <-f.ctx.Done():
	case <-f.unit.done:
	}
	return nil, nil
}

type computingKey struct{}

// computing returns the context of a function that computes a value: fetches in it wait for nobody.
func computing(ctx context.Context) context.Context {
	return context.WithValue(ctx, computingKey{}, true)
}

// mayWait reports whether a call of a unit may wait for a flight. One that computes something itself may not, as those for whom
// it computes could be waiting in the same way for each other. A function that does not pass its context on is known by its
// unit, as far as other units go.
func (f *flight) mayWait(ctx context.Context, u *Unit) bool {
	return ctx.Value(computingKey{}) == nil && (f.unit == u || u.computing.Load() == 0)
}
