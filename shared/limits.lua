-- Judges every policy of a request at once, and brings and takes along what every request needs anyway.
-- Exact sliding windows: one list of past times per policy and subject, the newest first.
-- KEYS: the controls, the set of the denied, the user's plan, today's cost, one per policy, then those of the batch.
-- ARGV: the time in ms (0: the server's), the request's cost, the number of policies, the batch of measurements or '',
--   the denied set's names of user and address or '', then for each policy its window in ms and its quota,
--   a number or as JSON by plan.
-- Answers {1 allowed | 0 refused | 2 denied, plan, controls, cost, then for each policy: quota, remaining, ms to wait}.
-- A refused request uses nothing up: lists are written only when all policies allow.
local now, cost, policies = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

if ARGV[4] ~= '' then take_batch(ARGV[4], 5 + policies) end

local known = redis.call('MGET', KEYS[1], KEYS[3], KEYS[4])
local controls, plan = known[1] or '', known[2] or ''
local answer = {1, plan, controls, known[3] or '0'}

for i = 5, 6 do
  if ARGV[i] ~= '' and redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 1 then answer[1] = 2 end
end
if answer[1] == 2 then return answer end

local factor = 1
if controls ~= '' then
  local readable, parsed = pcall(cjson.decode, controls)
  if readable and type(parsed) == 'table' and type(parsed.rateFactor) == 'number' then factor = parsed.rateFactor end
end

local function quota_of(text)
  local quota = tonumber(text)
  if not quota then
    local by_plan = cjson.decode(text)
    quota = by_plan[plan] or by_plan['']
  end
  return math.max(1, math.floor(quota * factor))
end

-- Drops what has left the window; gives how many are left, and the oldest. Expired times are found by bisection.
local function live(key, since)
  local length = redis.call('LLEN', key)
  if length == 0 then return 0 end
  local oldest = tonumber(redis.call('LINDEX', key, -1))
  if oldest > since then return length, oldest end
  local low, high = 0, length - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if tonumber(redis.call('LINDEX', key, middle)) <= since then high = middle else low = middle + 1 end
  end
  if low == 0 then
    redis.call('DEL', key)
    return 0
  end
  redis.call('LTRIM', key, 0, low - 1)
  return low, tonumber(redis.call('LINDEX', key, -1))
end

local quotas, counts, oldest = {}, {}, {}
for i = 1, policies do
  quotas[i] = quota_of(ARGV[6 + 2 * i])
  counts[i], oldest[i] = live(KEYS[4 + i], now - tonumber(ARGV[5 + 2 * i]))
  if counts[i] + cost > quotas[i] then answer[1] = 0 end
end

for i = 1, policies do
  local key, window = KEYS[4 + i], tonumber(ARGV[5 + 2 * i])
  if answer[1] == 1 then
    for _ = 1, cost do redis.call('LPUSH', key, now) end
    redis.call('PEXPIRE', key, window)
    counts[i] = counts[i] + cost
  end
  -- The wait is until the oldest leaves, or for a refused request until as many have left as it needs.
  local needed = math.min(counts[i] + cost - quotas[i], counts[i])
  if answer[1] == 0 and needed > 1 then oldest[i] = tonumber(redis.call('LINDEX', key, -needed)) end
  answer[#answer + 1] = quotas[i]
  answer[#answer + 1] = math.max(quotas[i] - counts[i], 0)
  answer[#answer + 1] = math.max((oldest[i] or now) + window - now, 0)
end
return answer
