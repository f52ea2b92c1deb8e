package store

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
)

// Options configure a [Registry]. Nil means the defaults.
type Options struct {
	// Policy decides on every operation of every unit. Default: everything is allowed.
	Policy Policy
	// CursorKey is the secret with which the cursors of listings are encrypted, so that they tell no more of keys that the policy
	// hides than that they are there, and how long. Processes that are to take each other's cursors, at the same time or one after another, need the same. Default: a
	// random one where there is a Policy; elsewhere cursors are checked only, hide nothing and work in all processes.
	CursorKey []byte
	// Limits hold for stores whose definition sets none. Default: see [Limits].
	Limits Limits
	// Observe is told of every operation when it has ended, refused ones included, and of the life of stores. It is called on
	// the goroutine of the operation with the context of its caller, must be safe for concurrent use, and must not call back
	// into the registry. Default: none, and then no clock is read.
	Observe func(ctx context.Context, e Event)
	// Logger gets what has no caller to return to: stores opened and closed, and what panicked. Default: nothing is logged.
	Logger *slog.Logger
	// Default supplies the definition of an id that was not defined, at its first use; false means that there is no such
	// store. The id is what a script asked for, of any text that an id may have, and what is supplied stays until it is
	// removed: bound it where scripts are not trusted. It is called without locks held, perhaps by several goroutines at once
	// for one id, of which one answer is kept. Default: no such store.
	Default func(id string) (Definition, bool)
}

// A Policy decides whether a unit may do one operation: nil allows, an error refuses, as [ErrDenied] with the text of the
// error. It is called when the arguments were found valid, before anything is sent, on the goroutine of the operation, once for
// each key of a batch.
type Policy func(ctx context.Context, a Access) error

// Access is what a [Policy] decides on.
type Access struct {
	Unit  string // name of the unit of work
	Store string // id of the store
	Op    Op     // operation
	Key   string // "namespace:name", without the prefix of the store; for a listing the prefix asked for
	// Prefix tells that Key is the prefix that a listing asked for, of any text, and not the key of an entry. Each key that the
	// listing finds is asked for besides.
	Prefix bool
}

// A Registry holds the named stores of one host program. Its methods are safe for concurrent use.
type Registry struct {
	policy  Policy
	cursors cursorSealer
	limits  Limits
	observe func(ctx context.Context, e Event)
	log     *slog.Logger
	lookup  func(id string) (Definition, bool)
	err     error // what was wrong with the options, answered by Define

	// What units read without mu, so that they do not wait for each other; it is written with mu.
	closed  atomic.Bool
	serving sync.Map // the present instance of each id whose store is open

	mu     sync.Mutex
	stores map[string]*instance   // present definition of each id
	conns  map[any]*conn          // by Connection, or by instance where that is nil
	live   map[*instance]struct{} // those that hold a connection: all that have leases
	opens  int                    // attempts to open that are under way
	idle   chan struct{}          // closed when closed is true, there are no leases and opens is 0
}

// New returns a Registry without stores. The caller ends it with [Registry.Close].
func New(o *Options) *Registry {
	if o == nil {
		o = &Options{}
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var cursors cursorSealer
	if o.Policy != nil || len(o.CursorKey) > 0 {
		cursors = newCursorSealer(o.CursorKey)
	}
	return &Registry{
		policy: o.Policy, cursors: cursors, limits: o.Limits.WithDefaults(), observe: o.Observe, log: log, lookup: o.Default,
		err:    o.Limits.check(),
		stores: map[string]*instance{}, conns: map[any]*conn{}, live: map[*instance]struct{}{}, idle: make(chan struct{}),
	}
}

// Define adds a store. Nothing is opened before its first use. An empty id, one that is defined already and a bad definition
// are an [ErrInvalid].
func (r *Registry) Define(id string, d Definition) error {
	in, err := r.newInstance(id, d)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return errClosed
	}
	if r.stores[id] != nil {
		return Errorf(ErrInvalid, "store %q is defined already: use Replace", id)
	}
	r.stores[id] = in
	return nil
}

// Replace swaps the definition of a store under load. The new one is opened first: if that fails the old one goes on serving
// and the error is returned. Handles acquired from then on use the new one; those that are held finish on the old one, which
// is closed when the last of them is released.
func (r *Registry) Replace(ctx context.Context, id string, d Definition) error {
	in, err := r.newInstance(id, d)
	if err != nil {
		return err
	}
	if err := r.defined(id); err != nil {
		return err
	}
	if err := r.open(ctx, in); err != nil {
		r.retire(ctx, in) // it may open yet, for nobody
		return &Error{Store: id, Op: OpOpen, Err: err}
	}
	old, err := r.swap(id, in)
	r.retire(ctx, old)
	return err
}

// swap makes in what id stands for and returns what has no use any more: the old instance, or in itself when id has gone.
func (r *Registry) swap(id string, in *instance) (*instance, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.known(id); err != nil {
		return in, err
	}
	old := r.stores[id]
	r.stores[id] = in
	r.publish(in)
	return old, nil
}

// Remove hides a store at once: from then on its id is [ErrStoreNotFound], unless Options.Default supplies it again. Handles
// that are held go on working; the connection is closed when the last of them is released.
func (r *Registry) Remove(id string) error {
	r.mu.Lock()
	in := r.stores[id]
	delete(r.stores, id)
	r.serving.Delete(id)
	r.mu.Unlock()
	if in == nil {
		return notFound(id)
	}
	r.retire(context.Background(), in)
	return nil
}

// Check opens a store if it is not open and asks its backend for one key, for readiness probes. It passes no policy and needs
// no unit.
func (r *Registry) Check(ctx context.Context, id string) error {
	in, err := r.acquire(ctx, id)
	if err != nil {
		return err
	}
	defer r.release(ctx, in)
	ctx, cancel := in.bound(ctx)
	if cancel != nil {
		defer cancel()
	}
	if _, err := in.driver.Has(ctx, in.prefix+"luastore:check"); err != nil {
		return &Error{Store: id, Op: OpHas, Err: explain(err)}
	}
	return nil
}

// Close ends the registry: it refuses new leases and ends attempts to open at once, waits for live leases until ctx ends, then
// closes every connection, which makes calls in flight return. It returns what closing reported, and an [ErrTimeout] if ctx
// ended first. Calling it again waits again and closes nothing twice. Inside a unit that holds a lease it waits for itself:
// give it a ctx that ends.
func (r *Registry) Close(ctx context.Context) error {
	r.refuse()
	var late error
	select {
	case <-r.idle:
	case <-ctx.Done():
		late = r.busy()
	}
	return errors.Join(late, r.closeAll())
}

// refuse makes the registry refuse new leases and ends the attempts to open.
func (r *Registry) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed.Store(true)
	for in := range r.live {
		in.leases.Or(refuses)
	}
	for _, c := range r.conns {
		if c.driver == nil {
			c.cancel()
		}
	}
	r.signalIdle()
}

// busy says what Close did not wait for, if anything.
func (r *Registry) busy() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	leases := int64(0)
	for in := range r.live {
		leases += in.leased()
	}
	if leases == 0 && r.opens == 0 {
		return nil
	}
	return Errorf(ErrTimeout, "registry closed while %d leases were live and %d stores were being opened", leases, r.opens)
}

// closeAll closes every connection, waits for those that are being closed elsewhere, and returns what failed.
func (r *Registry) closeAll() error {
	mine, others := r.takeConns()
	errs := make([]error, len(mine))
	var wg sync.WaitGroup
	for i, c := range mine {
		wg.Go(func() { errs[i] = r.shut(context.Background(), c) })
	}
	wg.Wait()
	for _, c := range others {
		<-c.closing
	}
	return errors.Join(errs...)
}

// takeConns announces the end of every connection and returns those that the caller must shut, and those that others do.
func (r *Registry) takeConns() (mine, others []*conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, in := range r.stores {
		in.retired = true
	}
	for _, c := range r.conns {
		switch {
		case c.closing != nil:
			others = append(others, c)
		case c.driver != nil:
			c.closing = make(chan struct{})
			mine = append(mine, c)
		}
	}
	return mine, others
}

var errClosed = Errorf(ErrUnavailable, "store unavailable: the registry is closed")

func notFound(id string) error { return Errorf(ErrStoreNotFound, "store not found: %s", quote(id)) }

// checkID reports an id that no store can have.
func checkID(id string) error {
	if id == "" {
		return Errorf(ErrInvalid, "invalid store id: want a non-empty string")
	}
	return checkText("store id", id)
}

// defined reports that id is no store, or the registry closed.
func (r *Registry) defined(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known(id)
}

// known is defined where r.mu is held.
func (r *Registry) known(id string) error {
	if r.closed.Load() {
		return errClosed
	}
	if r.stores[id] == nil {
		return notFound(id)
	}
	return nil
}
