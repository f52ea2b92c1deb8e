-- A cache before something slow, and a list that several scripts may change at once.
--
--   luastore run examples/cache.lua
--   luastore run examples/cache.lua oslo rome oslo

local store = require("store")

local cache = assert(store.get("cache_store"))

local degrees = { oslo = 4, lima = 19, rome = 23, cairo = 31 }

-- Stands for a service that takes long. What it returns is stored; with nil and a message nothing is.
local function forecast(key)
    local city = key:match("^forecast:(%a+)$")
    print("  (asking the weather service)")
    if not degrees[city] then
        return nil, "no such city", "not_found"
    end
    return { city = city, degrees = degrees[city] }
end

-- Keeps the last three cities. The function may run again when another script was faster, so it only works out the list.
local function remember(city)
    return cache:update("recent:ada", function(cities)
        cities = cities or {}
        for i = #cities, 1, -1 do
            if cities[i] == city then
                table.remove(cities, i)
            end
        end
        table.insert(cities, 1, city)
        cities[4] = nil
        return cities
    end)
end

local asked = { ... }
if #asked == 0 then
    asked = { "oslo", "lima", "oslo", "atlantis", "rome", "cairo" }
end

for _, city in ipairs(asked) do
    -- Ten minutes. However many units of this program miss at the same time, one asks and the others wait.
    local weather, err, how = cache:fetch("forecast:" .. city, forecast, 600)
    if err then
        print(city .. ": " .. err)
    else
        print(string.format("%s: %d degrees (%s)", city, weather.degrees, how))
        assert(remember(city))
    end
end

print("recent: " .. table.concat(assert(cache:get("recent:ada", {})), ", "))

-- A function of update that returns store.REMOVE removes the entry.
local left, err = cache:update("recent:ada", function()
    return store.REMOVE
end)
print("cleared: " .. tostring(left == nil and err == nil and not cache:has("recent:ada")))
