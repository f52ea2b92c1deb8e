-- Takes the expiry away and says whether the key exists. PERSIST alone answers 0 for a key that has no expiry.
local reply = redis.pcall('PERSIST', KEYS[1])
if type(reply) == 'table' then
  return reply
end
return redis.call('EXISTS', KEYS[1])
