//go:build !race

package script

import (
	"context"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store/internal/boundtest"
)

// TestStrings_WorkWithoutEnd_EndsWithTheUnit runs single calls that would take from seconds to ages.
func TestStrings_WorkWithoutEnd_EndsWithTheUnit(t *testing.T) {
	for name, code := range map[string]string{
		"optional items":           `string.find(("a"):rep(28), ("a?"):rep(28) .. ("a"):rep(28))`,
		"optional items, repeated": `string.find(("a"):rep(1e5), ("a?"):rep(1e5) .. ("a"):rep(1e5))`,
		"lazy items":               `string.find(("a"):rep(5000), ".-.-.-.-b")`,
		"greedy items":             `string.match(("a"):rep(5000), ".*.*.*.*b")`,
		"captures":                 `string.match(("a"):rep(5000), "(.*)(.*)(.*)%1%2%3b")`,
		"a run at each place":      `string.gsub(("a"):rep(2^23), "a*b", "")`,
		"balanced at each place":   `string.gsub(("("):rep(2^23), "%b()", "")`,
		"captured text once more":  `string.match(("a"):rep(2^22), "(.-)%1b")`,
		"long sets in turn":        `string.find(("a"):rep(2^20), "[" .. ("b"):rep(2^20) .. "a]-[" .. ("b"):rep(2^20 + 8) .. "c]")`,
		"no match for an iterator": `for _ in string.gmatch(("a"):rep(2^23), ".-b") do end`,
		"empty captures":           `string.gsub(("a"):rep(2^20), "()", ("%0"):rep(2^20))`,
		"equal but for the end":    `local s = ("ab" .. ("x"):rep(30)):rep(2^19); s:find(s:sub(1, 2^23) .. "y", 1, true)`,
		"deep captures":            `string.find(("a"):rep(1e6), ("(a?)"):rep(31) .. ("a?"):rep(31) .. "b")`,
		"a callback without end":   `string.gsub("a", ".", function() while true do end end)`,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			L := newStringState(t, ctx)
			start := time.Now()
			err := L.DoString(code)
			if err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
				t.Errorf("%v, want %v", err, context.DeadlineExceeded)
			}
			if took := time.Since(start); took > boundtest.Scale(time.Second) {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestStrings_MoreThanIsAllowed_IsRefused runs calls whose results or needs are too large.
func TestStrings_MoreThanIsAllowed_IsRefused(t *testing.T) {
	const tooLong = "string longer than"
	for name, c := range map[string]struct{ code, want string }{
		"rep":                       {`("x"):rep(1e11)`, tooLong},
		"rep of rep":                {`("x"):rep(2^20):rep(2^20)`, tooLong},
		"rep, more than an integer": {`("xx"):rep(2^62)`, tooLong},
		"gsub, string":              {`("x"):rep(2^16):gsub(".", ("y"):rep(2^16))`, tooLong},
		"gsub, captures":            {`("x"):rep(2^16):gsub(".*", ("%0"):rep(2^16))`, tooLong},
		"gsub, function":            {`local y = ("y"):rep(2^16); ("x"):rep(2^16):gsub(".", function() return y end)`, tooLong},
		"gsub, table":               {`("x"):rep(2^16):gsub(".", {x = ("y"):rep(2^16)})`, tooLong},
		"format of strings":         {`local s = ("x"):rep(2^24); string.format("%s%s%s", s, s, s)`, tooLong},
		"format of quotes":          {`string.format("%q", ("\0"):rep(2^24))`, tooLong},
		"a wide format":             {`string.format("%999999999d", 1)`, "width or precision too long"},
		"a precise format":          {`string.format("%.999999999f", 1)`, "width or precision too long"},
		"byte":                      {`string.byte(("x"):rep(2^20), 1, -1)`, "string slice too long"},
		"a deep pattern":            {`string.find(("a"):rep(1e6), ("a?"):rep(1e6))`, "pattern too complex"},
		"a deep gsub":               {`local function f(s) return (s:gsub(".", f)) end f("a")`, "stack overflow"},
	} {
		t.Run(name, func(t *testing.T) {
			L := newStringState(t, t.Context())
			if err := L.DoString(c.code); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestStrings_LongWork_TakesTimeInProportion compares what a long string takes with what a quarter of it does.
func TestStrings_LongWork_TakesTimeInProportion(t *testing.T) {
	for name, code := range map[string]string{
		"gsub, string":   `s:gsub("a", "bb")`,
		"gsub, captures": `s:gsub("(a)(b)", "%2%1")`,
		"gsub, table":    `s:gsub("%a", {a = "bb"})`,
		"gmatch":         `for w in s:gmatch("%a+") do end`,
		"find":           `s:find("missing")`,
		"match":          `s:match("^(.-)%s*$")`,
		"format":         `string.format("%q", s)`,
		"reverse":        `s:reverse():upper():lower()`,
	} {
		t.Run(name, func(t *testing.T) {
			L := newStringState(t, t.Context())
			f, err := L.LoadString(`local s = ...; ` + code)
			if err != nil {
				t.Fatal(err)
			}
			took := func(n int) time.Duration {
				start := time.Now()
				L.Push(f)
				L.Push(lua.LString(strings.Repeat("ab c\"", n/5)))
				L.Call(1, 0)
				return time.Since(start)
			}
			// The shortest times, as the machine may be busy with something else, which may last.
			short, long := time.Hour, time.Hour
			for round, begin := 0, time.Now(); round < 3 || time.Since(begin) < 10*time.Second; round++ {
				short, long = min(short, took(1<<18)), min(long, took(1<<20))
				if round >= 2 && (long <= 8*short || long <= 50*time.Millisecond) {
					return
				}
			}
			t.Errorf("%v for 1 MB, %v for 256 KB", long, short)
		})
	}
}
