-- Give back the room of some entries. KEYS: index, sizes, bytes. ARGV: prefix of entries, how many.
-- Gives how many are left.
for _, one in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1)) do
  redis.call('UNLINK', ARGV[1] .. one)
  redis.call('ZREM', KEYS[1], one)
  redis.call('INCRBY', KEYS[3], -(redis.call('HGET', KEYS[2], one) or 0))
  redis.call('HDEL', KEYS[2], one)
end
local left = redis.call('ZCARD', KEYS[1])
if left == 0 then redis.call('DEL', KEYS[2], KEYS[3]) end
return left
