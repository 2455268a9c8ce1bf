-- Count every charge, or none. KEYS: a window each, then the mark. ARGV: limit, sub-bucket width in µs, cost for each.
-- Gives refused (0-based, or -1), tightest, remaining, wait in µs, the server's time in µs, the mark (when it was made,
-- and how many resets there were), then what each window holds.
local COUNT = #KEYS - 1
local states, by_key = {}, {}

local function write(index)
  local state = states[index]
  local head = struct.pack(HEAD, state.at, state.total, state.current)
  if not state.moved then
    redis.call('SETRANGE', KEYS[index], 0, head)
    return
  end
  if state.ring then head = head .. struct.pack(RING, unpack(state.ring)) end
  -- Until this sub-bucket has left every window that could see it, and one more.
  redis.call('SET', KEYS[index], head, 'PX', math.ceil((SPAN + 1) * ARGV[index * 3 - 1] / 1000))
  state.moved = false
end

local values = redis.call('MGET', unpack(KEYS))
local mark = values[#KEYS]
if not mark then
  -- Made once in the life of the data: whoever knows another one learns that the store forgot.
  mark = struct.pack(MARK, now, 0)
  redis.call('SET', KEYS[#KEYS], mark)
end
local born, resets = struct.unpack(MARK, mark)

local function told(refused, tightest, remaining, until_free)
  local answer = {refused, tightest, remaining, until_free, now, born, resets}
  for index = 1, COUNT do answer[index + 7] = states[index].total end
  return answer
end

local refused, tightest, least, longest = -1, 0, math.huge, -1
for index = 1, COUNT do
  local limit, width, cost = tonumber(ARGV[index * 3 - 2]), tonumber(ARGV[index * 3 - 1]), tonumber(ARGV[index * 3])
  local state = by_key[KEYS[index]]
  if not state then
    state = open(values[index], width)
    by_key[KEYS[index]] = state
  end
  states[index] = state
  local left = limit - state.total - cost
  if left < 0 then
    local until_free = wait(state, limit, cost, width)
    if until_free > longest then refused, longest = index - 1, until_free end
  elseif left < least then
    tightest, least = index - 1, left
  end
  state.total = state.total + cost
  state.current = state.current + cost
end

if refused >= 0 then
  for index = 1, COUNT do
    local state = states[index]
    state.total = state.total - ARGV[index * 3]
    state.current = state.current - ARGV[index * 3]
  end
  -- A refusal writes nothing, except where the clock stepped back: the ages are fixed from the step on, or a client that
  -- is only refused meanwhile would stay locked until the clock has caught up.
  for index = 1, COUNT do
    if states[index].turned and states[index].moved then write(index) end
  end
  local limit = tonumber(ARGV[refused * 3 + 1])
  return told(refused, refused, math.max(0, limit - states[refused + 1].total), longest)
end

for index = 1, COUNT do write(index) end

local limit, width, cost = tonumber(ARGV[tightest * 3 + 1]), tonumber(ARGV[tightest * 3 + 2]), tonumber(ARGV[tightest * 3 + 3])
local until_free = 0
if least < cost then until_free = wait(states[tightest + 1], limit, cost, width) end
return told(-1, tightest, least, until_free)
