-- Say that a process is there, and count those that are. KEYS: all of them, by when they said so last (ms).
-- ARGV: for how long in ms that counts, the process (or nothing, for one that only counts). Gives how many.
local time = redis.call('TIME')
local now, kept = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[1])
if ARGV[2] ~= '' then redis.call('ZADD', KEYS[1], now, ARGV[2]) end
-- Those of the future are from before the clock stepped back: whoever lives says so anew.
for _, gone in ipairs({{'-inf', now - kept}, {now + kept, '+inf'}}) do
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], gone[1], gone[2])) do redis.call('ZREM', KEYS[1], one) end
end
redis.call('PEXPIRE', KEYS[1], 2 * kept)
return redis.call('ZCARD', KEYS[1])
