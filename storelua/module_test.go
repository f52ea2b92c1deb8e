package storelua_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/storelua"
)

func TestModule_ResultsOfEachMethod(t *testing.T) {
	for _, c := range []struct{ code, results string }{
		{`store.get("cache")`, `store "cache", nil`},
		{`store.get("other")`, `nil, "store not found: \"other\"", "store_not_found"`},

		{`s:set("a:k", "v")`, `true, nil`},
		{`s:set("a:k", "v", nil)`, `true, nil`},
		{`s:set("a:k", "v", 60)`, `true, nil`},
		{`s:set("a:k", false)`, `true, nil`},

		{`s:get("a:k")`, `nil, "key not found", "not_found"`},
		{`s:set("a:k", "v") return s:get("a:k")`, `"v", nil`},
		{`s:set("a:k", 1.5) return s:get("a:k")`, `1.5, nil`},
		{`s:set("a:k", false) return s:get("a:k")`, `false, nil`},
		{`s:set("a:k", {1, {x = "y"}}) return s:get("a:k")`, `{1=1 2={x="y"}}, nil`},
		{`s:set("a:k", {}) return s:get("a:k")`, `{}, nil`},
		{`s:set("a:k", 1) s:set("a:k", 2) return s:get("a:k")`, `2, nil`},

		{`s:get("a:k", "default")`, `"default", nil`},
		{`s:get("a:k", false)`, `false, nil`},
		{`s:get("a:k", nil)`, `nil, nil`},
		{`s:get("a:k", print == nil)`, `false, nil`},
		{`s:set("a:k", "v") return s:get("a:k", "default")`, `"v", nil`},
		{`s:set("a:k", false) return s:get("a:k", "default")`, `false, nil`},
		{`local t = {} return s:get("a:k", t) == t`, `true`},

		{`s:has("a:k")`, `false, nil`},
		{`s:set("a:k", false) return s:has("a:k")`, `true, nil`},

		{`s:delete("a:k")`, `false, nil`},
		{`s:set("a:k", 1) return s:delete("a:k")`, `true, nil`},
		{`s:set("a:k", 1) s:delete("a:k") return s:delete("a:k")`, `false, nil`},
		{`s:set("a:k", 1) s:delete("a:k") return s:get("a:k")`, `nil, "key not found", "not_found"`},

		{`s:ttl("a:k")`, `nil, "key not found", "not_found"`},
		{`s:set("a:k", 1) return s:ttl("a:k") == math.huge, select("#", s:ttl("a:k"))`, `true, 2`},
		{`s:set("a:k", 1, math.huge) return s:ttl("a:k") == math.huge`, `true`},
		{`s:set("a:k", 1, 1/0) return s:ttl("a:k") == math.huge`, `true`},
		{`s:set("a:k", 1, 0) return s:ttl("a:k") == math.huge`, `true`},
		{`s:set("a:k", 1, -0.0) return s:ttl("a:k") == math.huge`, `true`},
		{`s:set("a:k", 1, 60) s:set("a:k", 1) return s:ttl("a:k") == math.huge`, `true`},
		{`math.huge = 5 s:set("a:k", 1, 1/0) return s:ttl("a:k")`, `1.7976931348623157e+308, nil`},

		{`s:touch("a:k")`, `false, nil`},
		{`s:touch("a:k", 60)`, `false, nil`},
		{`s:set("a:k", 1) return s:touch("a:k", 60)`, `true, nil`},
		{`s:set("a:k", 1, 60) s:touch("a:k") return s:ttl("a:k") == math.huge`, `true`},
		{`s:set("a:k", 1, 60) s:touch("a:k", nil) return s:ttl("a:k") == math.huge`, `true`},
		{`s:set("a:k", 1, 60) s:touch("a:k", 0) return s:ttl("a:k") == math.huge`, `true`},

		{`s:release()`, `true`},
		{`s:release() return s:release()`, `true`},
	} {
		t.Run(c.code, func(t *testing.T) { plainHost(t).want(c.code, c.results) })
	}
}

func TestModule_BadArgumentsAreReturned(t *testing.T) {
	key := func(got string) string {
		return `nil, "invalid key: want a string \"namespace:name\", got ` + got + `", "invalid"`
	}
	ttl := func(text string) string { return `nil, "invalid ttl` + text + `", "invalid"` }
	tooLong := func(got string) string {
		return ttl(" " + got + ": at most 100 years (3153600000 seconds), or 0 for never")
	}
	h := plainHost(t)
	for _, c := range []struct{ code, results string }{
		{`store.get()`, `nil, "invalid store id: want a string, got nil", "invalid"`},
		{`store.get(nil)`, `nil, "invalid store id: want a string, got nil", "invalid"`},
		{`store.get(5)`, `nil, "invalid store id: want a string, got number", "invalid"`},
		{`store.get({})`, `nil, "invalid store id: want a string, got table", "invalid"`},
		{`store.get("")`, `nil, "invalid store id: want a non-empty string", "invalid"`},
		{`store:get("cache")`, `nil, "invalid store id: want a string, got userdata; call it with a dot, as in store.get(\"cache_store\")", "invalid"`},

		{`s:get()`, key("nil")},
		{`s:get(nil, "default")`, key("nil")},
		{`s:get(5)`, key("number")},
		{`s:get(true)`, key("boolean")},
		{`s:get({})`, key("table")},
		{`s:get(print)`, key("function")},
		{`s:get(s)`, key("userdata")},
		{`s:get("k")`, `nil, "invalid key \"k\": want \"namespace:name\"", "invalid"`},
		{`s:get("k", "default")`, `nil, "invalid key \"k\": want \"namespace:name\"", "invalid"`},
		{`s:get(":k")`, `nil, "invalid key \":k\": want \"namespace:name\"", "invalid"`},
		{`s:get("a:")`, `nil, "invalid key \"a:\": want \"namespace:name\"", "invalid"`},
		{`s:set()`, key("nil")},
		{`s:set(5, 1)`, key("number")},
		{`s:set("k", 1)`, `nil, "invalid key \"k\": want \"namespace:name\"", "invalid"`},
		{`s:has()`, key("nil")},
		{`s:has(5)`, key("number")},
		{`s:has("k")`, `nil, "invalid key \"k\": want \"namespace:name\"", "invalid"`},
		{`s:delete()`, key("nil")},
		{`s:delete(5)`, key("number")},
		{`s:delete("k")`, `nil, "invalid key \"k\": want \"namespace:name\"", "invalid"`},
		{`s:ttl()`, key("nil")},
		{`s:ttl(5)`, key("number")},
		{`s:touch()`, key("nil")},
		{`s:touch(5)`, key("number")},

		{`s:set("a:k")`, `nil, "cannot store nil", "invalid"`},
		{`s:set("a:k", nil, 10)`, `nil, "cannot store nil", "invalid"`},
		{`s:set("a:k", print)`, `nil, "cannot store a function", "invalid"`},
		{`s:set("a:k", s)`, `nil, "cannot store a userdata", "invalid"`},
		{`s:set("a:k", coroutine.create(print))`, `nil, "cannot store a thread", "invalid"`},
		{`s:set("a:k", {data = {permissions = {"read", print}}})`,
			`nil, "cannot store a function at .data.permissions[2]", "invalid"`},
		{`s:set("a:k", {[2e5] = true})`,
			`nil, "cannot store the integer key 200000, which leaves too many positions below it empty (use a string key)", "invalid"`},
		{`local t = {} t.t = t return s:set("a:k", t)`,
			`nil, "value too large: tables nested deeper than 64 (a cycle?) at …` + strings.Repeat(".t", 8) + `", "too_large"`},
		{`s:set("a:k", string.rep("x", 2^20))`, `nil, "value too large: more than 1048576 bytes", "too_large"`},

		{`s:set("a:k", 1, "10")`, ttl(": want a number of seconds, got string")},
		{`s:set("a:k", 1, true)`, ttl(": want a number of seconds, got boolean")},
		{`s:set("a:k", 1, false)`, ttl(": want a number of seconds, got boolean")},
		{`s:set("a:k", 1, -1)`, ttl(" -1: want seconds, 0 or more")},
		{`s:set("a:k", 1, -0.001)`, ttl(" -0.001: want seconds, 0 or more")},
		{`s:set("a:k", 1, -1/0)`, ttl(" -Inf: want seconds, 0 or more")},
		{`s:set("a:k", 1, 0/0)`, ttl(" NaN: want seconds, 0 or more")},
		{`s:set("a:k", 1, 1e10)`, tooLong("1e+10")},
		{`s:set("a:k", 1, 1e300)`, tooLong("1e+300")},
		{`s:set("a:k", 1, 3153600001)`, tooLong("3.153600001e+09")},
		{`s:touch("a:k", "10")`, ttl(": want a number of seconds, got string")},
		{`s:touch("a:k", -1)`, ttl(" -1: want seconds, 0 or more")},
		{`s:touch("a:k", 0/0)`, ttl(" NaN: want seconds, 0 or more")},
		{`s:touch("a:k", 1e10)`, tooLong("1e+10")},
	} {
		h.want(c.code, c.results)
	}
	h.want(`s:has("a:k")`, `false, nil`)
}

func TestModule_ARefusedSetChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := plainHost(t)
		h.want(`s:set("a:k", "before", 60)`, `true, nil`)
		for _, arguments := range []string{
			`nil`, `print`, `{1, {print}}`, `{[2e5] = 1}`, `string.rep("x", 2^20)`,
			`"after", -1`, `"after", "10"`, `"after", 0/0`, `"after", 1e10`, `"after", "10"`, `"after", {ttl = "10"}`, `"after", {tll = 10}`, `"after", {10}`,
			`"after", {ttl = 10, keep_ttl = true}`, `"after", {if_absent = true, if_version = ("0"):rep(32)}`,
		} {
			h.want(`s:set("a:k", `+arguments+`) == nil`, `true`)
			h.want(`s:get("a:k")`, `"before", nil`)
			h.want(`s:ttl("a:k")`, `60, nil`)
		}
		h.want(`s:touch("a:k", -1) == nil and s:touch("a:k", "10") == nil`, `true`)
		h.want(`s:ttl("a:k")`, `60, nil`)
	})
}

func TestModule_EntriesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := plainHost(t)
		h.want(`s:set("a:minute", 1, 60)`, `true, nil`)
		h.want(`s:set("a:part", 1, 0.25)`, `true, nil`)
		h.want(`s:set("a:least", 1, 1e-9)`, `true, nil`)
		h.want(`s:set("a:never", 1)`, `true, nil`)
		h.want(`s:ttl("a:minute")`, `60, nil`)
		h.want(`s:ttl("a:part")`, `0.25, nil`)
		h.want(`s:ttl("a:least")`, `0.001, nil`)
		time.Sleep(time.Millisecond)
		h.want(`s:has("a:least")`, `false, nil`)
		time.Sleep(249*time.Millisecond - time.Nanosecond)
		h.want(`s:get("a:part")`, `1, nil`)
		time.Sleep(time.Nanosecond)
		h.want(`s:get("a:part")`, `nil, "key not found", "not_found"`)
		h.want(`s:ttl("a:part")`, `nil, "key not found", "not_found"`)
		h.want(`s:touch("a:part", 60)`, `false, nil`)
		h.want(`s:delete("a:part")`, `false, nil`)
		h.want(`s:ttl("a:minute")`, `59.75, nil`)
		h.want(`s:touch("a:minute", 3153600000)`, `true, nil`)
		h.want(`s:ttl("a:minute")`, `3153600000, nil`)
		time.Sleep(24 * time.Hour)
		h.want(`s:has("a:minute") and s:has("a:never")`, `true`)
	})
}

func TestModule_TheDefaultTTLOfTheStoreIsTakenUnlessOneIsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil, store.Definition{DefaultTTL: time.Minute, MaxTTL: time.Hour})
		h.want(`s:set("a:k", 1) return s:ttl("a:k")`, `60, nil`)
		h.want(`s:set("a:k", 1, nil) return s:ttl("a:k")`, `60, nil`)
		h.want(`s:set("a:k", 1, 3600) return s:ttl("a:k")`, `3600, nil`)
		h.want(`s:set("a:k", 1, 3601)`, `nil, "invalid ttl 3601: this store keeps entries for at most 3600 seconds", "invalid"`)
		for _, never := range []string{`0`, `math.huge`} {
			h.want(`s:set("a:k", 1, `+never+`)`, `nil, "invalid ttl never: this store keeps entries for at most 3600 seconds", "invalid"`)
		}
		h.want(`s:touch("a:k")`, `nil, "invalid ttl never: this store keeps entries for at most 3600 seconds", "invalid"`)
		h.want(`s:ttl("a:k")`, `3600, nil`)
		h.want(`local l = s:info().limits return l.default_ttl, l.max_ttl`, `60, 3600`)
	})
}

func TestModule_AWrongSelfRaisesWithAHint(t *testing.T) {
	h := plainHost(t)
	for _, method := range []string{"get", "set", "delete", "has", "release", "ttl", "touch", "info"} {
		h.wantRaised(`s.`+method+`("a:k")`, `bad self: want a store, got string; call methods with a colon, as in s:get(key)`)
		h.wantRaised(`s.`+method+`()`, `bad self: want a store, got nil; call methods with a colon, as in s:get(key)`)
		h.wantRaised(`s.`+method+`(store, "a:k")`, `bad self: want a store, got userdata; call methods with a colon, as in s:get(key)`)
		h.wantRaised(`s.`+method+`({}, "a:k")`, `bad self: want a store, got table; call methods with a colon, as in s:get(key)`)
		h.wantRaised(`s.`+method+`(newproxy(), "a:k")`, `bad self: want a store, got userdata; call methods with a colon, as in s:get(key)`)
	}
	h.want(`pcall(s.get, "a:k")`, `false, "<string>:1: bad self: want a store, got string; call methods with a colon, as in s:get(key)"`)
}

func TestModule_ToString(t *testing.T) {
	h := plainHost(t)
	h.want(`tostring(s)`, `"store \"cache\""`)
	h.want(`s:release() return tostring(s)`, `"store \"cache\" (released)"`)
	h.want(`tostring(store)`, `"store module"`)
}

// calls are one of every method that answers an error.
var calls = []string{
	`s:get("a:k")`, `s:get("a:k", "default")`, `s:set("a:k", 1)`, `s:delete("a:k")`, `s:has("a:k")`, `s:ttl("a:k")`,
	`s:touch("a:k")`, `s:info()`,
	`s:get(5)`, `s:set(5, 1)`, `s:set("a:k", print)`, `s:set("a:k", 1, -1)`, `s:delete(5)`, `s:has(5)`, `s:ttl(5)`, `s:touch(5)`,
	`s:touch("a:k", -1)`,
	`s:get("k")`, `s:set("k", 1)`, `s:delete("k")`, `s:has("k")`, `s:ttl("k")`, `s:touch("k")`,
}

func TestModule_AReleasedStoreAnswersSoWhateverItIsAsked(t *testing.T) {
	h := plainHost(t)
	for _, call := range calls {
		h.want(`s:release() return `+call, `nil, "store is released", "released"`)
	}
	h.want(`local other = store.get("cache") other:release() return s:set("a:k", 1)`, `true, nil`)
	h.want(`s:release() return store.get("cache"):get("a:k")`, `1, nil`)
}

func TestModule_AStoreOfAnEndedUnitAnswersSo(t *testing.T) {
	h := plainHost(t)
	h.want(`kept = s return s:set("a:k", 1)`, `true, nil`)
	for _, call := range calls {
		h.want(`local s = kept return `+call,
			`nil, "store is released: its unit of work ended; call store.get inside the handler", "released"`)
	}
	h.want(`tostring(kept)`, `"store \"cache\" (released)"`)
	h.want(`kept:release()`, `true`)
	h.want(`s:get("a:k")`, `1, nil`)
}

func TestModule_WithoutAUnit_StoresCannotBeHad(t *testing.T) {
	const noUnit = `no unit of work: run this inside Registry.Do, and give its context to the Lua state with SetContext`
	for name, ctx := range map[string]context.Context{"no context": nil, "a context without a unit": context.Background()} {
		t.Run(name, func(t *testing.T) {
			L := newState(t)
			storelua.Preload(L)
			if ctx != nil {
				L.SetContext(ctx)
			}
			if err := L.DoString(`return require("store").get("cache")`); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(L.Get(1), ", ", L.Get(2), ", ", L.Get(3)); got != "nil, "+noUnit+", invalid" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestModule_AStateWithoutItsContext_CanStillUseWhatItHas(t *testing.T) {
	h := plainHost(t)
	err := h.reg.Do(context.Background(), func(ctx context.Context) error {
		h.L.SetContext(ctx)
		if err := h.L.DoString(`s = require("store").get("cache")`); err != nil {
			return err
		}
		h.L.RemoveContext()
		return h.L.DoString(`assert(s:set("a:k", 1)) assert(s:get("a:k") == 1)`)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestModule_AfterTheUnitEnded_StoresCannotBeHad(t *testing.T) {
	h := plainHost(t)
	h.want(`s:set("a:k", 1)`, `true, nil`)
	h.L.RemoveContext() // ended with the unit: nothing would run
	var ended context.Context
	if err := h.reg.Do(context.Background(), func(ctx context.Context) error { ended = ctx; return nil }); err != nil {
		t.Fatal(err)
	}
	h.L.SetContext(context.WithoutCancel(ended))
	defer h.L.SetTop(0)
	if err := h.L.DoString(`return require("store").get("cache")`); err != nil {
		t.Fatal(err)
	}
	if got, want := h.L.Get(2).String(), "store is released: its unit of work ended; call store.get inside the handler"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestModule_CoroutinesOfAUnitShareIt(t *testing.T) {
	h := plainHost(t)
	h.want(`
		local co = coroutine.wrap(function(key)
			local mine = store.get("cache")
			while true do
				local n = mine:get(key, 0) + 1
				assert(s:set(key, n))
				key = coroutine.yield(n)
			end
		end)
		co("a:k") co("a:k") co("a:other")
		return co("a:k"), s:get("a:other")`, `3, 1, nil`)
}

func TestModule_ACoroutineStaysInItsUnit(t *testing.T) {
	h := plainHost(t)
	h.want(`kept = coroutine.create(function() coroutine.yield(s:set("a:k", 1)) return s:set("a:k", 2) end) return coroutine.resume(kept)`,
		`true, true, nil`)
	h.want(`local done, problem = coroutine.resume(kept) return done, problem:match("context canceled")`, `false, "context canceled"`)
	h.want(`s:get("a:k")`, `1, nil`)
}

func TestModule_AnEndingUnitStopsWhatRunsInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := plainHost(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := h.reg.Do(ctx, func(ctx context.Context) error {
			h.L.SetContext(ctx)
			h.L.SetGlobal("wait", h.L.NewFunction(func(*lua.LState) int { time.Sleep(time.Minute); return 0 }))
			return h.L.DoString(prelude + `result = {pcall(function() wait() return s:set("a:k", 1) end)} s:set("a:k", 2)`)
		})
		if err == nil || !strings.Contains(err.Error(), "context deadline exceeded") {
			t.Errorf("got %v", err)
		}
		h.want(`s:has("a:k")`, `false, nil`)
	})
}

func TestModule_StoredBytesThatAreNoValue_AreCorruptAndCanBeReplaced(t *testing.T) {
	h := plainHost(t)
	for _, c := range hostile {
		if err := h.driver.Set(context.Background(), "a:k", c.bytes, 0); err != nil {
			t.Fatal(err)
		}
		results, err := h.unit(`return s:get("a:k")`)
		if err != nil || !strings.HasPrefix(results, `nil, "corrupt value: `) || !strings.HasSuffix(results, `, "corrupt"`) {
			t.Errorf("%s: got %s, %v", c.name, results, err)
		}
		h.want(`s:get("a:k", "default") == nil`, `true`)
		h.want(`s:has("a:k")`, `true, nil`)
		h.want(`s:delete("a:k")`, `true, nil`)
		if err := h.driver.Set(context.Background(), "a:k", c.bytes, 0); err != nil {
			t.Fatal(err)
		}
		h.want(`s:set("a:k", "good") return s:get("a:k")`, `"good", nil`)
	}
}

func TestModule_WhatIsGotIsAFreshCopy(t *testing.T) {
	h := plainHost(t)
	h.want(`
		local original = {list = {1, 2}}
		s:set("a:k", original)
		original.list[1] = "changed"
		local first = s:get("a:k")
		first.list[2] = "changed"
		return s:get("a:k")`, `{list={1=1 2=2}}, nil`)
}

func TestModule_WhatScriptsStoreAndGoReadsIsTheSame(t *testing.T) {
	h := plainHost(t)
	h.want(`s:set("a:k", {name = "n", list = {1, 2}, on = true})`, `true, nil`)
	type record struct {
		Name string `store:"name"`
		List []int  `store:"list"`
		On   bool   `store:"on"`
	}
	err := h.reg.Do(context.Background(), func(ctx context.Context) error {
		s, err := store.Get(ctx, "cache")
		if err != nil {
			return err
		}
		r, err := store.Load[record](ctx, s, "a:k")
		if err != nil || r.Name != "n" || !slices.Equal(r.List, []int{1, 2}) || !r.On {
			t.Errorf("got %+v, %v", r, err)
		}
		return store.Save(ctx, s, "a:k", record{Name: "m"}, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	h.want(`s:get("a:k")`, `{list={} name="m" on=false}, nil`)
}

func TestModule_Info(t *testing.T) {
	h := newHost(t, nil, store.Definition{Limits: store.Limits{ValueBytes: 1000, Depth: 3}})
	h.want(`s:info()`, `{clock="monotonic clock of this process" consistency="linearizable for each key" driver="memory" `+
		`durability="none: entries are lost when the process ends" `+
		`limits={batch=1000 batch_bytes=67108864 default_ttl=1.7976931348623157e+308 depth=3 key_bytes=1024 `+
		`max_ttl=1.7976931348623157e+308 nodes=100000 value_bytes=1000} `+
		`ordered=true shared=false ttl_resolution=1e-09}, nil`)
	h.want(`s:info().limits.max_ttl == math.huge`, `true`)
	h.want(`local i = s:info() i.driver = "changed" return s:info().driver`, `"memory"`)
	h.want(`s:set("a:k", {{{}}})`, `true, nil`)
	h.want(`s:set("a:k", {{{{}}}})`, `nil, "value too large: tables nested deeper than 3 (a cycle?) at [1][1][1]", "too_large"`)
	h.want(`s:set("a:k", string.rep("x", 1000))`, `nil, "value too large: more than 1000 bytes", "too_large"`)
}

func TestModule_AReadOnlyStoreRefusesWrites(t *testing.T) {
	h := newHost(t, nil, store.Definition{ReadOnly: true})
	if err := h.driver.Set(context.Background(), "a:k", []byte{0x01}, 0); err != nil {
		t.Fatal(err)
	}
	h.want(`s:get("a:k")`, `1, nil`)
	for _, call := range []string{`s:set("a:k", 1)`, `s:delete("a:k")`, `s:touch("a:k")`} {
		h.want(call, `nil, "permission denied: store \"cache\": it is read-only", "denied"`)
	}
}

func TestModule_APolicySeesUnitStoreOperationAndKey(t *testing.T) {
	var seen []string
	h := newHost(t, &store.Options{Policy: func(_ context.Context, a store.Access) error {
		seen = append(seen, fmt.Sprint(a.Unit, " ", a.Store, " ", a.Op, " ", a.Key))
		if a.Key == "secret:k" {
			return errors.New("not for you")
		}
		return nil
	}}, store.Definition{})
	for _, call := range []string{
		`s:get("secret:k")`, `s:get("secret:k", 1)`, `s:set("secret:k", 1)`, `s:has("secret:k")`, `s:ttl("secret:k")`,
	} {
		h.want(call, `nil, "permission denied: store \"cache\": not for you", "denied"`)
	}
	h.want(`s:set("a:k", 1)`, `true, nil`)
	want := []string{"unit cache get secret:k", "unit cache get secret:k", "unit cache set secret:k", "unit cache has secret:k",
		"unit cache ttl secret:k", "unit cache set a:k"}
	if !slices.Equal(seen, want) {
		t.Errorf("the policy saw %q", seen)
	}
}

func TestModule_APanicInAPolicy_IsALuaErrorAndCorruptsNothing(t *testing.T) {
	panics := false
	policy := func(context.Context, store.Access) error {
		if panics {
			panics = false
			panic("bug of the host")
		}
		return nil
	}
	h := newHost(t, &store.Options{Policy: policy}, store.Definition{Timeout: time.Minute})
	h.L.SetGlobal("arm", h.L.NewFunction(func(*lua.LState) int { panics = true; return 0 }))
	h.want(`
		s:set("a:k", "before")
		local kept = {1, 2, 3}
		arm()
		local ok, problem = pcall(s.get, s, "a:k")
		assert(not ok and tostring(problem):find("bug of the host"), problem)
		arm()
		assert(not pcall(s.set, s, "a:k", {kept, kept}))
		assert(s:get("a:k") == "before")
		s:set("a:k", kept)
		return s:get("a:k")`, `{1=1 2=2 3=3}, nil`)
	_, err := h.unit(`arm() return s:get("a:k")`)
	if err == nil || !strings.Contains(err.Error(), "bug of the host") {
		t.Errorf("got %v", err)
	}
	h.want(`s:get("a:k")`, `{1=1 2=2 3=3}, nil`)
}

func TestModule_ManyStatesOfOneRegistryWorkAtOnce(t *testing.T) {
	h := plainHost(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			L := lua.NewState()
			defer L.Close()
			storelua.Preload(L)
			for range 50 {
				err := h.reg.Do(context.Background(), func(ctx context.Context) error {
					L.SetContext(ctx)
					return L.DoString(fmt.Sprintf(`
						local s = require("store").get("cache")
						local mine = s:get("mine:%d", {n = 0, list = {}})
						mine.n = mine.n + 1
						mine.list[mine.n] = "x"
						assert(s:set("mine:%d", mine) and s:set("all:k", mine, 60) and s:get("all:k").n > 0)`, i, i))
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		h.want(fmt.Sprintf(`local v = s:get("mine:%d") return v.n, #v.list`, i), `50, 50`)
	}
}

func TestModule_UnitsLeaveNoLease(t *testing.T) {
	h := plainHost(t)
	for _, code := range []string{
		`s:get("a:k")`, `error("failed")`, `s:release()`, `for i = 1, 1000 do store.get("cache") end`,
		`coroutine.wrap(function() store.get("cache") coroutine.yield() end)()`,
	} {
		_, err := h.unit(code)
		if failed := strings.Contains(code, "error"); failed != (err != nil) {
			t.Errorf("%s: %v", code, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // so that Close does not wait
	if err := h.reg.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestModule_SetStoresTheSameBytesAsGo(t *testing.T) {
	h := plainHost(t)
	h.want(`s:set("a:k", {1, "a", {true}})`, `true, nil`)
	b, err := h.driver.Get(context.Background(), "a:k")
	if want := []byte{0x93, 0x01, 0xa1, 'a', 0x91, 0xc3}; err != nil || !bytes.Equal(b, want) {
		t.Errorf("got %x, %v, want %x", b, err, want)
	}
}
