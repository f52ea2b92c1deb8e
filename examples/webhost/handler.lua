-- Answers one HTTP request: a small service for notes, kept for an hour after the last change.
--
--   PUT /notes/shopping     keeps the body as the note
--   GET /notes/shopping     reads it
--   DELETE /notes/shopping  forgets it
--
-- The host calls this chunk once for each request, as one unit of work, with the request as its argument, and sends what it returns. Nothing
-- needs to be released here: the unit does that.

local store = require("store")

local request = ...

local function answer(status, body)
    return { status = status, body = body .. "\n" }
end

local name = request.path:match("^/notes/(%w+)$")
if not name then
    return answer(404, "try /notes/NAME")
end

local notes, err = store.get("notes")
if err then
    error(err)
end
local key = "note:" .. name

if request.method == "PUT" then
    local _, failed = notes:update(key, function(note)
        return { text = request.body, edits = (note and note.edits or 0) + 1 }
    end, { ttl = 3600 })
    if failed then
        error(failed)
    end
    log("note written: " .. name)
    return answer(200, "kept " .. name)
elseif request.method == "DELETE" then
    local existed, failed = notes:delete(key)
    if failed then
        error(failed)
    end
    return answer(existed and 200 or 404, existed and "forgot " .. name or "no note " .. name)
end

local note, failed, kind = notes:get(key)
if kind == "not_found" then
    return answer(404, "no note " .. name)
elseif failed then
    error(failed)
end
return answer(200, note.text .. " (edits: " .. note.edits .. ")")
