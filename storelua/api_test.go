package storelua_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/storelua"
)

func TestSet_WithOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, nil, store.Definition{DefaultTTL: time.Hour})
		h.want(`s:set("a:k", 1, {})`, `true, nil`)
		h.want(`s:ttl("a:k")`, `3600, nil`)
		h.want(`s:set("a:k", 2, {ttl = 60})`, `true, nil`)
		h.want(`s:set("a:k", 3, {keep_ttl = true})`, `true, nil`)
		h.want(`s:ttl("a:k")`, `60, nil`)
		h.want(`s:set("a:new", 1, {keep_ttl = true})`, `true, nil`)
		h.want(`s:ttl("a:new")`, `3600, nil`)
		h.want(`s:set("a:k", 4, {if_absent = true})`, `false, nil`)
		h.want(`s:set("a:other", 4, {if_absent = true, ttl = 5})`, `true, nil`)
		h.want(`s:ttl("a:other")`, `5, nil`)
		h.want(`local v = s:entry("a:k").version; return s:set("a:k", 5, {if_version = v, keep_ttl = true}), s:set("a:k", 6, {if_version = v}), s:get("a:k")`,
			`true, false, 5, nil`)
		h.want(`s:ttl("a:k")`, `60, nil`)
		h.want(`s:set("a:absent", 5, {if_version = ("0"):rep(32)})`, `false, nil`)
		h.want(`s:set("a:k", 7, {if_absent = false, keep_ttl = false, ttl = 0})`, `true, nil`)
		h.want(`s:ttl("a:k") == math.huge`, `true`)
	})
}

func TestDelete_WithOptions(t *testing.T) {
	h := plainHost(t)
	h.want(`s:set("a:k", 1)`, `true, nil`)
	h.want(`local v = s:entry("a:k").version; s:set("a:k", 2); return s:delete("a:k", {if_version = v})`, `false, nil`)
	h.want(`s:delete("a:k", {if_version = s:entry("a:k").version})`, `true, nil`)
	h.want(`s:set("a:k", 1)`, `true, nil`)
	h.want(`s:delete("a:k", {})`, `true, nil`)
}

// Each is told with what would have been right.
func TestOptions_ThatAreWrong_AreErrors(t *testing.T) {
	h := plainHost(t)
	h.want(`s:set("a:k", "before")`, `true, nil`)
	names := `want ttl, keep_ttl, if_absent or if_version`
	version := strings.Repeat("0", 32)
	for call, message := range map[string]string{
		`s:set("a:k", 1, {tll = 5})`:                                          `unknown option "tll": ` + names,
		`s:set("a:k", 1, {5})`:                                                `unknown option of type number: ` + names,
		`s:set("a:k", 1, {[("x"):rep(100000)] = 1})`:                          `unknown option "` + strings.Repeat("x", 64) + `…": ` + names,
		`s:set("a:k", 1, true)`:                                               `invalid ttl: want a number of seconds, got boolean`,
		`s:set("a:k", 1, {ttl = "5"})`:                                        `invalid ttl: want a number of seconds, got string`,
		`s:set("a:k", 1, {ttl = -5})`:                                         `invalid ttl -5: want seconds, 0 or more`,
		`s:set("a:k", 1, {keep_ttl = 1})`:                                     `invalid keep_ttl: want a boolean, got number`,
		`s:set("a:k", 1, {if_absent = "yes"})`:                                `invalid if_absent: want a boolean, got string`,
		`s:set("a:k", 1, {if_version = 5})`:                                   `invalid if_version: want a string, got number`,
		`s:set("a:k", 1, {if_version = "5"})`:                                 `invalid version "5": want the one that entry returned`,
		`s:set("a:k", 1, {if_version = ""})`:                                  `invalid version "": want the one that entry returned`,
		`s:set("a:k", 1, {if_absent = true, if_version = "` + version + `"})`: `contradictory options: if_absent wants no entry, if_version wants one`,
		`s:set("a:k", 1, {ttl = 5, keep_ttl = true})`:                         `contradictory options: ttl sets the expiry, keep_ttl keeps it`,
		`s:delete("a:k", {if_absent = true})`:                                 `unknown option "if_absent": want if_version`,
		`s:delete("a:k", "` + version + `")`:                                  `invalid options: want a table with if_version, got string`,
		`s:incr("a:k", "1")`:                                                  `invalid delta: want a number, got string`,
		`s:incr("a:k", 0/0)`:                                                  `invalid delta NaN: want a finite number`,
		`s:incr("a:k", 1, 5)`:                                                 `invalid options: want a table with initial or ttl, got number`,
		`s:incr("a:k", 1, {initial = "0"})`:                                   `invalid initial: want a number, got string`,
		`s:incr("a:k", 1, {inital = 0})`:                                      `unknown option "inital": want initial or ttl`,
		`s:update("a:k")`:                                                     `invalid fn: want a function, got nil`,
		`s:update("a:k", function() end, {retries = 1.5})`:                    `invalid retries 1.5: want a whole number from 0 to 10000`,
		`s:update("a:k", function() end, {retries = -1})`:                     `invalid retries -1: want a whole number from 0 to 10000`,
		`s:update("a:k", function() end, {keep_ttl = true})`:                  `unknown option "keep_ttl": want ttl or retries`,
		`s:update("a:k", function() end, 5)`:                                  `invalid options: want a table with ttl or retries, got number`,
		`s:fetch("a:k", 5)`:                                                   `invalid fn: want a function, got number`,
		`s:fetch("a:k", function() end, "5")`:                                 `invalid ttl: want a number of seconds, got string`,
		`s:get_many("a:k")`:                                                   `invalid keys: want an array of keys, got string`,
		`s:get_many({"a:k", 5})`:                                              `invalid key at [2]: want a string "namespace:name", got number`,
		`s:get_many({"a:k", "k"})`:                                            `invalid key "k": want "namespace:name"`,
		`s:get_many({"a:k", nil, "a:l"})`:                                     `invalid keys: want an array of keys, got one with nothing at [2]`,
		`s:get_many({a = "a:k"})`:                                             `invalid keys: want an array of keys, got a table with a key of type string`,
		`s:set_many({"a:k"})`:                                                 `invalid key: want a string "namespace:name", got number`,
		`s:set_many({["a:k"] = print})`:                                       `cannot store a function: key "a:k"`,
		`s:set_many({["a:k"] = {x = print}})`:                                 `cannot store a function at .x: key "a:k"`,
		`s:set_many({["a:k"] = 1, k = 1})`:                                    `invalid key "k": want "namespace:name"`,
		`s:set_many({["a:k"] = 1}, {ttl = 5})`:                                `invalid ttl: want a number of seconds, got table`,
		`s:delete_many()`:                                                     `invalid keys: want an array of keys, got nil`,
		`s:list("a:")`:                                                        `invalid options: want a table with prefix, limit, cursor or values, got string`,
		`s:list{limit = 0}`:                                                   `invalid limit 0: want a whole number from 1 to 1000`,
		`s:list{limit = 1001}`:                                                `invalid limit 1001: want a whole number from 1 to 1000`,
		`s:list{limit = 1.5}`:                                                 `invalid limit 1.5: want a whole number from 1 to 1000`,
		`s:list{limit = 0/0}`:                                                 `invalid limit NaN: want a whole number from 1 to 1000`,
		`s:list{prefix = 5}`:                                                  `invalid prefix: want a string, got number`,
		`s:list{values = 1}`:                                                  `invalid values: want a boolean, got number`,
		`s:list{cursor = 5}`:                                                  `invalid cursor: want a string, got number`,
		`s:list{cursor = ""}`:                                                 `invalid cursor: want the one that came with the page before, got an empty string`,
		`s:list{cursor = "x"}`:                                                `invalid cursor: want the one that came with the page before, under the same prefix`,
	} {
		h.want(call, fmt.Sprintf(`nil, %q, "invalid"`, message))
		h.want(`s:get("a:k")`, `"before", nil`)
	}
	h.want(`local t = {}; for i = 1, 1001 do t[i] = "a:" .. i end; return s:get_many(t)`, `nil, "batch too large: more than 1000 keys", "too_large"`)
	h.want(`local t = {}; for i = 1, 1001 do t["a:" .. i] = i end; return s:set_many(t)`, `nil, "batch too large: more than 1000 keys", "too_large"`)
	h.want(`s:has("a:1")`, `false, nil`)
}

func TestUpdate_InLua(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := plainHost(t)
		h.want(`s:update("a:k", function(v) return (v or 0) + 1 end)`, `1, nil`)
		h.want(`s:update("a:k", function(v) return {v, 2} end, {ttl = 60})`, `{1=1 2=2}, nil`)
		h.want(`s:update("a:k", function(v) v[3] = 3 return v end)`, `{1=1 2=2 3=3}, nil`)
		h.want(`s:ttl("a:k")`, `60, nil`)
		h.want(`s:update("a:k", function() end)`, `nil, "aborted: the function returned no value", "aborted"`)
		h.want(`s:update("a:k", function() return nil, "sold out" end)`, `nil, "sold out", "aborted"`)
		h.want(`s:update("a:k", function() return nil, {code = 7}, "mine" end)`, `nil, {code=7}, "mine"`)
		h.want(`s:update("a:k", function() return s:get("a:absent") end)`, `nil, "key not found", "not_found"`)
		h.want(`s:update("a:k", function() return {f = print} end)`, `nil, "cannot store a function at .f", "invalid"`)
		h.wantRaised(`s:update("a:k", function() error("mine") end)`, `mine`)
		h.want(`local ok, e = pcall(s.update, s, "a:k", function() error({code = 7}) end); return ok, e`, `false, {code=7}`)
		h.want(`s:get("a:k")`, `{1=1 2=2 3=3}, nil`)
		h.want(`s:update("a:k", function() return false end)`, `false, nil`)
		h.want(`s:update("a:k", function() return store.REMOVE end)`, `nil, nil`)
		h.want(`s:has("a:k")`, `false, nil`)
		h.want(`s:set("a:k", store.REMOVE)`, `nil, "cannot store store.REMOVE, which is for the function of update to return", "invalid"`)
		h.want(`s:update("a:k", function() s:incr("a:k"); return 5 end, {retries = 2})`,
			`nil, "conflict: other writers were faster, at each of 3 tries", "conflict"`)
		h.want(`s:update("a:k", function() s:incr("a:k"); return 5 end, {retries = 0})`,
			`nil, "conflict: another writer was faster", "conflict"`)
		h.want(`s:get("a:k")`, `4, nil`)
		h.want(`s:update("a:k", function() s:release(); return 5 end)`, `nil, "store is released", "released"`)
		h.want(`tostring(store.REMOVE)`, `"store.REMOVE"`)
		h.wantRaised(`store.REMOVE.x = 1`, `cannot change store.REMOVE: it is read-only`)
	})
}

func TestFetch_InLua(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := plainHost(t)
		h.want(`s:fetch("a:k", function(key) return {key} end, 60)`, `{1="a:k"}, nil, "miss"`)
		h.want(`s:fetch("a:k", function() return error("not called") end)`, `{1="a:k"}, nil, "hit"`)
		h.want(`s:ttl("a:k")`, `60, nil`)
		h.want(`s:fetch("a:b", function() end)`, `nil, "aborted: the function returned no value", "aborted"`)
		h.want(`s:fetch("a:b", function() return nil, "down", "unavailable" end)`, `nil, "down", "unavailable"`)
		h.want(`s:fetch("a:b", function() return print end)`, `nil, "cannot store a function", "invalid"`)
		h.want(`s:fetch("b", function() return 1 end)`, `nil, "invalid key \"b\": want \"namespace:name\"", "invalid"`)
		h.wantRaised(`s:fetch("a:b", function() error("mine") end)`, `mine`)
		h.want(`s:has("a:b")`, `false, nil`)
		h.want(`s:fetch("a:b", function() return false end)`, `false, nil, "miss"`)
		h.want(`s:fetch("a:b", function() return 1 end)`, `false, nil, "hit"`)
		// Inside itself, through a coroutine that knows nothing of the fetch around it.
		h.want(`local co = coroutine.wrap(function() while true do coroutine.yield(s:fetch("a:c", function() return "inner" end)) end end)
			return s:fetch("a:c", function() return co() .. " and outer" end)`, `"inner and outer", nil, "miss"`)
		h.want(`local ok = pcall(s.fetch, s, "a:d", function() error("mine") end)
			local v = s:fetch("a:d", function() return 1 end); return ok, v`, `false, 1`)
	})
}

// Two states whose fetches need each other's entries: in a bubble a deadlock fails the test.
func TestFetch_OfTwoStatesThatCross_Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := plainHost(t)
		done := make(chan error, 2)
		for i, keys := range [][2]string{{"a:a", "a:b"}, {"a:b", "a:a"}} {
			L := newState(t)
			storelua.Preload(L)
			L.SetGlobal("sleep", L.NewFunction(sleep))
			go func() {
				done <- h.reg.Do(context.Background(), func(ctx context.Context) error {
					L.SetContext(ctx)
					return L.DoString(fmt.Sprintf(`local s = require("store").get("cache")
						local co = coroutine.wrap(function() return s:fetch(%q, function() return %d end) end)
						local v, err = s:fetch(%q, function() sleep() return co() end)
						assert(type(v) == "number", err)`, keys[1], i, keys[0]))
				})
			}()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// sleep lets a second of virtual time pass.
func sleep(*lua.LState) int {
	time.Sleep(time.Second)
	return 0
}

// gopher-lua crashes where a coroutine yields across a Go function.
func TestFunctions_CannotYield(t *testing.T) {
	h := plainHost(t)
	for _, method := range []string{"update", "fetch"} {
		h.want(`local ok, e
			local co = coroutine.create(function()
				ok, e = pcall(s.`+method+`, s, "a:k", function() coroutine.yield(1) end)
				coroutine.yield("later")
				return s:`+method+`("a:k", function() return "value" end)
			end)
			local a, b = coroutine.resume(co)
			local c, d = coroutine.resume(co)
			return a, b, c, d, coroutine.status(co), ok, (e:gsub("^.-: ", ""))`,
			`true, "later", true, "value", "dead", false, "can not yield from outside of a coroutine"`)
		h.want(`s:delete("a:k")`, `true, nil`)
		// As the yield function itself, and as the last call of a coroutine.
		h.want(`local co = coroutine.create(function() return s:`+method+`("a:k", coroutine.yield) end)
			local ok, e = coroutine.resume(co)
			return ok, (e:gsub("^.-: ", "")), coroutine.status(co)`, `false, "can not yield from outside of a coroutine", "dead"`)
		h.want(`local co = coroutine.wrap(function() return s:`+method+`("a:k", function() return 7 end) end); return (co())`, `7`)
		h.want(`s:delete("a:k")`, `true, nil`)
	}
}

func TestBatches_InLua(t *testing.T) {
	h := plainHost(t)
	h.want(`s:set_many({["a:1"] = 1, ["a:2"] = {2}, ["a:3"] = false}, 60)`, `true, nil`)
	h.want(`s:get_many({"a:1", "a:absent", "a:2", "a:3", "a:1"})`, `{a:1=1 a:2={1=2} a:3=false}, nil`)
	h.want(`s:ttl("a:2") <= 60`, `true`)
	h.want(`s:delete_many({"a:1", "a:absent", "a:3"})`, `2, nil`)
	h.want(`s:get_many({})`, `{}, nil`)
	h.want(`s:set_many({})`, `true, nil`)
	h.want(`s:delete_many({})`, `0, nil`)
}

// A failing is a driver some of whose keys fail.
type failing struct {
	store.Driver
	err error
}

func (f failing) fail(key string) error {
	if strings.HasPrefix(key, "bad:") {
		return f.err
	}
	return nil
}

func (f failing) Get(ctx context.Context, key string) ([]byte, error) {
	if err := f.fail(key); err != nil {
		return nil, err
	}
	return f.Driver.Get(ctx, key)
}

func (f failing) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if err := f.fail(key); err != nil {
		return err
	}
	return f.Driver.Set(ctx, key, v, ttl)
}

func (f failing) Delete(ctx context.Context, key string) (bool, error) {
	if err := f.fail(key); err != nil {
		return false, err
	}
	return f.Driver.Delete(ctx, key)
}

func TestBatches_ThatFailInPart_NameTheKeys(t *testing.T) {
	memory, err := memstore.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := plainHost(t)
	driver := failing{memory, store.Errorf(store.ErrFull, "store full: 3 entries")}
	if err := h.reg.Define("part", store.Definition{Open: store.Opener{Open: func(context.Context) (store.Driver, error) { return driver, nil }}}); err != nil {
		t.Fatal(err)
	}
	part := `s = store.get("part"); `
	failed := `nil, "2 keys failed: \"bad:1\", \"bad:2\": store full: 3 entries", "full", {1="bad:1" 2="bad:2"}`
	h.want(part+`return s:set_many({["a:1"] = 1, ["bad:2"] = 1, ["bad:1"] = 1})`, failed)
	h.want(part+`return s:get("a:1")`, `1, nil`)
	h.want(part+`return s:get_many({"bad:2", "a:1", "bad:1"})`, failed)
	h.want(part+`return s:delete_many({"bad:2", "a:1", "bad:1"})`, failed)
	h.want(part+`return s:has("a:1")`, `false, nil`)
}

func TestBatches_WithCorruptValues_NameTheKeys(t *testing.T) {
	h := plainHost(t)
	ctx := context.Background()
	for _, key := range []string{"a:1", "a:2", "a:3"} {
		v := []byte{0xc1}
		if key == "a:2" {
			v = []byte{5}
		}
		if err := h.driver.Set(ctx, key, v, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, code := range []string{`s:get_many({"a:3", "a:2", "a:1"})`, `s:list{values = true}`} {
		got, err := h.unit(`return ` + code)
		if err != nil || !strings.HasPrefix(got, `nil, "2 keys failed: \"a:1\", \"a:3\": corrupt value`) || !strings.HasSuffix(got, `"corrupt", {1="a:1" 2="a:3"}`) {
			t.Errorf("%s answers %s, %v", code, got, err)
		}
	}
	h.want(`s:list()`, `{items={1="a:1" 2="a:2" 3="a:3"}}, nil`)
	_, err := h.unit(`for k in s:each() do end`)
	if err == nil || !strings.Contains(err.Error(), `"a:1"`) || !strings.Contains(err.Error(), "corrupt value") {
		t.Errorf("each raises %v", err)
	}
	h.want(`select(3, s:update("a:1", function() return 1 end))`, `"corrupt"`)
	h.want(`select(3, s:fetch("a:1", function() return 1 end))`, `"corrupt"`)
	h.want(`select(3, s:entry("a:1"))`, `"corrupt"`)
}

func TestListAndEach_InLua(t *testing.T) {
	h := plainHost(t)
	h.want(`for i = 1, 250 do s:set(("a:%03d"):format(i), i) end; return s:set("b:1", "b")`, `true, nil`)
	h.want(`s:list{prefix = "a:", limit = 2, values = true}.items`, `{1={key="a:001" value=1} 2={key="a:002" value=2}}`)
	h.want(`s:list{prefix = "b:"}`, `{items={1="b:1"}}, nil`)
	h.want(`s:list{prefix = "c:"}`, `{items={}}, nil`)
	h.want(`#s:list().items`, `100`)
	h.want(`local n, cursor = 0
		repeat
			local page = assert(s:list{prefix = "a:", limit = 33, cursor = cursor})
			n, cursor = n + #page.items, page.cursor
		until not cursor
		return n`, `250`)
	h.want(`local n, sum, last = 0, 0, ""
		for k, v in s:each("a:") do assert(k > last); n, sum, last = n + 1, sum + v, k end
		return n, sum`, `250, 31375`)
	h.want(`local n = 0; for k, v in s:each{values = false} do assert(v == nil); n = n + 1 end; return n`, `251`)
	h.want(`local n = 0; for k, v in s:each{prefix = "a:"} do n = n + v end; return n`, `31375`)
	h.want(`local n = 0; for k in s:each() do n = n + 1; if n == 7 then break end end; return n`, `7`)
	h.want(`local n = 0; for k in s:each("a:") do n = n + 1; s:delete(k) end; return n, s:has("a:250")`, `250, false, nil`)
	h.wantRaised(`s:each(5)`, `invalid prefix: want a string, or a table with prefix or values, got number`)
	h.wantRaised(`s:each{limit = 5}`, `unknown option "limit": want prefix or values`)
	h.wantRaised(`for k in s:each("\255") do end`, `invalid prefix "\xff": not valid UTF-8`)
	h.wantRaised(`s:release(); s:each()`, `store is released`)
	h.want(`local next = s:each("b:"); return next(), next(), next()`, `"b:1", nil, nil`)
}

func TestEach_OfAStoreThatIsReleasedMeanwhile_Raises(t *testing.T) {
	h := plainHost(t)
	h.want(`for i = 1, 150 do s:set("a:" .. i, i) end
		local n = 0
		local ok, err = pcall(function() for k in s:each() do n = n + 1; s:release() end end)
		return ok, n, (err:gsub("^.-: ", "", 1))`, `false, 1, "store is released"`)
}

// What was listed for one unit, as its policy allowed, is not for the next.
func TestEach_KeptForTheNextUnit_Raises(t *testing.T) {
	h := plainHost(t)
	h.want(`for i = 1, 50 do s:set("a:" .. i, i) end; kept = s:each(); return kept()`, `"a:1", 1`)
	h.want(`select(2, pcall(kept)):find("its unit of work ended", 1, true) ~= nil`, `true`)
}

func TestModule_LoadedTwiceInOneState_IsOneForWhatMustBeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where a deadlock fails the test
		h := plainHost(t)
		h.want(`package.loaded.store = nil
			local again = require("store")
			local s2 = again.get("cache")
			return again == store, again.REMOVE == store.REMOVE,
				s:fetch("a:b", function() return s2:fetch("a:b", function() return 1 end) end)`, `false, true, 1, nil, "miss"`)
	})
}

// What the host does when the function of a fetch calls it has the context of that function.
func TestFetch_ByAHostFunctionInsideFetch_DoesNotWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := plainHost(t)
		h.L.SetGlobal("host", h.L.NewFunction(func(L *lua.LState) int {
			ctx := storelua.Context(L)
			s, err := store.Get(ctx, "cache")
			if err != nil {
				L.RaiseError("%v", err)
			}
			_, _, err = s.Fetch(ctx, "a:b", 0, func(context.Context) ([]byte, error) { return []byte{1}, nil })
			if err != nil {
				L.RaiseError("%v", err)
			}
			return 0
		}))
		h.want(`s:fetch("a:b", function() host() return 2 end)`, `2, nil, "miss"`)
		h.want(`s:delete("a:b")`, `true, nil`)
		// From a coroutine that is older than the fetch.
		h.want(`local co = coroutine.wrap(host); return s:fetch("a:b", function() co() return 2 end)`, `2, nil, "miss"`)
		h.want(`s:get("a:b")`, `2, nil`)
	})
}

// A policy that goes by what the host put into the context must see what is there now, in a function of a fetch too.
func TestFetch_InsideFetch_HasTheContextOfTheState(t *testing.T) {
	type who struct{}
	var asked []string
	h := newHost(t, &store.Options{Policy: func(ctx context.Context, a store.Access) error {
		asked = append(asked, fmt.Sprint(a.Op, " ", a.Key, " ", ctx.Value(who{})))
		return nil
	}}, store.Definition{})
	h.L.SetGlobal("as", h.L.NewFunction(func(L *lua.LState) int {
		outer := L.Context()
		defer L.SetContext(outer)
		L.SetContext(context.WithValue(outer, who{}, L.CheckString(1)))
		L.Push(L.CheckFunction(2))
		L.Call(0, 1)
		return 1
	}))
	h.want(`s:fetch("a:1", function() return as("guest", function() return s:fetch("a:2", function() return 2 end) end) end)`, `2, nil, "miss"`)
	if got := strings.Join(asked, ", "); got != "fetch a:1 <nil>, fetch a:2 guest" {
		t.Errorf("the policy saw %s", got)
	}
	h.want(`s:get("a:1")`, `2, nil`)
	if got := asked[len(asked)-1]; got != "get a:1 <nil>" {
		t.Errorf("afterwards the policy saw %s", got)
	}
}

// What a script says for itself is for itself: an observer may keep its events.
func TestUpdate_ThatIsAborted_ShowsTheObserverABeginning(t *testing.T) {
	var last store.Event
	h := newHost(t, &store.Options{Observe: func(_ context.Context, e store.Event) {
		if e.Op == store.OpUpdate {
			last = e
		}
	}}, store.Definition{})
	h.want(`local _, err, kind = s:update("a:b", function() return nil, ("x"):rep(100000), 5 end); return #err, kind`, `100000, "aborted"`)
	if text := last.Err.Error(); store.Kind(last.Err) != "aborted" || len(text) > 100 || !strings.HasPrefix(text, "aborted: xxx") {
		t.Errorf("the observer saw %.200s", text)
	}
	h.want(`s:update("a:b", function() return nil, false, {} end)`, `nil, "aborted: the function returned no value", "aborted"`)
}

func TestSetMany_OfTooMuch_IsRefusedBeforeItIsEncoded(t *testing.T) {
	h := newHost(t, nil, store.Definition{Limits: store.Limits{BatchBytes: 10_000}})
	h.want(`local t = {}; for i = 1, 100 do t["a:" .. i] = ("x"):rep(101) end; return s:set_many(t)`,
		`nil, "batch too large: more than 10000 bytes of values", "too_large"`)
	h.want(`s:list()`, `{items={}}, nil`)
	// A key that is refused is found before any value is looked at.
	h.want(`s:set_many({["a:1"] = print, bad = 1})`, `nil, "invalid key \"bad\": want \"namespace:name\"", "invalid"`)
}

func TestGetMany_WithBothKindsOfFailure_NamesAllKeys(t *testing.T) {
	h := plainHost(t)
	memory, err := memstore.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	for key, v := range map[string][]byte{"a:1": {1}, "a:2": {0xc1}} {
		if err := memory.Set(context.Background(), key, v, 0); err != nil {
			t.Fatal(err)
		}
	}
	driver := failing{memory, store.Errorf(store.ErrCorrupt, "corrupt value: a list")}
	if err := h.reg.Define("part", store.Definition{Open: store.Opener{Open: func(context.Context) (store.Driver, error) { return driver, nil }}}); err != nil {
		t.Fatal(err)
	}
	got, err := h.unit(`return store.get("part"):get_many({"bad:1", "a:1", "a:2"})`)
	if err != nil || !strings.HasSuffix(got, `"corrupt", {1="a:2" 2="bad:1"}`) {
		t.Errorf("answered %s, %v", got, err)
	}
}

func TestNewMethods_OfAReadOnlyStore_AreDenied(t *testing.T) {
	h := newHost(t, nil, store.Definition{ReadOnly: true})
	const denied = `nil, "permission denied: store \"cache\": it is read-only", "denied"`
	for _, call := range []string{
		`s:set("a:k", 1, {if_absent = true})`, `s:incr("a:k")`, `s:update("a:k", function() return 1 end)`, `s:fetch("a:k", function() return 1 end)`,
		`s:set_many({["a:k"] = 1})`, `s:delete_many({"a:k"})`, `s:delete("a:k", {if_version = ("0"):rep(32)})`,
	} {
		h.want(call, denied)
	}
	h.want(`s:list()`, `{items={}}, nil`)
	h.want(`s:get_many({"a:k"})`, `{}, nil`)
}

func TestPolicy_GuardsEachKeyOfABatch(t *testing.T) {
	h := newHost(t, &store.Options{Policy: func(_ context.Context, a store.Access) error {
		if strings.HasPrefix(a.Key, "secret:") && a.Op != store.OpSet {
			return errors.New("not yours")
		}
		return nil
	}}, store.Definition{})
	h.want(`s:set("a:1", 1) and s:set("secret:1", 2)`, `true`)
	const denied = `nil, "permission denied: store \"cache\": not yours: key \"secret:1\"", "denied"`
	h.want(`s:get_many({"a:1", "secret:1"})`, denied)
	h.want(`s:delete_many({"a:1", "secret:1"})`, denied)
	h.want(`s:set_many({["a:1"] = 5, ["secret:1"] = 5})`, denied)
	h.want(`s:get("a:1")`, `1, nil`)
	h.want(`s:list()`, `{items={1="a:1"}}, nil`)
	h.want(`s:list{prefix = "secret:"}`, `nil, "permission denied: store \"cache\": not yours", "denied"`)
	h.want(`local n = 0; for k in s:each() do n = n + 1 end; return n`, `1`)
	h.want(`s:update("secret:1", function(v) return v end)`, `nil, "permission denied: store \"cache\": not yours", "denied"`)
	h.want(`s:fetch("secret:1", function() return 1 end)`, `nil, "permission denied: store \"cache\": not yours", "denied"`)
	h.want(`s:entry("secret:1")`, `nil, "permission denied: store \"cache\": not yours", "denied"`)
}
