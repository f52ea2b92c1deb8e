// Package store gives programs that embed Lua one key-value store interface over many backends, with named stores, units
// of work that never leak what they opened, expiry, and lossless Lua values.
//
// Four nouns carry it:
//
//   - A [Driver] is one open backend: memory, Redis and others, each in a package of its own below driver/. It moves bytes.
//   - A [Registry] holds the named stores of one host program, opens each at first use, shares it and closes it last.
//   - A [Unit] is one unit of work: a script run, a request, a job. What it acquired is released when it ends, however it
//     ends.
//   - A [Handle] is one unit's lease on one store, on which every operation is called.
//
// Package storelua puts the same stores in front of Lua scripts, as require("store").
//
// # Caveats
//
// A Handle carries values in their stored form (package value): [Load] and [Save] translate Go values. A byte slice handed
// to a Handle belongs to the store from then on, and one that a Handle returned is shared: neither may be modified.
//
// A Handle is bound to its Unit. Kept longer, it answers [ErrReleased].
//
// The functions given to [Handle.Update] and [Handle.Fetch] run on the goroutine of the caller, without locks held, and that of an
// update perhaps several times.
//
// What a host supplies (a policy, an observer, an opener, a driver) is called without locks held. An observer, an opener, a
// cleanup or a driver's Close that panics is logged and does no further harm; a panic in a policy or in another method of a
// driver passes to the caller of the operation.
package store
