-- Forget windows, and count that up in the mark in the same step: what leases of them held is not given back any more.
-- KEYS: the mark, then the windows. Gives how many there were.
local mark = redis.call('GET', KEYS[1])
if mark then
  local born, resets = struct.unpack(MARK, mark)
  redis.call('SET', KEYS[1], struct.pack(MARK, born, resets + 1))
end
return redis.call('UNLINK', unpack(KEYS, 2))
