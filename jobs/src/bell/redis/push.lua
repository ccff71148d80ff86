-- Puts rings into a queue, as far as there is room, and knocks at its workers.
--
-- A task waits in one message at most; one whose message was fetched may be rung again, since its
-- worker may be gone. Rings that a relay did not choose are dropped while others wait and the database
-- holds more. What is dropped, a relay rings for when the queue has become short; it may be short
-- already, when what is outstanding lies with a worker that is gone. Returns how many are outstanding,
-- or -1 when a relay should look at once.
--
-- Rings that are dropped because others wait go into the express lane, as far as there is room: a
-- worker may have places for their owners. It is forgotten when nobody looks.
--
-- KEYS: data, active, meta, known, more, count, express
-- ARGV: most, batch, channel, low (or empty), offered (0 or 1), most of the express lane,
--       task ids, each with a space and its owner where it is offered
local data, active, meta, known, more, count, express = unpack(KEYS)
local most, batch, express_most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[6])
local FIRST, EXPRESS_MS = 7, 1000

-- Puts what is refused from there on into the express lane.
local function refuse(first)
  local last = math.min(#ARGV, first - 1 + express_most - redis.call('llen', express))
  if ARGV[5] == '1' and last >= first then
    redis.call('rpush', express, unpack(ARGV, first, last))
    redis.call('pexpire', express, EXPRESS_MS)
    redis.call('publish', ARGV[3], 'offered')
  end
end

local outstanding = redis.call('hlen', known)
local low = ARGV[4]
if ARGV[5] == '1' and outstanding > 0 then
  local short = tonumber(redis.call('get', more) or '-1')
  if short >= outstanding then
    redis.call('del', more)
    return -1
  end
  if short >= 0 then
    refuse(FIRST)
    return outstanding
  end
end
local waiting = {}
for _, message in ipairs(redis.call('lrange', active, 0, -1)) do waiting[message] = true end

local ids, message, sent = {}, nil, 0
local function send()
  if #ids == 0 then return end
  redis.call('hset', data, message, cjson.encode(ids))
  redis.call('hset', meta .. ':' .. message, 'attempts', 0, 'max_attempts', 1, 'status', 'Pending')
  redis.call('rpush', active, message)
  ids, sent = {}, sent + 1
end

for i = FIRST, #ARGV do
  local id = string.match(ARGV[i], '^%S+')
  local before = redis.call('hget', known, id)
  if before and waiting[before] then
    -- It is in line already.
  elseif before or outstanding < most then
    if not before then outstanding = outstanding + 1 end
    if #ids == 0 then
      message = 'm' .. redis.call('incr', count)
      waiting[message] = true
    end
    redis.call('hset', known, id, message)
    table.insert(ids, id)
    if #ids == batch then send() end
  elseif low == '' then
    low = math.floor(most / 2)
    refuse(i)
  end
end
send()
if low ~= '' then redis.call('set', more, low) end
if sent > 0 then redis.call('publish', ARGV[3], '') end
return outstanding
