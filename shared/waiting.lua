-- The order of the tracks that wait for their analysis. One script, so every operation is atomic; the truth is Firestore.
--
-- A waiting job stands in its user's own queue, and only the best job of each user stands in the order of all: `heads`.
-- A user with 100,000 waiting jobs is one entry there. Since at most `slots` jobs run and a user holds at most
-- `per_user`, no more than slots / per_user users can be at their limit: take looks at so many heads and one more.
-- No operation reads a queue's whole length.
--
--   P:job:ID      hash    uid, score, queued, attempts; while it runs holder, started, progress
--   P:user:UID    zset    waiting jobs of a user by score (queued at, less a head start for the plan: lower is first)
--   P:heads       zset    users by the score of their best waiting job
--   P:later       zset    jobs that failed in passing, by the time from which they may be taken again
--   P:since       zset    all that wait (user queues and later), by the time they were queued
--   P:running     zset    jobs at work by the end of their lease
--   P:held        hash    users with jobs at work: how many
--   P:holders     hash    who is at work: on which job, so that a take repeated after a lost answer gives the same one
--   P:pace        string  mean duration of an analysis in ms, exponentially weighted
--   P:done, P:failed      lists of JSON, newest first, for operators
--
-- KEYS: the prefix P. ARGV: operation, now in ms (0: the server's), then what the operation names below.
-- All keys share the prefix's hash tag, so they lie in one slot of a cluster.
local P = KEYS[1]
local now = tonumber(ARGV[2])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local EXPIRED_AT_ONCE = 20 -- leases given back, and delays ended, by one call at most: the next call does the rest
local SILENT = 0.7         -- a lease with less than this share left: its holder has missed a heartbeat
local PACE_WEIGHT = 0.1    -- of a new duration in the mean
local FIRST_PACE_MS = 10000
local HEADS_SEEN = 64      -- users whose queues a place is computed from
local DONE_KEPT, FAILED_KEPT = 100, 50

local function job_key(id) return P .. ':job:' .. id end

local function user_key(uid) return P .. ':user:' .. uid end

local function set_head(uid)
  local first = redis.call('ZRANGE', user_key(uid), 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', P .. ':heads', first[2], uid)
  else
    redis.call('ZREM', P .. ':heads', uid)
  end
end

local function queue(id)
  local job = redis.call('HMGET', job_key(id), 'uid', 'score', 'queued')
  redis.call('ZADD', user_key(job[1]), job[2], id)
  redis.call('ZADD', P .. ':since', job[3], id)
  set_head(job[1])
end

-- Takes a job out of whatever it stands in; its hash stays.
local function leave(id)
  local uid, holder = unpack(redis.call('HMGET', job_key(id), 'uid', 'holder'))
  if redis.call('ZREM', P .. ':running', id) == 1 then
    if redis.call('HINCRBY', P .. ':held', uid, -1) <= 0 then redis.call('HDEL', P .. ':held', uid) end
    redis.call('HDEL', P .. ':holders', holder)
    redis.call('HDEL', job_key(id), 'holder')
  else
    redis.call('ZREM', P .. ':since', id)
    redis.call('ZREM', P .. ':later', id)
    if redis.call('ZREM', user_key(uid), id) == 1 then set_head(uid) end
  end
end

local function run(id, holder, lease)
  local uid = redis.call('HGET', job_key(id), 'uid')
  redis.call('HSET', job_key(id), 'holder', holder, 'started', now)
  redis.call('HSET', P .. ':holders', holder, id)
  redis.call('HINCRBY', P .. ':held', uid, 1)
  redis.call('ZADD', P .. ':running', now + lease, id)
end

local function record(list, kept, id, more)
  local job = redis.call('HMGET', job_key(id), 'uid', 'queued', 'attempts', 'started')
  local entry = {trackId = id, uid = job[1], queuedAt = tonumber(job[2]), attempts = tonumber(job[3]), endedAt = now}
  if job[4] then entry.startedAt = tonumber(job[4]) end
  for key, value in pairs(more) do entry[key] = value end
  redis.call('LPUSH', P .. list, cjson.encode(entry))
  redis.call('LTRIM', P .. list, 0, kept - 1)
end

local function give_up(id, reason)
  record(':failed', FAILED_KEPT, id, {reason = reason})
  leave(id)
  redis.call('DEL', job_key(id))
end

local function is_held_by(id, holder)
  return redis.call('ZSCORE', P .. ':running', id) and redis.call('HGET', job_key(id), 'holder') == holder
end

local function let_time_pass(most_attempts)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':running', '-inf', now, 'LIMIT', 0, EXPIRED_AT_ONCE)) do
    if tonumber(redis.call('HGET', job_key(id), 'attempts')) >= most_attempts then
      give_up(id, 'its last lease ran out')
    else
      leave(id)
      queue(id)
    end
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':later', '-inf', now, 'LIMIT', 0, EXPIRED_AT_ONCE)) do
    redis.call('ZREM', P .. ':later', id)
    queue(id)
  end
end

local operations = {}

-- For each job: id, uid, score, queued, attempts. Answers for each 1, or 0 where it stands here already.
function operations.add()
  local added = {}
  for i = 3, #ARGV, 5 do
    local id = ARGV[i]
    local new = redis.call('EXISTS', job_key(id)) == 0
    if new then
      redis.call('HSET', job_key(id), 'uid', ARGV[i + 1], 'score', ARGV[i + 2], 'queued', ARGV[i + 3],
        'attempts', ARGV[i + 4], 'progress', 0)
      queue(id)
    end
    added[#added + 1] = new and 1 or 0
  end
  return added
end

-- holder, slots, per_user, lease in ms, most attempts. Answers {id, attempt}, or {'', ms until a delay or a silent
-- worker's lease ends, -1 where there is none}.
function operations.take()
  local holder, slots, per_user = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
  local lease, most_attempts = tonumber(ARGV[6]), tonumber(ARGV[7])
  let_time_pass(most_attempts)
  local holding = redis.call('HGET', P .. ':holders', holder)
  if holding then return {holding, tonumber(redis.call('HGET', job_key(holding), 'attempts'))} end
  if redis.call('ZCARD', P .. ':running') < slots then
    for _, uid in ipairs(redis.call('ZRANGE', P .. ':heads', 0, math.floor(slots / per_user))) do
      if tonumber(redis.call('HGET', P .. ':held', uid) or 0) < per_user then
        local id = redis.call('ZRANGE', user_key(uid), 0, 0)[1]
        leave(id)
        run(id, holder, lease)
        return {id, redis.call('HINCRBY', job_key(id), 'attempts', 1)}
      end
    end
  end
  local first = redis.call('ZRANGEBYSCORE', P .. ':running', '-inf', now + SILENT * lease, 'WITHSCORES', 'LIMIT', 0, 1)
  local due = redis.call('ZRANGE', P .. ':later', 0, 0, 'WITHSCORES')
  local moment = math.min(tonumber(first[2]) or math.huge, tonumber(due[2]) or math.huge)
  return {'', moment == math.huge and -1 or math.max(0, moment - now)}
end

-- holder, progress, lease in ms, id, uid, score, queued, attempts. Extends the lease. A job unknown here, or given back
-- meanwhile, is at work all the same by Firestore's word, and counts as such. Answers 0 where another one holds it.
function operations.beat()
  local holder, progress, lease, id = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
  if not redis.call('ZSCORE', P .. ':running', id) then
    if redis.call('EXISTS', job_key(id)) == 1 then leave(id) end
    redis.call('HSET', job_key(id), 'uid', ARGV[7], 'score', ARGV[8], 'queued', ARGV[9], 'attempts', ARGV[10])
    run(id, holder, lease)
  elseif not is_held_by(id, holder) then
    return 0
  end
  redis.call('ZADD', P .. ':running', now + lease, id)
  local before = tonumber(redis.call('HGET', job_key(id), 'progress') or 0)
  redis.call('HSET', job_key(id), 'progress', math.max(before, progress))
  return 1
end

-- id, how ('analysed' counts for the pace). The track is done, whoever did it. Answers 0 for an unknown one.
function operations.finish()
  local id = ARGV[3]
  if redis.call('EXISTS', job_key(id)) == 0 then return 0 end
  local started = redis.call('HGET', job_key(id), 'started')
  if started and ARGV[4] == 'analysed' then
    local before = tonumber(redis.call('GET', P .. ':pace'))
    local duration = now - tonumber(started)
    local mean = before and (before + PACE_WEIGHT * (duration - before)) or duration
    redis.call('SET', P .. ':pace', string.format('%.3f', mean))
  end
  record(':done', DONE_KEPT, id, {how = ARGV[4]})
  leave(id)
  redis.call('DEL', job_key(id))
  return 1
end

-- id, reason. The track has failed for good. Answers 0 for an unknown one.
function operations.fail()
  if redis.call('EXISTS', job_key(ARGV[3])) == 0 then return 0 end
  give_up(ARGV[3], ARGV[4])
  return 1
end

-- id, holder, delay in ms, most attempts, whether the attempt counts. Answers 1 where it will be tried again, 2 where
-- that was the last attempt, 0 where another one holds it.
function operations.retry()
  local id = ARGV[3]
  if not is_held_by(id, ARGV[4]) then return 0 end
  if ARGV[7] == '0' then
    redis.call('HINCRBY', job_key(id), 'attempts', -1)
  elseif tonumber(redis.call('HGET', job_key(id), 'attempts')) >= tonumber(ARGV[6]) then
    give_up(id, 'its last attempt failed')
    return 2
  end
  leave(id)
  redis.call('ZADD', P .. ':later', now + tonumber(ARGV[5]), id)
  redis.call('ZADD', P .. ':since', redis.call('HGET', job_key(id), 'queued'), id)
  return 1
end

-- id. The job leaves the order, whatever it stands in. Answers 0 for an unknown one.
function operations.cancel()
  if redis.call('EXISTS', job_key(ARGV[3])) == 0 then return 0 end
  leave(ARGV[3])
  return redis.call('DEL', job_key(ARGV[3]))
end

-- id, slots, per_user. Answers {position, expected wait in ms}; nil where the job does not wait.
-- In units of the mean duration, `slots` jobs end per unit and a user's jobs by at most per_user of them. So mine begins
-- at the moment t at which slots * t first reaches the sum over users of min(their jobs before mine, per_user * t).
function operations.place()
  local id, slots, per_user = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
  if not redis.call('ZSCORE', P .. ':since', id) then return nil end
  local uid, score = unpack(redis.call('HMGET', job_key(id), 'uid', 'score'))
  local own = redis.call('ZRANK', user_key(uid), id) or redis.call('ZCOUNT', user_key(uid), '-inf', '(' .. score)
  local before, sum = {own}, own
  local heads = redis.call('ZRANGEBYSCORE', P .. ':heads', '-inf', '(' .. score, 'LIMIT', 0, HEADS_SEEN)
  for _, other in ipairs(heads) do
    if other ~= uid then
      before[#before + 1] = redis.call('ZCOUNT', user_key(other), '-inf', '(' .. score)
      sum = sum + before[#before]
    end
  end
  local unseen = math.max(0, redis.call('ZCOUNT', P .. ':heads', '-inf', '(' .. score) - #heads)
  local t, ahead = (sum + unseen) / slots, sum + unseen
  for _ = 1, 30 do
    ahead = unseen
    for _, jobs in ipairs(before) do ahead = ahead + math.min(jobs, per_user * t) end
    if ahead >= slots * t then break end
    t = ahead / slots
  end
  ahead = math.max(math.floor(slots * t + 0.5), own)
  t = math.max(t, own / per_user)
  if redis.call('ZCARD', P .. ':running') >= slots then t = math.max(t, 1 / slots) end
  if tonumber(redis.call('HGET', P .. ':held', uid) or 0) >= per_user then t = math.max(t, (own + 1) / per_user) end
  local due = tonumber(redis.call('ZSCORE', P .. ':later', id) or now)
  local pace = tonumber(redis.call('GET', P .. ':pace') or FIRST_PACE_MS)
  return {ahead + 1, math.max(math.floor(t * pace + 0.5), due - now)}
end

-- Answers {waiting, at work, ms since the oldest waiting one was queued}.
function operations.depth()
  local oldest = redis.call('ZRANGE', P .. ':since', 0, 0, 'WITHSCORES')
  local age = oldest[2] and math.max(0, now - tonumber(oldest[2])) or 0
  return {redis.call('ZCARD', P .. ':since'), redis.call('ZCARD', P .. ':running'), age}
end

-- most. Answers the ids that stand here, the oldest first, at most so many.
function operations.entries()
  local ids = redis.call('ZRANGE', P .. ':running', 0, tonumber(ARGV[3]) - 1)
  for _, id in ipairs(redis.call('ZRANGE', P .. ':since', 0, tonumber(ARGV[3]) - 1 - #ids)) do ids[#ids + 1] = id end
  return ids
end

-- Answers {the last that were done, the last that failed}, each a list of JSON, newest first.
function operations.ended()
  return {redis.call('LRANGE', P .. ':done', 0, -1), redis.call('LRANGE', P .. ':failed', 0, -1)}
end

return operations[ARGV[1]]()
