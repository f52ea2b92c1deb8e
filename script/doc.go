// Package script runs Lua source as units of work:
//
//	program, err := script.Compile("cart.lua", source)
//	runner := script.New(reg, &script.Options{Timeout: time.Second})
//	results, err := runner.Run(ctx, program, "user:42")
//	var total float64
//	err = results.Decode(&total)
//
// Each run is one [store.Unit] under the program's name, with a deadline, in a Lua state of its own. Whatever it opened is
// released before Run returns, however it ends: return, Lua error, deadline, cancellation, a Go panic or [runtime.Goexit] in a
// function of the host.
//
// # What scripts have
//
// The module "store" (package storelua), and of Lua 5.1: the base functions, table, string, math, coroutine, and of os the
// functions clock, date, difftime and time. There is no load, loadstring, loadfile or dofile, no io, debug or channel, and
// nothing else that reaches files, processes or the environment. A host adds what it trusts with [Options].Setup.
// collectgarbage does nothing: Go collects.
//
// require finds what the host registered by PreloadModule, then the files of [Options].Modules: require("lib.cart") reads
// lib/cart.lua or lib/cart/init.lua, and nothing outside.
//
// # Caveats
//
// This keeps honest scripts from harming their host; it is no wall against hostile ones yet. The deadline is checked between
// two instructions of Lua: a single call of a library function, such as a pattern match on a long string or string.rep with a
// huge count, runs to its end and may take any amount of memory. A script that must not be trusted belongs in a process with
// limits of its own.
//
// gopher-lua, with or without this package, copies what closures share when an error is caught: after a pcall that failed, a
// local variable and the closures that captured it before no longer see each other's changes. Keep such state in a table.
//
// One call nests at most [CallDepth] deep and holds at most [StackSlots] values; beyond, it fails as "stack overflow" and "registry
// overflow".
package script
