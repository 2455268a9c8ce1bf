-- Give a lease back, keep what was made under it, and tell those who wait.
-- KEYS: entry, lease, index, sizes, bytes, then a mark for each scope. ARGV: token, what the scopes stood at, the key's
-- own name, prefix of entries, value (or empty), its time in ms, greatest bytes of all, PUBLISH or SPUBLISH, channel,
-- message.
-- Gives 1, or 0 where the lease is another's by now: then nothing is done.
local lease = redis.call('HMGET', KEYS[2], 't', 'w')
if lease[1] ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])

local name, prefix, value, most = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[7])
local size = #value + 300  -- with what stands around it

local function drop(bytes, one)
  redis.call('UNLINK', prefix .. one)
  redis.call('ZREM', KEYS[3], one)
  local was = redis.call('HGET', KEYS[4], one)
  redis.call('HDEL', KEYS[4], one)
  return bytes - (was or 0)
end

if #value > 0 and size <= most then
  local marks = {}
  for place = 6, #KEYS do marks[#marks + 1] = redis.call('GET', KEYS[place]) or '0' end
  if table.concat(marks, ' ') == ARGV[2] then
    local time = redis.call('TIME')
    local now = time[1] * 1000000 + time[2]
    local bytes = tonumber(redis.call('GET', KEYS[5]) or 0)
    -- A few of those whose time is over, so that they never pile up; then, for want of room, whose time is over first.
    for _, one in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now / 1000, 'LIMIT', 0, 16)) do
      bytes = drop(bytes, one)
    end
    bytes = drop(bytes, name)
    if bytes + size > most then
      -- Not more at once than takes a millisecond: nothing else is served meanwhile.
      for _, one in ipairs(redis.call('ZRANGE', KEYS[3], 0, 99)) do
        if bytes + size <= most then break end
        bytes = drop(bytes, one)
      end
      if redis.call('ZCARD', KEYS[3]) == 0 then
        bytes = 0
        redis.call('DEL', KEYS[4])
      end
    end
    if bytes + size <= most then
      redis.call('HSET', KEYS[1], 'm', ARGV[2], 'b', string.format('%.0f', now), 'v', value)
      redis.call('PEXPIRE', KEYS[1], ARGV[6])
      redis.call('ZADD', KEYS[3], now / 1000 + ARGV[6], name)
      redis.call('HSET', KEYS[4], name, size)
      bytes = bytes + size
    end
    redis.call('SET', KEYS[5], string.format('%.0f', bytes))
  end
end
if lease[2] then redis.call(ARGV[8], ARGV[9], ARGV[10]) end
return 1
