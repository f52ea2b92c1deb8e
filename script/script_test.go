package script_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/script"
)

// A world is a registry whose every id is a store in memory, watched for leases that are not given back.
type world struct {
	t   *testing.T
	reg *store.Registry

	mu     sync.Mutex
	leases int
	units  map[string]bool // that acquired something
}

// newWorld returns a world that, when the test ends, checks that nothing is left of its units.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, units: map[string]bool{}}
	w.reg = store.New(&store.Options{
		Default: func(string) (store.Definition, bool) { return store.Definition{Open: memstore.Opener(nil)}, true },
		Observe: w.observe,
	})
	t.Cleanup(w.close)
	return w
}

func (w *world) observe(_ context.Context, e store.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case e.Op == store.OpAcquire && e.Err == nil:
		w.leases++
		w.units[e.Unit] = true
	case e.Op == store.OpRelease:
		w.leases--
	}
}

func (w *world) close() {
	w.t.Helper()
	if w.leases != 0 {
		w.t.Errorf("%d leases were not given back", w.leases)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.reg.Close(ctx); err != nil {
		w.t.Errorf("close the registry: %v", err)
	}
	goleak.VerifyNone(w.t)
}

func compile(t *testing.T, source string) *script.Program {
	t.Helper()
	p, err := script.Compile("test.lua", source)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs source in a new runner.
func run(t *testing.T, o *script.Options, source string, args ...any) (script.Results, error) {
	t.Helper()
	return script.New(newWorld(t).reg, o).Run(t.Context(), compile(t, source), args...)
}

// fail runs source, which must fail.
func fail(t *testing.T, o *script.Options, source string) *script.Error {
	t.Helper()
	_, err := run(t, o, source)
	var failed *script.Error
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want a *script.Error", err)
	}
	return failed
}

func TestRun_ArgumentsGoInAndResultsComeOut(t *testing.T) {
	results, err := run(t, nil, `
		local n, s, b, none, tab = ...
		assert(select("#", ...) == 5 and none == nil)
		assert(arg[0] == "test.lua" and arg[1] == n and arg[5] == tab)
		return n + 1, s .. "!", not b, nil, { tab.Name, list = { 1, 2 } }
	`, 41, "hi", true, nil, struct{ Name string }{"ada"})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var s string
	var b bool
	none := "untouched"
	var tab map[any]any
	if err := results.Decode(&n, &s, &b, &none, &tab); err != nil {
		t.Fatal(err)
	}
	if n != 42 || s != "hi!" || b || none != "untouched" || tab[float64(1)] != "ada" || len(tab) != 2 {
		t.Errorf("got %v %q %v %q %v", n, s, b, none, tab)
	}
	if len(results) != 5 || results[3] != nil {
		t.Errorf("got %d results, the fourth %v: want 5, and nil for nil", len(results), results[3])
	}
}

func TestResults_Decode(t *testing.T) {
	results, err := run(t, nil, `return 1, "x"`)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var s, missing string
	if err := results.Decode(nil, &s, &missing); err != nil || s != "x" || missing != "" {
		t.Errorf("got %q, %q, %v", s, missing, err)
	}
	if err := results.Decode(&n, &n); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "result 2: ") {
		t.Errorf("a string into an int: got %v", err)
	}
}

func TestRun_ArgumentWithoutLuaForm_IsRefused(t *testing.T) {
	_, err := run(t, nil, ``, 1, make(chan int))
	if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "argument 2: ") {
		t.Errorf("got %v", err)
	}
}

func TestRun_ResultWithoutGoForm_IsAnError(t *testing.T) {
	failed := fail(t, nil, `return 1, { f = print }`)
	if failed.Kind != script.KindResult || failed.Message != "test.lua: result 2: cannot store a function at .f" {
		t.Errorf("got %s: %s", failed.Kind, failed.Message)
	}
	if !errors.Is(failed, store.ErrInvalid) {
		t.Error("it is no ErrInvalid")
	}
}

func TestExec_ResultsDoNotMatter(t *testing.T) {
	r := script.New(newWorld(t).reg, nil)
	if err := r.Exec(t.Context(), compile(t, `return print, coroutine.create(function() end)`)); err != nil {
		t.Error(err)
	}
}

func TestRun_ReachesStores(t *testing.T) {
	w := newWorld(t)
	r := script.New(w.reg, nil)
	p := compile(t, `
		local s = assert(require("store").get("cache"))
		local before = s:get("count:runs", 0)
		assert(s:set("count:runs", before + 1))
		local seen
		coroutine.wrap(function() seen = assert(s:get("count:runs")) end)()
		return seen`)
	for want := range 3 {
		results, err := r.Run(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if err := results.Decode(&got); err != nil || got != want+1 {
			t.Errorf("got %d, %v, want %d", got, err, want+1)
		}
	}
	if !w.units["test.lua"] {
		t.Errorf("units were named %v, want the program's name", w.units)
	}
}

func TestRun_UnitsShareNoGlobals(t *testing.T) {
	r := script.New(newWorld(t).reg, nil)
	p := compile(t, `
		assert(x == nil and string.leak == nil and package.loaded.leak == nil)
		x, string.leak, package.loaded.leak = 1, 1, 1`)
	for range 3 {
		if err := r.Exec(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRun_ManyUnitsAtOnce(t *testing.T) {
	r := script.New(newWorld(t).reg, &script.Options{Modules: files("lib.lua", `return { add = function(a, b) return a + b end }`)})
	p := compile(t, `
		local s = assert(require("store").get("shared"))
		assert(s:set("n:" .. ..., ...))
		return require("lib").add(assert(s:get("n:" .. ...)), 1)`)
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			results, err := r.Run(t.Context(), p, i)
			var got int
			if err == nil {
				err = results.Decode(&got)
			}
			if err != nil || got != i+1 {
				t.Errorf("got %d, %v, want %d", got, err, i+1)
			}
		})
	}
	group.Wait()
}

func TestPrint(t *testing.T) {
	var out strings.Builder
	_, err := run(t, &script.Options{Stdout: &out}, `
		print()
		print(1, "a\0b", nil, true, 1.5)
		print(setmetatable({}, { __tostring = function() return "custom" end }))`)
	if err != nil {
		t.Fatal(err)
	}
	if want := "\n1\ta\x00b\tnil\ttrue\t1.5\ncustom\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// A broken writer takes nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestPrint_WriterFails_IsRaised(t *testing.T) {
	failed := fail(t, &script.Options{Stdout: broken{}}, "while true do\n print(1) end")
	if !errors.Is(failed, io.ErrClosedPipe) || failed.Message != "test.lua:2: print: io: read/write on closed pipe" {
		t.Errorf("got %s (%v)", failed.Message, failed.Cause)
	}
	failed = fail(t, &script.Options{Stdout: broken{}}, `pcall(print, 1) error("other")`)
	if failed.Cause != nil {
		t.Errorf("an error that print did not raise has the cause %v", failed.Cause)
	}
}

func TestLibraries_OnlySafeOnes(t *testing.T) {
	_, err := run(t, nil, `
		for _, name in ipairs{ "load", "loadstring", "loadfile", "dofile", "_printregs", "io", "debug", "channel" } do
			assert(_G[name] == nil, name)
		end
		local names = {}
		for name in pairs(os) do table.insert(names, name) end
		table.sort(names)
		assert(table.concat(names, " ") == "clock date difftime time")
		assert(package.loaded.os == os and package.loaded.string == string and package.path == nil and package.loaders == nil)
		assert(collectgarbage("count") == 0)
		assert(math.huge == 1/0)
		assert(os.date("!%Y", 0) == "1970")`)
	if err != nil {
		t.Error(err)
	}
}

func TestPcall_IsThatOfLua(t *testing.T) {
	_, err := run(t, nil, `
		local function same(...)
			local want, got = { n = select("#", ...) / 2 }, select("#", ...) / 2
			for i = 1, want.n do
				local a, b = (select(i, ...)), (select(i + want.n, ...))
				assert(a == b, "got " .. tostring(a) .. ", want " .. tostring(b))
			end
		end
		local function none() end
		local tab = {}
		assert(select("#", pcall(none)) == 1)
		assert(select("#", xpcall(none, none)) == 1)
		local ok, a, b = pcall(function(...) return ... end, 1, 2)
		same(ok, a, b, true, 1, 2)
		ok, a = pcall(error, tab)
		same(ok, a, false, tab)
		ok, a = pcall(error)
		same(ok, a, false, nil)
		ok, a = pcall(nil)
		assert(not ok and a:find("attempt to call"))
		ok, a, b = xpcall(function() return 1, nil end, error)
		same(ok, a, b, true, 1, nil)
		ok, a, b = xpcall(function() error("e", 0) end, function(e) return e .. "!", 2 end)
		assert(not ok and a == "e!")
		ok, a = xpcall(function() error("e", 0) end, function() error("worse", 0) end)
		same(ok, a, false, "worse")
		ok, a = pcall(pcall)
		assert(not ok and a:find("value expected"))
		-- What a failed function left behind keeps its values.
		local get
		xpcall(function() local x = 7; get = function() return x end; error("e") end, none)
		local function clobber(a, b, c, d) return a, b, c, d end
		clobber(1, 2, 3, 4)
		assert(get() == 7)`)
	if err != nil {
		t.Error(err)
	}
}

func TestCompile(t *testing.T) {
	for name, source := range map[string]string{
		"interpreter line": "#!/usr/bin/env -S luastore run\nreturn 1",
		"byte order mark":  "\ufeffreturn 1",
		"empty":            "",
		"only a comment":   "-- nothing",
	} {
		if _, err := script.Compile("a.lua", source); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for source, want := range map[string]string{
		"x = = 1":                               `a.lua:1: syntax error near "="`,
		"\n\nfor":                               "a.lua: syntax error at the end of the file",
		"local s = 'abc":                        "a.lua: unterminated string at the end of the file",
		"#!line 1\nx = ":                        "a.lua: syntax error at the end of the file",
		"break":                                 "a.lua:1: no loop to break",
		strings.Repeat(" ", script.MaxSource+1): "a.lua: source longer than 1048576 bytes",
	} {
		_, err := script.Compile("a.lua", source)
		var failed *script.Error
		if !errors.As(err, &failed) || failed.Kind != script.KindSyntax || failed.Message != want {
			t.Errorf("%.20q: got %v, want %s", source, err, want)
		}
	}
}

func TestProgram_Name(t *testing.T) {
	if got := compile(t, "").Name(); got != "test.lua" {
		t.Errorf("got %q", got)
	}
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{"return 1", "x = = 1", "#!x\n", "goto a ::a::", "for i=1,2 do break end", "local t = {[1]=2;x=3}", "a.b:c'd'{}", "[==[", "--[["} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		p, err := script.Compile("fuzz.lua", source)
		var failed *script.Error
		if err != nil && (!errors.As(err, &failed) || failed.Kind != script.KindSyntax || p != nil) {
			t.Errorf("got %v, %v", p, err)
		}
		if err == nil && p == nil {
			t.Error("got nothing")
		}
	})
}
