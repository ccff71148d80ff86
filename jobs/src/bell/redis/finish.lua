-- Forgets messages that were taken or whose worker is gone. Returns 1 when the queue has become as
-- short as `more` says, which is there while the database holds more.
--
-- KEYS: inflight, active, data, meta, known, more    ARGV: messages
local inflight, active, data, meta, known, more = unpack(KEYS)
for i = 1, #ARGV do
  local message = ARGV[i]
  if redis.call('srem', inflight, message) == 0 then
    -- Somebody took the worker for dead and put the message back.
    redis.call('lrem', active, 0, message)
  end
  local ids = redis.call('hget', data, message)
  redis.call('hdel', data, message)
  redis.call('del', meta .. ':' .. message)
  for _, id in ipairs(ids and cjson.decode(ids) or {}) do
    -- A task that was rung again meanwhile belongs to its newer message.
    if redis.call('hget', known, id) == message then redis.call('hdel', known, id) end
  end
end
local low = tonumber(redis.call('get', more) or '-1')
if redis.call('hlen', known) <= low then return redis.call('del', more) end
return 0
