-- Everything under a scope is old. KEYS: its mark. ARGV: for how long in ms that must be known, PUBLISH or SPUBLISH,
-- channel, message.
-- A mark is never what it was before, whatever the clock does: after its time there is nothing left that it made old.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local mark = math.max(now, (redis.call('GET', KEYS[1]) or 0) + 1)
redis.call('SET', KEYS[1], string.format('%.0f', mark), 'PX', ARGV[1])
redis.call(ARGV[2], ARGV[3], ARGV[4])
return 1
