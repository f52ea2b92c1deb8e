package script_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/script"
)

// marks are what hostile units do to leave something for the next.
var marks = []string{
	`x = 1`, `function left() end`, `_G.y = 2`, `rawset(_G, "z", 3)`, `_G[1] = 1`, `_G = nil`, `_G._G = {}`, `_VERSION = "mine"`,
	`string.leak = 1`, `string.rep = function() return "evil" end`, `rawset(string, "sub", print)`, `string = nil`,
	`local s = string s.len = nil`, `for k in pairs(string) do string[k] = nil end`, `setmetatable(string, { __index = math })`,
	`getmetatable("").__index = function() return "evil" end`, `getmetatable("").__index.leak = 1`, `getmetatable("x").__add = print`,
	`getmetatable("").__metatable = "locked"`, `setmetatable(getmetatable(""), { __index = math })`,
	`setmetatable(_G, { __index = function() return 1 end, __newindex = function() error("no") end })`,
	`setmetatable(_G, { __metatable = false })`,
	`table.insert = nil`, `table.sort, table.concat = table.concat, table.sort`, `rawset(table, 1, 1)`,
	`math.pi = 3`, `math.random = function() return 4 end`, `math.randomseed(7)`, `math.huge = 1`,
	`os.time = function() return 0 end`, `os.leak = true`, `coroutine.wrap = nil`, `coroutine = {}`,
	`package.loaded.evil = true`, `package.loaded.store = "fake"`, `package.loaded.string = {}`, `package.loaded.lib = "fake"`,
	`package.loaded = {}`, `package.preload.store = function() return "fake" end`, `package.preload.lib = print`, `package.seeall = nil`,
	`setmetatable(package.loaded, { __index = function() return "evil" end })`, `package = nil`,
	`require = nil`, `print = nil`, `pcall = function() return true end`, `next, pairs = pairs, next`, `error = print`, `type = tostring`,
	`setfenv(1, {})`, `setfenv(0, {})`, `getfenv().q = 1`, `getfenv(0).q = 1`, `getfenv(print).q = 1`, `module("evil")`, `module("evil.deep")`,
	`module("string")`, `require("lib").field = "evil"`, `require("string").leak = 1`, `require("_G").leak = 1`,
	`require("patch")`, `local s = app.str require("patch")`, `local s = app.str.rep s = app.call require("patch")`, `app.str.leak = 1`,
	`app.secret = 1`, `app.call = nil`, `app.inner.x = 1`, `rawset(app.inner, "call", print)`, `setmetatable(app, { __index = print })`,
	`getmetatable(app.with).__index.x = 2`, `app.with.y = 3`, `app = nil`, `app.inner = app`, `flat.leak = 1`, `flat = 1`, `local f = flat f.call = nil`,
	`setfenv(written, {})`, `getfenv(written).stolen = 1`, `getmetatable(thing).__index.leak = 1`, `setmetatable(thing, {})`, `thing = nil`,
	`rawset(require("store"), "get", print)`, `require("store").get = print`, `setmetatable(require("store"), {})`,
	`getmetatable(require("store")).__index = print`, `getmetatable(require("store").get("s")).__index = print`,
	`require("store").get("s").get = print`, `setmetatable(require("store").get("s"), {})`, `require("store").REMOVE.x = 1`,
	`arg = nil`, `arg.n = 1`, `arg[0] = "other"`, `setmetatable(1, { __index = string })`, `setmetatable(print, { __index = string })`,
	`setmetatable(true, { __index = string })`, `setmetatable(nil, { __index = string })`, `newproxy(true)`, `kept = coroutine.create(function() end)`,
	`local co = coroutine.wrap(function() coroutine.yield() end) co()`, `coroutine.wrap(function() x = 1 end)()`,
	`local s = require("store").get("s") s:fetch("k:" .. math.random(1e9), function() error("gone") end)`,
	`("x"):gsub("x", function() error("inside") end)`, `table.sort({ 3, 2, 1 }, function() error("inside") end)`,
	`collectgarbage()`, `local t = {} for i = 1, 300 do t[i] = i end print(unpack(t))`, `local function f() return 1 + f() end f()`,
}

// wrappings are how they do it.
var wrappings = []string{
	"%s", "pcall(function() %s end)", "xpcall(function() %s end, function(e) x = e end)", "coroutine.wrap(function() %s end)()",
	"%s error('at last')", "local ok, e = pcall(function() %s error({}) end) error(e)", "for i = 1, 3 do pcall(function() %s end) end",
	"(function() %s end)()", "setfenv(function() %s end, setmetatable({}, { __index = _G }))()", "return pcall(pcall, function() %s end)",
}

// probe is an honest unit: it tells all that it finds. Functions are told by their addresses, which stay in a state.
const probe = `
	local seen, out = {}, {}
	local function say(...) out[#out + 1] = table.concat({ ... }, " ") end
	local function walk(path, v)
		if type(v) ~= "table" then return say(path, type(v), type(v) == "userdata" and "" or tostring(v)) end
		if seen[v] then return say(path, "is", seen[v]) end
		seen[v] = path
		walk(path .. "<meta>", getmetatable(v))
		for k, inner in next, v do walk(path .. "." .. tostring(k), inner) end
	end
	say(tostring(leak), tostring(x), ("x"):rep(3), tostring(("x").leak), tostring(string.leak), tostring(app.secret), tostring(flat.leak))
	say(tostring(pcall(function() return ("x") + 1 end)), tostring(#arg), arg[0], type(print), type(getmetatable(1)), type(getmetatable(print)))
	local store = require("store")
	local s = assert(store.get("s"))
	say(tostring(store), tostring(getmetatable(store)), tostring(getmetatable(s)), tostring(s), tostring(store.REMOVE), type(store.get), type(s.get))
	say(tostring(require("lib").field), tostring(pcall(require, "evil")), tostring(getmetatable(thing)), tostring(coroutine.running()))
	walk("_G", _G)
	walk("meta", getmetatable(""))
	walk("loaded", package.loaded)
	walk("env", getfenv(written))
	return table.concat(out, "\n"), math.random(2^40), state`

// TestUnits_LeaveNothing runs hostile units and honest ones by turns in the same state: what the honest ones find is always the same.
func TestUnits_LeaveNothing(t *testing.T) {
	states := 0
	o := &script.Options{
		Modules: files("lib.lua", `return { field = "mine" }`, "patch.lua", `string.leak, table.leak, app.str.leak = 1, 1, 1`),
		Setup: func(L *lua.LState) {
			states++
			setupLeaky(L)
			L.SetGlobal("state", lua.LNumber(states))
		},
	}
	r := script.New(newWorld(t).reg, o)
	honest := compile(t, probe)
	random := rand.New(rand.NewPCG(1, 2))
	want, reused := map[int]string{}, 0 // by state
	randoms := map[int]bool{}
	rounds := 3000
	if boundtest.Race {
		rounds = 300
	}
	for range rounds {
		source := hostile(random)
		err := r.Exec(t.Context(), compile(t, source))
		var failed *script.Error
		if err != nil && (!errors.As(err, &failed) || failed.Kind != script.KindError) {
			t.Fatalf("%s\n%v", source, err)
		}
		results, err := r.Run(t.Context(), honest)
		if err != nil {
			t.Fatalf("after %s\n%v", source, err)
		}
		var got string
		var drawn, state int
		if err := results.Decode(&got, &drawn, &state); err != nil {
			t.Fatal(err)
		}
		if randoms[drawn] {
			t.Fatalf("after %s\nthe random number %d came again", source, drawn)
		}
		randoms[drawn] = true
		if want[state] == "" {
			want[state] = got
			continue
		}
		reused++
		if got != want[state] {
			t.Fatalf("after %s\n%s", source, difference(want[state], got))
		}
	}
	if reused < rounds/4 && !boundtest.Race { // under the race detector a sync.Pool forgets by intent
		t.Errorf("of %d units %d had the state of the one before", rounds, reused)
	}
}

// setupLeaky is what a careless host gives to scripts.
func setupLeaky(L *lua.LState) {
	call := L.NewFunction(func(*lua.LState) int { return 0 })
	inner, app, with, mt, index, flat := L.NewTable(), L.NewTable(), L.NewTable(), L.NewTable(), L.NewTable(), L.NewTable()
	inner.RawSetString("call", call)
	inner.RawSetString("app", app)
	index.RawSetString("x", lua.LNumber(1))
	mt.RawSetString("__index", index)
	with.Metatable = mt
	app.RawSetString("inner", inner)
	app.RawSetString("with", with)
	app.RawSetString("call", call)
	app.RawSetString("str", L.GetGlobal("string"))
	flat.RawSetString("call", call)
	L.SetGlobal("app", app)
	L.SetGlobal("flat", flat)
	thing := L.NewUserData()
	methods := L.NewTable()
	methods.RawSetString("call", call)
	thingMeta := L.NewTable()
	thingMeta.RawSetString("__index", methods)
	thing.Metatable = thingMeta
	L.SetGlobal("thing", thing)
	if err := L.DoString(`function written() return print end`); err != nil {
		panic(err)
	}
}

// hostile returns a unit that does some of what is bad.
func hostile(random *rand.Rand) string {
	var b strings.Builder
	for range 1 + random.IntN(3) {
		mark := marks[random.IntN(len(marks))]
		for range random.IntN(3) {
			mark = "do " + fmt.Sprintf(wrappings[random.IntN(len(wrappings))], mark) + " end"
		}
		b.WriteString("pcall(function() " + mark + " end)\n")
	}
	if random.IntN(3) == 0 {
		b.WriteString(marks[random.IntN(len(marks))])
	}
	return b.String()
}

// difference returns the lines of which only one has one.
func difference(want, got string) string {
	var b strings.Builder
	count := map[string]int{}
	for line := range strings.SplitSeq(want, "\n") {
		count[line]++
	}
	for line := range strings.SplitSeq(got, "\n") {
		count[line]--
	}
	for line, n := range count {
		if n != 0 {
			fmt.Fprintf(&b, "%+d %s\n", -n, line)
		}
	}
	return b.String()
}
