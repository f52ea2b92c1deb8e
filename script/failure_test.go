package script_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/script"
)

func TestError_SaysWhatAndWhere(t *testing.T) {
	cases := map[string]struct {
		source, message, traceback string
		value                      any
	}{
		"error with a string": {
			"local function f()\n error('boom') end\nlocal function g() f() end\ng()", "test.lua:2: boom",
			"stack traceback:\n\t[Go]: in function 'error'\n\ttest.lua:2: in function 'f'\n\ttest.lua:3: in function 'g'\n\ttest.lua:4: in main chunk",
			"test.lua:2: boom",
		},
		"error without a place": {`error("boom", 0)`, "boom", "test.lua:1: in main chunk", "boom"},
		"runtime error":         {"local x\nx.y = 1", "test.lua:2: attempt to index", "test.lua:2: in main chunk", nil},
		"a table":               {`error({ code = 3 })`, "(error object is a table value)", "test.lua:1: in main chunk", map[string]any{"code": 3.0}},
		"a table that tells": {
			`error(setmetatable({}, { __tostring = function() return "told" end }))`, "told", "test.lua:1: in main chunk", nil,
		},
		"a table that fails to tell": {
			`error(setmetatable({}, { __tostring = function() error("no") end }))`, "(error object is a table value)", "in main chunk", nil,
		},
		"a number":    {`error(42)`, "42", "in main chunk", 42.0},
		"nil":         {`error(nil)`, "(error object is a nil value)", "test.lua:1: in main chunk", nil},
		"a function":  {`error(print)`, "(error object is a function value)", "test.lua:1: in main chunk", nil},
		"a coroutine": {"coroutine.wrap(function()\n error('deep') end)()", "test.lua:2: deep", "test.lua:2: in coroutine", nil},
		"a coroutine's caller": {
			"local function f() coroutine.wrap(function() error('deep') end)() end\nf()", "test.lua:1: deep", "test.lua:1: in function 'f'\n\ttest.lua:2: in main chunk", nil,
		},
		"deep recursion":     {"local function f() return 1 + f() end\nf()", "test.lua:1: stack overflow", "test.lua:1: in function 'f'\n\t...", nil},
		"too many values":    {`unpack({}, 1, 2e6)`, "too many results to unpack", "in function 'unpack'", nil},
		"an operator":        {"local x\nlocal y = 'a' .. x", "test.lua:2: cannot perform concat", "traceback:\n\ttest.lua:2: in main chunk", nil},
		"an error after one": {`pcall(error, "first") error("second", 0)`, "second", "in main chunk", "second"},
		"tail calls in between": {
			"local function f() error('x') end\nlocal function g() return f() end\nlocal function h() g() end\nh()",
			"test.lua:1: x", "(tail calls)\n\ttest.lua:3: in function 'h'\n\ttest.lua:4: in main chunk", nil,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			failed := fail(t, nil, c.source)
			if failed.Kind != script.KindError || !strings.Contains(failed.Message, c.message) || failed.Error() != failed.Message {
				t.Errorf("got %s: %s\nwant %s", failed.Kind, failed.Message, c.message)
			}
			if !strings.Contains(failed.Traceback, c.traceback) {
				t.Errorf("got %s\nwant %s", failed.Traceback, c.traceback)
			}
			if m, ok := c.value.(map[string]any); ok {
				if got, ok := failed.Value.(map[string]any); !ok || got["code"] != m["code"] {
					t.Errorf("got value %v, want %v", failed.Value, m)
				}
			} else if c.value != nil && failed.Value != c.value {
				t.Errorf("got value %v, want %v", failed.Value, c.value)
			}
		})
	}
}

// host has the functions that tests of bad hosts need.
func host(L *lua.LState) {
	L.Register("panics", func(*lua.LState) int { panic("host bug") })
	L.Register("indexes", func(L *lua.LState) int { return []int{}[L.GetTop()] })
	L.Register("goexit", func(*lua.LState) int { runtime.Goexit(); return 0 })
}

// opens is the beginning of scripts that hold leases when they end.
const opens = `
	local store = require("store")
	for i = 1, 3 do
		local s = assert(store.get("store" .. i))
		assert(s:set("key:" .. i, i))
	end
	local co = coroutine.wrap(function() store.get("other") coroutine.yield() end)
	co();
`

func TestRun_HoweverItEnds_NothingIsLeft(t *testing.T) {
	cases := map[string]struct {
		source string
		kind   script.Kind // "" for success
		text   string
	}{
		"return":                      {`return 1`, "", ""},
		"an error":                    {`error("e")`, script.KindError, "e"},
		"a panic":                     {`panics()`, script.KindPanic, "host bug"},
		"a runtime error of Go":       {`indexes()`, script.KindPanic, "index out of range"},
		"a panic in pcall":            {`pcall(pcall, panics)`, script.KindPanic, "host bug"},
		"a panic in xpcall":           {`xpcall(panics, print)`, script.KindPanic, "host bug"},
		"a panic in a handler":        {`xpcall(error, panics)`, script.KindPanic, "host bug"},
		"a panic in a coroutine":      {`coroutine.wrap(function() panics() end)()`, script.KindError, "host bug"},
		"pcall in a coroutine":        {`coroutine.resume(coroutine.create(function() pcall(panics) end))`, script.KindPanic, "host bug"},
		"a panic in a metamethod":     {`return setmetatable({}, { __index = panics }).x`, script.KindPanic, "host bug"},
		"the deadline":                {`while true do end`, script.KindStopped, "script stopped: deadline of 300ms passed"},
		"the deadline in pcall":       {`while true do pcall(function() while true do end end) end`, script.KindStopped, "deadline of 300ms"},
		"the deadline in a coroutine": {`coroutine.wrap(function() while true do end end)()`, script.KindStopped, "deadline of 300ms"},
		"endless tail calls":          {`local function f() return f() end return f()`, script.KindStopped, "deadline of 300ms"},
		"endless arguments":           {`local function f(...) return f(1, ...) end f()`, script.KindStopped, "deadline of 300ms"},
		"a full stack":                {`local function f() return 1 + f() end f()`, script.KindError, "stack overflow"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			timeout := 30 * time.Second
			if c.kind == script.KindStopped { // what opens does, and the next unit, have to fit in as well
				timeout = 300 * time.Millisecond
			}
			var state *lua.LState
			r := script.New(w.reg, &script.Options{Timeout: timeout, Setup: func(L *lua.LState) { state = L; host(L) }})
			err := r.Exec(t.Context(), compile(t, opens+c.source))
			if c.kind == "" && err != nil {
				t.Error(err)
			}
			if c.kind != "" {
				var failed *script.Error
				if !errors.As(err, &failed) || failed.Kind != c.kind || !strings.Contains(failed.Message, c.text) {
					t.Errorf("got %v, want %s: %s", err, c.kind, c.text)
				}
				if (failed.GoStack != "") != (c.kind == script.KindPanic) {
					t.Errorf("Go stack of a %s: %q", c.kind, failed.GoStack)
				}
				if len(failed.Traceback) > 4096 {
					t.Errorf("the traceback has %d bytes", len(failed.Traceback))
				}
			}
			if state == nil {
				t.Error("there was no state")
			}
			if results, err := r.Run(t.Context(), compile(t, `return require("store").get("store1"):get("key:1")`)); err != nil || len(results) != 2 {
				t.Errorf("the next unit: got %v, %v", results, err)
			}
		})
	}
}

func TestRun_Goexit_PassesThroughWhenAllIsReleased(t *testing.T) {
	for name, source := range map[string]string{"plain": `goexit()`, "in pcall": `pcall(goexit)`, "in a coroutine": `coroutine.wrap(function() goexit() end)()`} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := script.New(w.reg, &script.Options{Setup: host})
			p := compile(t, opens+source)
			ended := make(chan bool)
			go func() {
				returned := false
				defer func() { ended <- returned }()
				_ = r.Exec(t.Context(), p)
				returned = true
			}()
			if <-ended {
				t.Error("the goroutine went on")
			}
		})
	}
}

func TestRun_SetupPanics_IsContained(t *testing.T) {
	failed := fail(t, &script.Options{Setup: func(*lua.LState) { panic("bad setup") }}, `return 1`)
	if failed.Kind != script.KindPanic || !strings.Contains(failed.Message, "bad setup") {
		t.Errorf("got %v", failed)
	}
	failed = fail(t, &script.Options{Setup: func(L *lua.LState) { L.RaiseError("not ready") }}, `return 1`)
	if failed.Kind != script.KindError || !strings.Contains(failed.Message, "not ready") {
		t.Errorf("got %v", failed)
	}
}

func TestRun_Deadline_IsTold(t *testing.T) {
	// A unit whose deadline passes before its code has begun has no traceback.
	failed := fail(t, &script.Options{Timeout: 300 * time.Millisecond}, "\nwhile true do end")
	if !errors.Is(failed, context.DeadlineExceeded) || errors.Is(failed, context.Canceled) {
		t.Errorf("cause %v", failed.Cause)
	}
	if failed.Message != "script stopped: deadline of 300ms passed" || !strings.Contains(failed.Traceback, "test.lua:2: in main chunk") {
		t.Errorf("got %s\n%s", failed.Message, failed.Traceback)
	}
}

func TestRun_ContextEnds(t *testing.T) {
	why := errors.New("shutting down")
	cases := map[string]struct {
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		is   error
		text string
	}{
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Millisecond)
		}, context.DeadlineExceeded, "script stopped: deadline passed"},
		"cancel": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Millisecond, cancel)
			return ctx, cancel
		}, context.Canceled, "script stopped: canceled"},
		"cancel with a cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(why)
			return ctx, func() {}
		}, why, "script stopped: shutting down"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := c.ctx(t.Context())
			defer cancel()
			_, err := script.New(w.reg, nil).Run(ctx, compile(t, opens+`while true do end`))
			var failed *script.Error
			if !errors.As(err, &failed) || failed.Kind != script.KindStopped || !errors.Is(err, c.is) || err.Error() != c.text {
				t.Errorf("got %v", err)
			}
			if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is neither", err)
			}
		})
	}
}

func TestRun_ClosedRegistry_IsToldByTheStore(t *testing.T) {
	reg := store.New(nil)
	if err := reg.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := script.New(reg, nil).Exec(t.Context(), compile(t, `assert(require("store").get("x"))`))
	if err == nil || !strings.Contains(err.Error(), "registry is closed") {
		t.Errorf("got %v", err)
	}
}

func TestRun_ManyValues_Fit(t *testing.T) {
	results, err := run(t, nil, `
		local t = {}
		for i = 1, 100000 do t[i] = "x" end
		local function depth(n) if n == 0 then return 0 end return 1 + depth(n - 1) end
		return #table.concat(t), select("#", unpack(t)), depth(5000)`)
	var joined, spread, depth int
	if err == nil {
		err = results.Decode(&joined, &spread, &depth)
	}
	if err != nil || joined != 100000 || spread != 100000 || depth != 5000 {
		t.Errorf("got %d, %d, %d, %v", joined, spread, depth, err)
	}
}

func TestLimitArrays(t *testing.T) {
	before := lua.MaxArrayIndex
	defer script.LimitArrays(before)
	script.LimitArrays(1 << 10)
	if lua.MaxArrayIndex != 1<<10 {
		t.Errorf("got %d", lua.MaxArrayIndex)
	}
	if _, err := run(t, nil, `local t = {} t[6e7] = 1 assert(t[6e7] == 1 and #t == 0)`); err != nil {
		t.Error(err)
	}
}
