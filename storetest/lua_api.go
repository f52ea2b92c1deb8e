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
		raises("attempt to yield across metamethod", function() s:update("t:k", function() coroutine.yield(2) end) end)
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
			local text = 'permission denied: store "test": it is read-only'
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
		raises("attempt to yield across metamethod", function() s:fetch("t:k", function() coroutine.yield(2) end) end)
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
