--[[
  Replaces a value if it is still the one that was seen: the fill under a lease, and a lease on an
  entry that holds nothing worth keeping.

  KEYS[1]  the entry
  ARGV[1]  the first 24 bytes that must stand there
  ARGV[2]  the new frame
  ARGV[3]  its life in milliseconds

  Returns 1 if it was replaced, 0 if something else stands there.
]]
local entry = KEYS[1]
local expected, frame, lifeMs = ARGV[1], ARGV[2], ARGV[3]

if redis.call('GETRANGE', entry, 0, 23) ~= expected then
  return 0
end
redis.call('SET', entry, frame, 'PX', lifeMs)
return 1
