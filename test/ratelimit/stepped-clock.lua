-- For tests only: the present as a key says, in microseconds; without that key, the server's clock
-- plus an offset key. Put in the place of clock.lua, so that every other line is the one of production.
local time = redis.call('TIME')
local fixed = redis.call('GET', 'shardline:test:now')
local now = fixed and tonumber(fixed)
  or time[1] * 1000000 + time[2] + tonumber(redis.call('GET', 'shardline:test:offset') or '0')
