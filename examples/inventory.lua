-- Reserves the items of an order, those that are in stock. However many scripts do so at once, no item is sold twice.
--
--   luastore run examples/inventory.lua
--   luastore run examples/inventory.lua item:lamp item:sofa
--
-- A first run stocks the shelves, so that the script works on an empty store.

local store = require("store")

local inventory = assert(store.get("inventory"))

local shelves = {
    ["item:lamp"] = { name = "Lamp", quantity = 2, price = 40 },
    ["item:desk"] = { name = "Desk", quantity = 1, price = 250 },
    ["item:chair"] = { name = "Chair", quantity = 0, price = 90 },
}
for key, item in pairs(shelves) do
    local _, err = inventory:set(key, item, { if_absent = true })
    if err then error(err) end
end

local order = { ... }
if #order == 0 then
    order = { "item:lamp", "item:lamp", "item:chair", "item:desk", "item:unknown" }
end

-- Takes one from the shelf. Getting the item and setting it would lose what others take in between; update runs the function
-- again where another was faster. A function that returns no value writes nothing.
local function take(key)
    return inventory:update(key, function(item)
        if not item then
            return nil, key .. " (no such item)"
        elseif item.quantity == 0 then
            return nil, item.name .. " (sold out)"
        end
        item.quantity = item.quantity - 1
        return item
    end)
end

local total, missing = 0, {}
for _, key in ipairs(order) do
    local item, err, kind = take(key)
    if kind == "aborted" then
        table.insert(missing, err)
    elseif err then
        error("cannot reserve " .. key .. ": " .. err)
    else
        total = total + item.price
        print(string.format("reserved %-6s %4d   %d left", item.name, item.price, item.quantity))
    end
end

print("total " .. total)
if #missing > 0 then
    print("missing: " .. table.concat(missing, ", "))
end
