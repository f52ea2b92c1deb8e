// Package storeotel turns what a [store.Registry] tells its observer into OpenTelemetry metrics and, if wanted, spans:
//
//	telemetry, err := storeotel.New(nil) // or with providers of your own
//	...
//	reg := store.New(&store.Options{Observe: telemetry.Observe})
//
// Where it is not installed it costs nothing: without an observer the registry does not even read the clock.
//
// # Metrics
//
// Names follow the semantic conventions for database clients where these have one.
//
//   - db.client.operation.duration: histogram, seconds, of every operation on entries. Its count is the number of operations.
//   - luastore.store.lookups: counter of get, entry, ttl, has and fetch that did not fail, with luastore.hit true or false.
//   - luastore.store.near.lookups: counter of keys that get, has, fetch, get_many and list looked for in a near cache, where the store has
//     one, with luastore.hit true or false.
//   - luastore.store.io: histogram, bytes of values that one operation moved, with luastore.io.direction read or write.
//   - luastore.store.batch.size: histogram, keys of one get_many, set_many or delete_many.
//   - luastore.store.errors: counter of all that failed, operations and the life of stores alike.
//   - luastore.store.opens and luastore.store.closes: counters of attempts to open a connection, and of closed ones.
//   - luastore.store.connections: up-down counter, connections open now.
//   - luastore.store.leases: up-down counter, leases of units on stores held now.
//
// Every one has db.system.name and db.namespace, the id of the store; those about operations db.operation.name; and what failed
// error.type, one of [store.Kinds]. A key that was not found is a miss and no error.
//
// # What is in no label
//
// No key, value, unit name or prefix is in any attribute, and of errors only their kind. The id of a store becomes an attribute
// when the store is seen to exist, so that scripts make none by asking for stores that there are not: those are "_unknown". After
// Options.MaxStores ids all further stores share "_other".
//
// # Spans
//
// With a TracerProvider each operation on entries, and each attempt to open a store, that is part of a trace becomes a span of kind
// client, named after the operation and the store: "get session_store". Its parent is the span in the context of the caller. Outside
// a trace there is none: a single read tells nothing without what it was for, so that a host which wants spans begins one for each
// unit of work.
package storeotel
