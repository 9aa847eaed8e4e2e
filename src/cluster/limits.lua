-- limits.lua: the lanes of policy/rate_limit.h on the server: one call, one decision, all limits or none. See cluster/limits.h.
--
-- Times are microseconds: Lua's numbers are doubles, exact up to 2^53, which microseconds since 1970 pass in the year 2255.
--
-- KEYS[1]  the state of the whole cluster: {offset, last, epoch, run id, open at}
-- KEYS[2…] one for each limit: the word of each lane, the time at which it is free again
-- KEYS[…]  where the operation is about connections to a TPSP, too: {slots, wants}, which "HOST NUMBER" has one, and which host waits
--          for one, until when that is believed without another word of it
-- KEYS[#]  where the caller says which version of it he knows: what the hosts tell each other of a TPSP: {version, text}
-- ARGV     operation, run id of this server, epoch of the caller, caller's estimate of our time (0: none, below it: he was answered
--          "clock" and asks again), tolerance, number of limits,
--          version of the text that the caller knows (empty: he does not ask), then of each limit: lanes, pace, window, and what the
--          operation needs
--
-- Answers: {"granted", now, epoch, lane, before, lane, before, …, whether a connection is better not kept}
--          {"refused", now, epoch, which limit, time of its next slot}   {"busy", now, epoch, connections}
--          {"epoch", now, epoch, microseconds until slots are given out again}   {"done", now, epoch, …}
--          {"clock", now, epoch}: it seems to have stepped, nothing was done; ask again
--          {"news", now, epoch, version, text}: it is another one by now; nothing was taken, nor told

local COLLECT = 1500000 -- for so long a new epoch hears what the hosts know before it gives anything out
local DAY_MS = 86400000 -- keys outlive their use by so much: a step of the clock that nobody notices must not make them expire
local operation, run, epoch = ARGV[1], ARGV[2], tonumber(ARGV[3])
local estimate, tolerance = math.abs(tonumber(ARGV[4])), tonumber(ARGV[5])
local again = tonumber(ARGV[4]) < 0

-- The clock. It never goes back, and does not run ahead of the hosts' own clocks: a step of the server's clock, either way, moves the
-- offset and not our time. A step ahead may have made keys expire, though: a new epoch then, as if the server were new.
local raw = redis.call('TIME')
raw = raw[1] * 1000000 + raw[2]
local known = redis.call('MGET', unpack(KEYS))
local state = known[1] and cmsgpack.unpack(known[1]) or {0, 0, 0, '', 0}
local now = raw + state[1]
local stepped = estimate > 0 and now > estimate + tolerance
-- An old estimate looks the same: what is left of a caller who gave up lies in the server's queue for as long as it stalls. Who is
-- there still asks again, with a new one.
if stepped and not again then
    return {'clock', now, state[3]}
end
if stepped then
    now = estimate
end
if now < state[2] then
    now = state[2]
end
local changed = state[1] ~= now - raw or now > state[2] + 100000 -- what is younger need not be remembered: a tenth of a second
state[1], state[2] = now - raw, now

-- The epoch. Another server, the same after a restart, or one that has lost everything: what the hosts know comes first.
if state[4] ~= run or stepped then
    state[3], state[4], state[5] = math.max(state[3] + 1, math.floor(now / 1000)), run, now + COLLECT
    changed = true
end
if changed then
    redis.call('SET', KEYS[1], cmsgpack.pack(state))
end

-- Of limit number i: lanes, pace (of the first lane), window (of the others).
local function shape(i)
    local at = 5 + i * 3
    return tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
end

local function store(i, words, window)
    redis.call('SET', KEYS[1 + i], cmsgpack.pack(words), 'PX', math.ceil(window / 1000) + DAY_MS)
end

-- The lanes of limit number i. A word later than anybody could have made it, by damage or under another configuration, becomes
-- the latest possible one, and is put down so, that it passes one day.
local function load(i, lanes, pace, window)
    local words = known[1 + i]
    local tamed, latest = false, now + pace
    words = words and cmsgpack.unpack(words) or {}
    for lane = 1, math.max(#words, lanes) do
        local word = words[lane] or 0
        if word > latest then
            word, tamed = latest, true
        end
        words[lane], latest = word, now + window
    end
    if tamed then
        store(i, words, window)
    end
    return words
end

local limits = tonumber(ARGV[6])
local rest = 8 + limits * 3

-- What the hosts tell each other of a TPSP. A version is never used again, not even after the loss of the key.
local asked = tonumber(ARGV[7])
local told = asked and known[#KEYS] and cmsgpack.unpack(known[#KEYS]) or {0, ''}
local news = asked and told[1] ~= asked and {'news', now, state[3], told[1], told[2]}

-- Connections. A process holds its number among those of its host by a lock that ends with it (policy/connections.h), so that whoever takes
-- the number after a kill takes over the entry; the entry outlasts every delivery that may have begun with it.
local WANT = 2000000 -- for so long a host that found none is thought to wait for one

local function load_connections()
    local held = known[2 + limits] and cmsgpack.unpack(known[2 + limits]) or {{}, {}}
    for _, entries in ipairs(held) do
        for name, until_us in pairs(entries) do
            entries[name] = until_us > now and until_us or nil
        end
    end
    return held[1], held[2]
end

local function store_connections(slots, wants)
    local last = now
    for _, until_us in pairs(slots) do
        last = math.max(last, until_us)
    end
    redis.call('SET', KEYS[2 + limits], cmsgpack.pack({slots, wants}), 'PX', math.ceil((last - now) / 1000) + DAY_MS)
end

local function count(slots)
    local all = 0
    for _ in pairs(slots) do
        all = all + 1
    end
    return all
end

local function host_of(name)
    return name:match('^%S+')
end

-- Whether this one is beyond the share of its host, when there are others who wait: all who have or want one share alike.
local function is_better_not_kept(slots, wants, host, number, most)
    local hosts, sharers, rank = {}, 0, 0
    if not next(wants) or (wants[host] and not next(wants, next(wants))) then
        return 0
    end
    hosts[host] = true
    for name in pairs(wants) do
        hosts[name] = true
    end
    for name in pairs(slots) do
        hosts[host_of(name)] = true
        if host_of(name) == host and tonumber(name:match('%d+$')) < number then
            rank = rank + 1
        end
    end
    for _ in pairs(hosts) do
        sharers = sharers + 1
    end
    return rank >= math.max(1, math.floor(most / sharers)) and 1 or 0
end

if operation == 'take' then
    if epoch ~= state[3] or now < state[5] then
        return {'epoch', now, state[3], math.max(state[5] - now, 0)}
    end
    if news then
        return news
    end
    -- host, number, most, how long it has to be believed at least, and how long it is
    local host, number, slots, wants = ARGV[rest], tonumber(ARGV[rest + 1]), nil, nil
    if host then
        slots, wants = load_connections()
        if not slots[host .. ' ' .. number] and count(slots) >= tonumber(ARGV[rest + 2]) then
            if (wants[host] or 0) < now + WANT / 2 then
                wants[host] = now + WANT
                store_connections(slots, wants)
            end
            return {'busy', now, state[3], count(slots)}
        end
    end
    local taken, which, latest = {'granted', now, state[3]}, 0, 0
    local all, windows = {}, {}
    for i = 1, limits do
        local lanes, pace, window = shape(i)
        local words, free, next = load(i, lanes, pace, window), nil, nil
        for lane = 1, lanes do
            if words[lane] <= now then
                free = lane
                break
            end
            next = math.min(next or words[lane], words[lane])
        end
        if free then
            taken[#taken + 1], taken[#taken + 2] = free, words[free]
            words[free] = now + (free == 1 and pace or window)
            all[i], windows[i] = words, window
        elseif next > latest then
            which, latest = i, next
        end
    end
    if which > 0 then
        return {'refused', now, state[3], which, latest}
    end
    for i = 1, limits do
        store(i, all[i], windows[i])
    end
    if host then
        local name = host .. ' ' .. number
        if (slots[name] or 0) < now + tonumber(ARGV[rest + 3]) then
            slots[name], wants[host] = now + tonumber(ARGV[rest + 4]), nil
            store_connections(slots, wants)
        end
        taken[#taken + 1] = is_better_not_kept(slots, wants, host, number, tonumber(ARGV[rest + 2]))
    end
    return taken
end

-- Of what the hosts tell each other: nothing more, or the next text.
if operation == 'hear' or operation == 'tell' then
    if news then
        return news
    end
    if operation == 'tell' then
        told = {math.max(now, told[1] + 1), ARGV[rest]}
        redis.call('SET', KEYS[#KEYS], cmsgpack.pack(told), 'PX', 2 * DAY_MS)
    end
    return {'done', now, state[3], told[1]}
end

-- Of connections: host, number. It is closed.
if operation == 'disconnect' then
    local slots, wants = load_connections()
    slots[ARGV[rest] .. ' ' .. ARGV[rest + 1]] = nil
    store_connections(slots, wants)
    return {'done', now, state[3]}
end

-- Of connections: host. How many all hosts have, and the numbers of this one.
if operation == 'connections' then
    local slots = load_connections()
    local answer = {'done', now, state[3], count(slots)}
    for name in pairs(slots) do
        if host_of(name) == ARGV[rest] then
            answer[#answer + 1] = tonumber(name:match('%d+$'))
        end
    end
    return answer
end

-- Of connections: host, how long they are believed, numbers. The host has them, as it knows.
if operation == 'connected' then
    if epoch ~= state[3] then
        return {'epoch', now, state[3], math.max(state[5] - now, 0)}
    end
    local slots, wants = load_connections()
    for at = rest + 2, #ARGV do
        slots[ARGV[rest] .. ' ' .. ARGV[at]] = now + tonumber(ARGV[rest + 1])
    end
    store_connections(slots, wants)
    return {'done', now, state[3], math.max(state[5] - now, 0)}
end

-- Of each limit: lane, before, after. The TPSP was never reached.
if operation == 'give-back' then
    for i = 1, limits do
        local lanes, pace, window = shape(i)
        local words = load(i, lanes, pace, window)
        local lane = tonumber(ARGV[rest + (i - 1) * 3])
        if words[lane] == tonumber(ARGV[rest + (i - 1) * 3 + 2]) then
            words[lane] = tonumber(ARGV[rest + (i - 1) * 3 + 1])
            store(i, words, window)
        end
    end
    return {'done', now, state[3]}
end

-- Of each limit: how many words, and how long each lane is still taken, as a host knows it.
if operation == 'bring' then
    if epoch ~= state[3] then
        return {'epoch', now, state[3], math.max(state[5] - now, 0)}
    end
    local at = rest
    for i = 1, limits do
        local lanes, pace, window = shape(i)
        local words = load(i, lanes, pace, window)
        for lane = 1, tonumber(ARGV[at]) do
            local until_us = now + math.min(tonumber(ARGV[at + lane]), lane == 1 and pace or window)
            words[lane] = math.max(words[lane] or 0, until_us)
        end
        at = at + 1 + tonumber(ARGV[at])
        store(i, words, window)
    end
    return {'done', now, state[3], math.max(state[5] - now, 0)}
end

-- Of each limit: how many would pass now, and when the next one would.
if operation == 'peek' then
    local answer = {'done', now, state[3]}
    for i = 1, limits do
        local lanes, pace, window = shape(i)
        local words, available, next = load(i, lanes, pace, window), 0, nil
        for lane = 1, lanes do
            available = available + (words[lane] <= now and 1 or 0)
            next = math.min(next or words[lane], words[lane])
        end
        answer[#answer + 1], answer[#answer + 2] = available, math.max(next, now)
    end
    return answer
end

if operation == 'reset' then
    for i = 1, limits do
        redis.call('DEL', KEYS[1 + i])
    end
    if KEYS[2 + limits] then
        redis.call('DEL', KEYS[2 + limits])
    end
    return {'done', now, state[3]}
end

return redis.error_reply('ERR unknown operation')
