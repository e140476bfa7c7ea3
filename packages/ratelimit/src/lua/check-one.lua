-- The commonest case of decide.lua, one check of one token bucket, without what it does not need.
-- Whatever is not that common it leaves untouched and hands back, to be decided there.
--
-- KEYS[1]    the bucket
-- ARGV[1]    text of the rate, 'num:den:burst'
-- ARGV[2..5] num, den, capacity in units, time to full in us
-- ARGV[6]    cost in tokens
-- returns    time in us, 1 or 0, level in units; nothing at all when decide.lua is to decide: a rate that
--            has changed, a block, leases, a clock that stepped far back
local value = redis.call('GET', KEYS[1])
local capacity = tonumber(ARGV[4])
local units, at = capacity, now
if value then
  if string.sub(value, 15) ~= ARGV[1] then return {} end
  units, at = struct.unpack('>i7I7', value)
  local elapsed = now - at
  if elapsed >= 0 then
    local missing = capacity - units
    if missing > 0 then
      local inflow = elapsed * ARGV[2]
      units = inflow >= missing and capacity or units + inflow
    end
    at = now
  elseif -elapsed > tonumber(ARGV[5]) then
    return {}
  end
end

local due = ARGV[6] * ARGV[3]
if units < due then return { now, 0, units } end
if due > 0 then
  units = units - due
  local wait = at - now + math.ceil((capacity - units) / ARGV[2])
  -- The same second of slack, and the same '%d', as in entry.lua.
  local ttl = string.format('%d', math.ceil(wait / 1000) + 1000)
  redis.call('SET', KEYS[1], struct.pack('>i7I7', units, at) .. ARGV[1], 'PX', ttl)
end
return { now, 1, units }
