-- Admits up to `wanted` under a key: the generic cell rate algorithm, by the clock of Redis.
-- KEYS: the key. ARGV: interval in microseconds, burst, wanted.
-- Answers: how many were admitted, how many more would be, and a time in microseconds: until the
-- budget is whole again, or, when none was admitted, until the next one would be.
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local whole_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
-- A clock that was set back must not lock anybody out for longer than a whole budget takes.
whole_at = math.min(whole_at, now + interval * burst)
local free = math.floor((burst * interval - (whole_at - now)) / interval)
local admitted = math.min(wanted, free)
if admitted < 1 then
    return {0, 0, whole_at - now - (burst - 1) * interval}
end
whole_at = whole_at + admitted * interval
redis.call('SET', KEYS[1], string.format('%.0f', whole_at), 'PX', math.ceil((whole_at - now) / 1000))
return {admitted, free - admitted, whole_at - now}
