-- Counts one usage event once. KEYS: its mark, the totals, its minute's window. ARGV: mark's life and window's life in s,
-- then pairs of counter and increment. Answers 1 if it was counted, 0 if it had been before.
if not redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[1]) then return 0 end
for i = 3, #ARGV, 2 do
  redis.call('HINCRBYFLOAT', KEYS[2], ARGV[i], ARGV[i + 1])
  redis.call('HINCRBYFLOAT', KEYS[3], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[3], ARGV[2])
return 1
