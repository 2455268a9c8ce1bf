-- Keep a lease for as long again. KEYS: lease. ARGV: token, lease in ms. Gives 1, or 0 where it is another's by now.
if redis.call('HGET', KEYS[1], 't') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
