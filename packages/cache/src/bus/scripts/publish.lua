--[[
  Adds an invalidation to the stream of the bus, with a number that has no gaps.

  KEYS[1]  the stream
  KEYS[2]  the counter, in the same slot
  ARGV[1]  the origin's id
  ARGV[2]  the message
  ARGV[3]  about how many entries the stream keeps

  The number is what shows a reader that something is missing: ids of a stream have gaps by nature.

  Returns the number.
]]
local stream, counter = KEYS[1], KEYS[2]
local origin, message, keep = ARGV[1], ARGV[2], ARGV[3]

local number = redis.call('INCR', counter)
redis.call('XADD', stream, 'MAXLEN', '~', keep, '*', 'n', number, 'o', origin, 'm', message)
return number
