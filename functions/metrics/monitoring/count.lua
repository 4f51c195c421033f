-- Counts one usage event once, and moves its user along the funnel. KEYS: the event's mark, the running minute, the
-- user's way, the funnels. ARGV: the lives of mark ('' where there is none), minute and way in s, today (yyyymmdd), the
-- step that the event is or '', 1 where the user did something, then pairs of field and increment.
-- Answers 1 if it was counted, 0 if it had been before.
if ARGV[1] ~= '' and not redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[1]) then return 0 end
for i = 7, #ARGV, 2 do redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[2], ARGV[2])

local today, step = ARGV[4], ARGV[5]
local first_day = redis.call('HGET', KEYS[3], 'day')
local function reach(name)
  if redis.call('HSETNX', KEYS[3], name, 1) == 1 then redis.call('HINCRBY', KEYS[4], first_day .. '|' .. name, 1) end
end
if not first_day and (step == 'uploaded' or step == 'analysed') then
  first_day = today
  redis.call('HSET', KEYS[3], 'day', today)
  redis.call('EXPIRE', KEYS[3], ARGV[3])
  reach('uploaded')
end
if first_day then
  if step ~= '' then reach(step) end
  if ARGV[6] == '1' and today > first_day then reach('returned') end
end
return 1
