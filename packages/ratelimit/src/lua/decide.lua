-- Decides a batch of operations, in their order, on keys that lie in one slot.
--
-- KEYS       the keys of the batch, each once
-- ARGV[1]    JSON: [rates, index of the rate of each key (from 1), operations]; operations are flat:
--            code, number of parts, then key (from 1) and amount of each part
-- ARGV[2..]  the text of each rate
-- returns    flat whole numbers: the time in microseconds; then per operation what was granted and,
--            per part, its view: units for a token bucket; previous, current, position for a window.
--            granted: 1 or 0 for check and peek, tokens for take, 1 for a change; -n when blocked for
--            another n microseconds
--
-- A key is read once and, if anything was taken or changed, written once. A denial writes nothing,
-- except to anchor a key whose time lies far ahead of a clock that stepped back.
local plan = cjson.decode(ARGV[1])
local rates, rate_of, ops = plan[1], plan[2], plan[3]
local CHECK, TAKE, PEEK, REFUND, PENALIZE, RESET, BLOCK = 0, 1, 2, 3, 4, 5, 6

local entries = {}
if #KEYS == 1 then
  entries[1] = open(redis.call('GET', KEYS[1]), rates[rate_of[1]], ARGV[rate_of[1] + 1])
else
  local values = redis.call('MGET', unpack(KEYS))
  for i = 1, #KEYS do
    entries[i] = open(values[i], rates[rate_of[i]], ARGV[rate_of[i] + 1])
  end
end

local function admit(code, from, parts)
  local blocked, grant = 0, 1
  if code == TAKE then
    grant = 0
    for i = from, from + 2 * parts - 1, 2 do grant = max(grant, ops[i + 1]) end
  end
  for i = from, from + 2 * parts - 1, 2 do
    local e, amount = entries[ops[i]], ops[i + 1]
    if e.block then blocked = max(blocked, e.block.till - now) end
    local room = available(e)
    if code == TAKE then
      grant = max(0, min(grant, amount, room))
    elseif room < amount then
      grant = 0
    end
  end
  if blocked > 0 then return -blocked end
  if grant == 0 or code == PEEK then return grant end
  for i = from, from + 2 * parts - 1, 2 do
    local tokens = code == TAKE and grant or ops[i + 1]
    if tokens > 0 then
      local e = entries[ops[i]]
      charge(e, tokens)
      e.dirty = true
    end
  end
  return grant
end

local function change(code, index, amount)
  local e = entries[index]
  if code == REFUND then
    refund(e, amount)
  elseif code == PENALIZE then
    rarely().penalize(e, amount)
  elseif code == RESET then
    e = rarely().reset(e)
    entries[index] = e
  elseif code == BLOCK then
    e.block = amount > 0 and { till = now + amount, length = amount } or nil
  end
  e.dirty = true
end

local out, n, i = { now }, 1, 1
while ops[i] do
  local code, parts = ops[i], ops[i + 1]
  i = i + 2
  n = n + 1
  local only = entries[ops[i]]
  if code == CHECK and parts == 1 and only.units and not only.block then
    -- The commonest case, without a call.
    local due = ops[i + 1] * only.rate[2]
    if only.units < due then
      out[n] = 0
    else
      out[n] = 1
      if due > 0 then
        only.units = only.units - due
        only.dirty = true
      end
    end
  elseif code <= PEEK then
    out[n] = admit(code, i, parts)
  else
    for part = i, i + 2 * parts - 1, 2 do change(code, ops[part], ops[part + 1]) end
    out[n] = 1
  end
  for part = i, i + 2 * parts - 1, 2 do
    local e = entries[ops[part]]
    if e.rate[1] ~= 0 then
      n = n + 1
      out[n] = e.units
    else
      out[n + 1], out[n + 2], out[n + 3] = e.previous, e.current, position(e)
      n = n + 3
    end
  end
  i = i + 2 * parts
end

for k = 1, #KEYS do
  if entries[k].dirty then save(KEYS[k], entries[k]) end
end
return out
