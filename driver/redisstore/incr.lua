-- Adds to a stored number: ARGV is the delta and the initial value, each as the 8 bytes of a float64, and the expiry of a new
-- key in milliseconds, 0 for never. Answers the new stored form, 0 for a value that is no number, 1 for a sum out of range.
local NOT_A_NUMBER, OUT_OF_RANGE = 0, 1
local MAX = 9007199254740992 -- 2^53

-- MessagePack, as package value reads it: any form of a number that means an integer within 2^53 or a float. Not cmsgpack: it
-- reads the largest uint64 as -1, and writes floats as float32 where that is exact. Answers nothing for what is no number.
local function decode(stored)
  local length, first = #stored, string.byte(stored)
  if length == 1 then
    if first < 0x80 then return first end
    if first >= 0xe0 then return first - 256 end
  elseif length == 2 then
    if first == 0xcc then return (string.byte(stored, 2)) end
    if first == 0xd0 then return (struct.unpack('>i1', stored, 2)) end
  elseif length == 3 then
    if first == 0xcd then return (struct.unpack('>I2', stored, 2)) end
    if first == 0xd1 then return (struct.unpack('>i2', stored, 2)) end
  elseif length == 5 then
    if first == 0xce then return (struct.unpack('>I4', stored, 2)) end
    if first == 0xd2 then return (struct.unpack('>i4', stored, 2)) end
    if first == 0xca then return (struct.unpack('>f', stored, 2)) end
  elseif length == 9 then
    if first == 0xcb then return (struct.unpack('>d', stored, 2)) end
    if first == 0xcf or first == 0xd3 then
      -- In two halves: as one number they would be rounded before they could be checked.
      local high, low = struct.unpack(first == 0xcf and '>I4I4' or '>i4I4', stored, 2)
      if high >= -2097152 and (high < 2097152 or (high == 2097152 and low == 0)) then
        return high * 4294967296 + low
      end
    end
  end
end

-- The canonical form, as package value writes it.
local function encode(n)
  if n ~= math.floor(n) then
    return '\203' .. struct.pack('>d', n)
  elseif n >= 0 then
    if n < 128 then return string.char(n) end
    if n < 256 then return '\204' .. string.char(n) end
    if n < 65536 then return '\205' .. struct.pack('>I2', n) end
    if n < 4294967296 then return '\206' .. struct.pack('>I4', n) end
    return '\207' .. struct.pack('>I4I4', math.floor(n / 4294967296), n % 4294967296)
  end
  if n >= -32 then return string.char(256 + n) end
  if n >= -128 then return '\208' .. string.char(256 + n) end
  if n >= -32768 then return '\209' .. struct.pack('>i2', n) end
  if n >= -2147483648 then return '\210' .. struct.pack('>i4', n) end
  return '\211' .. struct.pack('>i4I4', math.floor(n / 4294967296), n % 4294967296)
end

-- Ten bytes tell a number, which has nine at most, from anything longer.
local stored = redis.pcall('GETRANGE', KEYS[1], 0, 9)
if type(stored) ~= 'string' then
  return stored
end
local exists = stored ~= '' or redis.call('EXISTS', KEYS[1]) == 1

local number
if exists then
  number = decode(stored)
  if not number then
    return NOT_A_NUMBER
  end
else
  number = struct.unpack('>d', ARGV[2])
end
local delta = struct.unpack('>d', ARGV[1])
local sum = number + delta
-- A sum at the very bound may be one beyond it that was rounded: 2^53 + 1 is 2^53 again. A NaN is within no bounds.
if not (sum >= -MAX and sum <= MAX) or (math.abs(sum) == MAX and (sum - number ~= delta or sum - delta ~= number)) then
  return OUT_OF_RANGE
end

local new, reply = encode(sum), nil
if exists then
  reply = redis.pcall('SET', KEYS[1], new, 'KEEPTTL')
elseif ARGV[3] == '0' then
  reply = redis.pcall('SET', KEYS[1], new)
else
  reply = redis.pcall('SET', KEYS[1], new, 'PX', ARGV[3])
end
if reply.err then
  return reply
end
return new
