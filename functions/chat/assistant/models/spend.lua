#!lua flags=allow-key-locking
-- Adds to what models cost: a reservation before a call, what it really was afterwards (then the amount may be below 0).
-- KEYS: the day, the user's day, the message. ARGV: the amount in micro-USD, the day's limit, the user's limit,
-- who is calling, seconds to keep. A limit below 0 is not asked, nor is the message then.
-- Answers 0, or why nothing was added: 1 the day's limit, 2 the user's, 3 the message has been paid for by another.
local amount, day_limit, user_limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if day_limit >= 0 then
  local payer = redis.call('GET', KEYS[3])
  if payer and payer ~= ARGV[4] then return 3 end
  if tonumber(redis.call('GET', KEYS[1]) or '0') + amount > day_limit then return 1 end
  if tonumber(redis.call('GET', KEYS[2]) or '0') + amount > user_limit then return 2 end
  redis.call('SET', KEYS[3], ARGV[4], 'EX', ARGV[5])
end
for i = 1, 2 do
  redis.call('INCRBY', KEYS[i], ARGV[1])
  redis.call('EXPIRE', KEYS[i], ARGV[5])
end
return 0
