---@meta test

-- Definitions of the module test for the Lua language server, which editors show and check. No script loads this file:
-- require("test") is the real module wherever luastore test runs. The command luastore annotations brings copies of it up to date,
-- and what was changed in one is lost.

---Tests of scripts, which the command luastore test runs.
---
---```lua
---local test = require("test")
---local cart = require("lib.cart")
---
---test.case("an item that is added is there", function()
---    cart.add("cart:ada", "apple", 2)
---    test.equal(cart.items("cart:ada"), { apple = 2 })
---end)
---```
---
---Each case has everything anew: its file runs from the top, with fresh globals, modules and stores, then the function of the case.
---An assertion that fails ends its case at once, also inside of `pcall`.
---@class test
local test = {}

---Adds a case. Cases stand at the top level of a file, each under a name of its own.
---@param name string What holds, in one line.
---@param fn fun() Fails when it raises an error, or an assertion in it fails.
function test.case(name, fn) end

---Fails unless two values are equal: tables by what they hold, without their metatables. NaN is equal to itself here.
---@param got any
---@param want any
---@param message? string Stands in front of what is told.
function test.equal(got, want, message) end

---Fails if two values are equal.
---@param got any
---@param other any
---@param message? string Stands in front of what is told.
function test.not_equal(got, other, message) end

---Fails if a value is nil or false, and tells the message and the kind behind it, as calls of stores return them.
---@generic T
---@param value? T
---@param message? any
---@param ... any
---@return T value
---@return any ...
function test.ok(value, message, ...) end

---Fails unless a value is nil or false.
---@param value any
---@param message? string Stands in front of what is told.
function test.no(value, message) end

---Fails unless two numbers are at most so far apart.
---@param got number
---@param want number
---@param tolerance number 0 or more.
---@param message? string Stands in front of what is told.
function test.near(got, want, tolerance, message) end

---Fails unless a text matches a pattern of Lua. Returns what `string.match` does: the captures, or the match.
---@param text string
---@param pattern string
---@param message? string Stands in front of what is told.
---@return any ...
function test.matches(text, pattern, message) end

---Fails unless a function raises an error, which it returns.
---@param fn fun()
---@param pattern? string A pattern of Lua that the text of the error has to match.
---@return any err
function test.fails(fn, pattern) end

---Fails.
---@param message string
function test.fail(message) end

---Ends the case, or all of the file at its top level, without failing.
---@param reason string
function test.skip(reason) end

return test
