-- What one key holds, and everything that may happen to it: the twin of bucket/entry.ts and
-- bucket/inheritance.ts. Prepended to the scripts that decide; expects `now` from clock.lua.
--
-- A value is 14 bytes of level and time, the text of the rate that they were counted by, and where
-- there is more to remember, '|' and fields that each end in ';':
--   token bucket     i7 units, I7 microseconds, 'num:den:burst'
--   sliding window   i7 current, I7 start in ms, 's:windowMs:limit', always with '|p<previous>;'
--   b<until us>,<length us>;                         nothing is admitted until then
--   l<id>,<tokens>,<until us>,<length us>;           tokens on lease
-- Packed, so that key and value of a usual limit take no more memory than level and time alone would
-- as text. Whole numbers below 2^53 throughout. `tostring` and `..` keep 14 digits of a number, so
-- numbers are written with '%.0f' only.
--
-- A rate arrives as an array: token bucket {num, den, capacity units, time to full us, burst,
-- inheritance}, sliding window {0, window ms, limit, 0, limit, inheritance}; inheritance 0 keep,
-- 1 proportional, 2 additive, 3 reset.
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local EXACT_LIMIT = 9007199254740992
-- A key outlives the moment at which it is as good as none: expiry must never be early.
local SLACK_MS = 1000

local function fresh(rate, text)
  local e = { rate = rate, text = text }
  if rate[1] == 0 then
    local ms = floor(now / 1000)
    e.current, e.previous, e.start = 0, 0, ms - ms % rate[2]
  else
    e.units, e.at = rate[3], now
  end
  return e
end

local function on_lease(e)
  local tokens = 0
  if e.leases then
    for i = 1, #e.leases do tokens = tokens + e.leases[i].tokens end
  end
  return tokens
end

local function ceiling(e)
  if not e.leases then return e.rate[3] end
  return e.rate[3] - on_lease(e) * e.rate[2]
end

-- Moves a bucket's level on to a time. A clock that stepped back further than the bucket takes to fill
-- would freeze the key: it is anchored anew, and stored even if nothing is admitted.
local function refill(e, top, at)
  local elapsed = at - e.at
  if elapsed >= 0 then
    local missing = top - e.units
    if missing > 0 then
      local inflow = elapsed * e.rate[1]
      e.units = inflow >= missing and top or e.units + inflow
    end
    e.at = at
  elseif -elapsed > e.rate[4] then
    e.at = at
    e.dirty = true
  end
end

local function position(e)
  return max(0, floor(now / 1000) - e.start)
end

local function available(e)
  local rate = e.rate
  if rate[1] ~= 0 then return floor(e.units / rate[2]) end
  local window, limit = rate[2], rate[3]
  return floor((limit * window - e.previous * (window - position(e))) / window) - e.current
end

local function charge(e, tokens)
  if e.rate[1] ~= 0 then
    e.units = e.units - tokens * e.rate[2]
  else
    e.current = e.current + tokens
  end
end

local function refund(e, tokens)
  if e.rate[1] ~= 0 then
    e.units = max(e.units, min(e.units + tokens * e.rate[2], ceiling(e)))
  else
    local fromCurrent = min(e.current, tokens)
    e.current = e.current - fromCurrent
    e.previous = e.previous - min(e.previous, tokens - fromCurrent)
  end
end

-- Everything that most calls do without; made when the first key needs it.
local rare
local function make_rare()
  local R = {}

  local function parse_rate(text)
    local first, second, third = string.match(text, '^(%w+):(%d+):(%d+)$')
    second, third = tonumber(second), tonumber(third)
    if first == 's' then return { 0, second, third, 0, third, 0 } end
    local num, units = tonumber(first), third * second
    return { num, second, units, ceil(units / num), third, 0 }
  end

  local function parse_tail(e, tail)
    for kind, body in string.gmatch(tail, '(%a)([^;]*);') do
      if kind == 'p' then
        e.previous = tonumber(body)
      elseif kind == 'b' then
        local till, length = string.match(body, '^(%d+),(%d+)$')
        e.block = { till = tonumber(till), length = tonumber(length) }
      else
        local id, tokens, till, length = string.match(body, '^([^,]*),(%d+),(%d+),(%d+)$')
        e.leases = e.leases or {}
        e.leases[#e.leases + 1] = {
          id = id, tokens = tonumber(tokens), till = tonumber(till), length = tonumber(length),
        }
      end
    end
  end

  local function anchor(e)
    local block = e.block
    if block then
      if block.till <= now then
        e.block = nil
      elseif block.till - now > block.length then
        block.till = now + block.length
        e.dirty = true
      end
    end
    for i = 1, e.leases and #e.leases or 0 do
      local lease = e.leases[i]
      if lease.till - now > lease.length then
        lease.till = now + lease.length
        e.dirty = true
      end
    end
  end

  local function roll(e)
    local window = e.rate[2]
    local ms = floor(now / 1000)
    local start = ms - ms % window
    if start < e.start then
      if e.start - start > window then
        e.start = start
        e.dirty = true
      end
    elseif start > e.start then
      e.previous = start - e.start == window and e.current or 0
      e.current = 0
      e.start = start
    end
  end

  local function first_ended(leases)
    local first
    for i = 1, #leases do
      if leases[i].till <= now and (not first or leases[i].till < leases[first].till) then
        first = i
      end
    end
    return first
  end

  local function advance(e)
    anchor(e)
    if e.rate[1] == 0 then return roll(e) end
    if e.leases then
      -- Each lease that has ended lets the level rise higher from its end on.
      local index = first_ended(e.leases)
      while index do
        local till = e.leases[index].till
        if till > e.at then refill(e, ceiling(e), till) end
        table.remove(e.leases, index)
        index = first_ended(e.leases)
      end
      if #e.leases == 0 then e.leases = nil end
    end
    refill(e, ceiling(e), now)
  end

  -- floor(value * numerator / denominator): exact for all but enormous pairs, never too high.
  local function scale_down(value, numerator, denominator)
    local a, b = numerator, denominator
    while b ~= 0 do a, b = b, a % b end
    local times, over = numerator / a, denominator / a
    local whole = floor(value / over)
    local rest = value - whole * over
    if rest * times < EXACT_LIMIT then return whole * times + floor(rest * times / over) end
    return whole * times + floor(rest / over * times) - 4
  end

  local function debt_floor(rate, tokens)
    return -min(tokens * rate[2], EXACT_LIMIT - 1 - rate[3] - rate[1])
  end

  local function inherited_units(old, rate, units)
    local mode = rate[6]
    if mode == 1 then
      if units == old[3] then return rate[3] end
      return max(debt_floor(rate, rate[5]), scale_down(units, rate[3], old[3]))
    end
    local kept = scale_down(units, rate[2], old[2])
    if mode == 2 then kept = kept + (rate[5] - old[5]) * rate[2] end
    return max(debt_floor(rate, max(old[5], rate[5])), kept)
  end

  local function inherited_tokens(old, rate, tokens)
    local mode = rate[6]
    if mode == 1 then tokens = scale_down(tokens, rate[5], old[5]) end
    if mode == 2 then tokens = tokens + rate[5] - old[5] end
    return max(-rate[5], min(rate[5], tokens))
  end

  local function convert(e, rate, text)
    advance(e)
    local old, tokens, units = e.rate, available(e), e.units
    local c = fresh(rate, text)
    c.block = e.block
    c.dirty = true
    if rate[1] == 0 then
      if rate[6] ~= 3 then c.current = rate[3] - inherited_tokens(old, rate, tokens) end
      return c
    end
    c.leases = e.leases
    if rate[6] ~= 3 then
      if old[1] ~= 0 then
        c.units = inherited_units(old, rate, units)
      else
        c.units = inherited_tokens(old, rate, tokens) * rate[2]
      end
    end
    c.units = min(c.units, ceiling(c))
    return c
  end

  function R.open(value, rate, text)
    local level, at = struct.unpack('>i7I7', value)
    local stored, tail = string.match(value, '^([^|]*)|?(.*)$', 15)
    local e = { text = stored, rate = stored == text and rate or parse_rate(stored) }
    if e.rate[1] == 0 then
      e.current, e.start, e.previous = level, at, 0
    else
      e.units, e.at = level, at
    end
    parse_tail(e, tail)
    if stored ~= text then return convert(e, rate, text) end
    advance(e)
    return e
  end

  function R.tail(e)
    local fields = {}
    if e.rate[1] == 0 then fields[1] = string.format('p%.0f;', e.previous) end
    if e.block then
      fields[#fields + 1] = string.format('b%.0f,%.0f;', e.block.till, e.block.length)
    end
    for i = 1, e.leases and #e.leases or 0 do
      local l = e.leases[i]
      fields[#fields + 1] = string.format('l%s,%.0f,%.0f,%.0f;', l.id, l.tokens, l.till, l.length)
    end
    return '|' .. table.concat(fields)
  end

  function R.is_fresh(e)
    if e.block or (e.leases and #e.leases > 0) then return false end
    if e.rate[1] == 0 then return e.previous == 0 and e.current == 0 end
    return e.units >= e.rate[3]
  end

  function R.life(e)
    local till = now
    if e.block then till = max(till, e.block.till) end
    for i = 1, e.leases and #e.leases or 0 do till = max(till, e.leases[i].till) end
    if e.rate[1] == 0 then return max(till, (e.start + 2 * e.rate[2]) * 1000) - now end
    return max(till, e.at) - now + ceil((e.rate[3] - e.units) / e.rate[1])
  end

  function R.penalize(e, tokens)
    local rate = e.rate
    if rate[1] ~= 0 then
      e.units = max(e.units - tokens * rate[2], min(e.units, -rate[3]))
    else
      e.current = max(e.current, min(2 * rate[3], e.current + tokens))
    end
  end

  function R.reset(e)
    local f = fresh(e.rate, e.text)
    f.leases = e.leases
    if f.leases then f.units = ceiling(f) end
    return f
  end

  return R
end

local function rarely()
  rare = rare or make_rare()
  return rare
end

-- Brings a stored value, or none, to the present under the caller's rate.
local function open(value, rate, text)
  if not value then return fresh(rate, text) end
  if rate[1] == 0 or string.sub(value, 15) ~= text then return rarely().open(value, rate, text) end
  local units, at = struct.unpack('>i7I7', value)
  local e = { rate = rate, text = text, units = units, at = at }
  refill(e, rate[3], now)
  return e
end

-- Redis writes a number that it is given as an argument with '%.17g', which takes longer than all the
-- rest of a check; '%d' takes a tenth of that.
local function set(key, value, ttl)
  redis.call('SET', key, value, 'PX', string.format('%d', ttl))
end

local function save(key, e)
  local rate = e.rate
  if rate[1] ~= 0 and not e.block and not e.leases then
    local missing = rate[3] - e.units
    if missing <= 0 then
      redis.call('DEL', key)
      return
    end
    local ttl = ceil((e.at - now + ceil(missing / rate[1])) / 1000) + SLACK_MS
    set(key, struct.pack('>i7I7', e.units, e.at) .. e.text, ttl)
    return
  end
  local R = rarely()
  if R.is_fresh(e) then
    redis.call('DEL', key)
    return
  end
  local level, at = e.units, e.at
  if rate[1] == 0 then level, at = e.current, e.start end
  local value = struct.pack('>i7I7', level, at) .. e.text .. R.tail(e)
  set(key, value, ceil(R.life(e) / 1000) + SLACK_MS)
end
