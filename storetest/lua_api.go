package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/luastore/store"
	"github.com/luastore/store/value"
)

// luaAPIRules are what scripts can do beyond one get and one set: with the same results and texts on every driver.
var luaAPIRules = slices.Concat(luaSetRules, luaEntryRules, luaIncrRules, luaUpdateRules, luaFetchRules, luaManyRules, luaListRules, luaEachRules)

// luaSetRules are about the options of set and delete.
var luaSetRules = []rule{
	luaRule("SetWithATTLOptionSetsIt", `
		expect(s:set("t:k", 1, {ttl = 1000})).is(true, nil)
		assert(s:ttl("t:k") > 900 and s:ttl("t:k") < 1100)
		expect(s:set("t:k", 2, {})).is(true, nil)
		expect(s:get("t:k")).is(2, nil)
		expect(s:ttl("t:k")).is(math.huge, nil)`),
	luaRule("SetThatKeepsTheTTLKeepsIt", `
		expect(s:set("t:k", 1, 1000)).is(true, nil)
		expect(s:set("t:k", 2, {keep_ttl = true})).is(true, nil)
		expect(s:get("t:k")).is(2, nil)
		assert(s:ttl("t:k") > 900 and s:ttl("t:k") < 1100)
		expect(s:set("t:k", 3, {keep_ttl = false})).is(true, nil)
		expect(s:ttl("t:k")).is(math.huge, nil)
		expect(s:set("t:new", 1, {keep_ttl = true})).is(true, nil)
		expect(s:ttl("t:new")).is(math.huge, nil)`),
	luaRule("SetIfAbsentWritesOnce", `
		expect(s:set("t:k", 1, {if_absent = true, ttl = 1000})).is(true, nil)
		expect(s:set("t:k", 2, {if_absent = true})).is(false, nil)
		expect(s:get("t:k")).is(1, nil)
		assert(s:ttl("t:k") > 900)
		expect(s:set("t:k", 3, {if_absent = false})).is(true, nil)
		expect(s:get("t:k")).is(3, nil)
		expect(s:set("t:new", 1, {if_absent = true, keep_ttl = true})).is(true, nil)
		expect(s:ttl("t:new")).is(math.huge, nil)`),
	luaRule("SetIfVersionWritesWhereNothingChanged", `
		expect(s:set("t:k", {1}, 1000)).is(true, nil)
		local version = s:entry("t:k").version
		expect(s:set("t:k", {2}, {if_version = version, keep_ttl = true})).is(true, nil)
		expect(s:set("t:k", {3}, {if_version = version})).is(false, nil)
		expect(s:get("t:k")).is({2}, nil)
		assert(s:ttl("t:k") > 900)
		expect(s:set("t:k", {3}, {if_version = s:entry("t:k").version})).is(true, nil)
		expect(s:ttl("t:k")).is(math.huge, nil)
		expect(s:set("t:absent", 1, {if_version = version})).is(false, nil)
		expect(s:has("t:absent")).is(false, nil)`),
	luaRule("SetWithOptionsThatAreNoneIsInvalidAndWritesNothing", `
		expect(s:set("t:k", "before", 1000)).is(true, nil)
		local names = ": want ttl, keep_ttl, if_absent or if_version"
		local version = string.rep("0", 32)
		for text, options in pairs{
			['unknown option "tll"' .. names] = {tll = 1},
			['unknown option "TTL"' .. names] = {TTL = 1},
			["unknown option of type number" .. names] = {1000},
			["unknown option of type boolean" .. names] = {[true] = true},
			["invalid ttl: want a number of seconds, got string"] = {ttl = "1000"},
			["invalid keep_ttl: want a boolean, got number"] = {keep_ttl = 1},
			["invalid if_absent: want a boolean, got string"] = {if_absent = "yes"},
			["invalid if_version: want a string, got number"] = {if_version = 1},
			['invalid version "": want the one that entry returned'] = {if_version = ""},
			['invalid version "abc": want the one that entry returned'] = {if_version = "abc"},
			["contradictory options: if_absent wants no entry, if_version wants one"] = {if_absent = true, if_version = version},
			["contradictory options: ttl sets the expiry, keep_ttl keeps it"] = {ttl = 1, keep_ttl = true},
		} do
			expect(s:set("t:k", "after", options)).answers("invalid", text)
			expect(s:set("t:new", "after", options)).answers("invalid", text)
		end
		for _, ttl in ipairs{-1, 0/0, 1e300} do
			expect(s:set("t:k", "after", {ttl = ttl})).fails("invalid", "invalid ttl")
		end
		expect(s:set("t:k", "after", {if_version = string.rep("F", 32)})).fails("invalid", "invalid version")
		expect(s:set("t:k", nil, {if_absent = true})).answers("invalid", "cannot store nil")
		expect(s:get("t:k")).is("before", nil)
		expect(s:has("t:new")).is(false, nil)
		assert(s:ttl("t:k") > 900)`),
	luaRule("DeleteIfVersionDeletesWhereNothingChanged", `
		expect(s:set("t:k", 1)).is(true, nil)
		local version = s:entry("t:k").version
		expect(s:set("t:k", 2)).is(true, nil)
		expect(s:delete("t:k", {if_version = version})).is(false, nil)
		expect(s:get("t:k")).is(2, nil)
		expect(s:set("t:k", 1)).is(true, nil)
		expect(s:delete("t:k", {if_version = version})).is(true, nil)
		expect(s:delete("t:k", {if_version = version})).is(false, nil)
		expect(s:has("t:k")).is(false, nil)
		expect(s:set("t:k", 1)).is(true, nil)
		expect(s:delete("t:k", {})).is(true, nil)`),
	luaRule("DeleteWithOptionsThatAreNoneIsInvalidAndDeletesNothing", `
		expect(s:set("t:k", 1)).is(true, nil)
		expect(s:delete("t:k", {version = "x"})).answers("invalid", 'unknown option "version": want if_version')
		expect(s:delete("t:k", "x")).answers("invalid", "invalid options: want a table with if_version, got string")
		expect(s:delete("t:k", {if_version = true})).answers("invalid", "invalid if_version: want a string, got boolean")
		expect(s:delete("t:k", {if_version = ""})).answers("invalid", 'invalid version "": want the one that entry returned')
		expect(s:delete("t:k", {if_version = "abc"})).answers("invalid", 'invalid version "abc": want the one that entry returned')
		expect(s:get("t:k")).is(1, nil)`),
}

// luaEntryRules are about entry and versions.
var luaEntryRules = []rule{
	{name: "EntryHasTheVersionOfTheStoredBytes", test: func(s *space) {
		for literal, stored := range map[string][]byte{`"one"`: one, `5`: num(5), `-0.5`: num(-0.5), `true`: value.AppendBool(nil, true), `{}`: {0x90}, `"\0\255"`: str("\x00\xff")} {
			sum := sha256.Sum256(stored)
			s.plant("t:k", stored, 0)
			s.lua(fmt.Sprintf(`expect(s:entry("t:k")).is({key = "t:k", value = %s, version = %q, ttl = math.huge}, nil)`, literal, hex.EncodeToString(sum[:16])))
		}
	}},
	luaRule("EntryOfAMissIsKeyNotFound", `
		expect(s:entry("t:k")).answers("not_found", "key not found")`),
	luaRule("EntryTellsTheTTL", `
		expect(s:set("t:k", {a = 1}, 1000)).is(true, nil)
		local e = s:entry("t:k")
		assert(e.ttl > 900 and e.ttl <= 1000 + s:info().ttl_resolution)
		expect(e.key, e.value).is("t:k", {a = 1})`),
	luaRule("VersionSaysWhatTheValueIsAndNothingElse", `
		local function version() return s:entry("t:k").version end
		expect(s:set("t:k", "a")).is(true, nil)
		local a = version()
		assert(#a == 32 and not a:find("[^0-9a-f]"), a)
		expect(s:touch("t:k", 1000)).is(true, nil)
		expect(version()).is(a)
		expect(s:set("t:k", "b")).is(true, nil)
		assert(version() ~= a)
		expect(s:set("t:k", "a", 5000)).is(true, nil)
		expect(version()).is(a)
		expect(s:set("t:other", "a")).is(true, nil)
		expect(s:entry("t:other").version).is(a)`),
	{name: "EntryThatIsCorruptSaysSo", test: func(s *space) {
		s.plant("t:k", []byte{0xc1}, 0)
		s.lua(`expect(s:entry("t:k")).fails("corrupt", "corrupt value")`)
	}},
}

// luaIncrRules are about incr.
var luaIncrRules = []rule{
	{name: "IncrAddsAndStoresTheCanonicalForm", test: func(s *space) {
		s.lua(`
			expect(s:set("t:k", 5)).is(true, nil)
			expect(s:incr("t:k")).is(6, nil)
			expect(s:get("t:k")).is(6, nil)`)
		s.wantValue("t:k", num(6))
		s.lua(`
			expect(s:incr("t:k", -10)).is(-4, nil)
			expect(s:incr("t:k", 0.5)).is(-3.5, nil)
			expect(s:incr("t:k", nil, nil)).is(-2.5, nil)
			expect(s:incr("t:k", 0, {})).is(-2.5, nil)`)
		s.wantValue("t:k", num(-2.5))
	}},
	luaRule("IncrOfAbsentCountsFromInitial", `
		expect(s:incr("t:zero")).is(1, nil)
		expect(s:ttl("t:zero")).is(math.huge, nil)
		expect(s:incr("t:k", 2, {initial = 100, ttl = 1000})).is(102, nil)
		assert(s:ttl("t:k") > 900 and s:ttl("t:k") < 1100)
		expect(s:incr("t:k", 2, {initial = 100, ttl = 5000})).is(104, nil)
		assert(s:ttl("t:k") < 1100)`),
	luaRule("IncrOfNoNumberIsNotANumberAndTouchesNothing", `
		for _, v in ipairs{"5", "", true, {5}, {}} do
			expect(s:set("t:k", v, 1000)).is(true, nil)
			expect(s:incr("t:k")).answers("invalid", "not a number")
			expect(s:incr("t:k", 1, {initial = 5})).answers("invalid", "not a number")
			expect(s:get("t:k")).is(v, nil)
			assert(s:ttl("t:k") > 900)
		end`),
	luaRule("IncrBeyondExactIntegersIsInvalidAndTouchesNothing", `
		for _, c in ipairs{{2^53, 1}, {-2^53, -1}, {2^53 - 1, 2}, {1, 2^53}, {1, 1e300}, {1/0, 1}} do
			expect(s:set("t:k", c[1], 1000)).is(true, nil)
			expect(s:incr("t:k", c[2])).answers("invalid", "number beyond ±2^53")
			expect(s:get("t:k")).is(c[1], nil)
			assert(s:ttl("t:k") > 900)
		end
		expect(s:incr("t:new", 2^53, {initial = 1})).answers("invalid", "number beyond ±2^53")
		expect(s:has("t:new")).is(false, nil)
		expect(s:set("t:k", 2^53 - 1)).is(true, nil)
		expect(s:incr("t:k")).is(2^53, nil)`),
	luaRule("IncrOfArgumentsThatAreNoneIsInvalidAndTouchesNothing", `
		expect(s:set("t:k", 5, 1000)).is(true, nil)
		expect(s:incr("foo")).answers("invalid", 'invalid key "foo": want "namespace:name"')
		expect(s:incr()).fails("invalid", "invalid key")
		expect(s:incr("t:k", "1")).answers("invalid", "invalid delta: want a number, got string")
		expect(s:incr("t:k", {})).answers("invalid", "invalid delta: want a number, got table")
		expect(s:incr("t:k", math.huge)).answers("invalid", "invalid delta +Inf: want a finite number")
		expect(s:incr("t:k", 0/0)).answers("invalid", "invalid delta NaN: want a finite number")
		expect(s:incr("t:k", 1, 5)).answers("invalid", "invalid options: want a table with initial or ttl, got number")
		expect(s:incr("t:k", 1, {inital = 5})).answers("invalid", 'unknown option "inital": want initial or ttl')
		expect(s:incr("t:k", 1, {initial = true})).answers("invalid", "invalid initial: want a number, got boolean")
		expect(s:incr("t:k", 1, {initial = -1/0})).answers("invalid", "invalid initial -Inf: want a finite number")
		expect(s:incr("t:k", 1, {ttl = "5"})).answers("invalid", "invalid ttl: want a number of seconds, got string")
		expect(s:incr("t:k", 1, {ttl = -1})).fails("invalid", "invalid ttl")
		expect(s:get("t:k")).is(5, nil)
		assert(s:ttl("t:k") > 900)`),
}

// luaUpdateRules are about update.
var luaUpdateRules = []rule{
	luaRule("UpdateWritesWhatTheFunctionMakesOfTheValue", `
		expect(s:update("t:k", function(...)
			expect(...).is(nil)
			return {n = 1}
		end)).is({n = 1}, nil)
		local kept
		local v = s:update("t:k", function(t)
			t.n = t.n + 1
			kept = t
			return t
		end)
		expect(v).is({n = 2})
		assert(v ~= kept)
		expect(s:get("t:k")).is({n = 2}, nil)
		expect(s:update("t:k", function() return false end)).is(false, nil)
		expect(s:get("t:k")).is(false, nil)`),
	luaRule("UpdateThatReturnsNothingIsAbortedAndWritesNothing", `
		local text = "aborted: the function returned no value"
		for _, fn in ipairs{function() end, function() return nil end, function() return nil, nil, nil end} do
			expect(s:update("t:k", fn)).answers("aborted", text)
			expect(s:has("t:k")).is(false, nil)
		end
		expect(s:set("t:k", {stock = 0}, 1000)).is(true, nil)
		expect(s:update("t:k", function(t)
			t.stock = t.stock - 1
			return nil, "sold out"
		end)).is(nil, "sold out", "aborted")
		expect(s:update("t:k", function() return nil, "sold out", "mine" end)).is(nil, "sold out", "mine")
		expect(s:update("t:k", function() return nil, {code = 5}, "mine" end)).is(nil, {code = 5}, "mine")
		expect(s:get("t:k")).is({stock = 0}, nil)
		assert(s:ttl("t:k") > 900)`),
	luaRule("UpdateThatReturnsREMOVERemoves", `
		expect(s:set("t:k", 1)).is(true, nil)
		expect(s:update("t:k", function() return store.REMOVE end)).is(nil, nil)
		expect(s:has("t:k")).is(false, nil)
		expect(s:update("t:k", function() return store.REMOVE end)).is(nil, nil)
		expect(s:has("t:k")).is(false, nil)
		expect(s:set("t:k", store.REMOVE)).fails("invalid", "cannot store store.REMOVE, which is for the function of update")
		expect(tostring(store.REMOVE)).is("store.REMOVE")`),
	luaRule("UpdateKeepsTheTTLUnlessOneIsGiven", `
		local function add(n) return (n or 0) + 1 end
		expect(s:update("t:k", add)).is(1, nil)
		expect(s:ttl("t:k")).is(math.huge, nil)
		expect(s:update("t:k", add, {ttl = 1000})).is(2, nil)
		expect(s:update("t:k", add)).is(3, nil)
		expect(s:update("t:k", add, {})).is(4, nil)
		assert(s:ttl("t:k") > 900 and s:ttl("t:k") < 1100)
		expect(s:update("t:k", add, {ttl = 0})).is(5, nil)
		expect(s:ttl("t:k")).is(math.huge, nil)
		expect(s:update("t:new", add, {ttl = 1000})).is(1, nil)
		assert(s:ttl("t:new") > 900 and s:ttl("t:new") < 1100)`),
	luaRule("UpdateLetsWhatIsRaisedThroughAndWritesNothing", `
		expect(s:set("t:k", 1, 1000)).is(true, nil)
		local mine = {code = 5}
		local ok, err = pcall(function() return s:update("t:k", function() error(mine) end) end)
		expect(ok, err == mine).is(false, true)
		raises("with a text", function() s:update("t:k", function() error("with a text") end) end)
		raises("can not yield from outside of a coroutine", function() s:update("t:k", function() coroutine.yield(2) end) end)
		expect(s:get("t:k")).is(1, nil)
		assert(s:ttl("t:k") > 900)
		expect(s:update("t:k", function(n) return n + 1 end)).is(2, nil)`),
	luaRule("UpdateTriesAgainWhenAnotherWriterWon", `
		local calls = 0
		local function disturbed(times)
			calls = 0
			return function(n)
				calls = calls + 1
				if calls <= times then assert(s:incr("t:k", 10)) end
				return (n or 0) + 1
			end
		end
		expect(s:update("t:k", disturbed(3))).is(31, nil)
		expect(calls).is(4)
		expect(s:update("t:k", disturbed(2), {retries = 2})).is(52, nil)
		expect(s:update("t:k", disturbed(9), {retries = 2})).answers("conflict", "conflict: other writers were faster, at each of 3 tries")
		expect(calls).is(3)
		expect(s:get("t:k")).is(82, nil)
		expect(s:update("t:k", disturbed(9), {retries = 0})).answers("conflict", "conflict: another writer was faster")
		expect(calls).is(1)
		expect(s:update("t:gone", function()
			s:set("t:gone", 1)
			return 2
		end, {retries = 0})).fails("conflict", "conflict")
		expect(s:get("t:gone")).is(1, nil)`),
	luaRule("UpdateMayUseAnyStoreInItsFunction", `
		expect(s:set("t:other", 5)).is(true, nil)
		expect(s:update("t:k", function()
			return s:get("t:other") + s:update("t:nested", function() return assert(store.get("test")):incr("t:other") end)
		end)).is(11, nil)
		expect(s:update("t:k", function(n)
			s:release()
			return n
		end)).fails("released", "store is released")
		expect(assert(store.get("test")):get("t:k")).is(11, nil)`),
	{name: "UpdateOfACorruptEntrySaysSoAndCallsNothing", test: func(s *space) {
		s.plant("t:k", []byte{0xc1}, 0)
		s.lua(`expect(s:update("t:k", function() error("called") end)).fails("corrupt", "corrupt value")`)
		s.lua(`expect(s:has("t:k")).is(true, nil)`)
	}},
	luaRule("UpdateToAValueThatCannotBeStoredNamesThePlaceAndWritesNothing", `
		expect(s:set("t:k", "before", 1000)).is(true, nil)
		expect(s:update("t:k", function() return print end)).answers("invalid", "cannot store a function")
		expect(s:update("t:k", function() return {a = {print}} end)).answers("invalid", "cannot store a function at .a[1]")
		expect(s:update("t:k", function() return string.rep("x", s:info().limits.value_bytes) end)).fails("too_large", "more than")
		expect(s:get("t:k")).is("before", nil)
		assert(s:ttl("t:k") > 900)`),
	luaRule("UpdateOfArgumentsThatAreNoneIsInvalidAndCallsNothing", `
		local function fn() error("called") end
		expect(s:update("foo", fn)).answers("invalid", 'invalid key "foo": want "namespace:name"')
		expect(s:update(5, fn)).answers("invalid", 'invalid key: want a string "namespace:name", got number')
		expect(s:update("t:k")).answers("invalid", "invalid fn: want a function, got nil")
		expect(s:update("t:k", 5)).answers("invalid", "invalid fn: want a function, got number")
		expect(s:update("t:k", fn, 5)).answers("invalid", "invalid options: want a table with ttl or retries, got number")
		expect(s:update("t:k", fn, {retry = 5})).answers("invalid", 'unknown option "retry": want ttl or retries')
		expect(s:update("t:k", fn, {retries = "5"})).answers("invalid", "invalid retries: want a number, got string")
		for text, retries in pairs{["-1"] = -1, ["1.5"] = 1.5, ["10001"] = 10001} do
			expect(s:update("t:k", fn, {retries = retries})).answers("invalid", "invalid retries " .. text .. ": want a whole number from 0 to 10000")
		end
		expect(s:update("t:k", fn, {ttl = true})).answers("invalid", "invalid ttl: want a number of seconds, got boolean")
		expect(s:update("t:k", fn, {ttl = -1})).fails("invalid", "invalid ttl")`),
	{name: "ReadOnlyStoreDeniesUpdateIncrAndBatches", test: func(s *space) {
		s.seed()
		s.luaWith(store.Definition{ReadOnly: true}, `
			local text = "permission denied: store is read-only"
			local function fn() error("called") end
			expect(s:update("t:k", fn)).answers("denied", text)
			expect(s:incr("t:n")).answers("denied", text)
			expect(s:set("t:k", 1, {if_absent = true})).answers("denied", text)
			expect(s:set_many({["t:k"] = 1})).fails("denied", text)
			expect(s:delete_many({"t:k"})).fails("denied", text)
			expect(s:fetch("t:k", fn)).is("one", nil, "hit")
			expect(s:fetch("t:absent", fn)).answers("denied", text)
			expect(s:get_many({"t:k"})).is({["t:k"] = "one"}, nil)
			expect(s:entry("t:k").value).is("one")`)
		s.wantSeed()
	}},
}

// luaFetchRules are about fetch.
var luaFetchRules = []rule{
	luaRule("FetchComputesAMissAndFindsAHit", `
		expect(s:fetch("t:k", function(...)
			expect(...).is("t:k")
			return {a = 1}
		end)).is({a = 1}, nil, "miss")
		local function never() error("called") end
		local v = s:fetch("t:k", never)
		v.a = 2
		expect(s:fetch("t:k", never)).is({a = 1}, nil, "hit")
		expect(s:get("t:k")).is({a = 1}, nil)
		expect(s:ttl("t:k")).is(math.huge, nil)
		expect(s:fetch("t:false", function() return false end)).is(false, nil, "miss")
		expect(s:fetch("t:false", never)).is(false, nil, "hit")`),
	luaRule("FetchThatReturnsNothingIsAbortedAndStoresNothing", `
		local text = "aborted: the function returned no value"
		expect(s:fetch("t:k", function() end)).answers("aborted", text)
		expect(s:fetch("t:k", function() return nil end)).answers("aborted", text)
		expect(s:fetch("t:k", function() return nil, "no such user" end)).is(nil, "no such user", "aborted")
		expect(s:fetch("t:k", function() return nil, "no such user", "mine" end)).is(nil, "no such user", "mine")
		expect(s:fetch("t:k", function() return nil, {code = 5} end)).is(nil, {code = 5}, "aborted")
		expect(s:has("t:k")).is(false, nil)
		expect(s:fetch("t:k", function() return 1 end)).is(1, nil, "miss")`),
	luaRule("FetchStoresWithTheTTL", `
		local function fn() return 1 end
		expect(s:fetch("t:k", fn, 1000)).is(1, nil, "miss")
		assert(s:ttl("t:k") > 900 and s:ttl("t:k") < 1100)
		expect(s:fetch("t:k", fn, 5000)).is(1, nil, "hit")
		assert(s:ttl("t:k") < 1100)
		expect(s:fetch("t:never", fn, 0)).is(1, nil, "miss")
		expect(s:ttl("t:never")).is(math.huge, nil)`),
	luaRule("FetchLetsWhatIsRaisedThroughAndStoresNothing", `
		local mine = {code = 5}
		local ok, err = pcall(function() return s:fetch("t:k", function() error(mine) end) end)
		expect(ok, err == mine).is(false, true)
		raises("can not yield from outside of a coroutine", function() s:fetch("t:k", function() coroutine.yield(2) end) end)
		expect(s:has("t:k")).is(false, nil)
		expect(s:fetch("t:k", function() return 1 end)).is(1, nil, "miss")`),
	luaRule("FetchOfTheSameKeyInItsOwnFunctionEnds", `
		expect(s:fetch("t:k", function(key)
			local v, err, how = s:fetch(key, function() return 1 end)
			expect(v, err, how).is(1, nil, "miss")
			return v + 1
		end)).is(2, nil, "miss")
		expect(s:get("t:k")).is(2, nil)
		expect(s:fetch("t:a", function()
			return s:fetch("t:b", function() return s:fetch("t:a", function() return 5 end) end)
		end)).is(5, nil, "miss")`),
	{name: "FetchOfACorruptEntrySaysSoAndCallsNothing", test: func(s *space) {
		s.plant("t:k", []byte{0xc1}, 0)
		s.lua(`expect(s:fetch("t:k", function() error("called") end)).fails("corrupt", "corrupt value")`)
	}},
	luaRule("FetchOfAValueThatCannotBeStoredSaysSo", `
		expect(s:fetch("t:k", function() return {print} end)).answers("invalid", "cannot store a function at [1]")
		expect(s:has("t:k")).is(false, nil)`),
	luaRule("FetchOfArgumentsThatAreNoneIsInvalidAndCallsNothing", `
		local function fn() error("called") end
		expect(s:fetch("foo", fn)).answers("invalid", 'invalid key "foo": want "namespace:name"')
		expect(s:fetch(5, fn)).answers("invalid", 'invalid key: want a string "namespace:name", got number')
		expect(s:fetch("t:k")).answers("invalid", "invalid fn: want a function, got nil")
		expect(s:fetch("t:k", {})).answers("invalid", "invalid fn: want a function, got table")
		expect(s:fetch("t:k", fn, "5")).answers("invalid", "invalid ttl: want a number of seconds, got string")
		expect(s:fetch("t:k", fn, -1)).fails("invalid", "invalid ttl")`),
}

// luaManyRules are about batches.
var luaManyRules = []rule{
	luaRule("ManyKeysAreWrittenReadAndDeleted", `
		expect(s:set_many({["t:a"] = 1, ["t:b"] = {x = "y"}, ["t:c"] = false})).is(true, nil)
		expect(s:get_many({"t:c", "t:absent", "t:a", "t:b"})).is({["t:a"] = 1, ["t:b"] = {x = "y"}, ["t:c"] = false}, nil)
		expect(s:ttl("t:a")).is(math.huge, nil)
		expect(s:delete_many({"t:a", "t:absent", "t:b"})).is(2, nil)
		expect(s:delete_many({"t:a", "t:b"})).is(0, nil)
		expect(s:get_many({"t:a", "t:b", "t:c"})).is({["t:c"] = false}, nil)`),
	luaRule("ManyOfNothingIsNothing", `
		expect(s:get_many({})).is({}, nil)
		expect(s:set_many({})).is(true, nil)
		expect(s:delete_many({})).is(0, nil)`),
	luaRule("ManyOfAKeyTwiceIsOnce", `
		expect(s:set("t:k", 1)).is(true, nil)
		expect(s:get_many({"t:k", "t:k", "t:k"})).is({["t:k"] = 1}, nil)
		expect(s:delete_many({"t:k", "t:k"})).is(1, nil)`),
	luaRule("SetManyGivesEachEntryTheTTL", `
		expect(s:set_many({["t:a"] = 1, ["t:b"] = 2}, 1000)).is(true, nil)
		for _, key in ipairs{"t:a", "t:b"} do
			assert(s:ttl(key) > 900 and s:ttl(key) < 1100)
		end
		expect(s:set_many({["t:a"] = 3})).is(true, nil)
		expect(s:ttl("t:a")).is(math.huge, nil)`),
	luaRule("ManyKeysMayBeAsManyAsTheLimitSays", `
		local most = s:info().limits.batch
		local keys, entries = {}, {}
		for i = 1, most do
			keys[i] = "t:" .. i
			entries[keys[i]] = i
		end
		expect(s:set_many(entries)).is(true, nil)
		expect(s:get_many(keys)).is(entries, nil)
		local more = "t:" .. most + 1
		keys[most + 1], entries[more] = more, 0
		local text = "batch too large: more than " .. most .. " keys"
		expect(s:get_many(keys)).answers("too_large", text)
		expect(s:set_many(entries)).answers("too_large", text)
		expect(s:delete_many(keys)).answers("too_large", text)
		expect(s:has(more)).is(false, nil)
		keys[most + 1] = nil
		expect(s:delete_many(keys)).is(most, nil)`),
	luaRule("ManyKeysThatAreNoArrayOfKeysAreInvalidAndNothingIsDone", `
		expect(s:set("t:a", 1)).is(true, nil)
		for text, keys in pairs{
			["invalid keys: want an array of keys, got string"] = "t:a",
			["invalid keys: want an array of keys, got a table with a key of type string"] = {"t:a", b = "t:b"},
			["invalid keys: want an array of keys, got one with nothing at [2]"] = {"t:a", nil, "t:c"},
			["invalid keys: want an array of keys, got one with nothing at [1]"] = {[0] = "t:a"},
			['invalid key at [2]: want a string "namespace:name", got number'] = {"t:a", 5},
			['invalid key at [2]: want a string "namespace:name", got table'] = {"t:a", {}},
			['invalid key "foo": want "namespace:name"'] = {"t:a", "foo"},
		} do
			expect(s:get_many(keys)).answers("invalid", text)
			expect(s:delete_many(keys)).answers("invalid", text)
		end
		expect(s:get_many()).answers("invalid", "invalid keys: want an array of keys, got nil")
		expect(s:delete_many()).answers("invalid", "invalid keys: want an array of keys, got nil")
		expect(s:get("t:a")).is(1, nil)`),
	luaRule("SetManyOfOneBadEntryIsInvalidAndWritesNothing", `
		expect(s:set("t:a", "before", 1000)).is(true, nil)
		for text, bad in pairs{
			['invalid key "foo": want "namespace:name"'] = {foo = 1},
			['invalid key: want a string "namespace:name", got number'] = {5},
			['invalid key: want a string "namespace:name", got boolean'] = {[true] = 5},
			['cannot store a function: key "t:f"'] = {["t:f"] = print},
			['cannot store a function at .x[1]: key "t:f"'] = {["t:f"] = {x = {print}}},
		} do
			bad["t:a"], bad["t:b"] = "after", "after"
			expect(s:set_many(bad)).answers("invalid", text)
		end
		expect(s:set_many({["t:a"] = "after", ["t:b"] = string.rep("x", s:info().limits.value_bytes)})).fails("too_large", 'key "t:b"')
		expect(s:set_many(5)).answers("invalid", "invalid entries: want a table of values by key, got number")
		expect(s:set_many()).answers("invalid", "invalid entries: want a table of values by key, got nil")
		expect(s:set_many({["t:a"] = "after"}, "5")).answers("invalid", "invalid ttl: want a number of seconds, got string")
		expect(s:set_many({["t:a"] = "after"}, -1)).fails("invalid", "invalid ttl")
		expect(s:get_many({"t:a", "t:b", "t:f"})).is({["t:a"] = "before"}, nil)
		assert(s:ttl("t:a") > 900)`),
	{name: "GetManyNamesTheKeysThatAreCorrupt", test: func(s *space) {
		s.set("t:ok", one, 0)
		for _, key := range []string{"t:d", "t:a", "t:c", "t:b"} {
			s.plant(key, []byte{0xc1}, 0)
		}
		s.lua(`
			local v, text, kind, failed = s:get_many({"t:d", "t:ok", "t:c", "t:b", "t:a"})
			expect(v, kind, failed).is(nil, "corrupt", {"t:a", "t:b", "t:c", "t:d"})
			assert(text:find('4 keys failed: "t:a", "t:b", "t:c" and 1 more: corrupt value', 1, true), text)`)
	}},
}

// luaListRules are about list.
var luaListRules = []rule{
	luaRule("ListOfNothingIsEmptyAndEnds", `
		expect(s:list()).is({items = {}}, nil)
		expect(s:list({prefix = "t:", values = true})).is({items = {}}, nil)`),
	luaRule("ListHoldsKeysOrItems", `
		expect(s:set_many({["t:a"] = 1, ["u:b"] = {2}})).is(true, nil)
		expect(s:list({prefix = "t:"})).is({items = {"t:a"}}, nil)
		expect(s:list({prefix = "u:", values = true})).is({items = {{key = "u:b", value = {2}}}}, nil)
		expect(s:list({prefix = "u:", values = false})).is({items = {"u:b"}}, nil)
		expect(s:list({prefix = "", limit = 1000}).items[3]).is(nil)
		expect(s:list({prefix = "t:ab"})).is({items = {}}, nil)`),
	luaRule("ListGoesOnFromTheCursor", `
		local entries = {}
		for i = 1, 250 do entries["t:" .. i] = i end
		expect(s:set_many(entries)).is(true, nil)
		expect(s:set("u:1", 1)).is(true, nil)
		for _, o in ipairs{{}, {limit = 7}, {limit = 1000}, {values = true}, {limit = 125, values = true}, {limit = 250}} do
			local seen, ordered, last = {}, s:info().ordered, ""
			o.prefix = "t:"
			repeat
				local page = assert(s:list(o))
				assert(not ordered or #page.items <= (o.limit or 100))
				for _, item in ipairs(page.items) do
					local key = o.values and item.key or item
					assert(not ordered or last < key, key)
					assert(not o.values or item.value == entries[key], key)
					last, seen[key] = key, entries[key]
				end
				o.cursor = page.cursor
			until not page.cursor
			expect(seen).is(entries)
		end`),
	luaRule("ListOfArgumentsThatAreNoneIsInvalid", `
		for text, options in pairs{
			["invalid options: want a table with prefix, limit, cursor or values, got string"] = "t:",
			['unknown option "perfix": want prefix, limit, cursor or values'] = {perfix = "t:"},
			["invalid prefix: want a string, got number"] = {prefix = 5},
			["invalid limit: want a number, got string"] = {limit = "5"},
			["invalid limit 0: want a whole number from 1 to 1000"] = {limit = 0},
			["invalid limit -1: want a whole number from 1 to 1000"] = {limit = -1},
			["invalid limit 1001: want a whole number from 1 to 1000"] = {limit = 1001},
			["invalid limit 1.5: want a whole number from 1 to 1000"] = {limit = 1.5},
			["invalid values: want a boolean, got number"] = {values = 1},
			["invalid cursor: want a string, got number"] = {cursor = 5},
			["invalid cursor: want the one that came with the page before, got an empty string"] = {cursor = ""},
			["invalid cursor: want the one that came with the page before, under the same prefix"] = {cursor = "garbage"},
		} do
			expect(s:list(options)).answers("invalid", text)
		end
		expect(s:list({limit = 0/0})).fails("invalid", "want a whole number from 1 to 1000")
		expect(s:list({prefix = "\0"})).fails("invalid", "control character")
		expect(s:list({prefix = "t:\255"})).fails("invalid", "not valid UTF-8")`),
	luaRule("ListOfACursorThatWasForgedIsInvalid", `
		local entries = {}
		for i = 1, 500 do entries["t:" .. i], entries["u:" .. i] = i, i end
		expect(s:set_many(entries)).is(true, nil)
		local cursor = assert(s:list({prefix = "t:", limit = 1}).cursor)
		local text = "invalid cursor: want the one that came with the page before, under the same prefix"
		expect(s:list({prefix = "u:", cursor = cursor})).answers("invalid", text)
		expect(s:list({cursor = cursor})).answers("invalid", text)
		for i = 1, #cursor do
			local c = cursor:sub(i, i) == "A" and "B" or "A"
			expect(s:list({prefix = "t:", cursor = cursor:sub(1, i - 1) .. c .. cursor:sub(i + 1)})).answers("invalid", text)
			expect(s:list({prefix = "t:", cursor = cursor:sub(1, i - 1) .. cursor:sub(i + 1)})).answers("invalid", text)
		end
		for _, c in ipairs{cursor .. "A", cursor .. cursor, "\0", "t:1", string.rep("A", 1e5)} do
			expect(s:list({prefix = "t:", cursor = c})).answers("invalid", text)
		end
		assert(s:list({prefix = "t:", cursor = cursor}))`),
	{name: "ListOfACorruptValueNamesTheKey", test: func(s *space) {
		s.set("t:a", one, 0)
		s.plant("t:b", []byte{0xc1}, 0)
		s.lua(`
			local v, text, kind, failed = s:list({values = true})
			expect(v, kind, failed).is(nil, "corrupt", {"t:b"})
			assert(text:find('1 key failed: "t:b": corrupt value', 1, true), text)
			local keys = s:list().items
			table.sort(keys)
			expect(keys).is({"t:a", "t:b"})`)
	}},
}

// luaEachRules are about each.
var luaEachRules = []rule{
	luaRule("EachMeetsEveryEntryOverManyPages", luaFill+`
		fill("t:", 2345)
		fill("u:", 5)
		for _, what in ipairs{"t:", {prefix = "t:"}, {prefix = "t:", values = true}} do
			local seen, last = {}, ""
			for key, v in s:each(what) do
				assert(not ordered or last < key, key)
				last, seen[key] = key, v
			end
			expect(seen).is(entries["t:"])
		end
		local n, last = {}, ""
		for key, v in s:each({prefix = "t:", values = false}) do
			assert(v == nil and (not ordered or last < key), key)
			last, n[key] = key, entries["t:"][key]
		end
		expect(n).is(entries["t:"])`),
	luaRule("EachWithoutAPrefixMeetsAll", luaFill+`
		for _ in s:each() do error("there is nothing") end
		fill("t:", 3)
		fill("u:", 3)
		for _, what in ipairs{false, {}, {values = true}, ""} do
			local seen = {}
			for key, v in s:each(what or nil) do seen[key] = v end
			expect(seen).is({["t:1"] = 1, ["t:2"] = 2, ["t:3"] = 3, ["u:1"] = 1, ["u:2"] = 2, ["u:3"] = 3})
		end
		for key in s:each("t:") do
			expect(key:sub(1, 2)).is("t:")
			break
		end`),
	luaRule("EachGoesOnWhenKeysAreDeleted", luaFill+`
		for _, values in ipairs{true, false} do
			fill("t:", 1234)
			local seen = {}
			for key in s:each({prefix = "t:", values = values}) do
				assert(not ordered or not seen[key], key)
				expect(s:delete(key)).is(not seen[key], nil)
				seen[key] = entries["t:"][key]
			end
			expect(seen).is(entries["t:"])
			expect(s:list({prefix = "t:"})).is({items = {}}, nil)
		end`),
	luaRule("EachGoesOnWhenKeysAreAdded", luaFill+`
		fill("t:", 1234)
		local seen, n = {}, 0
		for key in s:each("t:") do
			assert(not ordered or not seen[key], key)
			seen[key] = entries["t:"][key]
			n = n + 1
			if n <= 500 then
				expect(s:set("t:!" .. n, n)).is(true, nil)
				expect(s:set("t:~" .. n, n)).is(true, nil)
			end
		end
		expect(seen).is(entries["t:"])`),
	luaRule("EachRaisesWhatIsWrong", `
		local function walk(what)
			return function() for _ in s:each(what) do end end
		end
		raises("invalid prefix: want a string, or a table with prefix or values, got number", walk(5))
		raises('unknown option "limit": want prefix or values', walk({limit = 5}))
		raises("invalid prefix: want a string, got number", walk({prefix = 5}))
		raises("invalid values: want a boolean, got string", walk({values = "yes"}))
		raises("control character", walk("\0"))
		raises("control character", walk({prefix = "\0", values = false}))
		expect(s:set_many({["t:a"] = 1, ["t:b"] = 2})).is(true, nil)
		raises("with a text", function() for key in s:each() do error("with a text") end end)
		s:release()
		raises("store is released", walk("t:"))`),
	{name: "EachRaisesACorruptValueAndNamesItsKey", test: func(s *space) {
		s.plant("t:b", []byte{0xc1}, 0)
		s.lua(`
			raises('1 key failed: "t:b": corrupt value', function() for _ in s:each("t:") do end end)
			for key in s:each({prefix = "t:", values = false}) do expect(key).is("t:b") end`)
	}},
}

// luaFill is Lua that finds ordered and fill(prefix, n), which writes n entries and notes them in entries[prefix].
const luaFill = `
local ordered, entries = s:info().ordered, {}
local function fill(prefix, n)
	entries[prefix] = {}
	for first = 1, n, 1000 do
		local batch = {}
		for i = first, math.min(n, first + 999) do
			batch[prefix .. i], entries[prefix][prefix .. i] = i, i
		end
		expect(s:set_many(batch)).is(true, nil)
	end
end
`
