package storetest

import (
	"fmt"
	"strings"

	"github.com/luastore/store"
	"github.com/luastore/store/script"
)

// luaPrelude is what the Lua of every rule finds: the store s, the module, expect, which takes the results of one call, and
// raises.
//
//	expect(s:get("t:k")).is(1, nil)                    exactly these results
//	expect(s:get("foo")).fails("invalid", "want")      nil, a text that holds "want", "invalid"
//	expect(s:get("t:k")).answers("not_found", text)    nil, exactly text, "not_found"
//	raises(text, function() s.get(5) end)              raises an error with a text that holds text
const luaPrelude = `
local store = require("store")
local s = assert(store.get("test"))

local function same(a, b)
	if type(a) ~= type(b) then return false end
	if a ~= a then return b ~= b end
	if a == 0 and b == 0 then return 1 / a == 1 / b end
	if type(a) ~= "table" then return a == b end
	for k, v in pairs(a) do if not same(v, b[k]) then return false end end
	for k in pairs(b) do if a[k] == nil then return false end end
	return true
end

local function show(n, t)
	local out = {}
	for i = 1, n do out[i] = tostring(t[i]) end
	return n .. " results: " .. table.concat(out, " | ")
end

local function expect(...)
	local n, got = select("#", ...), {...}
	local function is(...)
		local want = {...}
		local ok = n == select("#", ...)
		for i = 1, n do ok = ok and same(got[i], want[i]) end
		if not ok then error("got " .. show(n, got) .. "\nwant " .. show(select("#", ...), want), 2) end
	end
	return {
		is = is,
		answers = function(kind, text) is(nil, text, kind) end,
		fails = function(kind, text)
			if n ~= 3 or got[1] ~= nil or got[3] ~= kind or not string.find(got[2], text, 1, true) then
				error("got " .. show(n, got) .. "\nwant kind " .. kind .. " and a text with: " .. text, 2)
			end
		end,
	}
end

local function raises(text, fn)
	local ok, err = pcall(fn)
	if ok or not string.find(tostring(err), text, 1, true) then
		error("got " .. tostring(err) .. "\nwant an error with: " .. text, 2)
	end
end
`

// lua runs Lua as one unit of work, in which the store "test" is the connection; errors of the Lua end the rule.
func (s *space) lua(source string) {
	s.Helper()
	s.luaWith(store.Definition{}, source)
}

func (s *space) luaWith(def store.Definition, source string) {
	s.Helper()
	registry := store.New(nil)
	// The rule goes on with the connection, which the registry closes with its last store.
	def.Open = opening(keepOpen(s.connection))
	if s.handle != nil {
		def.Prefix = handlePrefix
	}
	s.must("Define", registry.Define("test", def))
	program, err := script.Compile("rule", luaPrelude+source)
	s.must("Compile", err)
	err = script.New(registry, nil).Exec(s.ctx, program)
	s.must("Lua", err)
	s.must("Close of the registry", registry.Close(s.ctx))
}

// keptOpen is a driver that somebody else closes. It hides optional interfaces.
type keptOpen struct{ store.Driver }

// Close leaves the driver open.
func (keptOpen) Close() error { return nil }

// keepOpen returns a driver that somebody else closes, with the optional interfaces that it has.
func keepOpen(d store.Driver) store.Driver {
	batcher, batches := d.(store.Batcher)
	counter, counts := d.(store.Counter)
	switch {
	case batches && counts:
		return struct {
			keptOpen
			store.Batcher
			store.Counter
		}{keptOpen{d}, batcher, counter}
	case batches:
		return struct {
			keptOpen
			store.Batcher
		}{keptOpen{d}, batcher}
	case counts:
		return struct {
			keptOpen
			store.Counter
		}{keptOpen{d}, counter}
	}
	return keptOpen{d}
}

// luaRule returns a rule that is one piece of Lua.
func luaRule(name, source string) rule {
	return rule{name: name, test: func(s *space) { s.lua(source) }}
}

// luaRules are the edges of keys, values, times and results as scripts see them: with the same texts on every driver.
var luaRules = []rule{
	luaRule("GetOfAMissIsKeyNotFound", `
		expect(s:get("t:k")).answers("not_found", "key not found")
		expect(s:ttl("t:k")).answers("not_found", "key not found")
		expect(s:get("t:k", "default")).is("default", nil)
		expect(s:get("t:k", false)).is(false, nil)
		expect(s:get("t:k", nil)).is(nil, nil)`),
	luaRule("GetWithADefaultOfAHitIsTheValue", `
		expect(s:set("t:k", false)).is(true, nil)
		expect(s:get("t:k", "default")).is(false, nil)`),
	luaRule("SetDeleteAndHasAnswerBooleans", `
		expect(s:has("t:k")).is(false, nil)
		expect(s:set("t:k", 1)).is(true, nil)
		expect(s:has("t:k")).is(true, nil)
		expect(s:delete("t:k")).is(true, nil)
		expect(s:delete("t:k")).is(false, nil)
		expect(s:has("t:k")).is(false, nil)`),
	luaRule("KeyThatIsNoNamespaceAndNameIsInvalid", `
		for _, key in ipairs{"", "foo", ":", ":x", "a:"} do
			local text = 'invalid key "' .. key .. '": want "namespace:name"'
			expect(s:get(key)).answers("invalid", text)
			expect(s:get(key, "default")).answers("invalid", text)
			expect(s:set(key, 1)).answers("invalid", text)
			expect(s:delete(key)).answers("invalid", text)
			expect(s:has(key)).answers("invalid", text)
			expect(s:ttl(key)).answers("invalid", text)
			expect(s:touch(key, 1)).answers("invalid", text)
		end`),
	luaRule("KeyOfAnotherTypeIsInvalidAndNeverCoerced", `
		for name, key in pairs{number = 42, boolean = true, table = {}, ["function"] = print} do
			local text = 'invalid key: want a string "namespace:name", got ' .. name
			expect(s:get(key)).answers("invalid", text)
			expect(s:set(key, 1)).answers("invalid", text)
			expect(s:delete(key)).answers("invalid", text)
			expect(s:has(key)).answers("invalid", text)
		end
		expect(s:get()).fails("invalid", "invalid key")
		expect(s:get(nil, "default")).fails("invalid", "invalid key")`),
	luaRule("KeyWithControlCharactersOrNoUTF8IsInvalid", `
		expect(s:set("a:b\0", 1)).fails("invalid", "control character")
		expect(s:set("a:b\n", 1)).fails("invalid", "control character")
		expect(s:set("a:b\127", 1)).fails("invalid", "control character")
		expect(s:set("a:b\194\133", 1)).fails("invalid", "control character")
		expect(s:set("a:b\255", 1)).fails("invalid", "not valid UTF-8")
		expect(s:set("a:b\195", 1)).fails("invalid", "not valid UTF-8")`),
	luaRule("KeyMayBeAsLongAsTheLimitSays", `
		local most = s:info().limits.key_bytes
		local key, text = "t:" .. string.rep("k", most - 2), (most + 1) .. " bytes with the prefix of the store, limit " .. most
		expect(s:set(key, 1)).is(true, nil)
		expect(s:get(key)).is(1, nil)
		expect(s:set(key .. "k", 1)).fails("invalid", text)
		expect(s:get(key .. "k")).fails("invalid", text)`),
	luaRule("KeySplitsAtTheFirstColon", `
		for i, key in ipairs{"a:b:c", "a::", "a:::", "a:b:", "a: ", "é:日本"} do
			expect(s:set(key, i)).is(true, nil)
			expect(s:get(key)).is(i, nil)
		end`),
	luaRule("EveryStringComesBackByteForByte", `
		local all = {}
		for i = 0, 255 do
			all[i + 1] = string.char(i)
			expect(s:set("t:k", string.char(i))).is(true, nil)
			expect(s:get("t:k")).is(string.char(i), nil)
		end
		for _, v in ipairs{"", "\0", table.concat(all), "é日本😀", "\195\40", string.rep("x", 1e5)} do
			expect(s:set("t:k", v)).is(true, nil)
			expect(s:get("t:k")).is(v, nil)
		end`),
	luaRule("EveryNumberComesBackAsItIs", `
		for _, v in ipairs{0, -0, 1, -1, 127, 128, 255, 256, 65535, 65536, 2^32, 2^53, -2^53, 2^53 + 2, 2^63, 2^64, 0.1, -1/3, 1e308, 5e-324, 0/0, 1/0, -1/0} do
			expect(s:set("t:k", v)).is(true, nil)
			expect(s:get("t:k")).is(v, nil)
			expect(s:set("t:k", {v})).is(true, nil)
			expect(s:get("t:k")).is({v}, nil)
		end`),
	luaRule("BooleansComeBack", `
		expect(s:set("t:k", true)).is(true, nil)
		expect(s:get("t:k")).is(true, nil)
		expect(s:set("t:k", false)).is(true, nil)
		expect(s:get("t:k")).is(false, nil)`),
	luaRule("EveryTableComesBackAsItIs", `
		local deep = {}
		for _ = 1, 63 do deep = {deep} end
		for _, v in ipairs{
			{}, {1, 2, 3}, {{}, {{}}}, {a = 1}, {[1] = "one", ["1"] = "string"}, {1, 2, x = 3}, {[1] = 1, [3] = 3}, {[0] = 0, 1}, {[-1] = 1},
			{[0.5] = 1, [1/0] = 2, [-1/0] = 3}, {[true] = 1, [false] = 2}, {[2^53] = 1}, {[""] = "", ["\255"] = "\0"}, {[1000] = 1},
			{user = {name = "a", tags = {"x", "y"}, [1] = {n = 0/0}}}, deep,
		} do
			expect(s:set("t:k", v)).is(true, nil)
			expect(s:get("t:k")).is(v, nil)
		end`),
	luaRule("GetAnswersAFreshCopy", `
		local inner = {1}
		local outer = setmetatable({a = inner, b = inner}, {__index = {c = 3}, __pairs = error, __len = error})
		expect(s:set("t:k", outer)).is(true, nil)
		inner[1] = 2
		local v, w = s:get("t:k"), s:get("t:k")
		expect(v).is({a = {1}, b = {1}})
		assert(getmetatable(v) == nil and v ~= w and v.a ~= v.b)
		v.a[1] = 3
		expect(s:get("t:k")).is({a = {1}, b = {1}}, nil)`),
	luaRule("ValueThatCannotBeStoredNamesThePlaceAndWritesNothing", `
		expect(s:set("t:k", "before", 1000)).is(true, nil)
		local cycle = {}
		cycle.self = cycle
		local deep = {}
		for _ = 1, 64 do deep = {deep} end
		local co = coroutine.create(function() end)
		expect(s:set("t:k", print)).fails("invalid", "cannot store a function")
		expect(s:set("t:k", co)).fails("invalid", "cannot store a thread")
		expect(s:set("t:k", s)).fails("invalid", "cannot store a userdata")
		expect(s:set("t:k", nil)).fails("invalid", "cannot store nil")
		expect(s:set("t:k")).fails("invalid", "cannot store nil")
		expect(s:set("t:k", {data = {permissions = {"read", print}}})).answers("invalid", "cannot store a function at .data.permissions[2]")
		expect(s:set("t:k", {[{}] = 1})).fails("invalid", "table as key")
		expect(s:set("t:k", cycle)).fails("too_large", "nested deeper than 64")
		expect(s:set("t:k", deep)).fails("too_large", "nested deeper than 64")
		expect(s:get("t:k")).is("before", nil)
		assert(s:ttl("t:k") > 900)`),
	luaRule("ValueThatIsTooLargeIsRefusedAndWritesNothing", `
		expect(s:set("t:k", "before")).is(true, nil)
		local limit, many = s:info().limits.value_bytes, {}
		local most = string.rep("x", limit - 5)
		for i = 1, 100000 do many[i] = true end
		expect(s:set("t:k", most .. "x")).fails("too_large", "more than " .. limit .. " bytes")
		expect(s:set("t:k", many)).fails("too_large", "100000")
		expect(s:get("t:k")).is("before", nil)
		many[100000] = nil
		expect(s:set("t:k", many)).is(true, nil)
		expect(s:set("t:k", most)).is(true, nil)
		expect(s:get("t:k")).is(most, nil)`),
	luaRule("TTLIsInSecondsAndCounts", `
		for _, ttl in ipairs{1000, 1000.5, 3.1e9} do
			expect(s:set("t:k", 1, ttl)).is(true, nil)
			local left = s:ttl("t:k")
			assert(left > ttl - 60 and left <= ttl + s:info().ttl_resolution, left)
		end`),
	luaRule("TTLOfNilZeroOrHugeIsNever", `
		for _, ttl in ipairs{0, math.huge, false} do
			expect(s:set("t:k", 1, 1000)).is(true, nil)
			expect(s:set("t:k", 1, ttl or nil)).is(true, nil)
			expect(s:ttl("t:k")).is(math.huge, nil)
			expect(s:touch("t:k", 1000)).is(true, nil)
			expect(s:touch("t:k", ttl or nil)).is(true, nil)
			expect(s:ttl("t:k")).is(math.huge, nil)
		end`),
	luaRule("TTLThatIsNoneIsInvalidAndTouchesNothing", `
		expect(s:set("t:k", "before", 1000)).is(true, nil)
		for _, ttl in ipairs{-1, -0.001, 0/0, -math.huge, 3.2e9, 1e300} do
			expect(s:set("t:k", "after", ttl)).fails("invalid", "invalid ttl")
			expect(s:touch("t:k", ttl)).fails("invalid", "invalid ttl")
		end
		for _, ttl in ipairs{"10", true, print} do
			local text = "invalid ttl: want a number of seconds, got " .. type(ttl)
			expect(s:set("t:k", "after", ttl)).answers("invalid", text)
			expect(s:touch("t:k", ttl)).answers("invalid", text)
		end
		expect(s:get("t:k")).is("before", nil)
		assert(s:ttl("t:k") > 900)`),
	{name: "WhatHasExpiredIsNotThere", timed: true, test: func(s *space) {
		s.expired("t:k", one)
		s.lua(`expect(s:delete("t:k")).is(false, nil)`)
		s.expired("t:k", one)
		s.lua(`
			expect(s:get("t:k")).answers("not_found", "key not found")
			expect(s:ttl("t:k")).answers("not_found", "key not found")
			expect(s:has("t:k")).is(false, nil)
			expect(s:touch("t:k", 10)).is(false, nil)
			expect(s:get("t:k", 5)).is(5, nil)`)
	}},
	{name: "EntryOutlivesItsUnitAndTheValueIsStoredAsItIs", test: func(s *space) {
		s.lua(`expect(s:set("t:k", "one")).is(true, nil)`)
		s.wantValue("t:k", one)
		s.lua(`expect(s:get("t:k")).is("one", nil)`)
	}},
	{name: "BytesThatAreNoValueAreCorruptAndCanBeDeletedAndOverwritten", test: func(s *space) {
		for _, v := range corrupt {
			if len(v) > s.largest(len(v)) {
				continue
			}
			s.plant("t:k", []byte(v), 0)
			s.lua(`
				expect(s:get("t:k")).fails("corrupt", "corrupt value")
				expect(s:get("t:k", "default")).fails("corrupt", "corrupt value")
				expect(s:has("t:k")).is(true, nil)
				expect(s:delete("t:k")).is(true, nil)
				expect(s:has("t:k")).is(false, nil)`)
			s.plant("t:k", []byte(v), 0)
			s.lua(`
				expect(s:set("t:k", 1)).is(true, nil)
				expect(s:get("t:k")).is(1, nil)`)
		}
	}},
	luaRule("ReleaseIsIdempotentAndThenEveryMethodSaysSo", `
		expect(s:release()).is(true)
		expect(s:release()).is(true)
		for _, call in ipairs{
			function() return s:get("t:k") end, function() return s:get("t:k", 1) end, function() return s:get("foo") end,
			function() return s:set("t:k", 1) end, function() return s:delete("t:k") end, function() return s:has("t:k") end,
			function() return s:ttl("t:k") end, function() return s:touch("t:k") end, function() return s:info() end,
			function() return s:entry("t:k") end, function() return s:incr("t:k") end, function() return s:list() end,
			function() return s:update("t:k", error) end, function() return s:fetch("t:k", error) end,
			function() return s:get_many({"t:k"}) end, function() return s:set_many({["t:k"] = 1}) end, function() return s:delete_many({"t:k"}) end,
		} do
			expect(call()).fails("released", "store is released")
		end
		assert(tostring(s):find("released"), tostring(s))
		expect(assert(store.get("test")):has("t:k")).is(false, nil)`),
	luaRule("GetOfAStoreThatIsNoneSaysSo", `
		expect(store.get("other")).fails("store_not_found", "store not found")
		expect(store.get("")).fails("invalid", "store id")
		expect(store.get(42)).fails("invalid", "store id")
		expect(store.get()).fails("invalid", "store id")`),
	luaRule("OnlyAWrongSelfRaises", `
		for _, self in ipairs{"t:k", {}, 42} do
			local ok, text = pcall(s.get, self, "t:k")
			assert(not ok and tostring(text):find("colon", 1, true), tostring(text))
		end
		assert(not pcall(function() s.get = print end))
		assert(not pcall(function() store.get = print end))`),
	{name: "InfoIsThatOfTheDriver", test: func(s *space) {
		i := s.info
		s.lua(`
			local info = s:info()
			expect(info.driver, info.durability, info.consistency, info.clock).is(` + luaStrings(i.Driver, i.Durability, i.Consistency, i.Clock) + `)
			expect(info.shared, info.ordered, info.ttl_resolution).is(` + fmt.Sprintf("%v, %v, %v", i.Shared, i.Ordered, i.TTLResolution.Seconds()) + `)
			local limits = info.limits
			expect(limits.key_bytes, limits.value_bytes).is(` + fmt.Sprintf("%d, %d", s.longestKey(), s.largest(1<<20)) + `)
			expect(limits.entries or 0, limits.bytes or 0).is(` + fmt.Sprintf("%d, %d", i.MaxEntries, i.MaxBytes) + `)`)
	}},
	{name: "ReadOnlyStoreDeniesWrites", test: func(s *space) {
		s.seed()
		s.luaWith(store.Definition{ReadOnly: true}, `
			local text = 'permission denied: store "test": it is read-only'
			expect(s:get("t:k")).is("one", nil)
			expect(s:set("t:k", 1)).answers("denied", text)
			expect(s:delete("t:k")).answers("denied", text)
			expect(s:touch("t:k")).answers("denied", text)`)
		s.wantSeed()
	}},
	{name: "DefaultAndMaximumTTLOfTheStoreHold", test: func(s *space) {
		s.luaWith(store.Definition{DefaultTTL: long, MaxTTL: 2 * long}, `
			expect(s:set("t:k", 1)).is(true, nil)
			assert(s:ttl("t:k") > 3500 and s:ttl("t:k") < 3700)
			for _, ttl in ipairs{0, math.huge, 7201} do
				expect(s:set("t:k", 2, ttl)).fails("invalid", "at most 7200 seconds")
				expect(s:touch("t:k", ttl)).fails("invalid", "at most 7200 seconds")
			end
			expect(s:touch("t:k")).fails("invalid", "at most 7200 seconds")
			expect(s:get("t:k")).is(1, nil)
			local function fn() return 1 end
			for key, create in pairs{
				["t:kept"] = function(key) return s:set(key, 1, {keep_ttl = true}) end, ["t:absent"] = function(key) return s:set(key, 1, {if_absent = true}) end,
				["t:counted"] = function(key) return s:incr(key) end, ["t:updated"] = function(key) return s:update(key, fn) end,
				["t:fetched"] = function(key) return s:fetch(key, fn) end, ["t:many"] = function(key) return s:set_many({[key] = 1}) end,
			} do
				assert(create(key))
				assert(s:ttl(key) > 3500 and s:ttl(key) < 3700, key)
			end
			expect(s:set("t:k", 2, {ttl = 7201})).fails("invalid", "at most 7200 seconds")
			expect(s:incr("t:k", 1, {ttl = 7201})).fails("invalid", "at most 7200 seconds")
			expect(s:update("t:k", fn, {ttl = 0})).fails("invalid", "at most 7200 seconds")
			expect(s:fetch("t:new", fn, 0)).fails("invalid", "at most 7200 seconds")
			expect(s:set_many({["t:k"] = 2}, 7201)).fails("invalid", "at most 7200 seconds")
			expect(s:get("t:k")).is(1, nil)
			expect(s:has("t:new")).is(false, nil)`)
	}},
}

// corrupt are stored bytes that are no value, some of which promise more than there is.
var corrupt = []string{
	"", "\xc0", "\xc1", "plain text", "\xa5abc", "\x01\x02", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff",
	"\xd4\x01\x05", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "\x81\x90\x01", "\x81\xcb\x7f\xf8\x00\x00\x00\x00\x00\x01\x01",
	strings.Repeat("\x91", 1<<20), strings.Repeat("\x91", 65) + "\x01", strings.Repeat("\x81\xa1a", 50_000), "\x81\xce\x00\x98\x96\x80\xc3",
}

// luaStrings returns Go strings as a list of Lua literals.
func luaStrings(texts ...string) string {
	for i, text := range texts {
		texts[i] = "[==[" + text + "]==]"
	}
	return strings.Join(texts, ", ")
}
