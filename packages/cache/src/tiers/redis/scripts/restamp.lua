--[[
  Changes the state of an entry and leaves its payload: takes a lease for a refresh, or gives one back.

  KEYS[1]  the entry
  ARGV[1]  the first 24 bytes that must stand there
  ARGV[2]  the new first 24 bytes
  ARGV[3]  how long the new state holds, in milliseconds from now; 0 for a state without an end

  A lease that has not run out by this server's clock is replaced by nobody but its holder, who is told
  from others by ARGV[4] = '1'. The entry lives at least as long as its new state.

  Returns 1 if it was changed, 0 if something else stands there or another's lease still runs.
]]
local entry = KEYS[1]
local expected, identity, holdMs, isHolder = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'

local prefix = redis.call('GETRANGE', entry, 0, 31)
if string.sub(prefix, 1, 24) ~= expected then
  return 0
end

local time = redis.call('TIME')
local nowMs = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local kind = string.byte(prefix, 4)
if not isHolder and (kind == 3 or kind == 4) and struct.unpack('>d', string.sub(prefix, 25, 32)) > nowMs then
  return 0
end

local untilMs = 0
if holdMs > 0 then
  untilMs = nowMs + holdMs
end
redis.call('SETRANGE', entry, 0, identity .. struct.pack('>d', untilMs))
local leftMs = redis.call('PTTL', entry)
if leftMs >= 0 and leftMs < holdMs then
  redis.call('PEXPIRE', entry, holdMs)
end
return 1
