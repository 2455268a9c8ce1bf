-- Everything under a scope is old. KEYS: marks. ARGV: scope, PUBLISH or SPUBLISH, channel, message.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local mark = math.max(now, (redis.call('HGET', KEYS[1], ARGV[1]) or 0) + 1)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', mark))
redis.call(ARGV[2], ARGV[3], ARGV[4])
return 1
