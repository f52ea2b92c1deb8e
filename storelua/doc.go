// Package storelua is the Lua module "store" for programs that embed gopher-lua:
//
//	L := lua.NewState()
//	storelua.Preload(L)
//	err := reg.Do(ctx, func(ctx context.Context) error {
//		L.SetContext(ctx)
//		return L.DoString(`local s = require("store").get("cache") ...`)
//	})
//
// The stores are those of the [store.Registry] whose unit of work the context of the state carries; nothing else ties a state to
// a registry. What scripts can call is told in docs/lua-api.md.
//
// # Caveats
//
// A state is used by one goroutine at a time, as always with gopher-lua; any number of states may share stores. The module that
// one state has loaded shares nothing with that of another, and scripts cannot change it: both the module and the stores are
// userdata whose metatables are out of reach, unless the host opens the debug library. What require answers is the host's to
// guard, as all globals are: a script that can write to package.loaded can put something else in the module's place.
//
// A store.get outside a unit fails, as nothing could release what it opens. A store that a script keeps in a global answers
// "store is released" in the next unit; a coroutine that it keeps is cancelled with the unit in which it was created.
package storelua
