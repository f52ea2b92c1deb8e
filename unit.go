package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// A Unit is one unit of work: one script run, request or job. What it acquires is released when it ends. Its methods are safe
// for concurrent use.
type Unit struct {
	name   string
	reg    *Registry
	cancel context.CancelFunc
	done   <-chan struct{} // closed when the unit ends, or its context before it
	ended  atomic.Bool

	computing atomic.Int32 // functions of fetches that are running

	mu       sync.Mutex
	leases   leases
	cleanups []cleanup // in the order of End, last first
}

// A lease is what a unit holds of one store, however many handles share it.
type lease struct {
	unit    *Unit
	store   *instance
	handles int // not released; guarded by Unit.mu
}

// leases are those of one unit: a list while they are few, as nearly always, else a map.
type leases struct {
	few  []*lease
	many map[*instance]*lease
}

// fewLeases is how many a search goes through as fast as a map finds one.
const fewLeases = 16

// on returns the lease on a store, nil if there is none.
func (ls *leases) on(in *instance) *lease {
	if ls.many != nil {
		return ls.many[in]
	}
	for _, l := range ls.few {
		if l.store == in {
			return l
		}
	}
	return nil
}

func (ls *leases) none() bool { return len(ls.few) == 0 && len(ls.many) == 0 }

func (ls *leases) add(l *lease) {
	if ls.many == nil && len(ls.few) < fewLeases {
		ls.few = append(ls.few, l)
		return
	}
	if ls.many == nil {
		ls.many = make(map[*instance]*lease, 2*fewLeases)
		for _, x := range ls.few {
			ls.many[x.store] = x
		}
		ls.few = nil
	}
	ls.many[l.store] = l
}

func (ls *leases) remove(l *lease) {
	delete(ls.many, l.store)
	ls.few = slices.DeleteFunc(ls.few, func(x *lease) bool { return x == l })
}

// A cleanup is one thing to do when a unit ends: give back a lease, or call a function of the host.
type cleanup struct {
	lease *lease
	fn    func()
}

// errUnitEnded is the [ErrReleased] of a handle that was kept too long.
var errUnitEnded = Errorf(ErrReleased, "store is released: its unit of work ended; call store.get inside the handler")

// errNoUnit answers where nothing could release what would be acquired.
var errNoUnit = Errorf(ErrInvalid,
	"no unit of work: run this inside Registry.Do, and give its context to the Lua state with SetContext")

type unitKey struct{}

// Begin starts a unit and returns the context that carries it, which ends with the unit. The name, which may be empty, is what
// the policy and observers see. The caller must call [Unit.End].
func (r *Registry) Begin(ctx context.Context, name string) (context.Context, *Unit) {
	ctx, cancel := context.WithCancel(ctx)
	u := &Unit{name: name, reg: r, cancel: cancel, done: ctx.Done()}
	return &unitContext{ctx, u}, u
}

// A unitContext is the context that carries a unit. Unlike one of package context it has its channel at hand, for which a Lua state
// asks before each instruction.
type unitContext struct {
	context.Context
	unit *Unit
}

// String names the context as those of package context name theirs. Without it fmt would walk the unit, which others change meanwhile.
func (c *unitContext) String() string { return fmt.Sprint(c.Context, ".WithUnit") }

func (c *unitContext) Done() <-chan struct{} { return c.unit.done }

func (c *unitContext) Value(key any) any {
	if key == (unitKey{}) {
		return c.unit
	}
	return c.Context.Value(key)
}

// Do runs fn as one unit without a name; see [Registry.DoNamed].
func (r *Registry) Do(ctx context.Context, fn func(ctx context.Context) error) error {
	return r.DoNamed(ctx, "", fn)
}

// DoNamed runs fn as one unit, which ends before DoNamed returns, however fn ends: a panic and [runtime.Goexit] pass through
// when everything is released. It returns what fn returned, joined with what [Unit.End] reports.
func (r *Registry) DoNamed(ctx context.Context, name string, fn func(ctx context.Context) error) (err error) {
	ctx, u := r.Begin(ctx, name)
	defer func() {
		if failed := u.End(); failed != nil {
			err = errors.Join(err, failed)
		}
	}()
	return fn(ctx)
}

// FromContext returns the unit that ctx carries, or an [ErrInvalid].
func FromContext(ctx context.Context) (*Unit, error) {
	if ctx == nil {
		return nil, errNoUnit
	}
	u, ok := ctx.Value(unitKey{}).(*Unit)
	if !ok {
		return nil, errNoUnit
	}
	return u, nil
}

// Get returns a handle on a store for the unit that ctx carries; see [Unit.Get].
func Get(ctx context.Context, id string) (*Handle, error) {
	u, err := FromContext(ctx)
	if err != nil {
		return nil, err
	}
	return u.Get(ctx, id)
}

// Name returns the name that Begin was given.
func (u *Unit) Name() string { return u.name }

// Get returns a handle on a store, opening the store if this is its first use. The unit holds one lease on each store,
// whatever number of handles it gets. Errors are [ErrStoreNotFound], [ErrInvalid], [ErrUnavailable], [ErrTimeout] and
// [ErrCanceled], what the opener of the driver reports, and [ErrReleased] when the unit has ended.
func (u *Unit) Get(ctx context.Context, id string) (*Handle, error) {
	if h := u.again(id); h != nil {
		return h, nil
	}
	begin := u.reg.now()
	h, fresh, err := u.acquire(ctx, id)
	if fresh || err != nil {
		u.reg.tell(ctx, Event{Unit: u.name, Store: id, Op: OpAcquire, Err: err}, begin)
	}
	return h, err
}

// again returns one more handle of a lease that the unit holds, nil if it holds none on what id stands for now.
func (u *Unit) again(id string) *Handle {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended.Load() || u.leases.none() { // as at the first call of each unit, which need not meet the others in the registry
		return nil
	}
	if l := u.leases.on(u.reg.present(id)); l != nil {
		return l.handle()
	}
	return nil
}

// acquire returns a handle with a lease that is fresh, unless another call of this unit was faster.
func (u *Unit) acquire(ctx context.Context, id string) (h *Handle, fresh bool, err error) {
	if u.ended.Load() {
		return nil, false, errUnitEnded
	}
	in, err := u.reg.acquire(ctx, id)
	if err != nil {
		return nil, false, err
	}
	h, fresh = u.adopt(in)
	if !fresh {
		u.reg.release(ctx, in)
	}
	if h == nil {
		return nil, false, errUnitEnded
	}
	return h, fresh, nil
}

// adopt makes an acquired lease the unit's. It is not fresh if the unit has ended or got the same meanwhile.
func (u *Unit) adopt(in *instance) (h *Handle, fresh bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended.Load() {
		return nil, false
	}
	if l := u.leases.on(in); l != nil {
		return l.handle(), false
	}
	l := &lease{unit: u, store: in}
	u.leases.add(l)
	u.cleanups = append(u.cleanups, cleanup{lease: l})
	return l.handle(), true
}

// handle returns one more handle. Unit.mu is held.
func (l *lease) handle() *Handle {
	l.handles++
	return &Handle{store: l.store, lease: l}
}

// put gives back one handle, and the lease with the last.
func (l *lease) put() {
	u := l.unit
	u.mu.Lock()
	l.handles--
	last := l.handles == 0 && !u.ended.Load()
	if last {
		u.leases.remove(l)
		u.cleanups = slices.DeleteFunc(u.cleanups, func(c cleanup) bool { return c.lease == l })
	}
	u.mu.Unlock()
	if last {
		l.release()
	}
}

// release gives the lease back to the registry.
func (l *lease) release() {
	ctx := context.Background()
	r := l.store.reg
	begin := r.now()
	r.release(ctx, l.store)
	r.tell(ctx, Event{Unit: l.unit.name, Store: l.store.id, Op: OpRelease}, begin)
}

// OnEnd registers a function to be called when the unit ends, before what was acquired or registered earlier is released. On a
// unit that has ended it is called at once, on the goroutine of the caller.
func (u *Unit) OnEnd(fn func()) {
	u.mu.Lock()
	if !u.ended.Load() {
		u.cleanups = append(u.cleanups, cleanup{fn: fn})
		u.mu.Unlock()
		return
	}
	u.mu.Unlock()
	_ = u.run(cleanup{fn: fn}) // a panic is logged
}

// End ends the context of the unit and releases what the unit holds, last acquired first. Cleanups that panic, which is logged
// and returned as an error, and those that end their goroutine do not stop the others. Only the first call does anything; one
// that runs beside it, or inside a cleanup, returns at once.
func (u *Unit) End() (err error) {
	u.mu.Lock()
	if u.ended.Swap(true) {
		u.mu.Unlock()
		return nil
	}
	cleanups := u.cleanups
	u.cleanups, u.leases = nil, leases{}
	u.mu.Unlock()
	u.cancel()
	// Deferred calls run last first, and go on when one of them ends the goroutine.
	for _, c := range cleanups {
		defer func() {
			if failed := u.run(c); failed != nil {
				err = errors.Join(err, failed)
			}
		}()
	}
	return nil
}

// run does one cleanup and returns its panic as an error.
func (u *Unit) run(c cleanup) (err error) {
	if c.lease != nil {
		c.lease.release()
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("unit %q: %w", u.name, u.reg.caught(context.Background(), "cleanup", p))
		}
	}()
	c.fn()
	return nil
}
