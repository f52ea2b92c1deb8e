-- Sessions that expire: a time to live when they are written, a look at what is left, and a longer life on every visit.
--
--   luastore run examples/sessions.lua

local store = require("store")

local sessions = assert(store.get("session_store"))

local function describe(key)
    local left, err = sessions:ttl(key)
    if err then
        print(key .. ": " .. err)
    elseif left == math.huge then
        print(key .. ": never expires")
    else
        print(string.format("%s: %.0f minutes left", key, left / 60))
    end
end

-- The third argument of set is the time to live in seconds.
assert(sessions:set("session:ada", { user = "ada", roles = { "reader", "editor" } }, 30 * 60))
describe("session:ada")

-- A visit gives it an hour from now. touch does not read or write the value.
assert(sessions:touch("session:ada", 60 * 60))
describe("session:ada")

-- touch answers false, which is no error, where there is no session.
if not sessions:touch("session:bob", 60 * 60) then
    print("session:bob: please log in")
end

-- Written again without a time to live, it is there for good.
assert(sessions:set("session:ada", assert(sessions:get("session:ada"))))
describe("session:ada")

print("logged out: " .. tostring(sessions:delete("session:ada")))
describe("session:ada")
