-- Compare and swap: ARGV is the expected value, what to do ('DEL', 'KEEPTTL', or milliseconds with 0 for never), the new value.
local expected, how, new = ARGV[1], ARGV[2], ARGV[3]

-- The length first: the value of another program may be large, and a script copies what it gets.
local length = redis.pcall('STRLEN', KEYS[1])
if type(length) ~= 'number' then
  return length
end
if length ~= #expected or redis.call('GET', KEYS[1]) ~= expected then
  return 0
end

local reply
if how == 'DEL' then
  reply = redis.pcall('DEL', KEYS[1])
elseif how == 'KEEPTTL' then
  reply = redis.pcall('SET', KEYS[1], new, 'KEEPTTL')
elseif how == '0' then
  reply = redis.pcall('SET', KEYS[1], new)
else
  reply = redis.pcall('SET', KEYS[1], new, 'PX', how)
end
if type(reply) == 'table' and reply.err then
  return reply
end
return 1
