// Package script runs Lua source that nobody has to trust as units of work:
//
//	program, err := script.Compile("cart.lua", source)
//	runner := script.New(reg, &script.Options{Timeout: time.Second})
//	results, err := runner.Run(ctx, program, "user:42")
//	var total float64
//	err = results.Decode(&total)
//
// Each run is one [store.Unit] under the program's name, with a deadline, in a Lua state that nothing of other units is left
// in. Whatever it opened is released before Run returns, however it ends: return, Lua error, deadline, cancellation, a bound, a
// Go panic or [runtime.Goexit] in a function of the host.
//
// # What scripts have
//
// The module "store" (package storelua), and of Lua 5.1: the base functions, string, table, math, coroutine, package without
// what finds files, and of os the functions clock, date, difftime and time. There is no load, loadstring, loadfile or dofile, no
// io, debug or channel, and nothing else that reaches files, processes or the environment. A host adds what it trusts with
// [Options].Grants and [Options].Setup. collectgarbage does nothing: Go collects.
//
// require finds what the host registered by PreloadModule, then the files of [Options].Modules: require("lib.cart") reads
// lib/cart.lua or lib/cart/init.lua, and nothing outside.
//
// The functions of string, table, math and os are this package's own. They answer as Lua 5.1 does, errors included. Numbers become
// strings as gopher-lua writes them: integers with all their digits, others with up to 17.
//
// # Bounds
//
// Of a source: [MaxSource] and [MaxNesting]. Of a unit: [Options].Timeout, Memory and Output. Of what is inside each other:
// [CallDepth], [StackSlots] and [MaxNested]. Of a string: [MaxString]. Functions of the libraries that may take long look at the
// deadline as they go, and ask before they make a large string; so does the operator .., which Compile makes a function. No pcall
// and no coroutine keeps a unit from ending.
//
// # States
//
// A runner keeps Lua states and gives each to one unit after another. A unit gets globals of its own; libraries are shared
// as long as a program does no more than read their fields, and are copies otherwise. A state is not used again after a unit
// in which Go code panicked, that ran out of time or memory, or that left a coroutine unfinished; nor one with files or the
// debug library.
//
// A unit that opens a store and reads an entry takes one and a half times as long as the same code in a bare Lua state that is never
// cleaned, a fortieth of what it takes in a new state, and 2 KB of garbage. Units that run at once meet at no lock of the runner or the
// registry: on two processors two goroutines run 1.7 times the units of one, where the host leaves the garbage collector room
// (docs/performance.md).
//
// Each pcall runs on a thread of its own. In gopher-lua as it is, a local variable and the closures that captured it before no
// longer see each other's changes once an error was caught; here they do.
//
// # Caveats
//
// In one process no limit is a wall. What is not bounded, or not exactly:
//
//   - Memory is looked at, not counted: one instruction may allocate an array of up to lua.MaxArrayIndex slots, which is 1 GB
//     unless the host lowers it ([LimitArrays]), and what is allocated between two looks, one to eight milliseconds, comes on top.
//   - The heap is the process's: a unit may end for what others allocated meanwhile.
//   - Processor time is that of the goroutine; garbage is collected by others.
//   - Functions of the host, what [Options].Grants open, and operations of stores end when they honour the context.
//   - A coroutine cannot yield inside a metamethod, the function of a for loop, or a pcall: it fails, as in Lua 5.1.
//
// Memory that is exhausted on purpose by many units at once, and faults of Go's runtime, need a process with limits of its own:
// the command has one with luastore run --isolate. docs/threats.md lists attacks, what stops each, and the test that proves it.
package script
