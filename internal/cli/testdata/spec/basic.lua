local store = require("store")
-- Get store connection from resource registry
local storeObj, err = store.get("cache_store")
if err then error(err) end

-- Store a value
local success, err = storeObj:set("user:preferences", {
    theme = "dark",
    fontSize = 14,
    notifications = true
})
if err then error(err) end

-- Retrieve the value
local prefs, err = storeObj:get("user:preferences")
if err then error(err) end

if prefs then
    print("User theme: " .. prefs.theme)
    print("Font size: " .. prefs.fontSize)
end

-- Check if a key exists
local exists, err = storeObj:has("user:preferences")
if err then error(err) end

if exists then
    print("User preferences exist in store")
end

-- Delete a value
local success, err = storeObj:delete("user:preferences")
if err then error(err) end

-- Release the store when done
storeObj:release()
