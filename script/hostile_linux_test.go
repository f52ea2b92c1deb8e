//go:build !race

package script_test

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store/script"
)

// An attack is a script that would take the host with it, if it could.
type attack struct {
	name   string
	source string
	memory int64 // by how many megabytes the process may grow; 0 is 300
}

// attacks are those that docs/threats.md tells of, by name.
var attacks = []attack{
	{name: "endless loop", source: `while true do end`},
	{name: "endless pcall", source: `while true do pcall(function() while true do end end) end`},
	{name: "endless failing pcall", source: `while true do pcall(error, "x") end`},
	{name: "endless xpcall", source: `local function h() while true do end end while true do xpcall(h, h) end`},
	{name: "endless tail call", source: `local function f() return f() end return f()`},
	{name: "endless tail call in pcall", source: `while true do pcall(function() local function f() return f() end return f() end) end`},
	{name: "tail call with more and more arguments", source: `local function f(...) return f(1, ...) end f()`},
	{name: "the same in pcall", source: `while true do pcall(function() local function f(...) return f(1, ...) end f() end) end`},
	{name: "deep recursion", source: `local function f() return 1 + f() end f()`},
	{name: "deep recursion in pcalls", source: `local function f() pcall(f) f() end while true do f() end`},
	{name: "recursion by metamethods", source: `
		local mt = {} mt.__index = function(t, k) return setmetatable({}, mt)[k] end
		local function f() return setmetatable({}, mt).x end
		while true do pcall(f) end`},
	{name: "deep metamethods in coroutines", source: `
		local mt = {}
		local depth = 0
		mt.__index = function(t, k)
			depth = depth + 1
			if depth % 1000 == 0 then return coroutine.wrap(function() return setmetatable({}, mt)[k] end)() end
			return setmetatable({}, mt)[k]
		end
		while true do pcall(function() return setmetatable({}, mt).x end) end`},
	{name: "nested coroutine.wrap", source: `local function f() return coroutine.wrap(f)() end f()`},
	{name: "nested coroutine.wrap, again and again", source: `
		local function f() return coroutine.wrap(f)() end while true do pcall(f) end`},
	{name: "coroutines without end", source: `local t = {} while true do t[#t + 1] = coroutine.create(function() end) end`},
	{name: "string.find that backtracks", source: `string.find(("a"):rep(28), ("a?"):rep(28) .. ("a"):rep(28))`},
	{name: "string.find of many .-", source: `string.find(("a"):rep(5000), ".-.-.-.-b")`},
	{name: "gsub on a megabyte", source: `local s = ("x"):rep(2^20) while true do s:gsub("x", "y") end`},
	{name: "string.rep of 1e11", source: `("x"):rep(1e11)`},
	{name: "string.rep, kept", source: `local t = {} while true do t[#t + 1] = ("x"):rep(2^20) end`},
	{name: "a sparse table", source: `local t = {} t[6e7] = 1 while true do t[6e7] = t[6e7] + 1 end`},
	{name: "many sparse tables", source: `local ts = {} while true do local t = {} t[131071] = 1 ts[#ts + 1] = t end`},
	{name: "tables without end", source: `local t = {} while true do t = { t } end`},
	{name: "a growing table", source: `local t = {} local i = 0 while true do i = i + 1 t[i] = i end`},
	{name: "a string that doubles", memory: 1000, source: `local s = "x" while true do s = s .. s end`},
	{name: "a string that grows 250 times", memory: 1000, source: `
		local s = "x" while true do s = ` + strings.Repeat("s..", 249) + `s end`},
	{name: "table.concat of a million pieces", source: `
		local t = {} for i = 1, 1e6 do t[i] = "piece" end while true do local s = table.concat(t, ",") end`},
	{name: "string.format with a huge width", source: `while true do pcall(string.format, "%99999999999d", 1) pcall(string.format, "%99.99f", 1e308) end`},
	{name: "an error that never tells", source: `error(setmetatable({}, { __tostring = function() while true do end end }))`},
	{name: "tostring that never returns", source: `print(setmetatable({}, { __tostring = function() while true do end end }))`},
	{name: "sorting long strings", source: `
		local t, s = {}, ("x"):rep(2^24) for i = 1, 1e5 do t[i] = s end while true do table.sort(t) end`},
	{name: "sorting without order", source: `
		local t = {} for i = 1, 1e4 do t[i] = i end
		while true do pcall(table.sort, t, function() return true end) end`},
	{name: "unpack without end", source: `while true do pcall(unpack, {}, 1, 1e9) pcall(unpack, {}, -2^53, 2^53) end`},
	{name: "comparing long strings", source: `local a, b = ("x"):rep(2^24) .. "a", ("x"):rep(2^24) .. "b" while true do local c = a < b end`},
	{name: "numbers as long as books", source: `local s = ("9"):rep(2^24) while true do pcall(function() return s + 1 end) tonumber(s) end`},
	{name: "os.date with a long format", source: `while true do pcall(os.date, ("%%"):rep(2^23)) pcall(os.date, ("%c"):rep(2^23)) end`},
	{name: "arguments without end", source: `local function f(...) return select("#", ...) end local t = {} for i = 1, 1e5 do t[i] = i end while true do f(unpack(t)) end`},
}

func TestAttack(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) { assault(t, a, &script.Options{Timeout: time.Second}) })
	}
}

func TestAttack_PrintToNobody(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	assault(t, attack{source: `while true do print(("x"):rep(1000)) end`}, &script.Options{Timeout: time.Second, Stdout: w, Output: -1})
	if err := errors.Join(r.Close(), w.Close()); err != nil { // the write that waits ends now
		t.Error(err)
	}
}

// TestAttack_ByManyAtOnce: eight units that keep all they can, in a process that collects only when it is asked to, end by their bound and not by
// their deadline. What they keep together may be eight times the bound of one, and what is not collected comes on top.
func TestAttack_ByManyAtOnce(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	litter := compile(t, `for i = 1, 90 do local t = {} t[131071] = 1 end`) // 2 MB each
	hog := compile(t, `local t = {} while true do t[#t + 1] = ("x"):rep(2^15) end`)
	for range 4 {
		w := newWorld(t)
		r := script.New(w.reg, &script.Options{Timeout: 5 * time.Second})
		before := resetPeak(t)
		if err := r.Exec(t.Context(), litter); err != nil {
			t.Fatal(err)
		}
		var units sync.WaitGroup
		for range 8 {
			units.Go(func() {
				var failed *script.Error
				if err := r.Exec(t.Context(), hog); !errors.As(err, &failed) || failed.Kind != script.KindMemory {
					t.Errorf("got %v", err)
				}
			})
		}
		units.Wait()
		grown := (peak(t) - before) >> 20
		if grown > 3000 {
			t.Errorf("the process grew by %d MB", grown)
		}
		t.Logf("%d MB", grown)
		goesOn(t, w, r)
	}
}

// TestAttacks_AreOnThePage: the page lists all attacks, by name.
func TestAttacks_AreOnThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/threats.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attacks {
		if !bytes.Contains(page, []byte("| "+a.name+" |")) {
			t.Errorf("docs/threats.md lacks %q", a.name)
		}
	}
}

// assault runs an attack and then an honest unit in the same runner. A machine that was busy with something else gets another chance.
func assault(t *testing.T, a attack, o *script.Options) {
	t.Helper()
	if a.memory == 0 {
		a.memory = 300
	}
	w := newWorld(t)
	r := script.New(w.reg, o)
	var took time.Duration
	for range 3 {
		before := resetPeak(t)
		begin := time.Now()
		err := r.Exec(t.Context(), compile(t, opens+a.source))
		took = time.Since(begin)
		grown := (peak(t) - before) >> 20
		var failed *script.Error
		if !errors.As(err, &failed) || failed.Kind == script.KindPanic {
			t.Errorf("got %v", err)
		}
		if grown > a.memory {
			t.Errorf("the process grew by %d MB", grown)
		}
		t.Logf("%v, %d MB: %v", took.Round(time.Millisecond), grown, err)
		goesOn(t, w, r)
		if took <= most {
			return
		}
	}
	t.Errorf("took %v", took)
}

// most is what a unit with a deadline of a second may take.
const most = 1200 * time.Millisecond

// goesOn checks that the host and the next unit are none the worse.
func goesOn(t *testing.T, w *world, r *script.Runner) {
	t.Helper()
	w.mu.Lock()
	if w.leases != 0 {
		t.Errorf("%d leases", w.leases)
	}
	w.mu.Unlock()
	results, err := r.Run(t.Context(), compile(t, `
		local s = assert(require("store").get("next"))
		assert(s:set("k:1", { ok = true }))
		return s:get("k:1").ok, string.rep("x", 3)`))
	if err != nil || len(results) != 2 {
		t.Errorf("the next unit: %v, %v", results, err)
	}
}

// resetPeak gives back what is free and returns how much memory the process has, which is its peak from now on.
func resetPeak(t *testing.T) int64 {
	t.Helper()
	runtime.GC() // twice, with the next: what is in a sync.Pool outlives the first
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	return peak(t)
}

// peak returns the most memory that the process had.
func peak(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			n, err := strconv.ParseInt(strings.Fields(string(rest))[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
