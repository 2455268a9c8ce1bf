-- Give back what a lease held and did not spend. KEYS: the window, the mark. ARGV: sub-bucket width in µs, the number of
-- the sub-bucket it was charged to, units, the mark's two numbers, what the server's time should be in µs.
-- Gives what was given back. In doubt nothing is: too little for one window is better than too much.
local width, bucket, units = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local value, mark = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
-- Another mark: flushed, or a reset began; these counts are not the ones that the lease was charged to.
if not value or not mark or mark ~= struct.pack(MARK, tonumber(ARGV[4]), tonumber(ARGV[5])) then return 0 end
-- The clock stepped meanwhile: sub-buckets have other numbers now.
if math.abs(now - tonumber(ARGV[6])) > math.max(width, 1000000) then return 0 end
local state = open(value, width)
local age = state.at - bucket
if state.turned or age < 0 or age >= SPAN then return 0 end
if age == 0 then
  units = math.min(units, state.current)
  state.current = state.current - units
else
  local ring = ring_of(state)
  local place = bucket % SPAN + 1
  units = math.min(units, ring[place])
  ring[place] = ring[place] - units
end
if units <= 0 then return 0 end
state.total = state.total - units
local head = struct.pack(HEAD, state.at, state.total, state.current)
if state.ring or #state.value > 24 then head = head .. struct.pack(RING, unpack(ring_of(state))) end
redis.call('SET', KEYS[1], head, 'PX', math.ceil((SPAN + 1) * width / 1000))
return units
