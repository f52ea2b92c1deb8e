package storetest

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
