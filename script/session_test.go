package script_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/script"
)

// A prompt is a session as a person uses it.
type prompt struct {
	t *testing.T
	s *script.Session
}

// newPrompt begins a session, which ends with the test.
func newPrompt(t *testing.T, o *script.Options) prompt {
	t.Helper()
	s, err := script.New(newWorld(t).reg, o).Session(t.Context(), "prompt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return prompt{t, s}
}

// enter runs what is typed and returns what it answers.
func (p prompt) enter(source string) ([]string, error) {
	p.t.Helper()
	program, err := script.CompileInteractive("prompt", source)
	if err != nil {
		p.t.Fatalf("%s: %v", source, err)
	}
	return p.s.Run(p.t.Context(), program)
}

// shows fails unless the answer, as one text, is what is wanted.
func (p prompt) shows(source, want string) {
	p.t.Helper()
	results, err := p.enter(source)
	if got := strings.Join(results, ", "); err != nil || got != want {
		p.t.Errorf("%s: got %s, %v\nwant %s", source, got, err, want)
	}
}

// fails returns the error of what is typed, which must be of a kind.
func (p prompt) fails(source string, kind script.Kind) *script.Error {
	p.t.Helper()
	results, err := p.enter(source)
	var failed *script.Error
	if !errors.As(err, &failed) || failed.Kind != kind || results != nil {
		p.t.Fatalf("%s: got %v, %v, want an error of kind %s", source, results, err, kind)
	}
	return failed
}

func TestSession_GlobalsAndStoresLast_LocalVariablesDoNot(t *testing.T) {
	p := newPrompt(t, nil)
	p.shows(`x = 1`, ``)
	p.shows(`local y = 2`, ``)
	p.shows(`x, y`, `1, nil`)
	p.shows(`s = require("store").get("demo")`, ``)
	p.shows(`s:set("a:b", { 1, n = "x" })`, `true, nil`)
	p.shows(`s:get("a:b")`, `{ 1, n = "x" }, nil`)
	p.shows(`s`, `store "demo"`)
	p.shows(`s:get("a:c")`, `nil, "key not found", "not_found"`)
	p.shows(`string.trim = function() return "trimmed" end`, ``)
	p.shows(`("x"):trim()`, `"trimmed"`)
	p.shows(`math = nil`, ``)
	p.shows(`math, arg[0]`, `nil, "prompt"`)
	p.shows(`_G.x, getfenv().x, package.loaded.math.pi > 3`, `1, 1, true`)
	p.shows(`setfenv(0, { x = 5, print = print })`, ``)
	p.shows(`x, require`, `5, nil`)
}

func TestSession_CoroutineThatWaits_GoesOnInLaterChunks(t *testing.T) {
	p := newPrompt(t, &script.Options{Timeout: time.Minute})
	p.shows(`s = require("store").get("demo")`, ``)
	p.shows(`co = coroutine.wrap(function() for i = 1, 3 do assert(s:set("k:" .. i, i)) coroutine.yield(i) end end)`, ``)
	for i := 1; i <= 3; i++ {
		p.shows(`co()`, fmt.Sprint(i))
	}
	p.shows(`s:get("k:3")`, `3, nil`)
}

func TestSession_FailedAndStoppedChunks_LeaveTheSession(t *testing.T) {
	// Overflowing the calls takes longer than a short deadline where the machine is busy.
	patient := newPrompt(t, &script.Options{Timeout: time.Minute, Output: 100})
	stopping := newPrompt(t, &script.Options{Timeout: 300 * time.Millisecond, Output: 100})
	patient.shows(`s = require("store").get("demo")`, ``)
	stopping.shows(`s = require("store").get("demo")`, ``)
	for name, c := range map[string]struct {
		source string
		kind   script.Kind
	}{
		"an error":          {`x = 1 error("boom")`, script.KindError},
		"an error of a co":  {`x = 1 coroutine.wrap(function() pcall(pcall) error("boom") end)()`, script.KindError},
		"the deadline":      {`x = 1 while true do end`, script.KindStopped},
		"in a coroutine":    {`x = 1 kept = coroutine.wrap(function() while true do end end) kept()`, script.KindStopped},
		"inside pcalls":     {`x = 1 pcall(pcall, function() while true do end end)`, script.KindStopped},
		"the output":        {`x = 1 while true do print("0123456789") end`, script.KindError},
		"too many calls":    {`x = 1 local function f() return 1 + f() end f()`, script.KindError},
		"a missing global":  {`x = 1 none()`, script.KindError},
		"a table as error":  {`x = 1 error({ 1 })`, script.KindError},
		"a sort that fails": {`x = 1 table.sort({ 3, 2, 1 }, function() error("inside") end)`, script.KindError},
	} {
		t.Run(name, func(t *testing.T) {
			p := prompt{t, patient.s}
			if c.kind == script.KindStopped {
				p.s = stopping.s
			}
			p.shows(`x = nil`, ``)
			p.fails(c.source, c.kind)
			p.shows(`x`, `1`)
			p.shows(`s:set("a:b", 1)`, `true, nil`)
			p.shows(`print("again")`, ``)
			p.shows(`pcall(coroutine.wrap(function() return 7 end))`, `true, 7`)
		})
	}
}

func TestSession_MemoryOfOneChunk_LeavesTheSession(t *testing.T) {
	p := newPrompt(t, &script.Options{Timeout: time.Minute, Memory: 16 << 20})
	p.fails(`x = 1 local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1e5) .. i end`, script.KindMemory)
	p.shows(`x`, `1`)
	p.fails(`kept = {} for i = 1, 1e9 do kept[i] = ("x"):rep(1e5) .. i end`, script.KindMemory)
	p.shows(`#kept > 10`, `true`)
	p.shows(`kept = nil`, ``)
}

func TestSession_EndOfTheContextOfAChunk_StopsNoOther(t *testing.T) {
	started := make(chan struct{}, 1)
	p := newPrompt(t, &script.Options{Timeout: -1, Setup: func(L *lua.LState) {
		L.Register("started", func(*lua.LState) int { started <- struct{}{}; return 0 })
	}})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("Ctrl-C")
	go func() { <-started; cancel(why) }()
	program, err := script.CompileInteractive("prompt", `x = 1 started() while true do end`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.s.Run(ctx, program)
	if !errors.Is(err, why) || !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "script stopped: Ctrl-C") {
		t.Errorf("got %v", err)
	}
	if _, err = p.s.Run(ctx, program); !errors.Is(err, why) {
		t.Errorf("with a context that has ended: got %v", err)
	}
	p.shows(`x`, `1`)
}

func TestSession_Panic_BeginsAnew(t *testing.T) {
	w := newWorld(t)
	s, err := script.New(w.reg, &script.Options{Setup: func(L *lua.LState) {
		L.Register("panics", func(*lua.LState) int { panic("a mistake in Go") })
	}}).Session(t.Context(), "prompt")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := prompt{t, s}
	for _, source := range []string{`panics()`, `pcall(panics)`, `coroutine.wrap(function() pcall(panics) end)()`} {
		p.shows(`x, s = 1, require("store").get("demo")`, ``)
		failed := p.fails(source, script.KindPanic)
		if !strings.Contains(failed.Message, "a mistake in Go; the session begins anew") {
			t.Errorf("got %s", failed.Message)
		}
		w.mu.Lock()
		if w.leases != 0 {
			t.Errorf("%d stores are not released", w.leases)
		}
		w.mu.Unlock()
		p.shows(`x, s`, `nil, nil`)
	}
}

func TestSession_Goexit_BeginsAnew(t *testing.T) {
	w := newWorld(t)
	s, err := script.New(w.reg, &script.Options{Setup: func(L *lua.LState) {
		L.Register("leave", func(*lua.LState) int { runtime.Goexit(); return 0 })
	}}).Session(t.Context(), "prompt")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := prompt{t, s}
	p.shows(`x = 1`, ``)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = p.enter(`leave()`)
	}()
	<-done
	p.shows(`x`, `nil`)
}

func TestSession_OsExit_EndsIt(t *testing.T) {
	p := newPrompt(t, &script.Options{Grants: []script.Grant{script.GrantOS}})
	if failed := p.fails(`pcall(os.exit, 3)`, script.KindExit); failed.ExitCode != 3 {
		t.Errorf("got %d", failed.ExitCode)
	}
	p.fails(`1`, script.KindExit)
	if names := p.s.Names(""); names != nil {
		t.Errorf("got %v", names)
	}
}

func TestSession_Close_StopsTheChunkThatRuns(t *testing.T) {
	started := make(chan struct{}, 1)
	p := newPrompt(t, &script.Options{Timeout: -1, Setup: func(L *lua.LState) {
		L.Register("started", func(*lua.LState) int { started <- struct{}{}; return 0 })
	}})
	go func() { <-started; p.s.Close() }()
	if failed := p.fails(`s = require("store").get("demo") started() while true do end`, script.KindStopped); !strings.Contains(failed.Message, "the session was closed") {
		t.Errorf("got %v", failed)
	}
	p.fails(`1`, script.KindStopped)
}

func TestSession_Run_WaitsForItsTurnNoLongerThanItsContext(t *testing.T) {
	var s *script.Session
	started := make(chan struct{}, 1)
	again := compile(t, `x = 1`)
	p := newPrompt(t, &script.Options{Timeout: -1, Setup: func(L *lua.LState) {
		L.Register("started", func(*lua.LState) int { started <- struct{}{}; return 0 })
		L.Register("nested", func(L *lua.LState) int {
			_, err := s.Run(L.Context(), again)
			L.RaiseError("%v", err)
			return 0
		})
	}})
	s = p.s
	for _, source := range []string{`started() while true do end`, `started() nested()`} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := s.Run(ctx, compile(t, source))
			ended <- err
		}()
		<-started
		impatient, giveUp := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, giveUp)
		if _, err := s.Run(impatient, again); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", source, err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", source, err)
		}
	}
	p.shows(`x`, `nil`)
}

func TestSession_FailedChunk_HoldsNoMemory(t *testing.T) {
	var held weak.Pointer[lua.LUserData]
	p := newPrompt(t, &script.Options{Setup: func(L *lua.LState) {
		L.Register("large", func(L *lua.LState) int {
			ud := L.NewUserData()
			held = weak.Make(ud)
			L.Push(ud)
			return 1
		})
	}})
	p.fails(`local u = large() error("boom")`, script.KindError)
	runtime.GC()
	if held.Value() != nil {
		t.Error("a local variable of the chunk is still referred to")
	}
}

func TestSession_EndOfItsContext_StopsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := script.New(newWorld(t).reg, nil).Session(ctx, "prompt")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := prompt{t, s}
	p.shows(`s = require("store").get("demo")`, ``)
	cancel()
	p.fails(`1`, script.KindStopped)
}

func TestSession_SetupThatFails_IsTold(t *testing.T) {
	_, err := script.New(newWorld(t).reg, &script.Options{Setup: func(*lua.LState) { panic("no setup") }}).Session(t.Context(), "prompt")
	if err == nil || !strings.Contains(err.Error(), "no setup") {
		t.Errorf("got %v", err)
	}
}

// What a session does no unit of the same runner sees, and the other way round.
func TestSession_SharesNothingWithUnits(t *testing.T) {
	w := newWorld(t)
	r := script.New(w.reg, nil)
	s, err := r.Session(t.Context(), "prompt")
	if err != nil {
		t.Fatal(err)
	}
	p := prompt{t, s}
	clean := compile(t, `assert(x == nil and string.leak == nil and tostring(1) == "1" and require("store").leak == nil)`)
	for range 3 {
		if err := r.Exec(t.Context(), compile(t, `y = 1 string.leak = 2`)); err != nil {
			t.Fatal(err)
		}
		p.shows(`x, y, string.leak`, `nil, nil, nil`)
		p.shows(`x, string.leak, tostring = 1, 1, print`, ``)
		if err := r.Exec(t.Context(), clean); err != nil {
			t.Fatal(err)
		}
		p.shows(`x, string.leak, tostring = nil, nil, nil`, ``)
	}
	p.shows(`x, string.leak = 1, 1`, ``)
	s.Close()
	for range 3 {
		if err := r.Exec(t.Context(), clean); err != nil {
			t.Error(err)
		}
	}
}

func TestSession_UnitHasItsName(t *testing.T) {
	var units []string
	reg := store.New(&store.Options{
		Default: func(string) (store.Definition, bool) { return store.Definition{}, false },
		Observe: func(_ context.Context, e store.Event) { units = append(units, e.Unit) },
	})
	defer reg.Close(t.Context())
	s, err := script.New(reg, nil).Session(t.Context(), "console")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	(prompt{t, s}).shows(`select("#", require("store").get("none"))`, `3`)
	if !slices.Equal(units, []string{"console"}) {
		t.Errorf("got %q", units)
	}
}

func TestSession_IO_IsWrittenAtTheEndOfEachChunk(t *testing.T) {
	p := newPrompt(t, &script.Options{Grants: []script.Grant{script.GrantIO}})
	name := t.TempDir() + "/out"
	p.shows(fmt.Sprintf(`f = io.open(%q, "w")`, name), ``)
	p.shows(`f:write("kept back") and nil`, `nil`)
	p.shows(fmt.Sprintf(`io.open(%q):read("*a")`, name), `"kept back"`)
}
