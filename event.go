package store

import "time"

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
	OpGetMany        Op = "get_many"
	OpSetMany        Op = "set_many"
	OpDeleteMany     Op = "delete_many"
	OpList           Op = "list"

	OpOpen    Op = "open"    // a driver was opened, or failed to
	OpClose   Op = "close"   // a driver was closed
	OpAcquire Op = "acquire" // a unit got its lease on a store, or failed to
	OpRelease Op = "release" // a unit gave its lease back
)

// An Event tells [Options].Observe of one operation that has ended.
type Event struct {
	Unit     string        // name of the unit of work; "" for open and close
	Store    string        // id of the store; for open and close the one that caused it
	Op       Op            //
	Key      string        // key or prefix as the caller named it; "" for batches and for the life of a store
	Keys     int           // number of keys in a batch or a page; 1 for operations on one key
	Bytes    int           // stored bytes read or written
	Hit      bool          // a read found its entry
	Duration time.Duration // from the check of the arguments to the answer
	Err      error         // nil when it succeeded; ErrNotFound is a miss
}
