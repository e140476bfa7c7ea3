--[[
  A stamp: read, or made anew if it is missing; or replaced by one that never was.

  KEYS[1]  the stamp
  ARGV[1]  a random text that nobody else sends
  ARGV[2]  'read' or 'bump'
  ARGV[3]  life in milliseconds, renewed by every call

  A missing stamp counts as a new one, so that a stamp lost to eviction invalidates what carried it
  instead of bringing it back. The server's time in front is for people; equality is all that counts.

  Returns the stamp.
]]
local stamp = KEYS[1]
local nonce, mode, lifeMs = ARGV[1], ARGV[2], ARGV[3]

if mode == 'read' then
  local current = redis.call('GET', stamp)
  if current then
    redis.call('PEXPIRE', stamp, lifeMs)
    return current
  end
end
local time = redis.call('TIME')
local made = time[1] .. '.' .. time[2] .. '-' .. nonce
redis.call('SET', stamp, made, 'PX', lifeMs)
return made
