-- Adds to their hours and to the totals what minutes have that was not added before, so that running it twice adds once.
-- KEYS: the last tick, the totals, then a minute, what of it was added, and its hour in turn.
-- ARGV: the minute of this tick ('' leaves it), then the lives of what was added and of the hours in s.
-- Answers the minute of the tick before. A field is noted as added first: stopped half-way, it loses and never doubles.
local before = redis.call('GET', KEYS[1]) or ''
if ARGV[1] ~= '' then redis.call('SET', KEYS[1], ARGV[1]) end
for i = 3, #KEYS, 3 do
  local minute, added, hour = KEYS[i], KEYS[i + 1], KEYS[i + 2]
  local known = {}
  local fields = redis.call('HGETALL', minute)
  if #fields > 0 then
    local pairs_added = redis.call('HGETALL', added)
    for j = 1, #pairs_added, 2 do known[pairs_added[j]] = pairs_added[j + 1] end
  end
  local changed = false
  for j = 1, #fields, 2 do
    local field, value = fields[j], tonumber(fields[j + 1])
    local more = value and value - (tonumber(known[field]) or 0)
    if more and more > 0 and more == math.floor(more) then
      changed = true
      redis.call('HSET', added, field, fields[j + 1])
      redis.call('HINCRBY', hour, field, string.format('%d', more))
      redis.call('HINCRBY', KEYS[2], field, string.format('%d', more))
    end
  end
  if changed then
    redis.call('EXPIRE', added, ARGV[2])
    redis.call('EXPIRE', hour, ARGV[3])
  end
end
return before
