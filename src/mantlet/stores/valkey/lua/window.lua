-- What every step below shares: stores/window.py in Lua. Read that file for the algorithm.
--
-- A window is one string: '<ddd' (at, total, current), then, once a second sub-bucket was used, the ring of 101 '<I4'.
-- Within one sub-bucket only the 24 bytes at the front are written; the ring is touched when the window moves on, at most
-- 100 times a window: the cost of a call does not depend on how fine the window is.
local SPAN = 101
local HEAD = '<ddd'
local MARK = '<dd'
local RING = '<' .. string.rep('I4', SPAN)

local time = redis.call('TIME')
-- Below 2^53, so whole microseconds are exact in Lua's doubles, and so is the floor of the division by a width.
local now = time[1] * 1000000 + time[2]

local function ring_of(state)
  if not state.ring then
    if #state.value > 24 then
      state.ring = {struct.unpack(RING, state.value, 25)}
    else
      state.ring = {}
      for place = 1, SPAN do state.ring[place] = 0 end
    end
  end
  return state.ring
end

local function advance(state, bucket)
  local step = bucket - state.at
  if step == 0 then return end
  if step < 0 then
    -- The server's clock stepped back: every count keeps its age (RATE-04).
    if #state.value > 24 then
      local old, turned = ring_of(state), {}
      for place = 0, SPAN - 1 do turned[place + 1] = old[(place - step) % SPAN + 1] end
      state.ring = turned
    end
    state.turned = true
  elseif step >= SPAN then
    state.total, state.current, state.ring, state.value = 0, 0, nil, ''
  elseif state.total > 0 then
    local ring = ring_of(state)
    ring[state.at % SPAN + 1] = state.current
    state.current = 0
    for number = state.at + 1, bucket do
      local place = number % SPAN + 1
      state.total = state.total - ring[place]
      ring[place] = 0
    end
  end
  state.at = bucket
  state.moved = true
end

local function open(value, width)
  local bucket = math.floor(now / width)
  if not value then
    return {at = bucket, total = 0, current = 0, value = '', moved = true}
  end
  local at, total, current = struct.unpack(HEAD, value)
  local state = {at = at, total = total, current = current, value = value}
  advance(state, bucket)
  return state
end

-- In how many microseconds `cost` fits into `limit`; 0 when it fits now.
local function wait(state, limit, cost, width)
  local excess = state.total + cost - limit
  if excess <= 0 then return 0 end
  if state.ring or #state.value > 24 then
    local ring = ring_of(state)
    for number = state.at - SPAN + 1, state.at - 1 do
      excess = excess - ring[number % SPAN + 1]
      if excess <= 0 then return (number + SPAN) * width - now end
    end
  end
  return (state.at + SPAN) * width - now
end
