-- Judges every policy of a request at once: exact sliding windows, one list of past times per policy and subject.
-- KEYS: one per policy. ARGV: the time in ms (0: the server's), then quota and window in ms for each policy.
-- Answers {allowed, then for each policy: remaining, ms until the oldest request leaves the window}.
-- A refused request uses nothing up: lists are written only when all policies allow.
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local allowed = 1
local counts, oldest = {}, {}
for i, key in ipairs(KEYS) do
  local quota, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  while true do
    local last = redis.call('LINDEX', key, -1)
    if not last or tonumber(last) > now - window then
      oldest[i] = last and tonumber(last) or now
      break
    end
    redis.call('RPOP', key)
  end
  counts[i] = redis.call('LLEN', key)
  if counts[i] >= quota then allowed = 0 end
end

local answer = {allowed}
for i, key in ipairs(KEYS) do
  local quota, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  if allowed == 1 then
    redis.call('LPUSH', key, now)
    redis.call('PEXPIRE', key, window)
    counts[i] = counts[i] + 1
  end
  answer[#answer + 1] = quota - counts[i]
  answer[#answer + 1] = math.max(oldest[i] + window - now, 0)
end
return answer
