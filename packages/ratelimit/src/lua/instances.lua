-- Counts the processes that are alive, for the share each may admit alone while Redis is away.
--
-- KEYS[1]    the set of instances, by the time at which each counts as gone
-- ARGV[1]    'beat' or 'leave'
-- ARGV[2]    name of the instance
-- ARGV[3]    how long it counts as alive, in microseconds
-- returns    instances alive
local length = tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if ARGV[1] == 'leave' then
  redis.call('ZREM', KEYS[1], ARGV[2])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + length), ARGV[2])
  redis.call('PEXPIRE', KEYS[1], math.ceil(length / 1000) + 1000)
end
return redis.call('ZCARD', KEYS[1])
