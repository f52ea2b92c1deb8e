-- What can go wrong, and how a script tells. Calls return nil, a message for people and a kind for programs; they do not raise.
--
--   luastore run examples/errors.lua

local store = require("store")

local settings = assert(store.get("settings"))

-- A key that is not there is the one failure every script meets.
local value, err, kind = settings:get("config:api_key")
print(value, err, kind)

-- Where absent is fine, give a default: no error then.
print(settings:get("config:retries", 3))

-- Mistakes are returned too, and nothing is written.
print(settings:set("no-namespace", 1))
print(settings:set("config:timeout", 10, -5))
print(settings:set("config:handler", { on_error = function() end }))
print("written: " .. tostring(settings:has("config:timeout")))

-- Tell failures apart by their kind: messages may change.
local function read(key)
    local v, message, why = settings:get(key)
    if why == "not_found" then
        return "(not set)"
    elseif why then
        error("cannot read " .. key .. ": " .. message)
    end
    return v
end
print("theme: " .. read("config:theme"))

-- error raises; pcall catches what was raised.
local ok, raised = pcall(read, "bad key")
print(ok, raised)

-- A store that was given back answers so.
settings:release()
print(settings:get("config:theme"))
