package luaunit

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/script"
)

func TestRun_NoCaseSeesAnother(t *testing.T) {
	results := runAll(t, nil, file(`
		local s = test.ok(store.get("s"))
		local lib = require("lib")
		local seen = s:incr("top:runs")
		local function fresh()
			test.equal(seen, 1)
			test.equal(s:incr("case:runs"), 1)
			test.no(global)
			test.no(lib.touched)
			test.no(string.touched)
			global, lib.touched, string.touched, test.touched = 1, 1, 1, 1
		end
		test.case("first", fresh)
		test.case("second", fresh)
		test.case("third", function() fresh() test.fail("and failed") end)
		test.case("fourth", fresh)
		after = true
	`, "lib.lua", "return {}"))
	for name, r := range results {
		if want := name == "third"; (r.Status == Failed) != want || r.Status == Broken {
			t.Errorf("%s: got %+v", name, r)
		}
	}
	if len(results) != 4 {
		t.Errorf("got %d results", len(results))
	}
}

func TestRun_TheWholeTopLevelComesBeforeTheCase(t *testing.T) {
	got := runAll(t, nil, file(`
		test.case("uses what stands below", function() test.equal(helper(), 7) end)
		function helper() return 7 end
		return "ignored"`))
	if r := got["uses what stands below"]; r.Status != Passed {
		t.Errorf("got %+v", r)
	}
}

// No detour of Lua lets a case go on when an assertion failed.
func TestRun_AnAssertionThatFailed_CannotBeCaught(t *testing.T) {
	for name, body := range map[string]string{
		"pcall":         `pcall(test.equal, 1, 2) print("went on")`,
		"pcall of Lua":  `pcall(function() test.equal(1, 2) end) print("went on")`,
		"xpcall":        `xpcall(function() test.equal(1, 2) end, function() print("went on") end) print("went on")`,
		"resume":        `coroutine.resume(coroutine.create(function() test.equal(1, 2) end)) print("went on")`,
		"wrap":          `pcall(coroutine.wrap(function() test.equal(1, 2) end)) print("went on")`,
		"test.fails":    `test.fails(function() test.equal(1, 2) end) print("went on")`,
		"a metamethod":  `pcall(function() return setmetatable({}, { __index = function() test.equal(1, 2) end }).x end) print("went on")`,
		"s:update":      `store.get("s"):update("a:b", function() test.equal(1, 2) end) print("went on")`,
		"s:fetch":       `pcall(function() store.get("s"):fetch("a:b", function() test.equal(1, 2) end) end) print("went on")`,
		"another later": `pcall(test.equal, 1, 2) pcall(test.equal, 3, 4) test.skip("no")`,
	} {
		got := runBody(t, nil, body)
		place := "x_test.lua:3"
		if strings.HasPrefix(body, "pcall(test.equal") {
			place = "x_test.lua:2" // of the case
		}
		if got.Status != Failed || got.Message != place+": got 1, want 2" || got.Output != "" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestRun_WhatFailsInAModule_NamesBothPlaces(t *testing.T) {
	got := runAll(t, nil, file(`
		local check = require("lib.check")
		test.case("asserts", function()
			check.one(2)
		end)
		test.case("raises", function()
			check.raise()
		end)`, "lib/check.lua", `
		local test = require("test")
		return {
			one = function(n) test.equal(n, 1) end,
			raise = function() error("boom") end,
		}`))
	if r := got["asserts"]; r.Status != Failed || r.Message != "x_test.lua:5: got 2, want 1 (checked at lib/check.lua:4)" {
		t.Errorf("got %+v", r)
	}
	r := got["raises"]
	const from = "called from\n  x_test.lua:8: in function "
	if r.Status != Broken || r.Message != "lib/check.lua:5: boom" || !strings.HasPrefix(r.Traceback, from) {
		t.Errorf("got %+v", r)
	}
}

func TestRun_ErrorsAndBounds_BreakTheCase(t *testing.T) {
	for body, want := range map[string]string{
		`error("boom")`:                           "x_test.lua:3: boom",
		`error({ code = 1 })`:                     "x_test.lua:3: raised { code = 1 }",
		`error({ print })`:                        "x_test.lua:3: (error object is a table value)",
		`error("ratio 3", 0)`:                     "x_test.lua:3: ratio 3",
		`coroutine.yield(1)`:                      "x_test.lua:3: attempt to yield across metamethod/C-call boundary",
		`local x; x()`:                            "x_test.lua:3: attempt to call a non-function object",
		`while true do end`:                       "x_test.lua:3: stopped: deadline of 300ms passed",
		`pcall(function() while true do end end)`: "stopped: deadline of 300ms passed",
		`os.exit(3)`:                              "x_test.lua: a test must not call os.exit",
		`require("missing")`:                      `x_test.lua:3: module "missing" not found: no file missing.lua, missing/init.lua`,
		`require("../x")`://
		`x_test.lua:3: bad module name "../x": want names with dots, such as "lib.cart" for lib/cart.lua`,
		`print(("x"):rep(2 ^ 20 + 1))`: "print: more than 1048576 bytes of output",
	} {
		o := &Options{Grants: []script.Grant{script.GrantOS}}
		if strings.Contains(want, "deadline") {
			o.Timeout = 300 * time.Millisecond // in which the body has to be reached
		}
		got := runBody(t, o, body)
		traced := got.Traceback == "" || strings.HasPrefix(got.Traceback, "called from\n  ")
		if got.Status != Broken || !strings.HasSuffix(got.Message, want) || !traced {
			t.Errorf("%s: got %+v\nwant %s", body, got, want)
		}
	}
}

func TestRun_TooMuchMemory_BreaksTheCase(t *testing.T) {
	got := runBody(t, &Options{Memory: 16 << 20}, `local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1e5) .. i end`)
	if got.Status != Broken || !strings.Contains(got.Message, "memory") {
		t.Errorf("got %+v", got)
	}
}

func TestRun_WhatScriptsDoNotHave_IsTold(t *testing.T) {
	for body, want := range map[string]script.Grant{
		`io.open("x")`: script.GrantIO, `load("return 1")`: script.GrantLoad, `loadstring("x")`: script.GrantLoad,
	} {
		if got := runBody(t, nil, body); got.Status != Broken || got.Missing != want {
			t.Errorf("%s: got %+v", body, got)
		}
	}
	granted := &Options{Grants: []script.Grant{script.GrantLoad}}
	if got := runBody(t, granted, `test.equal(loadstring("return 1 + 1")(), 2)`); got.Status != Passed {
		t.Errorf("got %+v", got)
	}
}

func TestRun_KeepsWhatIsPrinted(t *testing.T) {
	got := runBody(t, nil, `print("a", 1) print("\0\255") test.fail("x")`)
	if got.Output != "a\t1\n\x00\xff\n" || got.Took <= 0 {
		t.Errorf("got %+v", got)
	}
}

func TestRun_Skip_TellsWhy(t *testing.T) {
	got := runBody(t, nil, `pcall(function() test.skip("needs a network") end) test.fail("x")`)
	if got.Status != Skipped || got.Message != "x_test.lua:3: needs a network" {
		t.Errorf("got %+v", got)
	}
	if got := collect(t.Context(), t, file(`test.skip("not yet")`)); got.Status != Skipped || got.Message != "x_test.lua:2: not yet" {
		t.Errorf("got %+v", got)
	}
}

func TestCollect_NamesTheCasesInTheirOrder(t *testing.T) {
	cases, unusable := New(nil).Collect(t.Context(), file(`
		for _, n in ipairs({ 3, 1, 2 }) do
			test.case("number " .. n, function() end)
		end
		test.case("größer", error)`))
	want := []Case{{"number 3", 4}, {"number 1", 4}, {"number 2", 4}, {"größer", 6}}
	if unusable != nil || !slices.Equal(cases, want) {
		t.Errorf("got %+v, %+v", cases, unusable)
	}
}

func TestCollect_WhatIsWrongWithAFile_IsOneResult(t *testing.T) {
	for source, want := range map[string]string{
		``:                  `x_test.lua: no cases in it: want test.case("what holds", function() ... end)`,
		`x = = 1`:           `x_test.lua:2: syntax error near "="`,
		`error("boom")`:     `x_test.lua:2: boom`,
		`test.equal(1, 2)`:  `x_test.lua:2: got 1, want 2`,
		`require("broken")`: `broken.lua:1: syntax error near "end"`,
		"test.case('a', error)\n\ntest.case('a', error)"://
		`x_test.lua:4: two cases are named "a", the first in line 2: give each a name of its own`,
		"test.case('a', error)\npcall(test.case, 'a', error)"://
		`x_test.lua: two cases are named "a", the first in line 2: give each a name of its own`,
		`test.case("a")`:                   `x_test.lua:2: want test.case("what holds", function() ... end), got a string and a nil`,
		`test.case(1, error)`:              `x_test.lua:2: want test.case("what holds", function() ... end), got a number and a function`,
		`test.case(" ", error)`:            `x_test.lua:2: bad name of a case: want 1 to 200 bytes of text in one line`,
		`test.case("a\nb", error)`:         `x_test.lua:2: bad name of a case: want 1 to 200 bytes of text in one line`,
		`test.case("\255", error)`:         `x_test.lua:2: bad name of a case: want 1 to 200 bytes of text in one line`,
		`test.case(("x"):rep(201), error)`: `x_test.lua:2: bad name of a case: want 1 to 200 bytes of text in one line`,
	} {
		got := collect(t.Context(), t, file(source, "broken.lua", "end"))
		if !strings.Contains(got.Message, want) || got.Case != (Case{}) || got.Status == Passed {
			t.Errorf("%s: got %+v\nwant %s", source, got, want)
		}
	}
}

func TestRun_ACaseThatIsGone_IsTold(t *testing.T) {
	got := New(nil).Run(t.Context(), file(`test.case("a", error)`), Case{Name: "b"})
	if got.Status != Broken || got.Message != `x_test.lua: the file no longer has a case named "b": names must not change from run to run` {
		t.Errorf("got %+v", got)
	}
}

func TestRequire_LooksInTheFoldersInTheirOrder(t *testing.T) {
	f := file(`
		local near, far, both, init = require("near"), require("lib.far"), require("both"), require("pkg")
		test.case("a module is loaded once", function()
			test.equal({ near.name, far.name, both.name, init.name }, { "near", "lib.far", "near both", "pkg" })
			test.ok(require("near") == near and package.loaded["lib.far"] == far)
			test.ok(require("inner") == "inner of near")
		end)
		test.case("a test may stand in for a module", function()
			package.loaded["lib.far"] = "loaded"
			package.preload.fake = function(name) return "made " .. name end
			test.equal(require("lib.far"), "loaded")
			test.equal(require("fake"), "made fake")
			package.loaded.near = nil
			test.ok(require("near") ~= near)
		end)
		test.case("what was loaded is there without the table package", function()
			local kept = near
			package = nil
			test.ok(require("near") == kept)
			package = "nonsense"
			test.ok(require("near") == kept)
		end)
		test.case("modules that require each other are told", function()
			test.fails(function() require("ring") end, "modules require each other: ring → ring2 → ring")
		end)
		test.case("a module that raises names its own file", function()
			test.fails(function() require("lib.raises") end, "^lib/raises.lua:1: boom$")
			test.fails(function() require("sour") end, "^tests/sour.lua:1: boom$")
		end)`)
	f.Modules = []Folder{
		{Name: "tests", Files: fstest.MapFS{
			"near.lua":  {Data: []byte(`return { name = ... }`)},
			"both.lua":  {Data: []byte(`return { name = "near both" }`)},
			"inner.lua": {Data: []byte(`return "inner of near"`)},
			"sour.lua":  {Data: []byte(`error("boom")`)},
		}},
		{Name: ".", Files: fstest.MapFS{
			"lib/far.lua":    {Data: []byte(`require("inner") return { name = ... }`)},
			"lib/raises.lua": {Data: []byte(`error("boom")`)},
			"both.lua":       {Data: []byte(`return { name = "far both" }`)},
			"pkg/init.lua":   {Data: []byte(`return { name = ... }`)},
			"ring.lua":       {Data: []byte(`require("ring2")`)},
			"ring2.lua":      {Data: []byte(`require("ring")`)},
		}},
	}
	for name, r := range runAll(t, nil, f) {
		if r.Status != Passed {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestRequire_WhatCannotBeRead_IsTold(t *testing.T) {
	f := file(`require("dir")`)
	f.Modules = []Folder{{Name: "lib", Files: fstest.MapFS{"dir.lua/x": {}}}}
	if got := collect(t.Context(), t, f); !strings.HasPrefix(got.Message, "x_test.lua:2: cannot read module file lib/dir.lua: ") {
		t.Errorf("got %+v", got)
	}
}

// Stores are those of the configuration, whatever they are opened as there.
func TestRun_WithDefinitions_OpensThoseInMemory(t *testing.T) {
	unreachable := store.Opener{Connection: new(int), Open: func(context.Context) (store.Driver, error) {
		return nil, errors.New("a test opened a real store")
	}}
	bounded := memstore.Opener(&memstore.Options{MaxEntries: 2})
	options := &Options{Stores: map[string]store.Definition{
		"users":    {Open: unreachable, Prefix: "users", MaxTTL: time.Minute},
		"orders":   {Open: unreachable, Prefix: "orders"},
		"all":      {Open: unreachable},
		"readonly": {Open: unreachable, ReadOnly: true},
		"small":    {Open: bounded},
		"alone":    {Open: store.Opener{Open: unreachable.Open}},
	}}
	f := file(`
		test.case("prefixes and times to live hold", function()
			local users = test.ok(store.get("users"))
			test.ok(users:set("id:1", "Ada"))
			test.near(users:ttl("id:1"), 60, 10)
			test.no(store.get("orders"):has("id:1"))
			test.ok(store.get("all"):has("users:id:1"))
			test.no(store.get("alone"):has("users:id:1"))
		end)
		test.case("limits hold", function()
			local small = store.get("small")
			test.ok(small:set("a:1", 1) and small:set("a:2", 2))
			local _, _, kind = small:set("a:3", 3)
			test.equal(kind, "full")
			local _, _, denied = store.get("readonly"):set("a:1", 1)
			test.equal(denied, "denied")
		end)
		test.case("others do not exist", function()
			local _, _, kind = store.get("other")
			test.equal(kind, "store_not_found")
		end)
		test.case("they are empty again", function()
			for _, id in ipairs({ "users", "orders", "all", "readonly", "small", "alone" }) do
				test.equal(test.ok(store.get(id):list({})).items, {}, id)
			end
		end)`)
	for name, r := range runAll(t, options, f) {
		if r.Status != Passed {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestRun_WhenTheContextEnds_StopsTheCase(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := file(`test.case("x", function() while true do pcall(coroutine.wrap(function() while true do end end)) end end)`)
	done := make(chan Result)
	go func() { done <- New(nil).Run(ctx, f, Case{Name: "x"}) }()
	cancel()
	if got := <-done; got.Status != Broken || !strings.Contains(got.Message, "stopped") {
		t.Errorf("got %+v", got)
	}
}

func TestAssertions_WhenTheCaseIsStoppedInside_AreNotBlamed(t *testing.T) {
	for _, body := range []string{
		`test.matches(("a"):rep(1e5), ("a*"):rep(30) .. "b")`,
		`test.fails(function() while true do end end, "^boom$")`,
		`test.fails(function() local all = {} while true do all[#all + 1] = ("x"):rep(1e5) .. #all end end, "^boom$")`,
	} {
		got := runBody(t, &Options{Timeout: 300 * time.Millisecond, Memory: 20e6}, body)
		if got.Status != Broken || !strings.HasPrefix(got.Message, "x_test.lua:3: stopped: ") {
			t.Errorf("%s: got %+v", body, got)
		}
	}
}

// A stuckFS has files that are like a named pipe to which nobody writes.
type stuckFS struct{ release chan struct{} }

func (s stuckFS) Open(name string) (fs.File, error) {
	<-s.release
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func TestRequire_OfAFileThatNeverAnswers_EndsWithTheCase(t *testing.T) {
	stuck := stuckFS{make(chan struct{})}
	defer close(stuck.release)
	f := file(`test.case("x", function() pcall(require, "pipe") end)`)
	f.Modules = []Folder{{Name: ".", Files: stuck}}
	if got := runAll(t, &Options{Timeout: 300 * time.Millisecond}, f)["x"]; got.Message != "x_test.lua:2: stopped: deadline of 300ms passed" {
		t.Errorf("got %+v", got)
	}
}

func TestMessage_OfAnyLength_IsBounded(t *testing.T) {
	const long = `("ü"):rep(1e6)`
	for _, body := range []string{"test.fail(" + long + ")", "test.ok(nil, " + long + ")", "test.equal(1, 2, " + long + ")"} {
		got := runBody(t, nil, body)
		if len(got.Message) > maxMessage+50 || !utf8.ValidString(got.Message) || !strings.Contains(got.Message, "ü... (2000") {
			t.Errorf("%s: got %d bytes, which end in %q", body, len(got.Message), got.Message[len(got.Message)-50:])
		}
	}
}
