package store

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// An Op names an operation, to the policy, in events and in errors.
type Op string

// The operations on entries, which the policy guards, and those of the life of a store, which only events show.
const (
	OpGet            Op = "get"
	OpEntry          Op = "entry"
	OpTTL            Op = "ttl"
	OpHas            Op = "has"
	OpSet            Op = "set"
	OpDelete         Op = "delete"
	OpTouch          Op = "touch"
	OpCompareAndSwap Op = "compare_and_swap"
	OpIncr           Op = "incr"
	OpUpdate         Op = "update"
	OpFetch          Op = "fetch"
	OpGetMany        Op = "get_many"
	OpSetMany        Op = "set_many"
	OpDeleteMany     Op = "delete_many"
	OpList           Op = "list"

	OpOpen    Op = "open"    // a driver was opened, or failed to
	OpClose   Op = "close"   // a driver was closed
	OpAcquire Op = "acquire" // a unit got a lease on a store, or failed to; further handles on that lease show nothing
	OpRelease Op = "release" // a unit gave its lease back
)

// Reads reports whether op shows its caller anything of a stored value, beyond whether a condition holds: for policies that
// keep values from units.
func (op Op) Reads() bool {
	switch op {
	case OpGet, OpEntry, OpGetMany, OpIncr, OpUpdate, OpFetch:
		return true
	}
	return false
}

// Writes reports whether op may change, make or remove entries.
func (op Op) Writes() bool {
	switch op {
	case OpSet, OpDelete, OpTouch, OpCompareAndSwap, OpIncr, OpUpdate, OpFetch, OpSetMany, OpDeleteMany:
		return true
	}
	return false
}

// An Event tells [Options].Observe of one operation that has ended. Unit, Store and Key may come from a script and be of any
// text: where Err is an [ErrStoreNotFound] or an [ErrInvalid], they make no good labels of metrics.
type Event struct {
	Unit     string        // name of the unit of work; "" for open and close
	Store    string        // id of the store; for open and close the one that opened the connection
	Op       Op            // which operation
	Key      string        // key or prefix as the caller named it; "" for batches and for the life of a store
	Keys     int           // number of keys in a batch, as it was asked for, or in a page; 1 for operations on one key
	Bytes    int           // stored bytes read, or given to be written
	Hit      bool          // the operation found an entry, or swapped one; for fetch: it computed nothing
	Duration time.Duration // from the check of the arguments to the answer
	Err      error         // nil when it succeeded; ErrNotFound is a miss

	// How many keys the driver had at hand, and how many it was asked for in vain, where it is a [Peeker]; else 0.
	PeekHits, PeekMisses int
}

// now returns the time if somebody wants to know how long something takes.
func (r *Registry) now() time.Time {
	if r.observe == nil {
		return time.Time{}
	}
	return time.Now()
}

// tell passes an event to the observer, if there is one. What an observer breaks is its own.
func (r *Registry) tell(ctx context.Context, e Event, begin time.Time) {
	if r.observe == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			_ = r.caught(ctx, "observe", p)
		}
	}()
	e.Duration = time.Since(begin)
	r.observe(ctx, e)
}

// caught logs, with its stack, a panic in what the host supplied, and returns it as an error.
func (r *Registry) caught(ctx context.Context, what string, p any) error {
	r.log.ErrorContext(ctx, what+" panicked", "panic", p, "stack", string(debug.Stack()))
	return fmt.Errorf("%s panicked: %v", what, p)
}
