-- Takes one lease of tokens back and gives out another: the twin of bucket/lease-operation.ts.
--
-- KEYS[1]    the bucket
-- ARGV[1]    JSON: [rate, tokens wanted, length of the lease in us, unused tokens of the old lease]
-- ARGV[2]    text of the rate
-- ARGV[3]    name of the lease to be given, never used twice
-- ARGV[4]    name of the lease that ends with this call, or ''
-- returns    time in microseconds, tokens granted (-n when blocked for another n us), level in units,
--            number of leases that are out
local plan = cjson.decode(ARGV[1])
local want, length, unused = plan[2], plan[3], plan[4]
local e = open(redis.call('GET', KEYS[1]), plan[1], ARGV[2])

local leases = e.leases or {}
e.leases = leases
for i = 1, #leases do
  if leases[i].id == ARGV[4] then
    local tokens = table.remove(leases, i).tokens
    refund(e, min(unused, tokens))
    e.dirty = true
    break
  end
end

local granted = 0
if e.block then
  granted = now - e.block.till
else
  granted = max(0, min(want, floor(e.units / e.rate[2])))
  if granted > 0 then
    charge(e, granted)
    leases[#leases + 1] = { id = ARGV[3], tokens = granted, till = now + length, length = length }
    e.dirty = true
  end
end
local holders = #leases
if holders == 0 then e.leases = nil end
if e.dirty then save(KEYS[1], e) end
return { now, granted, e.units, holders }
