--[[
  Adds counts to the hot keys of one hour of the week, and keeps the hottest.

  KEYS[1]  the sorted set of that hour
  ARGV[1]  how many keys to keep
  ARGV[2]  life of the set in milliseconds, renewed by every call
  ARGV[3]  the first key's score to add, ARGV[4] that key, and so on in pairs

  Returns the number of keys that are kept.
]]
local hot = KEYS[1]
local keep, lifeMs = tonumber(ARGV[1]), ARGV[2]

for index = 3, #ARGV, 2 do
  redis.call('ZINCRBY', hot, ARGV[index], ARGV[index + 1])
end
redis.call('ZREMRANGEBYRANK', hot, 0, -keep - 1)
redis.call('PEXPIRE', hot, lifeMs)
return redis.call('ZCARD', hot)
