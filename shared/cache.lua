#!lua flags=allow-key-locking
-- A value and, where it is missing or old, the right to compute it: given to one caller at a time.
-- KEYS: the value, the lock. ARGV: who asks, the lock's lease in ms, how many ms before its end a value counts as old.
-- Answers {value or false, 1 where it is fresh, 1 where the caller has the lock}.
local value = redis.call('GET', KEYS[1])
if value and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[3]) then return {value, 1, 0} end
local locked = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
return {value, 0, locked and 1 or 0}
