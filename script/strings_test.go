package script

import (
	"context"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// evaluateStrings returns what Lua expressions are, with spaces between, or the error that they raise.
func evaluateStrings(L *lua.LState, expressions string) string {
	if err := L.DoString("return " + expressions); err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		if _, after, ok := strings.Cut(text, ": "); ok {
			return after
		}
		return text
	}
	values := make([]string, L.GetTop())
	for i := range values {
		values[i] = L.Get(i + 1).String()
	}
	L.SetTop(0)
	return strings.Join(values, " ")
}

func testStrings(t *testing.T, cases map[string]string) {
	t.Helper()
	L := newStringState(t, t.Context())
	for expressions, want := range cases {
		if got := evaluateStrings(L, expressions); got != want {
			t.Errorf("%s: %q, want %q", expressions, got, want)
		}
		L.SetTop(0)
	}
}

func TestStrings_Bytes_AreAllThatCounts(t *testing.T) {
	testStrings(t, map[string]string{
		`("é"):len()`:                                  "2",
		`("é"):byte(1, -1)`:                            "195 169",
		`("É"):lower() == "É"`:                         "true",
		`("aé"):upper()`:                               "Aé",
		`("\255"):upper() == "\255"`:                   "true",
		`("aé"):reverse():byte(1, -1)`:                 "169 195 97",
		`("é"):find("\169")`:                           "2 2",
		`("é"):match("[\160-\170]"):byte()`:            "169",
		`("aéb"):gsub("%w", "-")`:                      "-é- 2",
		`("é"):gsub(".", "x")`:                         "xx 2",
		`string.char(195, 169)`:                        "é",
		`string.char()`:                                "",
		`string.char(256)`:                             "bad argument #1 to 'char' (invalid value)",
		`string.char(1, -1)`:                           "bad argument #2 to 'char' (invalid value)",
		`string.char(2^32 + 65)`:                       "bad argument #1 to 'char' (invalid value)",
		`("a\0b"):len(), ("a\0b"):upper() == "A\0B"`:   "3 true",
		`("hello"):sub(2, -2), ("hello"):sub(-3)`:      "ell llo",
		`("hello"):sub(0), ("hello"):sub(10)`:          "hello ",
		`("hello"):sub(-100, 2), ("hello"):sub(3, 2)`:  "he ",
		`("hello"):sub("2", 3.9)`:                      "el",
		`("abc"):byte(), ("abc"):byte(-1)`:             "97 99",
		`("abc"):byte(10)`:                             "",
		`("ab"):rep(3), ("ab"):rep(0), ("ab"):rep(-1)`: "ababab  ",
		`(""):rep(1e15)`:                               "",
		`(12):rep(2)`:                                  "attempt to index a non-table object(number) with key 'rep'",
		`string.rep(12, 2), string.len(1.5)`:           "1212 3",
	})
}

func TestFind_Init_CountsFromEitherEnd(t *testing.T) {
	testStrings(t, map[string]string{
		`("abcabc"):find("b", 3)`:                      "5 5",
		`("abcabc"):find("b", -2)`:                     "5 5",
		`("abcabc"):find("^b", 2)`:                     "2 2",
		`("abc"):find("b", 10)`:                        "nil",
		`("abc"):find("", 10)`:                         "4 3",
		`("abc"):find("", 4)`:                          "4 3",
		`("abc"):find("b", -10)`:                       "2 2",
		`("abc"):match("()", 10)`:                      "4",
		`("a.b"):find(".", 2, true)`:                   "2 2",
		`("a+b"):find("+", nil, true)`:                 "2 2",
		`("a)b"):find(")")`:                            "2 2", // a ")" alone makes no pattern
		`("a\0b"):find("\0b")`:                         "2 3",
		`("a\0b"):find("b\0.")`:                        "nil", // nothing behind a NUL byte is special
		`("abc"):find("(b)(c)")`:                       "2 3 b c",
		`("abc"):find("()b()")`:                        "2 2 2 3",
		`("abc"):match("b", math.huge)`:                "b", // which is no position
		`("abc"):find("b", "2")`:                       "2 2",
		`("abc"):find("b", {})`:                        "bad argument #3 to 'find' (number expected, got table)",
		`string.find()`:                                "bad argument #1 to 'find' (string expected, got no value)",
		`string.match("a", nil)`:                       "bad argument #2 to 'match' (string expected, got nil)",
		`string.gmatch("a")`:                           "bad argument #2 to 'gmatch' (string expected, got no value)",
		`string.find(nil, "a")`:                        "bad argument #1 to 'find' (string expected, got nil)",
		`string.find("a", "[")`:                        "malformed pattern (missing ']')",
		`(function() local f = string.rep; f() end)()`: "bad argument #1 to 'rep' (string expected, got no value)",
	})
}

func TestGsub_AnchoredPattern_MatchesOnce(t *testing.T) {
	testStrings(t, map[string]string{
		`("aaa"):gsub("^a", "b")`: "baa 1",
		`("aaa"):gsub("^", "b")`:  "baaa 1",
		`("baa"):gsub("^a", "b")`: "baa 0",
		`("aaa"):gsub("a$", "b")`: "aab 1",
	})
}

func TestGsub_EmptyMatches_AreBetweenTheBytes(t *testing.T) {
	testStrings(t, map[string]string{
		`("abc"):gsub("", "-")`:        "-a-b-c- 4",
		`("abc"):gsub("%w*", "-")`:     "-- 2", // Lua 5.1 matches once more at the end
		`("a c"):gsub("%w*", "-")`:     "-- -- 4",
		`("abc"):gsub("", "-", 2)`:     "-a-bc 2",
		`("abc"):gsub("", "-", 0)`:     "abc 0",
		`("abc"):gsub("", "-", -1)`:    "abc 0",
		`(""):gsub("", "-")`:           "- 1",
		`("abc"):gsub(".", "%0%0", 2)`: "aabbc 2",
	})
}

func TestGsub_Replacements_AreStringsTablesAndFunctions(t *testing.T) {
	testStrings(t, map[string]string{
		`("abc"):gsub("b", "[%0%%%1]")`:                              "a[b%b]c 1",
		`("abc"):gsub("(a)(b)", "%2%1")`:                             "bac 1",
		`("abc"):gsub("()b", "%1")`:                                  "a2c 1",
		`("abc"):gsub("b", "%x")`:                                    "axc 1",
		`("abc"):gsub("b", "%") == "a\0c"`:                           "true",
		`("abc"):gsub("b", "%2")`:                                    "invalid capture index",
		`("abc"):gsub("b", 5)`:                                       "a5c 1",
		`("abc"):gsub("%w", {a = "1", b = true and 2.5, c = false})`: "12.5c 3",
		`("abc"):gsub("()", {"x", "y"})`:                             "xaybc 4",
		`("abc"):gsub("%w", setmetatable({}, {__index = function(_, k) return k .. k end}))`: "aabbcc 3",
		`("abc"):gsub("b", {b = {}})`:                                  "invalid replacement value (a table)",
		`("abc"):gsub("b", {b = true})`:                                "invalid replacement value (a boolean)",
		`("abc"):gsub("b", function() return print end)`:               "invalid replacement value (a function)",
		`("abc"):gsub("(a)(b)", function(a, b) return b .. a end)`:     "bac 1",
		`("abc"):gsub("b", function() end)`:                            "abc 1",
		`("abc"):gsub("b", function(...) return select("#", ...) end)`: "a1c 1",
		`("abc"):gsub("b", function() error("no", 0) end)`:             "no",
		`("abc"):gsub("b", true)`:                                      "bad argument #3 to 'gsub' (string/function/table expected)",
		`("abc"):gsub("b")`:                                            "bad argument #3 to 'gsub' (string/function/table expected)",
		`("abc"):gsub("b", true, "x")`:                                 "bad argument #4 to 'gsub' (number expected, got string)",
	})
}

func TestGsub_FunctionThatMatches_DisturbsNothing(t *testing.T) {
	testStrings(t, map[string]string{
		`("ab cd"):gsub("(%w)(%w)", function(a, b)
			return (a:gsub(".", function(c) return c:match("%w"):upper() end)) .. ("%d"):format(#b) .. b:rep(2)
		end)`: "A1bb C1dd 2",
		`("abc"):gsub("%w", function(c) return select(2, pcall(string.gsub, c, "b", "%9")):sub(-5) end)`: "aindexc 3",
	})
}

func TestGmatch_Iterators_AreIndependent(t *testing.T) {
	testStrings(t, map[string]string{
		`(function()
			local out = ""
			for a in ("ab"):gmatch(".") do
				for b, at in ("xy"):gmatch("(.)()") do out = out .. a .. b .. at end
			end
			return out
		end)()`: "ax2ay3bx2by3",
		`(function() local n = 0; for _ in ("abc"):gmatch("") do n = n + 1 end; return n end)()`:               "4",
		`(function() local out = ""; for c in ("^a^b"):gmatch("^%w") do out = out .. c end; return out end)()`: "^a^b",
		`string.gmatch("a", "%")()`:                                            "malformed pattern (ends with '%')",
		`string.gmatch("a", "%") ~= nil`:                                       "true", // nothing is matched before it is asked for
		`(function() local f = ("a"):gmatch("a"); return f(), f(), f() end)()`: "a nil",
		`string.gfind("a", "a")()`:                                             "a",
	})
}

func TestFormat_Directives_AreThoseOfC(t *testing.T) {
	testStrings(t, map[string]string{
		`("%d %i %d"):format(3.99, -0.5, "0x10")`:                         "3 0 16",
		`("%5d|%-5d|%05d|%+d|% d|%.3d"):format(1, 2, 3, 4, 5, 6)`:         "    1|2    |00003|+4| 5|006",
		`("%u %x"):format(-1, -1)`:                                        "18446744073709551615 ffffffffffffffff",
		`("%#x %#X %#o %o"):format(255, 255, 8, 8)`:                       "0xff 0XFF 010 10",
		`("%d"):format(2^63), ("%d"):format(0/0)`:                         "-9223372036854775808 -9223372036854775808",
		`("%.0d|%5.0d|%+.0d"):format(0, 0, 0)`:                            "|     |+",
		`("%f %.2f %5.1f|%e"):format(1.5, 2/3, 9.96, 12345)`:              "1.500000 0.67  10.0|1.234500e+04",
		`("%g %g %g %G"):format(0.1, 1e20, 100000, 1e-10)`:                "0.1 1e+20 100000 1E-10",
		`("%#g %#.0f %#.0e"):format(1, 1, 1)`:                             "1.00000 1. 1.e+00",
		`("%5.1f|%05f"):format(1/0, -1/0)`:                                "  inf| -inf",
		`("%s %s %s"):format(1, 1.5, "x")`:                                "1 1.5 x",
		`("%5s|%-5s|%.2s|%5.1s"):format("ab", "ab", "abc", "abc")`:        "   ab|ab   |ab|    a",
		`("%c%c"):format(72, 105)`:                                        "Hi",
		`("%q"):format('a "b"\\\n\r\0') == '"a \\"b\\"\\\\\\\n\\r\\000"'`: "true",
		`("100%%"):format()`:                                              "100%",
		`("%d"):format()`:                                                 "bad argument #2 to 'format' (no value)",
		`("%d"):format("x")`:                                              "bad argument #2 to 'format' (number expected, got string)",
		`("%s"):format(nil)`:                                              "bad argument #2 to 'format' (string expected, got nil)",
		`("%s"):format({})`:                                               "bad argument #2 to 'format' (string expected, got table)",
		`("%y"):format(1)`:                                                "invalid option '%y' to 'format'",
		`("%"):format(1)`:                                                 "invalid option '%' to 'format'",
		`("%5%"):format(1)`:                                               "invalid option '%%' to 'format'",
		`("%-+ #0-d"):format(1)`:                                          "invalid format (repeated flags)",
		`("%100d"):format(1)`:                                             "invalid format (width or precision too long)",
		`("%.100d"):format(1)`:                                            "invalid format (width or precision too long)",
	})
}

// Lua 5.1 gives these to a function of C that takes a NUL byte for the end.
func TestFormat_NULBytes_AreKept(t *testing.T) {
	testStrings(t, map[string]string{
		`("%s|%5s|%.2s"):format("a\0b", "a\0b", "a\0b") == "a\0b|  a\0b|a\0"`: "true",
		`("%c|%3c"):format(0, 256) == "\0|  \0"`:                              "true",
		`("a\0%d"):format(1) == "a\0001"`:                                     "true",
	})
}

func TestMatch_FromLua_AllocatesForItsResultsOnly(t *testing.T) {
	L := newStringState(t, t.Context())
	f, err := L.LoadString(`for i = 1, 1000 do string.match("key = value", "^([%w_]+)%s*=%s*(.-)$") end`)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() {
		L.Push(f)
		L.Call(0, 0)
	}); n > 3100 {
		t.Errorf("%v allocations for 1000 calls with two results, want two and a number each", n)
	}
}

// newStringState returns a state with gopher-lua's libraries but for our string library, which ends with ctx.
func newStringState(t testing.TB, ctx context.Context) *lua.LState {
	t.Helper()
	L := lua.NewState(stateOptions)
	t.Cleanup(L.Close)
	L.OpenLibs()
	L.SetContext(ctx)
	library := L.GetGlobal("string").(*lua.LTable)
	for name, f := range stringFunctions(&guard{ctx: ctx}) {
		library.RawSetString(name, L.NewFunction(f))
	}
	return L
}
