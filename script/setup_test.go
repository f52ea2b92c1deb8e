package script_test

import (
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/script"
)

// setupLua returns a Setup that runs Lua.
func setupLua(source string) func(L *lua.LState) {
	return func(L *lua.LState) {
		if err := L.DoString(source); err != nil {
			panic(err)
		}
	}
}

// TestSetup_RunsLua: what a host writes in Lua works as in a script, and every unit sees it as the host has left it.
func TestSetup_RunsLua(t *testing.T) {
	for name, c := range map[string]struct{ setup, unit string }{
		"a library":          {`string.trim = function(s) return "trimmed" end`, `assert(("x"):trim() == "trimmed" and string.trim() == "trimmed")`},
		"by require":         {`require("string").trim = function(s) return "trimmed" end`, `assert(("x"):trim() == "trimmed")`},
		"methods of strings": {`assert(("x"):rep(3) == "xxx")`, `assert(("x"):rep(3) == "xxx")`},
		"arithmetic of strings": {`getmetatable("").__mod = function(s, v) return s:format(v) end`, `
			assert("%d" % 5 == "5")
			getmetatable("").__mod = nil
			assert(not pcall(function() return "%d" % 5 end) and ("x"):rep(2) == "xx")`},
		"a module":         {`module("tools", package.seeall) function f() return type(string) end`, `assert(tools.f() == "table" and require("tools") == tools)`},
		"the module store": {`keep = require("store")`, `assert(tostring(keep) == "store module" and keep.get("s") and tostring(require("store")) == "store module")`},
		"strict globals": {`setmetatable(_G, { __index = function(_, k) error("undeclared " .. k, 2) end })`, `
			local ok, e = pcall(function() return undeclared end)
			assert(not ok and e:find("undeclared undeclared"))
			x = 1
			assert(x == 1)
			setmetatable(_G, nil)
			assert(undeclared == nil)`},
		"a coroutine that waits":  {`waits = coroutine.wrap(function() coroutine.yield(1) end) waits()`, ``},
		"the clock":               {`assert(os.clock() < 60)`, `assert(os.clock() < 60)`},
		"an error that is caught": {`assert(not pcall(error, "x"))`, `assert(not pcall(error, "x"))`},
		"no methods of strings":   {`getmetatable("").__index = nil`, `assert(not pcall(function() return ("x"):rep(2) end) and string.rep("x", 2) == "xx")`},
	} {
		t.Run(name, func(t *testing.T) {
			r := script.New(newWorld(t).reg, &script.Options{Setup: setupLua(c.setup)})
			for range 3 {
				if err := r.Exec(t.Context(), compile(t, c.unit)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestSetup_FunctionsThatHandOutGlobals: what a host reads of the globals is the unit's.
func TestSetup_FunctionsThatHandOutGlobals(t *testing.T) {
	r := script.New(newWorld(t).reg, &script.Options{Setup: func(L *lua.LState) {
		L.Register("read", func(L *lua.LState) int { L.Push(L.GetGlobal(L.CheckString(1))); return 1 })
		L.Register("write", func(L *lua.LState) int { L.SetGlobal(L.CheckString(1), L.Get(2)); return 0 })
		L.Register("all", func(L *lua.LState) int { L.Push(L.Get(lua.GlobalsIndex)); return 1 })
	}})
	for range 3 {
		err := r.Exec(t.Context(), compile(t, `
			assert(read("string").mark == nil and read("mark") == nil and read("print") == print and mark == nil)
			read("string").mark = 1
			assert(string.mark == 1 and ("x").mark == 1)
			write("mark", 2)
			assert(mark == 2 and read("mark") == 2)
			local view = all()
			assert(view.mark == 2 and view.math.mark == nil and getmetatable(view) == false)
			view.math.mark, view.other = 3, 4
			assert(math.mark == 3 and other == 4)
			rawset(view, "raw", 5)`))
		if err != nil {
			t.Fatal(err)
		}
	}
}
