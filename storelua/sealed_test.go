package storelua_test

import (
	"context"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/storelua"
)

// tampering is what a unit may try in order to change the module, or a store, for the units that follow on its state. Each
// raises an error.
var tampering = map[string]string{
	`store.get = function() end`:                 `cannot change store module: it is read-only`,
	`store.more = 1`:                             `cannot change store module: it is read-only`,
	`store[1] = 1`:                               `cannot change store module: it is read-only`,
	`s.get = function() end`:                     `cannot change store: it is read-only`,
	`s.more = 1`:                                 `cannot change store: it is read-only`,
	`s[s] = s`:                                   `cannot change store: it is read-only`,
	`rawset(store, "get", print)`:                `bad argument #1 to rawset (table expected, got userdata)`,
	`rawset(s, "get", print)`:                    `bad argument #1 to rawset (table expected, got userdata)`,
	`rawget(s, "get")`:                           `bad argument #1 to rawget (table expected, got userdata)`,
	`setmetatable(store, {})`:                    `cannot change a protected metatable`,
	`setmetatable(store, nil)`:                   `cannot change a protected metatable`,
	`setmetatable(s, {})`:                        `cannot change a protected metatable`,
	`setmetatable(s, nil)`:                       `cannot change a protected metatable`,
	`rawset(getmetatable(s), "__index", {})`:     `bad argument #1 to rawset (table expected, got string)`,
	`newproxy(s)`:                                `metatable must be a table or nil, but got string`,
	`newproxy(store)`:                            `metatable must be a table or nil, but got string`,
	`setfenv(s.get, {})`:                         `cannot change the environment of given object`,
	`setfenv(store.get, {})`:                     `cannot change the environment of given object`,
	`for k in pairs(store) do end`:               `bad argument #1 to pairs (table expected, got userdata)`,
	`for k in pairs(s) do end`:                   `bad argument #1 to pairs (table expected, got userdata)`,
	`next(s)`:                                    `bad argument #1 to next (table expected, got userdata)`,
	`table.insert(store, 1)`:                     `bad argument #1 to insert (table expected, got userdata)`,
	`s.get = nil`:                                `cannot change store: it is read-only`,
	`store.get = nil`:                            `cannot change store module: it is read-only`,
	`local a = s.get s.set = a`:                  `cannot change store: it is read-only`,
	`getmetatable("").__index.rep = nil s.x = 1`: `cannot change store: it is read-only`,
	`string.rep = nil setmetatable(store, {})`:   `cannot change a protected metatable`,
}

func TestModule_ScriptsCannotChangeIt(t *testing.T) {
	for code, message := range tampering {
		t.Run(code, func(t *testing.T) {
			h := plainHost(t)
			h.want(`s:set("a:k", 1)`, `true, nil`)
			h.wantRaised(code, message)
			h.want(`s:get("a:k")`, `1, nil`)
			h.want(`tostring(s), tostring(store)`, `"store \"cache\"", "store module"`)
			h.want(`getmetatable(s), getmetatable(store)`, `"store", "store module"`)
			h.want(`s.more, store.more, store[1]`, `nil, nil, nil`)
		})
	}
}

// What getmetatable gives is a string, whose methods are those of all strings: the module does not depend on them.
func TestModule_ChangingAllStringsDoesNotChangeIt(t *testing.T) {
	h := plainHost(t)
	h.want(`getmetatable(s).__index.get = print setmetatable(getmetatable(s), {}) return s:set("a:k", 1)`, `true, nil`)
	h.want(`s:get("a:k")`, `1, nil`)
}

func TestModule_TwoStatesShareNothing(t *testing.T) {
	h := plainHost(t)
	other := newState(t)
	storelua.Preload(other)
	h.want(`s:set("a:k", 1)`, `true, nil`)
	for code := range tampering {
		_, _ = h.unit(code)
	}
	// Not even a host that opens the debug library to one state changes the other.
	h.want(`debug.setmetatable(s, {__index = {get = print}})
		debug.setmetatable(store, {__index = {}})
		return s.get == print, store.get`, `true, nil`)
	err := h.reg.Do(context.Background(), func(ctx context.Context) error {
		other.SetContext(ctx)
		return other.DoString(`assert(require("store").get("cache"):get("a:k") == 1)`)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestLoader_PushesAFreshModule(t *testing.T) {
	L := newState(t)
	var modules []lua.LValue
	for range 2 {
		if n := storelua.Loader(L); n != 1 {
			t.Fatalf("pushed %d values", n)
		}
		modules = append(modules, L.Get(-1))
		L.Pop(1)
	}
	if modules[0] == modules[1] {
		t.Error("both times the same")
	}
}

func TestPreload_RegistersTheModuleAndNothingElse(t *testing.T) {
	L := newState(t)
	before := dump(L.G.Global.RawGetString("_VERSION")) + L.G.Global.RawGetString("store").String()
	storelua.Preload(L)
	if after := dump(L.G.Global.RawGetString("_VERSION")) + L.G.Global.RawGetString("store").String(); after != before {
		t.Errorf("the globals changed from %s to %s", before, after)
	}
	if v := eval(t, L, `return require("store") == require("store")`); v != lua.LTrue {
		t.Error("require answers another module each time")
	}
}
