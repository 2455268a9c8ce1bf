-- The value of a key, or the right to make it, or how long another has that.
-- KEYS: entry, lease, fence, then a mark for each scope. ARGV: lease in ms, greatest age in µs (-1: any).
-- Gives {1, value, age in µs}, {2, ms left of another's lease}, or {3, token, what the scopes stand at}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local marks = {}
for place = 4, #KEYS do marks[#marks + 1] = redis.call('GET', KEYS[place]) or '0' end
local stood = table.concat(marks, ' ')

local kept = redis.call('HMGET', KEYS[1], 'm', 'b', 'v')
if kept[1] == stood then
  local age, most = math.max(0, now - kept[2]), tonumber(ARGV[2])
  if most < 0 or age <= most then return {1, kept[3], age} end
end

-- A lease from before something was forgotten holds up nobody: what it brings will not be kept.
local left = redis.call('PTTL', KEYS[2])
if left > 0 and redis.call('HGET', KEYS[2], 'm') == stood then
  redis.call('HSET', KEYS[2], 'w', '1')
  return {2, left}
end
local token = string.format('%.0f', math.max(now, (redis.call('GET', KEYS[3]) or 0) + 1))
redis.call('SET', KEYS[3], token)
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 't', token, 'm', stood)
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return {3, token, stood}
