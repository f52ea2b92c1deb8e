-- The value and what PTTL says of it, as of one moment; nil if there is no such key.
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' then
  return value
end
return {value, redis.call('PTTL', KEYS[1])}
