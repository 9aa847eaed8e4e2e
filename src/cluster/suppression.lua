-- suppression.lua: changes of the suppression list that hosts of a cluster share. See policy/suppression_share.h.
--
-- KEYS[1]  the list: a hash from address to "CHANGED ORIGIN REMOVED REASON SINCE"; removals are remembered in it
-- KEYS[2]  the changes, as a stream, for those who follow
-- ARGV     address, value, address, value, …
--
-- The later change counts: by its time, then by its origin. Answers how many counted.

local KEEP = '1000000' -- changes in the stream, some 100 bytes each: who is further behind copies the whole list
local counted = 0

local function rank(value)
    local changed, origin = value:match('^(%d+) (%S+) ')
    return tonumber(changed) or 0, origin or ''
end

for i = 1, #ARGV, 2 do
    local address, value = ARGV[i], ARGV[i + 1]
    local known = redis.call('HGET', KEYS[1], address)
    local changed, origin = rank(value)
    local known_changed, known_origin = rank(known or '')
    if not known or changed > known_changed or (changed == known_changed and origin > known_origin) then
        redis.call('HSET', KEYS[1], address, value)
        redis.call('XADD', KEYS[2], 'MAXLEN', '~', KEEP, '*', 'a', address, 'v', value)
        counted = counted + 1
    end
end
return counted
