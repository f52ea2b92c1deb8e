-- Shopping carts, as a module that scripts require: require("lib.cart"). examples/cart_test.lua has its tests.

local store = require("store")

local cart = {}

-- How long a cart is kept after it was changed last, in seconds.
cart.KEPT = 7 * 24 * 60 * 60

local function carts()
    return assert(store.get("cart_store"))
end

-- add puts so many of a product into a cart and returns how many of it are there then.
function cart.add(key, product, count)
    if count <= 0 or count % 1 ~= 0 then
        error("bad count: want a whole number of at least 1", 2)
    end
    local items = assert(carts():update(key, function(items)
        items = items or {}
        items[product] = (items[product] or 0) + count
        return items
    end, { ttl = cart.KEPT }))
    return items[product]
end

-- items returns what is in a cart: how many of each product.
function cart.items(key)
    return assert(carts():get(key, {}))
end

-- total returns the price of a cart, for prices by product; or nil and what has no price.
function cart.total(key, prices)
    local total = 0
    for product, count in pairs(cart.items(key)) do
        if not prices[product] then
            return nil, "no price for " .. product
        end
        total = total + count * prices[product]
    end
    return total
end

return cart
