package script

import (
	"maps"
	"math"
	"slices"

	lua "github.com/yuin/gopher-lua"
)

// storeModule is the name of the module of package storelua.
const storeModule = "store"

// openLibraries makes the globals of a state: libraries of our own, each call of which is bounded, and of gopher-lua only what takes
// the same time whatever its arguments are.
func (s *sandbox) openLibraries() {
	for _, open := range []lua.LGFunction{lua.OpenBase, lua.OpenCoroutine} {
		s.L.Push(s.L.NewFunction(open))
		s.L.Call(0, 0)
	}
	global := s.L.G.Global
	stock := global.RawGetString("coroutine").(*lua.LTable)
	s.keep(global, "error", "_VERSION", "_G", "_GOPHER_LUA_VERSION")
	s.register(global, baseFunctions(&s.guard))
	s.register(global, s.environmentFunctions())
	s.register(global, map[string]lua.LGFunction{"print": s.print, "require": s.require, "pcall": s.pcall, "xpcall": s.xpcall})
	loaded := s.L.NewTable()
	loaded.RawSetString("_G", global)
	s.library(loaded, "string", stringFunctions(&s.guard))
	s.library(loaded, "table", tableFunctions(&s.guard))
	s.library(loaded, "math", mathFunctions(&s.random))
	s.library(loaded, "os", osFunctions(&s.guard, &s.clock))
	co := s.library(loaded, "coroutine", s.coroutineFunctions(stock))
	co.RawSetString("yield", grounded(s.L, co.RawGetString("yield").(*lua.LFunction)))
	numbers := global.RawGetString("math").(*lua.LTable)
	numbers.RawSetString("pi", lua.LNumber(math.Pi))
	numbers.RawSetString("huge", lua.LNumber(math.Inf(1))) // gopher-lua has the largest finite number
	pkg := s.library(loaded, "package", map[string]lua.LGFunction{"seeall": s.seeall})
	pkg.RawSetString("loaded", loaded)
	pkg.RawSetString("preload", s.L.NewTable())
	s.L.G.Registry.RawSetString("_LOADED", loaded) // where the host's RegisterModule puts what it makes
	s.openGranted()
}

// keep removes all other names from a table.
func (s *sandbox) keep(t *lua.LTable, names ...string) {
	var others []string
	each(t, func(k, _ lua.LValue) {
		if name := k.String(); !slices.Contains(names, name) {
			others = append(others, name)
		}
	})
	for _, name := range others {
		t.RawSetString(name, lua.LNil)
	}
}

// register puts functions into a table, in the order of their names.
func (s *sandbox) register(t *lua.LTable, functions map[string]lua.LGFunction) {
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		t.RawSetString(name, s.L.NewFunction(functions[name]))
	}
}

// library makes a global table of functions.
func (s *sandbox) library(loaded *lua.LTable, name string, functions map[string]lua.LGFunction) *lua.LTable {
	t := s.L.CreateTable(0, len(functions)+2)
	s.register(t, functions)
	s.L.G.Global.RawSetString(name, t)
	loaded.RawSetString(name, t)
	return t
}
