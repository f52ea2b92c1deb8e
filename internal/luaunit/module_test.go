package luaunit

import (
	"context"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

func TestAssertions_WhenTheyHold_Pass(t *testing.T) {
	for _, body := range []string{
		`test.equal(1, 1.0)`,
		`test.equal(0/0, 0/0)`,
		`test.equal(-0, 0)`,
		`test.equal({ 1, 2, x = { true } }, { x = { true }, 1, 2 })`,
		`test.equal({ [0/1] = 1, [true] = 2, [2.5] = 3 }, { [true] = 2, [2.5] = 3, [0] = 1 })`,
		`test.equal(nil, nil)`,
		`test.equal(print, print)`,
		`test.equal(setmetatable({}, { __eq = error, __index = error }), {})`,
		`local a, b = {}, {} a.self, b.self = a, b test.equal(a, b)`,
		`local a, b = {}, {} a.self, b.self = b, a test.equal(a, b)`,
		`local a, b = {}, {} for _ = 1, 5000 do a, b = { a }, { b } end test.equal(a, b)`,
		`test.not_equal({ 1 }, { 1, 2 })`,
		`test.not_equal("1", 1)`,
		`test.not_equal({ nil }, nil)`,
		`test.ok(0) test.ok("") test.ok({})`,
		`local a, b, c = test.ok(1, nil, 3) test.equal({ a, b or "nil", c }, { 1, "nil", 3 })`,
		`test.no(nil) test.no(false) test.no(nil, "x")`,
		`test.near(0.1 + 0.2, 0.3, 1e-9) test.near(1, 2, 1) test.near(0/0, 0/0, 0) test.near(math.huge, math.huge, 0)`,
		`test.equal({ test.matches("id=42 x=1", "id=(%d+) x=(%d+)") }, { "42", "1" })`,
		`test.equal(test.matches("abc", "^a.c$"), "abc")`,
		`test.matches(test.fails(function() error("boom") end), "x_test.lua:3: boom$")`,
		`local raised = { code = 7 } test.ok(test.fails(function() error(raised) end) == raised)`,
		`test.fails(function() error("boom", 0) end, "^boom$")`,
		`test.fails(function() error(setmetatable({}, { __tostring = function() return "told" end })) end, "^told$")`,
		`test.equal(test.fails(function() error() end), nil)`,
		`test.fails(function() local x = nil; return x.y end, "attempt to index")`,
	} {
		if got := runBody(t, nil, body); got.Status != Passed || got.Message != "" {
			t.Errorf("%s: got %+v", body, got)
		}
	}
}

func TestAssertions_WhenTheyDoNotHold_SayWhatAndWhere(t *testing.T) {
	for body, want := range map[string]string{
		`test.equal(41, 42)`:                                      `got 41, want 42`,
		`test.equal(41, 42, "the answer")`:                        `the answer: got 41, want 42`,
		`test.equal("1", 1)`:                                      `got "1", want 1`,
		`test.equal(nil, false)`:                                  `got nil, want false`,
		`test.equal({ a = 1, 2 }, { 2, b = 1 })`:                  `got { 2, a = 1 }, want { 2, b = 1 }`,
		`test.equal({}, { {} })`:                                  `got {}, want { {} }`,
		`test.equal({ ["x y"] = 1, ["end"] = 2, [1.5] = 0 }, {})`: `got { [1.5] = 0, ["end"] = 2, ["x y"] = 1 }, want {}`,
		`test.equal("a\0b", "ab")`:                                `got "a\0b", want "ab"`,
		`test.equal("a ", "a\t")`:                                 `got "a ", want "a\t"`,
		`test.equal("a\194\160b", "a b")`:                         `got "a\194\160b", want "a b"`,
		`test.equal("a\226\128\139b", "ab")`:                      `got "a\226\128\139b", want "ab"`,
		`test.equal("Grüße", "Grüsse")`:                           `got "Grüße", want "Grüsse"`,
		`test.equal("\255\254", "x")`:                             `got "\255\254", want "x"`,
		`test.equal(print, error)`:                                `got <function>, want another value that looks the same`,
		`test.equal({ f = print }, { f = error })`:                `at .f: got <function>, want another value that looks the same`,
		`test.equal(0/0, 1)`:                                      `got 0/0, want 1`,
		`test.equal(store.get("s"), nil)`:                         `got <userdata>, want nil`,
		`test.not_equal({ 1 }, { 1 })`:                            `both are { 1 }`,
		`test.not_equal(1, 1, "ids")`:                             `ids: both are 1`,
		`test.ok(nil)`:                                            `got nil, want a value that is not nil or false`,
		`test.ok(false)`:                                          `got false, want a value that is not nil or false`,
		`test.ok(nil, "no such thing")`:                           `got nil: no such thing`,
		`test.ok(store.get("s"):get("bad"))`:                      `got nil: invalid key "bad": want "namespace:name" (invalid)`,
		`test.no(0)`:                                              `got 0, want nil or false`,
		`test.no({}, "nothing is there")`:                         `nothing is there: got {}, want nil or false`,
		`test.near(1.5, 1, 0.25)`:                                 `got 1.5, want 1 ± 0.25: they are 0.5 apart`,
		`test.near("1", 1, 0.25, "price")`:                        `price: got "1", want 1 ± 0.25`,
		`test.near(0/0, 1, 5)`:                                    `got 0/0 (not a number), want 1 ± 5: they are 0/0 (not a number) apart`,
		`test.matches("abc", "^b")`:                               `got "abc", want a text that matches "^b"`,
		`test.matches("abc", "^b", "first letter")`:               `first letter: got "abc", want a text that matches "^b"`,
		`test.matches(nil, "^b")`:                                 `got nil, want a text that matches "^b"`,
		`test.fails(function() end)`:                              `no error was raised`,
		`test.fails(function() return store.get("s"):get("a:b") end)`://
		`no error was raised: the function returned nil and "key not found", which test.no and test.matches can look at`,
		`test.fails(function() error("boom", 0) end, "^bang$")`: `the error is "boom", want one that matches "^bang$"`,
		`test.fail("never here")`:                               `never here`,
	} {
		got := runBody(t, nil, body)
		if got.Status != Failed || got.Message != "x_test.lua:3: "+want || got.Diff != "" || got.Traceback != "" {
			t.Errorf("%s: got %+v\nwant %s", body, got, want)
		}
	}
}

func TestAssertions_WrongCalls_BreakTheCase(t *testing.T) {
	for body, want := range map[string]string{
		`test.equal(1)`:          `want test.equal(got, want [, message]), got 1 of 2 arguments`,
		`test.ok()`:              `want test.ok(value, ...), got 0 of 1 arguments`,
		`test.near(1, 1)`:        `want test.near(got, want, tolerance [, message]) with numbers, and a tolerance of 0 or more`,
		`test.near(1, 1, -1)`:    `want test.near(got, want, tolerance [, message]) with numbers, and a tolerance of 0 or more`,
		`test.near(1, 1, 0/0)`:   `want test.near(got, want, tolerance [, message]) with numbers, and a tolerance of 0 or more`,
		`test.matches("x")`:      `want test.matches(text, pattern [, message]) with a pattern of Lua, got a nil`,
		`test.matches("x", "(")`: `bad pattern "(": unfinished capture`,
		`test.fails("x")`:        `want test.fails(function() ... end [, pattern])`,
		`test.fails(error, 1)`:   `want test.fails(function() ... end [, pattern])`,
		`test.fail()`:            `want test.fail(message)`,
		`test.skip()`:            `want test.skip(reason)`,
		`test:ok(false)`:         `want test.ok(...) with a dot, got test:ok(...)`,
		`test:not_equal(1, 1)`:   `want test.not_equal(...) with a dot, got test:not_equal(...)`,
		`test.equals(1, 1)`:      `the module test has no "equals": did you mean test.equal?`,
		`test.describe()`://
		`the module test has no "describe": it has case, equal, fail, fails, matches, near, no, not_equal, ok, skip`,
		`test.case("y", function() end)`:        `test.case inside a case: cases stand at the top level of the file`,
		`pcall(test.case, "y", function() end)`: `test.case inside a case: cases stand at the top level of the file`,
	} {
		got := runBody(t, nil, body)
		if got.Status != Broken || !strings.HasPrefix(got.Message, "x_test.lua") || !strings.HasSuffix(got.Message, ": "+want) {
			t.Errorf("%s: got %+v\nwant %s", body, got, want)
		}
	}
}

func TestDiff_ShowsWhatIsDifferentInItsPlace(t *testing.T) {
	for name, c := range map[string]struct{ body, message, diff string }{
		"tables": {
			`test.equal({ name = "Ada Lovelace", roles = { "reader", "editor" }, address = { city = "London", street = "St James's Square" } },
				{ name = "Ada Lovelace", roles = { "reader" }, address = { city = "Paris", street = "St James's Square" }, age = 36 })`,
			`at .roles[2]: got "editor", want nil`, `
			--- want
			+++ got
			 {
			-  address = { city = "Paris", street = "St James's Square" },
			-  age = 36,
			+  address = { city = "London", street = "St James's Square" },
			   name = "Ada Lovelace",
			-  roles = { "reader" },
			+  roles = { "reader", "editor" },
			 }
			`,
		},
		"a table for nothing": {
			`test.equal(nil, { ("x"):rep(30), ("y"):rep(30) })`,
			`got nil, want a table`, `
			--- want
			+++ got
			-{
			-  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			-  "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
			-}
			+nil
			`,
		},
		"lines of text": {
			`local text = "Dear Ada,\nthe order 17 is on its way.\nIt will be with you on Monday.\n"
			test.equal(text, (text:gsub("17 ", "17  ")))`,
			`got a string of 69 bytes, want one of 70 bytes that differs from byte 24 on`, `
			--- want
			+++ got
			 "Dear Ada,\n"
			-"the order 17  is on its way.\n"
			+"the order 17 is on its way.\n"
			 "It will be with you on Monday.\n"
			`,
		},
		"a long line": {
			`local s = ("0123456789"):rep(20) test.equal(s .. "ä" .. s, s .. "ö" .. s)`,
			`got a string of 402 bytes, want one of 402 bytes that differs from byte 202 on`, `
			--- want
			+++ got
			-..."12345678901234567890123456789ö01234567890123456789012345678901234567890123456789012345678"...
			+..."12345678901234567890123456789ä01234567890123456789012345678901234567890123456789012345678"...
			`,
		},
		"a long line of several": {
			`local s = ("0123456789"):rep(30) test.equal(s .. "a\n", s .. "b\n")`,
			`got a string of 302 bytes, want one of 302 bytes that differs from byte 301 on`, `
			--- want
			+++ got
			-..."012345678901234567890123456789b\n"
			+..."012345678901234567890123456789a\n"
			`,
		},
		"lines that differ far behind": {
			`local s = ("0123456789"):rep(30) test.equal("x\n" .. s .. "a\n", "y\n" .. s .. "b\n")`,
			`got a string of 304 bytes, want one of 304 bytes that differs from byte 1 on`, `
			--- want
			+++ got
			-"y\n"
			-"` + strings.Repeat("0123456789", 24)[:238] + `...
			+"x\n"
			+"` + strings.Repeat("0123456789", 24)[:238] + `...
			`,
		},
		"a long string in a table": {
			`local s = ("0123456789"):rep(30) test.equal({ s .. "a" }, { s .. "b" })`,
			`at [1]: got a string of 301 bytes, want one of 301 bytes that differs from byte 301 on`, `
			--- want
			+++ got
			-..."012345678901234567890123456789b"
			+..."012345678901234567890123456789a"
			`,
		},
		"keys of all kinds, in their order": {
			`test.equal({ [2.5] = 1, [-1] = 2, b = 3, a = 4, [true] = 5, [false] = 6, [print] = 7, [{}] = ("x"):rep(60), "first" }, {})`,
			`at [1]: got "first", want nil`, `
			--- want
			+++ got
			-{}
			+{
			+  "first",
			+  [-1] = 2,
			+  [2.5] = 1,
			+  a = 4,
			+  b = 3,
			+  [false] = 6,
			+  [true] = 5,
			+  [a table] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			+  [<function>] = 7,
			+}
			`,
		},
		"what cannot be stored": {
			`local t = { f = print, name = ("n"):rep(60) } t.self = t
			test.equal(t, { f = print, name = ("n"):rep(60), self = { f = print } })`,
			`at .self.name: got "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", want nil`, `
			--- want
			+++ got
			 {
			   f = <function>,
			   name = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
			-  self = { f = <function> },
			+  self = <itself>,
			 }
			`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := runBody(t, nil, c.body)
			if _, message, _ := strings.Cut(got.Message, ": "); got.Status != Failed || message != c.message {
				t.Errorf("got %s %s\nwant %s", got.Status, message, c.message)
			}
			if want := trimmed(c.diff); got.Diff != strings.TrimSuffix(want, "\t") {
				t.Errorf("got\n%s\nwant\n%s", got.Diff, want)
			}
		})
	}
}

func TestDiff_WhenHuge_IsCut(t *testing.T) {
	got := runBody(t, nil, `
		local a, b = {}, {}
		for i = 1, 20000 do a["k" .. i], b["k" .. i] = i, i + 1 end
		test.equal(a, b)`)
	lines := strings.Split(got.Diff, "\n")
	if got.Status != Failed || len(lines) > maxDiff+4 || len(got.Diff) > 10_000 || !strings.HasSuffix(got.Diff, " more lines\n") {
		t.Errorf("got %s, %d lines, %d bytes: %s", got.Status, len(lines), len(got.Diff), got.Diff)
	}
}

func TestDiff_WhenNothingIsShownOfIt_NamesThePlace(t *testing.T) {
	got := runBody(t, nil, `
		local a, b = {}, {}
		for i = 1, 20000 do a[i], b[i] = i, i end
		a[15000] = "here"
		test.equal(a, b)`)
	if got.Message != `x_test.lua:7: at [15000]: got "here", want 15000` || got.Diff != "" {
		t.Errorf("got %+v", got)
	}
	deep := runBody(t, nil, `
		local a, b = { 1 }, { 2 }
		for _ = 1, 200 do a, b = { a }, { b } end
		test.equal(a, b)`)
	if !strings.HasSuffix(deep.Message, "[1]...: got 1, want 2") || deep.Diff != "" {
		t.Errorf("got %+v", deep)
	}
}

func TestEqual_NestedBeyondReason_BreaksTheCase(t *testing.T) {
	got := runBody(t, nil, `
		local a, b = {}, {}
		for _ = 1, 20000 do a, b = { a }, { b } end
		test.equal(a, b)`)
	if got.Status != Broken || !strings.Contains(got.Message, "nested too deeply to be compared: more than 10000") {
		t.Errorf("got %+v", got)
	}
}

// A comparison that takes long ends with its unit.
func TestCompare_WhenTheUnitHasEnded_Raises(t *testing.T) {
	L := lua.NewState()
	defer L.Close()
	ctx, cancel := context.WithCancel(t.Context())
	a, b := L.NewTable(), L.NewTable()
	for i := range 2 * pollEvery {
		a.RawSetInt(i+1, lua.LNumber(i))
		b.RawSetInt(i+1, lua.LNumber(i))
	}
	L.SetContext(ctx)
	cancel()
	err := L.CallByParam(lua.P{Fn: L.NewFunction(func(L *lua.LState) int { compare(L, a, b); return 0 }), Protect: true})
	if err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("got %v", err)
	}
}
