#!lua flags=allow-key-locking
-- Adds to what models cost: a reservation before a call, what it really was afterwards (then the amount may be below 0).
-- KEYS: the day, the user's day, the message, the reservation. ARGV: the amount in micro-USD, the day's limit, the
-- user's limit, who is calling, seconds to keep the sums and the reservation. A limit below 0 ends the reservation:
-- nothing is asked then, and it happens once, however often it comes. A reservation that was ended before it came (its
-- answer was waited for in vain) counts nothing any more.
-- Answers 0, or why nothing was reserved: 1 the day's limit, 2 the user's, 3 the message has been paid for by another,
-- 4 the reservation has been ended.
local amount, day_limit, user_limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local state = redis.call('GET', KEYS[4])
if day_limit < 0 then
  redis.call('SET', KEYS[4], 'ended', 'EX', ARGV[6])
  if state ~= 'reserved' then return 0 end
else
  if state then return 4 end
  local payer = redis.call('GET', KEYS[3])
  if payer and payer ~= ARGV[4] then return 3 end
  if tonumber(redis.call('GET', KEYS[1]) or '0') + amount > day_limit then return 1 end
  if tonumber(redis.call('GET', KEYS[2]) or '0') + amount > user_limit then return 2 end
  redis.call('SET', KEYS[3], ARGV[4], 'EX', ARGV[5])
  redis.call('SET', KEYS[4], 'reserved', 'EX', ARGV[6])
end
for i = 1, 2 do
  redis.call('INCRBY', KEYS[i], ARGV[1])
  redis.call('EXPIRE', KEYS[i], ARGV[5])
end
return 0
