package script_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/script"
)

// passes runs a source that asserts what it says.
func passes(t *testing.T, o *script.Options, source string) {
	t.Helper()
	if _, err := run(t, o, source); err != nil {
		t.Error(err)
	}
}

func TestPcall_VariablesStayShared(t *testing.T) {
	for name, source := range map[string]string{
		"after an error": `
			local n = 0
			local function add() n = n + 1 end
			pcall(error)
			add()
			assert(n == 1)
			n = 5
			add()
			assert(n == 6)`,
		"of the failed function": `
			local n, get = 0
			pcall(function() local m = 1 get = function() m = m + 1 n = m return m end error("x") end)
			assert(get() == 2 and get() == 3 and n == 3)`,
		"in a loop": `
			local fs = {}
			for i = 1, 3 do fs[i] = function() i = i + 10 return i end pcall(error) assert(fs[i]() == i) end`,
		"through coroutines": `
			local n = 0
			local co = coroutine.wrap(function() while true do n = n + 1 pcall(error) coroutine.yield(n) end end)
			assert(co() == 1 and co() == 2)
			n = 7
			assert(co() == 8)`,
		"in a handler": `
			local seen
			local ok, e = xpcall(function() error("x", 0) end, function(e) seen = e return e .. "!" end)
			assert(not ok and e == "x!" and seen == "x")`,
		"after a coroutine failed": `
			local n = 0
			local function add() n = n + 1 end
			coroutine.resume(coroutine.create(function() add() error("x") end))
			add()
			assert(n == 2)`,
		"after an overflow": `
			local n = 0
			local function add() n = n + 1 end
			local function deep() return 1 + deep() end
			assert(not pcall(deep))
			add()
			assert(n == 1)`,
	} {
		t.Run(name, func(t *testing.T) { passes(t, nil, source) })
	}
}

func TestPcall_Overflows_AreErrorsOfLua(t *testing.T) {
	for name, source := range map[string]string{
		"calls":       `local function f() return 1 + f() end return f`,
		"pcalls":      `local function f() local ok, e = pcall(f) if not ok then error(e, 0) end end return f`,
		"coroutines":  `local function f() return coroutine.wrap(f)() end return f`,
		"metamethods": `local mt = {} mt.__index = function() return setmetatable({}, mt).x end return mt.__index`,
		"values":      `return function() return unpack({}, 1, 1e7) end`,
	} {
		t.Run(name, func(t *testing.T) {
			passes(t, nil, `
				local f = (function() `+source+` end)()
				for _ = 1, 3 do
					local ok, e = pcall(f)
					assert(not ok and (e:find("overflow") or e:find("too many")), tostring(e))
				end
				assert(select("#", pcall(function() return 1, 2 end)) == 3)`)
		})
	}
}

func TestCoroutines_AreThoseOfLua(t *testing.T) {
	passes(t, nil, `
		assert(coroutine.running() == nil)
		local co
		co = coroutine.create(function(a, b)
			assert(coroutine.running() == co and coroutine.status(co) == "running")
			assert(pcall(function() assert(coroutine.running() == co) end))
			local inner = coroutine.create(function() return coroutine.status(co), coroutine.resume(co) end)
			local _, status, ok, e = coroutine.resume(inner)
			assert(status == "normal" and not ok and e == "cannot resume normal coroutine", tostring(e))
			assert(coroutine.status(inner) == "dead")
			local c = coroutine.yield(a + b)
			local d, e = coroutine.yield(c * 2)
			return d, e
		end)
		assert(coroutine.status(co) == "suspended")
		local function same(ok, ...) assert(ok) return ... end
		assert(same(coroutine.resume(co, 1, 2)) == 3)
		assert(same(coroutine.resume(co, 4)) == 8)
		local ok
		local d, e = same(coroutine.resume(co, "d", "e"))
		assert(d == "d" and e == "e" and coroutine.status(co) == "dead")
		ok, e = coroutine.resume(co)
		assert(not ok and e == "cannot resume dead coroutine")
		local last = coroutine.wrap(function() return coroutine.yield(7) end)
		assert(last() == 7 and last("x") == "x")
		local function ask(q) return coroutine.yield(q) end
		co = coroutine.create(function() return ask("name?") end)
		assert(same(coroutine.resume(co)) == "name?" and same(coroutine.resume(co, "bob")) == "bob" and coroutine.status(co) == "dead")
		for name, across in pairs({
			iterator = function() for x in function() return coroutine.yield("it") end do end end,
			metamethod = function() return setmetatable({}, { __index = function() coroutine.yield(1) end }).x end,
		}) do
			co = coroutine.create(across)
			local ok, e = coroutine.resume(co)
			assert(not ok and e == "attempt to yield across metamethod/C-call boundary", name)
			assert(coroutine.status(co) == "dead" and not coroutine.resume(co))
			ok, e = pcall(coroutine.wrap(across))
			assert(not ok and e:find("attempt to yield across"), name)
		end
		co = coroutine.create(function() local x, y = coroutine.yield() return x == nil and y == nil, coroutine.yield() or "default" end)
		coroutine.resume(co)
		coroutine.resume(co, nil)
		ok, d, e = coroutine.resume(co)
		assert(ok and d == true and e == "default")
		for _, callback in ipairs({
			function() table.sort({ 3, 2, 1 }, function() coroutine.yield() end) end,
			function() string.gsub("x", "x", function() coroutine.yield() end) end,
			function() return setmetatable({}, { __add = function() coroutine.yield() end }) + 1 end,
			function() return tostring(setmetatable({}, { __tostring = function() coroutine.yield() end })) end,
		}) do
			ok, e = coroutine.resume(coroutine.create(callback))
			assert(not ok and e:find("attempt to yield across"), e)
		end
		ok, e = pcall(coroutine.create, coroutine.yield)
		assert(not ok and e:find("Lua function expected"))
		ok, e = pcall(coroutine.create, print)
		assert(not ok and e == "bad argument #1 to 'create' (Lua function expected)")
		local wrapped = coroutine.wrap(function() error({ code = 1 }) end)
		ok, e = pcall(wrapped)
		assert(not ok and e.code == 1)
		ok, e = pcall(wrapped)
		assert(not ok and e:find("cannot resume dead coroutine"))
		ok, e = pcall(coroutine.wrap, nil)
		assert(not ok and e:find("Lua function expected"))
		ok, e = pcall(coroutine.yield)
		assert(not ok and e:find("attempt to yield across"))
		local across = coroutine.create(function() return pcall(coroutine.yield, 1) end)
		ok, e, d = coroutine.resume(across)
		assert(ok and not e and d:find("attempt to yield across"))
		local sum = 0
		for v in coroutine.wrap(function() for i = 1, 10 do coroutine.yield(i) end end) do sum = sum + v end
		assert(sum == 55)`)
}

func TestEnvironments_AreThoseOfLua(t *testing.T) {
	setup := func(L *lua.LState) {
		if err := L.DoString(`hostglobal = 1 function written() return hostglobal, print end`); err != nil {
			panic(err)
		}
	}
	passes(t, &script.Options{Setup: setup}, `
		assert(getfenv() == _G and getfenv(1) == _G and getfenv(0) == _G and getfenv(print) == _G and getfenv(written) == _G)
		local function f() return x end
		assert(setfenv(f, { x = 7 }) == f and f() == 7 and x == nil and getfenv(f).x == 7)
		local ok, e = pcall(setfenv, print, {})
		assert(not ok and e:find("cannot change environment"))
		ok, e = pcall(setfenv, written, {})
		assert(not ok and e:find("cannot change environment"))
		ok, e = pcall(getfenv, 99)
		assert(not ok and e:find("invalid level"))
		ok, e = pcall(getfenv, -1)
		assert(not ok and e:find("invalid level"))
		local a, b = written()
		assert(a == 1 and b == print)
		print = nil
		assert(print == nil and rawget(_G, "print") == nil and select(2, written()) ~= nil)
		_G.y = 3
		assert(y == 3)
		local names = {}
		for k in pairs(_G) do names[k] = true end
		assert(names.string and names.written and names.arg and names._G and not names.print)
		assert(getmetatable(_G) == nil)
		setmetatable(_G, { __index = function(_, k) error("undeclared " .. k, 2) end })
		ok, e = pcall(function() return undeclared end)
		assert(not ok and e:find("undeclared undeclared") and type(string) == "table" and tostring(1) == "1")`)
	passes(t, nil, `
		module("a.b", package.seeall)
		function f() return type(string) end
		assert(_M == _G.a.b and _NAME == "a.b" and _PACKAGE == "a." and package.loaded["a.b"] == _M and _M.f() == "table")`)
	passes(t, nil, `
		string.trim = function(s) return (s:gsub("^%s+", "")) end
		assert(("  x"):trim() == "x" and string.trim(" y") == "y")
		getmetatable("").__index.twice = function(s) return s .. s end
		assert(("x"):twice() == "xx" and string.twice("y") == "yy")`)
	passes(t, nil, `
		getmetatable("").__index.twice = function(s) return s .. s end
		assert(string.twice("y") == "yy")`)
}

func TestRequire_LibraryThatIsAssignedLater(t *testing.T) {
	passes(t, &script.Options{Modules: files("patch.lua", `
		string.trim = function() return "trimmed" end
		local math = math
		math.answer = 42
		print = nil`)}, `
		assert(string.trim == nil and ("x"):rep(2) == "xx")
		require("patch")
		assert(string.trim() == "trimmed" and ("x"):trim() == "trimmed" and math.answer == 42 and print == nil)`)
}

func TestGrants(t *testing.T) {
	for name, c := range map[string]struct {
		grants []script.Grant
		source string
	}{
		"load": {[]script.Grant{script.GrantLoad}, `
			assert(loadstring("return 1 + 1")() == 2 and loadstring("x = ...")(3) == nil and x == 3)
			local f, e = loadstring("x = = 1")
			assert(f == nil and e == '[string "x = = 1"]:1: syntax error near "="', e)
			f, e = loadstring("x =", "=mine")
			assert(f == nil and e:find("^mine:"))
			local pieces, i = { "return ", "4", "2" }, 0
			assert(load(function() i = i + 1 return pieces[i] end)() == 42)
			f, e = loadstring(("{"):rep(1e5))
			assert(f == nil and e:find("nested too deeply"))
			assert(loadstring("string.mine = 1 return string.mine")() == 1 and string.mine == 1)
			assert(loadstring("print = nil")() == nil and print == nil)
			assert(io == nil and os.exit == nil and loadfile == nil and debug == nil)`},
		"os": {[]script.Grant{script.GrantOS}, `
			assert(os.getenv("PATH") and os.execute and os.remove and os.date("!%Y", 0) == "1970")
			assert(require("os") == os and io == nil and loadstring == nil)
			assert(os.date("!%x", 1e9) == "09/09/01" and not pcall(os.time, { year = 2024 }), "the safe ones stay ours")`},
		"io": {[]script.Grant{script.GrantIO, script.GrantOS}, `
			local name = os.tmpname()
			local f = assert(io.open(name, "w"))
			f:write("return ", "...")
			f:close()
			assert(loadfile(name)(5) == 5 and dofile(name) == nil)
			assert(os.remove(name))
			local held = assert(io.open(name, "w"))
			held:close()
			assert(io.popen)
			local fn, e = loadfile("no/such/file")
			assert(fn == nil and e:find("cannot open"))
			local ok, e = pcall(dofile, "no/such/file")
			assert(not ok and e:find("cannot open"))`},
		"io without os": {[]script.Grant{script.GrantIO}, `assert(io.open and io.popen == nil)`},
		"debug":         {[]script.Grant{script.GrantDebug}, `assert(debug.traceback():find("traceback"))`},
	} {
		t.Run(name, func(t *testing.T) { passes(t, &script.Options{Grants: c.grants}, c.source) })
	}
}

func TestGrantIO_WhatFilesHoldBack_IsWritten(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	for end, source := range map[string]string{"": ``, "an error": `error("x")`, "a full deadline": `while true do end`} {
		o := &script.Options{Grants: []script.Grant{script.GrantIO}}
		if strings.HasPrefix(source, "while") {
			o.Timeout = 300 * time.Millisecond // in which the file has to be written
		}
		_, _ = run(t, o, `
			local f = assert(io.open((...), "w"))
			f:setvbuf("full")
			f:write("held back")
		`+source, name)
		if got, err := os.ReadFile(name); err != nil || string(got) != "held back" {
			t.Errorf("after %s: got %q, %v", end, got, err)
		}
	}
}

func TestGrantOS_Exit_EndsTheUnit(t *testing.T) {
	o := &script.Options{Grants: []script.Grant{script.GrantOS}}
	for name, source := range map[string]string{
		"plain":              `os.exit(3)`,
		"in pcall":           `while true do pcall(os.exit, 3) end`,
		"in a coroutine":     `coroutine.wrap(function() os.exit(3) end)()`,
		"resumed":            `coroutine.resume(coroutine.create(function() os.exit(3) end)) return 1`,
		"in a metamethod":    `return tostring(setmetatable({}, { __tostring = function() os.exit(3) end }))`,
		"in an error":        `error(setmetatable({}, { __tostring = function() os.exit(3) end }))`,
		"as the last result": `return pcall(os.exit, 3)`,
	} {
		t.Run(name, func(t *testing.T) {
			failed := fail(t, o, opens+source)
			if failed.Kind != script.KindExit || failed.ExitCode != 3 || failed.Message != "script exited with code 3" {
				t.Errorf("got %s %d: %s", failed.Kind, failed.ExitCode, failed.Message)
			}
		})
	}
	if failed := fail(t, o, `os.exit()`); failed.Kind != script.KindExit || failed.ExitCode != 0 {
		t.Errorf("got %s %d", failed.Kind, failed.ExitCode)
	}
}

func TestParseGrants(t *testing.T) {
	got, err := script.ParseGrants("io, os")
	if err != nil || len(got) != 2 || got[0] != script.GrantIO || got[1] != script.GrantOS {
		t.Errorf("got %v, %v", got, err)
	}
	for _, list := range []string{"", "io,", "files", "IO"} {
		if got, err := script.ParseGrants(list); err == nil || !strings.Contains(err.Error(), "want some of io, os, load, debug") {
			t.Errorf("%q: got %v, %v", list, got, err)
		}
	}
}

func TestOutput_IsBounded(t *testing.T) {
	var out strings.Builder
	failed := fail(t, &script.Options{Stdout: &out, Output: 10}, "print('12345')\nprint('123')\nprint('123')")
	if failed.Message != "test.lua:3: print: more than 10 bytes of output" || out.String() != "12345\n123\n" {
		t.Errorf("got %s, %q", failed.Message, out.String())
	}
}

// A writer that panics.
type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("bad writer") }

func TestPrint_WriterPanics_IsAnError(t *testing.T) {
	failed := fail(t, &script.Options{Stdout: panicking{}}, `print(1)`)
	if !strings.Contains(failed.Message, "print: panic: bad writer") {
		t.Errorf("got %v", failed)
	}
}
