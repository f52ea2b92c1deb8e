-- Keeps a user's preferences: tables go in and come back as they were, nested ones too.
--
--   luastore run examples/preferences.lua            changes the theme to "dark"
--   luastore run examples/preferences.lua light
--
-- With --store preferences=redis://localhost:6379 the changes add up from run to run.

local store = require("store")

local theme = ... or "dark"
local prefs = assert(store.get("preferences"))

-- The second argument of get is the value for a user who has none yet.
local mine = assert(prefs:get("prefs:ada", { theme = "system", font = { name = "Mono", size = 14 }, changes = 0 }))
print("before: " .. mine.theme .. ", " .. mine.font.name .. " " .. mine.font.size)

mine.theme = theme
mine.changes = mine.changes + 1
assert(prefs:set("prefs:ada", mine))

local again = assert(prefs:get("prefs:ada"))
print("after:  " .. again.theme .. ", " .. again.font.name .. " " .. again.font.size .. ", changes: " .. again.changes)

-- What get returns is a copy: changing it changes nothing that is stored.
again.theme = "lost"
print("stored: " .. assert(prefs:get("prefs:ada")).theme)
