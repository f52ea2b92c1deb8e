-- Answers calls of the string library, read from standard input, with what they return or raise. Each string is preceded by a line
-- with its length. strings_difference_test.go compares the answers.

local read, write = io.read, io.write

local byName = {
	t1 = {a = "X", b = false, ab = "%1", [1] = "one", [2] = 2.5, [""] = "E"},
	t2 = setmetatable({}, {__index = function(_, key) return "<" .. key .. ">" end}),
	t3 = {a = {}, [3] = true},
	f1 = function(a) return a end,
	f2 = function(a, b) return b end,
	f3 = function() return false end,
	f4 = function(a) if a == "b" then return print end return 7.5 end,
	f5 = function(a) if a == "b" then error("raised", 0) end end,
	ni = nil,
}

local function argument()
	local kind = read(1)
	if kind == "s" then
		return read(tonumber(read("*l")))
	elseif kind == "n" then
		return tonumber(read("*l"))
	end
	return byName[read("*l")]
end

-- all runs an iterator to its end, or for some steps.
local function all(iterator)
	local found, n = {}, 0
	for _ = 1, 30 do
		local captures = {iterator()}
		if #captures == 0 then
			break
		end
		for i = 1, #captures do
			n = n + 1
			found[n] = captures[i]
		end
		n = n + 1
		found[n] = "/"
	end
	return unpack(found, 1, n)
end

local function gmatch(...)
	return all(string.gmatch(...))
end

local function answer(name, ok, ...)
	local out = {}
	for i = 1, select("#", ...) do
		local v = select(i, ...)
		if type(v) == "number" then
			v = string.format("%.17g", v)
		elseif not ok then
			v = v:gsub("^testdata/strings.lua:%d+: ", ""):gsub("to '%?'", "to '" .. name .. "'")
		end
		out[i] = type(v) == "string" and type(select(i, ...)):sub(1, 1) .. #v .. ":" .. v or tostring(v)
	end
	local text = (ok and "returns " or "raises ") .. table.concat(out, " ")
	write(#text, "\n", text)
end

while true do
	local name = read("*l")
	if not name then
		break
	elseif name == "" then
		io.flush()
	else
		local n, args = tonumber(read("*l")), {}
		for i = 1, n do
			args[i] = argument()
		end
		answer(name, pcall(name == "gmatch" and gmatch or string[name], unpack(args, 1, n)))
	end
end
