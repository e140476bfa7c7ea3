-- Counts work in flight: a sorted set of lease names by the time at which each ends by itself.
--
-- KEYS[1]    the set
-- ARGV[1]    'acquire', 'renew' or 'release'
-- ARGV[2]    length of a lease in microseconds
-- ARGV[3]    most leases at a time (acquire only)
-- ARGV[4..]  names of leases
-- returns    acquire: 1 or 0, leases in flight, us until the first of them ends by itself
--            renew:   1 or 0 per name; 0 if that lease had ended
--            release: number of leases that were still there
--
-- Leases that have ended are cleared before anything is counted, so a process that died gives its
-- places back without anyone's help. After a backward step of the clock a lease that seems to last longer than
-- any lease can is shortened to that length.
local key, action, length = KEYS[1], ARGV[1], tonumber(ARGV[2])
local till = string.format('%.0f', now + length)
redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
local ahead = redis.call('ZRANGEBYSCORE', key, '(' .. till, '+inf')
for i = 1, #ahead do redis.call('ZADD', key, till, ahead[i]) end

local function keep()
  redis.call('PEXPIRE', key, math.ceil(length / 1000) + 1000)
end

if action == 'acquire' then
  local inFlight = redis.call('ZCARD', key)
  if inFlight < tonumber(ARGV[3]) then
    redis.call('ZADD', key, till, ARGV[4])
    keep()
    return { 1, inFlight + 1, 0 }
  end
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return { 0, inFlight, tonumber(first[2]) - now }
end

if action == 'renew' then
  local renewed = {}
  for i = 4, #ARGV do
    if redis.call('ZSCORE', key, ARGV[i]) then
      redis.call('ZADD', key, till, ARGV[i])
      renewed[#renewed + 1] = 1
    else
      renewed[#renewed + 1] = 0
    end
  end
  keep()
  return renewed
end

local released = 0
for i = 4, #ARGV do released = released + redis.call('ZREM', key, ARGV[i]) end
return released
