---@meta store

-- Definitions of the module store for the Lua language server, which editors show and check. No script loads this file:
-- require("store") is the real module wherever scripts run. The command luastore annotations brings copies of it up to date, and
-- what was changed in one is lost.
--
-- On failure a call returns nil, a message and a kind. The types of results leave that nil out, so that a script which has
-- checked err is not asked to check the value too; value and err are never both something.

---Key-value stores: values of Lua under string keys, which may expire.
---
---```lua
---local store = require("store")
---
---local s, err = store.get("cache")
---if err then error(err) end
---s:set("user:42", { name = "Ada" }, 3600)
---local user = s:get("user:42")
---```
---
---Every call returns its value and nil, or nil, a message for people and a kind for programs. Bad arguments are returned in the
---same way. Three things raise: a method without its store (`s.get` for `s:get`), `each`, and errors raised in your own functions.
---
---A key is `"namespace:name"`, split at the first colon: two parts that are not empty, UTF-8 without control characters, at most
---1,024 bytes. Numbers are not turned into keys.
---@class store
---@field REMOVE store.Remove Return it from the function of `s:update` to remove the entry.
local store = {}

---What can be stored: strings with any bytes, numbers (integers up to ±2^53 exactly), booleans, and tables of these, which come
---back as they went in. No functions, no userdata, no tables that contain themselves.
---@alias store.Value string|number|boolean|table

---What went wrong, in one word. Only after `"unknown_outcome"` a write on its own may have been applied all the same.
---@alias store.ErrorKind
---| '"not_found"' # no such key; the message is exactly "key not found"
---| '"store_not_found"' # the host knows no store of that id
---| '"invalid"' # a bad key, ttl, value or option: the message says what is wanted
---| '"denied"' # by the policy of the host, or because the store is read-only
---| '"too_large"' # beyond a limit on size, depth or count
---| '"full"' # the store has no room and may not evict
---| '"conflict"' # other writers came between every time
---| '"aborted"' # a function that was to return a value returned none
---| '"released"' # the store was released, or its unit of work has ended
---| '"unavailable"' # the backend cannot be reached
---| '"timeout"' # the deadline passed
---| '"canceled"' # the unit of work was cancelled
---| '"unknown_outcome"' # a write was sent and its reply never came: it may have been applied
---| '"corrupt"' # stored bytes that are no value; the key can still be overwritten and deleted
---| '"internal"' # a fault in the host or the driver

---The type of `store.REMOVE`.
---@class (exact) store.Remove

---Returns the store that the host knows under an id. It is released when the unit of work ends (the run of the script, the
---request: the host decides), or earlier by `s:release()`. Getting a store again is cheap.
---
---Errors: `store_not_found`; `unavailable` or `timeout` where it cannot be opened; `invalid`.
---@param id string Such as `"cache_store"` or `"app:cache"`.
---@return store.Store s
---@return string? err
---@return store.ErrorKind? kind
---@nodiscard
function store.get(id) end

---A store, for one unit of work. Keep none in a global: used in a later unit it answers `released`. `tostring(s)` names it and
---says when it is released.
---@class (exact) store.Store
local Store = {}

---Returns the value of a key, a fresh copy: changing it changes nothing in the store.
---
---A miss returns nil, `"key not found"`, `"not_found"`; with a default, even nil, it returns that and is no error.
---
---```lua
---local theme, err = s:get("user:theme", "light")
---```
---@generic T
---@param key string `"namespace:name"`
---@param default T Returned where there is no such key.
---@return T value
---@return string? err
---@return store.ErrorKind? kind
---@overload fun(self: store.Store, key: string): any, string?, store.ErrorKind?
---@nodiscard
function Store:get(key, default) end

---Options of `s:set`.
---@class (exact) store.SetOptions
---@field ttl? number Seconds to live; fractions count, 0 and `math.huge` mean never. Default: that of the store.
---@field keep_ttl? boolean Keep the expiry of an existing entry; not together with `ttl`. Default: false.
---@field if_absent? boolean Write only if there is no such entry; not together with `if_version`. Default: false.
---@field if_version? string Write only if the value still has this version, from `s:entry`.

---Writes a value and its expiry in one step: nobody sees one without the other. Without a ttl the entry gets the default of the
---store, which is never unless the host configured one, and loses the expiry that it had.
---
---Returns true, or false if a condition of the options did not hold.
---
---```lua
---s:set("session:1", { user = 42 }, 1800)
---local first, err = s:set("lock:import", true, { if_absent = true, ttl = 60 })
---```
---@param key string `"namespace:name"`
---@param value store.Value
---@param opts? number|store.SetOptions Seconds to live, or options.
---@return boolean written
---@return string? err
---@return store.ErrorKind? kind
function Store:set(key, value, opts) end

---Options of `s:delete`.
---@class (exact) store.DeleteOptions
---@field if_version? string Delete only if the value still has this version, from `s:entry`.

---Deletes an entry.
---
---Returns true, or false if there was no such entry, or one of another version.
---@param key string `"namespace:name"`
---@param opts? store.DeleteOptions
---@return boolean deleted
---@return string? err
---@return store.ErrorKind? kind
function Store:delete(key, opts) end

---Tells whether there is an entry.
---@param key string `"namespace:name"`
---@return boolean exists
---@return string? err
---@return store.ErrorKind? kind
---@nodiscard
function Store:has(key) end

---Returns the seconds that an entry has left, `math.huge` if it never expires. A miss returns nil, `"key not found"`,
---`"not_found"`.
---@param key string `"namespace:name"`
---@return number seconds
---@return string? err
---@return store.ErrorKind? kind
---@nodiscard
function Store:ttl(key) end

---Sets when an entry expires and leaves its value alone. Without a ttl it never expires.
---
---Returns true, or false if there is no such entry.
---@param key string `"namespace:name"`
---@param ttl? number Seconds to live; fractions count, 0 and `math.huge` mean never. Default: never.
---@return boolean exists
---@return string? err
---@return store.ErrorKind? kind
function Store:touch(key, ttl) end

---Options of `s:incr`.
---@class (exact) store.IncrOptions
---@field initial? number What an absent key counts as. Default: 0.
---@field ttl? number Seconds to live of an entry that is created; fractions count, 0 and `math.huge` mean never. Default: that of the store.

---Adds to a number, atomically, and returns the sum. An absent key is created; an existing entry keeps its expiry.
---
---A value that is no number, or a sum beyond ±2^53, is `invalid`, and the entry stays as it was.
---
---```lua
---local visits, err = s:incr("visits:home")
---local calls, err = s:incr("calls:42", 1, { ttl = 60 })
---```
---@param key string `"namespace:name"`
---@param delta? number Default: 1.
---@param opts? store.IncrOptions
---@return number sum
---@return string? err
---@return store.ErrorKind? kind
function Store:incr(key, delta, opts) end

---Options of `s:update`.
---@class (exact) store.UpdateOptions
---@field ttl? number Seconds to live; fractions count, 0 and `math.huge` mean never. Default: an existing entry keeps its expiry, a new one gets the default of the store.
---@field retries? integer How often to try again when another writer won, 0 to 10,000; then the kind is `conflict`. Default: 64.

---Replaces a value by what a function makes of it, atomically, and returns the new value. No lock is held while the function
---runs: when another writer wins it is called again, so it should change nothing but what it returns.
---
---`return store.REMOVE` removes the entry, and update returns nil, nil. A function that returns nil writes nothing: update returns
---nil, its second result as err, and its third, or else `"aborted"`, as kind. An error that it raises passes through. It cannot
---yield.
---
---```lua
---local item, err, kind = s:update("item:1001", function(item)
---    if not item or item.quantity == 0 then return nil, "sold out" end
---    item.quantity = item.quantity - 1
---    return item
---end)
---```
---@param key string `"namespace:name"`
---@param fn fun(current: any): any, string?, string? Gets the value, nil if there is none, and returns the new one.
---@param opts? store.UpdateOptions
---@return any value
---@return string? err
---@return store.ErrorKind|string? kind
function Store:update(key, fn, opts) end

---Where the result of `s:fetch` came from.
---@alias store.FetchOutcome
---| '"hit"' # the store, or another call that computed it at the same time
---| '"miss"' # the function of this very call

---Returns the value of a key; where there is none it calls a function, stores what that returns, and returns it. Of all callers
---in this process that miss a key at the same time one calls its function and the others wait for the result.
---
---A function that returns nil stores nothing: fetch returns nil, its second result as err, and its third, or else `"aborted"`, as
---kind. An error that it raises passes through. It cannot yield. Where the store is unavailable, does not answer in time, or is
---full, its value is returned all the same.
---
---```lua
---local page, err, outcome = s:fetch("page:home", function(key)
---    return { title = "Home", made = os.time() }
---end, 300)
---```
---@generic T
---@param key string `"namespace:name"`
---@param fn fun(key: string): T?, string?, string? Computes the value.
---@param ttl? number Seconds to live of what is stored; fractions count, 0 and `math.huge` mean never. Default: that of the store.
---@return T|any value
---@return string? err
---@return store.FetchOutcome|store.ErrorKind|string outcome `"hit"` or `"miss"`; a kind if there is an err.
function Store:fetch(key, fn, ttl) end

---All that there is to know of an entry, as of one moment.
---@class store.Entry
---@field key string
---@field value any
---@field version string 32 hexadecimal digits that say what the value is, for `if_version`; another expiry does not change it.
---@field ttl number Seconds left, `math.huge` if it never expires.

---Returns an entry with its version and the time that it has left. A miss returns nil, `"key not found"`, `"not_found"`.
---
---```lua
---local entry, err = s:entry("user:42")
---if entry then
---    local written, err = s:set(entry.key, entry.value, { if_version = entry.version, keep_ttl = true })
---end
---```
---@param key string `"namespace:name"`
---@return store.Entry entry
---@return string? err
---@return store.ErrorKind? kind
---@nodiscard
function Store:entry(key) end

---Returns the values of many keys, without those that do not exist, in one round trip where the backend can. A batch is not
---atomic: other writers may come between.
---
---```lua
---local users, err = s:get_many({ "user:1", "user:2" })
---```
---@param keys string[] At most `s:info().limits.batch`.
---@return table<string, any> values By key.
---@return string? err
---@return store.ErrorKind? kind
---@return string[]? failed The keys that failed, in byte order, where others did not.
---@nodiscard
function Store:get_many(keys) end

---Writes many entries, in one round trip where the backend can, and returns true. A batch is not atomic: after an error all but
---the failed keys are written. Bad arguments are found before anything is.
---
---```lua
---s:set_many({ ["user:1"] = "Ada", ["user:2"] = "Alan" }, 3600)
---```
---@param entries table<string, store.Value> Values by key, at most `s:info().limits.batch`.
---@param ttl? number Seconds to live of each; fractions count, 0 and `math.huge` mean never. Default: that of the store.
---@return boolean written
---@return string? err
---@return store.ErrorKind? kind
---@return string[]? failed The keys that failed, in byte order, where others did not.
function Store:set_many(entries, ttl) end

---Deletes many entries, in one round trip where the backend can, and returns how many there were. A batch is not atomic: after an
---error all but the failed keys are deleted.
---@param keys string[] At most `s:info().limits.batch`.
---@return integer deleted
---@return string? err
---@return store.ErrorKind? kind
---@return string[]? failed The keys that failed, in byte order, where others did not.
function Store:delete_many(keys) end

---Options of `s:list`.
---@class (exact) store.ListOptions
---@field prefix? string What keys begin with; it may end anywhere. Default: all keys.
---@field limit? integer About how many items a page has: 1 to `s:info().limits.batch`. Default: 100.
---@field cursor? string The cursor of the page before, which had the same prefix. Default: the first page.
---@field values? boolean List values too. Default: false.

---An item of a listing with values.
---@class store.Item
---@field key string
---@field value any

---A part of a listing.
---@class store.Page
---@field items any[] Keys, or a `store.Item` each with `values = true`. It may be empty before the end.
---@field cursor? string For the next page; nil at the end.

---Lists keys that begin with a prefix, a page at a time; `s:each` does it in a loop. In an ordered store (`s:info().ordered`) keys
---come in byte order, each once; in others each key that lives throughout comes at least once. Only an absent cursor is the end.
---
---```lua
---local page, err = s:list({ prefix = "user:", limit = 20 })
---if page and page.cursor then
---    page, err = s:list({ prefix = "user:", limit = 20, cursor = page.cursor })
---end
---```
---@param opts? store.ListOptions
---@return store.Page page
---@return string? err
---@return store.ErrorKind? kind
---@return string[]? failed The keys whose values are corrupt, in byte order, with `values = true`.
---@nodiscard
function Store:list(opts) end

---Options of `s:each`.
---@class (exact) store.EachOptions
---@field prefix? string What keys begin with; it may end anywhere. Default: all keys.
---@field values? boolean False for keys alone, which is cheaper. Default: true.

---Loops over the entries whose keys begin with a prefix, in the order of `s:list`. It holds one page at a time, and raises its
---errors: a loop has no other way to tell them from the end.
---
---```lua
---for key, value in s:each("user:") do
---    print(key, value)
---end
---for key in s:each({ prefix = "session:", values = false }) do
---    s:delete(key)
---end
---```
---@param opts? string|store.EachOptions A prefix, or options.
---@return fun(): string, any next Key and value.
---@nodiscard
function Store:each(opts) end

---What a store guarantees.
---@class store.Info
---@field driver string Name of the driver: `"memory"`, `"redis"`.
---@field durability string What survives the end of the process, and the loss of power.
---@field consistency string What concurrent units see of each other's writes.
---@field shared boolean Other processes may use the same entries.
---@field ordered boolean Listings are in byte order.
---@field ttl_resolution number Seconds to which a ttl is rounded up.
---@field clock string Whose clock decides on expiry.
---@field limits store.Limits

---What a store accepts, and what it has room for.
---@class store.Limits
---@field key_bytes integer Longest key, the prefix that the host may put before it included.
---@field value_bytes integer Longest value, as it is stored.
---@field depth integer Most tables inside each other.
---@field nodes integer Most tables and elements in one value.
---@field batch integer Most keys of a batch, and of a page.
---@field batch_bytes integer Most bytes of all values that one batch writes, as they are stored.
---@field entries? integer Entries that there is room for; nil: no bound.
---@field bytes? integer Bytes of keys and values that there is room for; nil: no bound.
---@field default_ttl number Seconds to live where none are given, `math.huge` for never.
---@field max_ttl number Longest ttl in seconds, `math.huge` if there is no such limit.

---Returns what the store guarantees. It takes no round trip.
---@return store.Info info
---@return string? err
---@return store.ErrorKind? kind
---@nodiscard
function Store:info() end

---Gives the store back before the unit of work ends. Afterwards its methods return `"store is released"`, `"released"`; releasing
---again does nothing.
---@return true released
function Store:release() end

return store
