package script_test

import (
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/script"
)

func TestSession_PrintsResultsAsLua(t *testing.T) {
	p := newPrompt(t, &script.Options{Setup: func(L *lua.LState) {
		ud := L.NewUserData()
		ud.Metatable = L.NewTable()
		L.SetField(ud.Metatable, "__tostring", L.NewFunction(func(L *lua.LState) int { L.Push(lua.LString("a\x1b[31mthing")); return 1 }))
		L.SetGlobal("thing", ud)
		odd := L.NewUserData()
		odd.Metatable = L.NewTable()
		L.SetField(odd.Metatable, "__tostring", L.NewFunction(func(L *lua.LState) int { L.RaiseError("no name"); return 0 }))
		L.SetGlobal("odd", odd)
	}})
	for source, want := range map[string]string{
		`nil, true, 1.5, -0.5, 2^53`:                `nil, true, 1.5, -0.5, 9007199254740992`,
		`0/0, 1/0, -1/0`:                            `0/0, math.huge, -math.huge`,
		`"a\27[31m\n\"", "é\255"`:                   `"a\27[31m\n\"", "é\255"`,
		`{}`:                                        `{}`,
		`{ 1, 2, nil, 4 }`:                          `{ 1, 2, [4] = 4 }`,
		`{ 1, a = 1, ["x y"] = { "z" } }`:           `{ 1, a = 1, ["x y"] = { "z" } }`,
		`{ [1.5] = 1, [true] = 2, ["end"] = 3 }`:    `{ [1.5] = 1, [true] = 2, ["end"] = 3 }`,
		`{ ["\27[31m"] = 1 }`:                       `{ ["\27[31m"] = 1 }`,
		`{ x = 1, [0] = 2 }`:                        `{ x = 1, [0] = 2 }`,
		`print, { print }`:                          `function: builtin, { function: builtin }`,
		`{ [print] = 1 }`:                           `{ [function: builtin] = 1 }`,
		`require("store"), require("store").REMOVE`: `store module, store.REMOVE`,
		`thing`: `"a\27[31mthing"`,
		`(function() local t = {} t.t = t return t end)()`:                                                           `{ t = <cycle> }`,
		`(function() local t = { 1 } return { t, t } end)()`:                                                         `{ { 1 }, { 1 } }`,
		`(function() local t = 1 for i = 1, 1e4 do t = { t } end return t end)()`:                                    `{ { { { { { { { { ... } } } } } } } } }`,
		`setmetatable({ 1 }, { __tostring = function() while true do end end, __index = error, __metatable = "x" })`: `{ 1 }`,
		`("x"):rep(50), { ("y"):rep(50), ("z"):rep(50) }`: `"` + strings.Repeat("x", 50) + `", {` +
			"\n  \"" + strings.Repeat("y", 50) + "\",\n  \"" + strings.Repeat("z", 50) + "\",\n}",
		`{ a = { b = { ("y"):rep(99) } } }`: "{\n  a = {\n    b = {\n      \"" + strings.Repeat("y", 99) + "\",\n    },\n  },\n}",
	} {
		p.shows(source, want)
	}
	for source, want := range map[string]string{
		`function() end`:                   `function: 0x`,
		`coroutine.create(function() end)`: `thread: 0x`,
		`odd`:                              `userdata: 0x`,
		`{ [{}] = 1 }`:                     `{ [table: 0x`,
	} {
		if results, err := p.enter(source); err != nil || len(results) != 1 || !strings.HasPrefix(results[0], want) {
			t.Errorf("%s: got %v, %v, want %s", source, results, err, want)
		}
	}
}

// What is large is cut short, in no time, whatever it is.
func TestSession_LargeResults_AreCutShort(t *testing.T) {
	p := newPrompt(t, &script.Options{Timeout: -1, Setup: func(L *lua.LState) {
		L.Register("million", func(L *lua.LState) int {
			list := L.CreateTable(1e6, 0)
			for i := range int(1e6) {
				list.Append(lua.LNumber(i + 1))
			}
			L.Push(list)
			return 1
		})
	}})
	p.shows(`list = million()`, ``)
	p.shows(`named = {} for i = 1, 2e4 do named["k" .. i] = i end`, ``)
	p.shows(`wide = {} for i = 1, 300 do wide[i] = {} for j = 1, 300 do wide[i][j] = { i, j } end end`, ``)
	for source, end := range map[string]string{
		`list`:                     "  200,\n  -- over 100,000 more\n}",
		`named`:                    "  k200 = 200,\n  -- 19,800 more\n}",
		`wide`:                     " more\n}",
		`("x"):rep(1e7)`:           `x" --[[ 9,991,808 more bytes ]]`,
		`("é"):rep(1e5)`:           `é" --[[ 191,808 more bytes ]]`,
		`("\200"):rep(1e5)`:        `\200" --[[ 91,808 more bytes ]]`,
		`{ [("x"):rep(1e7)] = 1 }`: " more bytes ]]] = 1,\n}",
		`unpack(list, 1, 1000)`:    `-- 900 more results`,
		`(function() local t = {} for i = 1, 100 do t[i] = ("\0"):rep(1e5) end return unpack(t) end)()`: ` more bytes ]]`,
	} {
		results, err := p.enter(source)
		if err != nil || len(results) == 0 {
			t.Fatalf("%s: got %v", source, err)
		}
		text := strings.Join(results, ", ")
		if !strings.HasSuffix(text, end) || len(text) > 256<<10 {
			t.Errorf("%s: got %d bytes, ending with %q", source, len(text), text[max(0, len(text)-60):])
		}
	}
}

func TestSession_Names(t *testing.T) {
	p := newPrompt(t, nil)
	p.shows(`s = require("store").get("demo")`, ``)
	p.shows(`app = { cart = { total = 1, add = print, ["not a name"] = 1, [1] = 2 }, title = "x" }`, ``)
	p.shows(`class = {} class.__index = class function class.greet() end`, ``)
	p.shows(`object = setmetatable({ name = "x" }, class)`, ``)
	for path, want := range map[string]string{
		"app": "cart title", "app.cart": "add total", "app.cart:": "add", "object": "__index greet name", "object:": "greet",
		"s:":       "delete delete_many each entry fetch get get_many has incr info list release set set_many touch ttl update",
		"app.none": "", "app.none.x": "", "none": "", "app.cart.total": "", "": "*", "_G": "*", "string": "*", "app.title:": "*",
	} {
		got := strings.Join(p.s.Names(path), " ")
		if got != want && (want != "*" || !strings.Contains(" "+got+" ", " print ") && !strings.Contains(got, "rep reverse")) {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
	p.shows(`_G.extra, print = 1, nil`, ``) // now the globals are a table of their own
	for _, path := range []string{"", "_G"} {
		if got := strings.Join(p.s.Names(path), " "); !strings.Contains(got, " extra ") || strings.Contains(got, " print ") {
			t.Errorf("%q: got %q", path, got)
		}
	}
}

// No code of scripts runs for names and results, and no table takes them long.
func TestSession_HostileTables_RunNothing(t *testing.T) {
	p := newPrompt(t, &script.Options{Timeout: -1})
	p.shows(`ran = false function run() ran = true while true do end end`, ``)
	p.shows(`hostile = setmetatable({ field = 1 }, { __index = run, __tostring = run, __len = run, __call = run, __metatable = run })`, ``)
	p.shows(`local _ = setmetatable(_G, { __index = run, __newindex = run })`, ``)
	p.shows(`rawset(_G, "loop", { a = 1 }) setmetatable(loop, { __index = loop })`, ``)
	p.shows(`rawset(_G, "a", {}) rawset(_G, "b", setmetatable({}, { __index = a })) setmetatable(a, { __index = b })`, ``)
	p.shows(`rawset(_G, "big", {}) for i = 1, 2e4 do big["n" .. i] = print end`, ``)
	p.shows(`hostile, { hostile }`, `{ field = 1 }, { { field = 1 } }`)
	for path, want := range map[string]int{"hostile": 1, "hostile:": 0, "hostile.none": 0, "loop": 1, "a": 0, "b": 0, "b.x": 0, "big:": 10_000} {
		if got := p.s.Names(path); len(got) != want {
			t.Errorf("%s: got %d names, want %d", path, len(got), want)
		}
	}
	if got := p.s.Names(strings.Repeat("loop.", 1000) + "a"); got != nil {
		t.Errorf("got %v", got)
	}
	p.shows(`ran`, `false`)
}
