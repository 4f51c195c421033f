-- Judges every policy of a request at once, and brings and takes along what every request needs anyway.
-- Exact sliding windows: one list of past times per policy and subject, the newest first.
-- KEYS: the controls, the set of the denied, the user's plan, today's cost, one per policy, then those of the batch.
-- ARGV: the time in ms (0: the server's), the request's cost, for each policy its window in ms and its quota (a number,
--   or JSON by plan) with spaces between, the batch of measurements or '', the denied set's names of user and address.
-- Answers one text, since a list costs the client and the server more than what is in it. Its first line: 1 allowed,
-- 0 refused or 2 denied, today's cost, and for each policy of a caller who is not denied quota, remaining and ms to
-- wait; its second: the plan; the rest: the controls.
local now, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local policies = 0
local windows, quotas = {}, {}
for window, quota in string.gmatch(ARGV[3], '(%S+) (%S+)') do
  policies = policies + 1
  windows[policies], quotas[policies] = tonumber(window), quota
end

if ARGV[4] ~= '' then take_batch(ARGV[4], 5 + policies) end

local known = redis.call('MGET', KEYS[1], KEYS[3], KEYS[4])
local controls, plan, spent = known[1] or '', known[2] or '', known[3] or '0'

local function answer(verdict, standings)
  return verdict .. ' ' .. spent .. standings .. '\n' .. plan .. '\n' .. controls
end

local denied = redis.call('SMISMEMBER', KEYS[2], ARGV[5], ARGV[6])
if denied[1] == 1 or denied[2] == 1 then return answer('2', '') end

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

local function nth_oldest(key, n) return tonumber(redis.call('LINDEX', key, -n)) end

-- Drops what has left the window; gives the oldest that is left. Mostly one has, so the search doubles its steps from
-- the oldest on, and ends by bisection. A list has two windows to live, from when it begins and whenever its oldest
-- leaves, so it outlives each of its times.
local function trim(key, window)
  local length, since, gone, kept = redis.call('LLEN', key), now - window, 1, 2
  while kept <= length and nth_oldest(key, kept) <= since do gone, kept = kept, 2 * kept end
  kept = math.min(kept, length + 1)
  while kept - gone > 1 do
    local middle = math.floor((gone + kept) / 2)
    if nth_oldest(key, middle) > since then kept = middle else gone = middle end
  end
  redis.call('LTRIM', key, 0, -gone - 1)
  redis.call('PEXPIRE', key, 2 * window)
  if gone < length then return nth_oldest(key, 1) end
end

-- All are counted, which gives how many there are; where one refuses, none stays counted.
local allowed, counts, oldest = true, {}, {}
for i = 1, policies do
  local key, window = KEYS[4 + i], windows[i]
  local first = tonumber(redis.call('LINDEX', key, -1) or nil)
  if first and first <= now - window then first = trim(key, window) end
  for _ = 1, cost do counts[i] = redis.call('LPUSH', key, now) end
  if counts[i] == cost then redis.call('PEXPIRE', key, 2 * window) end
  oldest[i], quotas[i] = first or now, quota_of(quotas[i])
  allowed = allowed and counts[i] <= quotas[i]
end

local standings = ''
for i = 1, policies do
  local quota, count = quotas[i], counts[i]
  if not allowed then
    -- The wait is until as many have left as this request needs.
    redis.call('LTRIM', KEYS[4 + i], cost, -1)
    count = count - cost
    local needed = math.min(counts[i] - quota, count)
    if needed > 1 then oldest[i] = nth_oldest(KEYS[4 + i], needed) end
  end
  local wait = math.max(oldest[i] + windows[i] - now, 0)
  standings = standings .. ' ' .. quota .. ' ' .. math.max(quota - count, 0) .. ' ' .. wait
end
return answer(allowed and '1' or '0', standings)
