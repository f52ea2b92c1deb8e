-- Tests of examples/lib/cart.lua. Each case finds its stores empty, whatever the others do.
--
--   luastore test examples

local test = require("test")
local store = require("store")
local cart = require("lib.cart")

-- What stands outside of the cases happens before each of them.
cart.add("cart:ada", "apple", 2)

test.case("an item that is added is there", function()
    test.equal(cart.items("cart:ada"), { apple = 2 })
end)

test.case("the same item again adds up", function()
    test.equal(cart.add("cart:ada", "apple", 3), 5)
    test.equal(cart.items("cart:ada"), { apple = 5 })
end)

test.case("carts do not share items", function()
    cart.add("cart:bob", "pear", 1)
    test.equal(cart.items("cart:ada"), { apple = 2 })
    test.equal(cart.items("cart:bob"), { pear = 1 })
end)

test.case("a cart that nobody used is empty", function()
    test.equal(cart.items("cart:carol"), {})
end)

test.case("the total is the sum of the prices", function()
    cart.add("cart:ada", "pear", 1)
    test.near(cart.total("cart:ada", { apple = 0.1, pear = 0.1 }), 0.3, 1e-9)
end)

test.case("a product without a price is told", function()
    local total, err = cart.total("cart:ada", {})
    test.no(total)
    test.matches(err, "^no price for apple$")
end)

test.case("only whole numbers can be added", function()
    for _, count in ipairs({ 0, -1, 1.5 }) do
        test.fails(function() cart.add("cart:ada", "apple", count) end, "want a whole number")
    end
    test.equal(cart.items("cart:ada"), { apple = 2 }, "nothing changed")
end)

test.case("a cart is kept for a week", function()
    local s = test.ok(store.get("cart_store"))
    test.near(s:ttl("cart:ada"), cart.KEPT, 5)
end)
