-- The present, in microseconds since 1970 by the server's clock.
-- Read once per script: on Redis 7.0 a second reading may be 10 ms later than the first.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
