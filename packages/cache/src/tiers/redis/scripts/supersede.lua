--[[
  Takes away whatever stands under an address, lease or value, and carries on how fresh loaders must read: an
  invalidation, and the lease of a writer.

  KEYS[1]  the entry
  ARGV[1]  the first 32 bytes of what is to stand there: a tombstone's or a lease's
  ARGV[2]  the life of a lease in milliseconds; 0 for a tombstone, which stands only for the sake of a mark
  ARGV[3]  the freshness mark to add; empty for none
  ARGV[4]  how long it is to be told, in milliseconds
  ARGV[5]  the mark in place of two unlike ones

  Marks are joined as in `entry/standing-freshness.ts`, and found where `entry/frame.ts` puts them.

  Returns the mark that stands there now and until when, or nothing if there is none.
]]
local entry = KEYS[1]
local prefix, leaseMs, mark, markMs = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local freshest = ARGV[5]

local time = redis.call('TIME')
local nowMs = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local untilMs = 0
if mark ~= '' then
  untilMs = nowMs + markMs
end

-- 84 bytes of header, 2 of length, 256 at most of the mark. What is no text is of somebody else, and goes.
local head = redis.pcall('GETRANGE', entry, 0, 341)
if type(head) == 'string' and #head >= 86 and string.sub(head, 1, 3) == string.sub(prefix, 1, 3) then
  local standsUntilMs = struct.unpack('>d', string.sub(head, 77, 84))
  local length = struct.unpack('>H', string.sub(head, 85, 86))
  if length > 0 and standsUntilMs > nowMs then
    local stands = string.sub(head, 87, 86 + length)
    if mark == '' then
      mark = stands
    elseif mark ~= stands then
      mark = freshest
    end
    untilMs = math.max(untilMs, standsUntilMs)
  end
end

if mark == '' and leaseMs == 0 then
  redis.call('UNLINK', entry)
  return false
end
local lifeMs = math.ceil(math.max(leaseMs, untilMs - nowMs, 1))
local frame = prefix .. string.rep('\0', 40) .. struct.pack('>I4', 2 + #mark) .. struct.pack('>d', untilMs)
  .. struct.pack('>H', #mark) .. mark
redis.call('SET', entry, frame, 'PX', string.format('%.0f', lifeMs))
if mark == '' then
  return false
end
return { mark, string.format('%.0f', untilMs) }
