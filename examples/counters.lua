-- Counts that lose nothing however many scripts add at once, and a rate limit whose window ends by itself.
--
--   luastore run examples/counters.lua             lets three calls a minute through
--   luastore run examples/counters.lua 5
--
-- With --store counters=sqlite:counters.db the visits add up from run to run, and so do the calls of one minute.

local store = require("store")

local most = tonumber((...)) or 3
local counters = assert(store.get("counters"))

-- incr adds in one step and returns the sum. An entry that is not there counts as 0.
for _, page in ipairs { "home", "about", "home", "home" } do
    assert(counters:incr("visits:" .. page))
end

-- each walks over all entries below a prefix. Not every store has an order, so the script makes one.
local lines = {}
for key, n in counters:each("visits:") do
    table.insert(lines, key .. " " .. n)
end
table.sort(lines)
print(table.concat(lines, ", "))

-- The first call of a window creates the counter with its ttl; the others leave the expiry alone.
local function allow(user)
    local key = "rate:" .. user
    local n = assert(counters:incr(key, 1, { ttl = 60 }))
    if n <= most then
        return true
    end
    return false, counters:ttl(key) or 0
end

for call = 1, most + 1 do
    local allowed, wait = allow("ada")
    if allowed then
        print("call " .. call .. ": welcome")
    else
        print(string.format("call %d: try again in %.0f seconds", call, wait))
    end
end

-- What is no number is not counted, and stays as it was.
assert(counters:set("visits:note", "not a counter"))
local _, err, kind = counters:incr("visits:note")
print(kind .. ": " .. err)
assert(counters:delete("visits:note"))
