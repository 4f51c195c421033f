#!lua flags=allow-key-locking
-- Keeps a computed value and gives the lock back, if it is still the caller's: whoever lost it meanwhile may know less
-- than what another has written since. KEYS: the value, the lock.
-- ARGV: who asks, the value or '' for none, how many ms it is kept.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
redis.call('DEL', KEYS[2])
return 1
