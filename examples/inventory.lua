-- Reserves the items of an order, those that are in stock: a batch of reads and writes over one store.
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
    local stocked, err = inventory:has(key)
    if err then error(err) end
    if not stocked then
        assert(inventory:set(key, item))
    end
end

local order = { ... }
if #order == 0 then
    order = { "item:lamp", "item:lamp", "item:chair", "item:desk", "item:unknown" }
end

local total, missing = 0, {}
for _, key in ipairs(order) do
    local item, err, kind = inventory:get(key)
    if kind == "not_found" then
        table.insert(missing, key .. " (no such item)")
    elseif err then
        error("cannot read " .. key .. ": " .. err)
    elseif item.quantity == 0 then
        table.insert(missing, item.name .. " (sold out)")
    else
        item.quantity = item.quantity - 1
        assert(inventory:set(key, item))
        total = total + item.price
        print(string.format("reserved %-6s %4d   %d left", item.name, item.price, item.quantity))
    end
end

print("total " .. total)
if #missing > 0 then
    print("missing: " .. table.concat(missing, ", "))
end
