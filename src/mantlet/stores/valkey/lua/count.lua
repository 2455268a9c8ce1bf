-- The state of one window; writes nothing. KEYS[1]: the window (the mark stands behind it). ARGV: limit, sub-bucket width in µs, cost.
local limit, width, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local state = open(redis.call('GET', KEYS[1]), width)
local until_free = wait(state, limit, cost, width)
local refused = -1
if until_free > 0 then refused = 0 end
return {refused, 0, math.max(0, limit - state.total), until_free, now, state.total}
