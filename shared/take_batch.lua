-- Takes a batch of measurements, once: its number must be above the last one of its instance.
-- The batch is JSON whose parts name their keys by their place among the keys that begin at KEYS[first]:
-- the instance's last number, the hash of instances, then those of minutes, users and plans.
local function take_batch(text, first)
  local batch = cjson.decode(text)
  local last = redis.call('GET', KEYS[first])
  if last and tonumber(last) >= batch.number then return end
  redis.call('SET', KEYS[first], batch.number, 'EX', batch.ttl)
  redis.call('HSET', KEYS[first + 1], batch.instance[1], batch.instance[2])
  for _, part in ipairs(batch.counts) do
    local key, fields = KEYS[first - 1 + part[1]], part[2]
    for i = 1, #fields, 2 do redis.call('HINCRBY', key, fields[i], fields[i + 1]) end
    redis.call('EXPIRE', key, batch.ttl)
  end
  for _, part in ipairs(batch.users) do
    local key = KEYS[first - 1 + part[1]]
    for i = 1, #part[2], 1000 do  -- Lua unpacks no more than some thousand at once
      redis.call('PFADD', key, unpack(part[2], i, math.min(i + 999, #part[2])))
    end
    redis.call('EXPIRE', key, batch.ttl)
  end
  for _, part in ipairs(batch.plans) do
    redis.call('SET', KEYS[first - 1 + part[1]], part[2], 'EX', batch.planTtl)
  end
end
