-- Judges every policy of a request at once, and brings and takes along what every request needs anyway.
-- Exact sliding windows: one list of past times per policy and subject, the newest first.
-- KEYS: the controls, the set of the denied, the user's plan, today's cost, one per policy, then those of the batch.
-- ARGV: the time in ms (0: the server's), the request's cost, for each policy its window in ms and its quota (a number,
--   or JSON by plan) with spaces between, the batch of measurements or '', the denied set's names of user and address.
-- Answers {1 allowed | 0 refused | 2 denied, plan, controls, cost, for each policy: quota, remaining, ms to wait}, the
-- last as one text: a list costs the client and the server more than its numbers.
-- A refused request uses nothing up: lists are written only when all policies allow.
local now, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local windows, quotas = {}, {}
for window, quota in string.gmatch(ARGV[3], '(%S+) (%S+)') do
  windows[#windows + 1], quotas[#quotas + 1] = tonumber(window), quota
end

if ARGV[4] ~= '' then take_batch(ARGV[4], 5 + #windows) end

local known = redis.call('MGET', KEYS[1], KEYS[3], KEYS[4])
local controls, plan = known[1] or '', known[2] or ''
local answer = {1, plan, controls, known[3] or '0'}

local denied = redis.call('SMISMEMBER', KEYS[2], ARGV[5], ARGV[6])
if denied[1] == 1 or denied[2] == 1 then
  answer[1] = 2
  return answer
end

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

local function nth_oldest(key, n) return tonumber(redis.call('LINDEX', key, -n) or nil) end

-- A list is given two windows to live when it begins and whenever its oldest leaves, so it outlives each of its times.
local function lives_on(key, window) redis.call('PEXPIRE', key, 2 * window) end

-- Drops what has left the window; gives how many are left, and the oldest. Mostly one or none has left, so the search
-- doubles its steps from the oldest on, and ends by bisection.
local function live(key, window)
  local oldest, since = nth_oldest(key, 1), now - window
  if not oldest then return 0 end
  local length = redis.call('LLEN', key)
  if oldest > since then return length, oldest end
  local gone, kept = 1, 2
  while kept <= length do
    oldest = nth_oldest(key, kept)
    if oldest > since then break end
    gone, kept = kept, 2 * kept
  end
  kept = math.min(kept, length + 1)
  while kept - gone > 1 do
    local middle = math.floor((gone + kept) / 2)
    local time = nth_oldest(key, middle)
    if time > since then kept, oldest = middle, time else gone = middle end
  end
  if gone == length then
    redis.call('DEL', key)
    return 0
  end
  redis.call('LTRIM', key, 0, -gone - 1)
  lives_on(key, window)
  return length - gone, oldest
end

local counts, oldest = {}, {}
for i = 1, #windows do
  quotas[i] = quota_of(quotas[i])
  counts[i], oldest[i] = live(KEYS[4 + i], windows[i])
  if counts[i] + cost > quotas[i] then answer[1] = 0 end
end

local standings = {}
for i = 1, #windows do
  local key = KEYS[4 + i]
  if answer[1] == 1 then
    for _ = 1, cost do redis.call('LPUSH', key, now) end
    if counts[i] == 0 then lives_on(key, windows[i]) end
    counts[i] = counts[i] + cost
  end
  -- The wait is until the oldest leaves, or for a refused request until as many have left as it needs.
  local needed = math.min(counts[i] + cost - quotas[i], counts[i])
  if answer[1] == 0 and needed > 1 then oldest[i] = nth_oldest(key, needed) end
  local remaining, wait = math.max(quotas[i] - counts[i], 0), math.max((oldest[i] or now) + windows[i] - now, 0)
  standings[i] = string.format('%d %d %d', quotas[i], remaining, wait)
end
answer[5] = table.concat(standings, ' ')
return answer
