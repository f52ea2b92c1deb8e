local store = require("store")
-- Get store connection from resource registry
local storeObj, err = store.get("data_store")
if err then
    print("Failed to connect to store: " .. err)
    return
end

-- Try to get a value that might not exist
local value, err = storeObj:get("config:api_key")
if err then
    if err == "key not found" then
        print("API key not configured")
    else
        print("Error retrieving API key: " .. err)
    end
    return
end

-- Release the store when done
storeObj:release()
