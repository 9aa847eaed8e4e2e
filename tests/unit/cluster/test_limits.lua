-- test_limits.lua SCRIPT: the script that runs on the server, here in a Lua of its own with a clock that the test moves and a store that
-- the test can take away. The claims are those of policy/rate_limit.h and doc/cluster.md; each scenario is a history of admissions of which
-- every window is counted. Ends with "N passed, N failed".

local source = assert(io.open(arg[1])):read('*a')
local script = assert(loadstring(source, '@limits.lua'))

local SECOND = 1000000
local server -- what the script finds: clock, keys
local function copy(value)
    if type(value) ~= 'table' then return value end
    local twin = {}
    for k, v in pairs(value) do twin[k] = copy(v) end
    return twin
end

local environment = {
    math = math, tonumber = tonumber, type = type, ipairs = ipairs, pairs = pairs, next = next, unpack = unpack,
    cmsgpack = {pack = copy, unpack = copy},
    redis = {
        error_reply = function(text) error(text) end,
        call = function(command, ...)
            local key, value, _, milliseconds = ...
            for name, until_us in pairs(server.expiry) do
                if until_us <= server.clock then server.keys[name], server.expiry[name] = nil, nil end
            end
            if command == 'TIME' then
                return {math.floor(server.clock / SECOND), server.clock % SECOND}
            elseif command == 'GET' then
                return server.keys[key] or false
            elseif command == 'MGET' then
                local values = {}
                for i, name in ipairs {...} do values[i] = server.keys[name] or false end
                return values
            elseif command == 'SET' then
                server.keys[key] = value
                server.expiry[key] = milliseconds and server.clock + milliseconds * 1000 or nil
            elseif command == 'DEL' then
                server.keys[key] = nil
            else
                error('unexpected ' .. command)
            end
        end,
    },
}

local function new_server(run, keys) return {run = run, clock = 1000 * SECOND, keys = keys or {}, expiry = {}} end

local function once(operation, epoch, estimate, limits, more, connections, version)
    environment.KEYS = {'state'}
    environment.ARGV = {operation, server.run, tostring(epoch), tostring(estimate), '250000', tostring(#limits), version or ''}
    for i, limit in ipairs(limits) do
        environment.KEYS[i + 1] = limit.key
        for _, word in ipairs {limit.lanes, limit.pace, limit.window} do
            table.insert(environment.ARGV, string.format('%.0f', word))
        end
    end
    if connections then environment.KEYS[#limits + 2] = connections end
    if version then table.insert(environment.KEYS, 'told') end
    for _, word in ipairs(more or {}) do
        table.insert(environment.ARGV, type(word) == 'number' and string.format('%.0f', word) or word)
    end
    return setfenv(script, environment)()
end

-- As cluster.c does it: who is told that the clock seems to have stepped asks again.
local function call(operation, epoch, estimate, ...)
    local answer = once(operation, epoch, estimate, ...)
    return answer[1] == 'clock' and once(operation, epoch, -estimate, ...) or answer
end

local function limit(key, count, window, burst)
    local lanes = math.min(burst, count)
    local window_us = window * SECOND
    return {key = key, count = count, lanes = lanes, window = window_us, pace = math.ceil(window_us / (count - lanes + 1))}
end

-- A host: what it knows of each lane, its own clock (which does not step), and the admissions it was given.
local real = 0 -- the time that passes for everybody
local function pass(microseconds)
    real = real + microseconds
    server.clock = server.clock + microseconds
end

local function new_host(limits) return {limits = limits, known = {}, epoch = 0, offset = nil} end

local function note_clock(host, now) host.offset = now - real end

local function bring(host, epoch)
    local more = {}
    for _, each in ipairs(host.limits) do
        table.insert(more, each.lanes)
        for lane = 1, each.lanes do
            table.insert(more, math.max((host.known[each.key .. lane] or 0) - real, 0))
        end
    end
    local answer = call('bring', epoch, host.offset and host.offset + real or 0, host.limits, more)
    note_clock(host, answer[2])
    if answer[1] == 'done' then host.epoch = epoch end
end

local admissions
local function take(host)
    local answer = call('take', host.epoch, host.offset and host.offset + real or 0, host.limits)
    note_clock(host, answer[2])
    if answer[1] == 'granted' then
        for i, each in ipairs(host.limits) do
            local lane = answer[2 + 2 * i]
            host.known[each.key .. lane] = real + (lane == 1 and each.pace or each.window)
        end
        table.insert(admissions, real)
    elseif answer[1] == 'epoch' and answer[3] ~= host.epoch then
        bring(host, answer[3])
    end
    return answer
end

local function most_in(window)
    local most, first = 0, 1
    for last = 1, #admissions do
        while admissions[last] - admissions[first] >= window do first = first + 1 end
        most = math.max(most, last - first + 1)
    end
    return most
end

local passed, failed = 0, 0
local function claim(what, holds, detail)
    if holds then
        passed = passed + 1
    else
        failed = failed + 1
        print('FAILED: ' .. what .. (detail and ': ' .. detail or ''))
    end
end

math.randomseed(tonumber(arg[2]) or 7)
local LIMIT, WINDOW = 20, 60
local function fresh(hosts)
    server, admissions, real = new_server('run-1'), {}, 0
    local all = {}
    for i = 1, hosts do all[i] = new_host {limit('global', LIMIT, WINDOW, 5)} end
    return all
end

-- What the agent of a host does every second: hear whether a new epoch wants to know what the host knows.
local function tend(host)
    local answer = call('peek', host.epoch, host.offset and host.offset + real or 0, host.limits)
    note_clock(host, answer[2])
    if answer[3] ~= host.epoch then bring(host, answer[3]) end
end

-- Three hosts that ask all the time, for a while; trouble(step) may do something to the server.
local function run(hosts, seconds, trouble)
    local step = 0
    local stop = real + seconds * SECOND
    while real < stop do
        step = step + 1
        if trouble then trouble(step) end
        take(hosts[math.random(#hosts)])
        if step % 8 == 0 then
            for _, host in ipairs(hosts) do tend(host) end
        end
        pass(math.random(200000))
    end
end

do
    local hosts = fresh(3)
    run(hosts, 600)
    local most = most_in(WINDOW * SECOND)
    claim('no window of the stated length has more than the limit', most <= LIMIT, most)
    claim('the limit is reached', #admissions >= 600 / WINDOW * LIMIT * 0.95, #admissions)
end

-- A stall: what a host asked lies in the queue of the server, and the host has long given up.
do
    local hosts = fresh(1)
    run(hosts, 10)
    local host, given = hosts[1], #admissions
    local before = {}
    for key, value in pairs(server.keys) do before[key] = value end
    local old = host.offset + real
    pass(400000)
    claim('who has given up takes nothing', once('take', host.epoch, old, host.limits)[1] == 'clock' and #admissions == given)
    local changed = 0
    for key, value in pairs(server.keys) do changed = changed + (before[key] == value and 0 or 1) end
    claim('and changes nothing', changed == 0, changed)
    local answer = call('peek', host.epoch, host.offset + real, host.limits)
    claim('and begins no epoch', answer[1] == 'done' and answer[3] == host.epoch)
    server.clock = server.clock + 400000
    answer = call('peek', host.epoch, host.offset + real, host.limits)
    claim('a step that somebody confirms does', answer[3] > host.epoch)
end

do
    local hosts = fresh(3)
    run(hosts, 600, function(step)
        if step % 200 == 0 then server.clock = server.clock + math.random(-200000, 200000) * SECOND end
    end)
    local most = most_in(WINDOW * SECOND)
    claim('a clock that steps admits no more', most <= LIMIT, most)
    claim('and does not stop anybody', #admissions >= 600 / WINDOW * LIMIT * 0.8, #admissions)
end

do
    local hosts, run_number = fresh(3), 1
    run(hosts, 600, function(step)
        if step % 300 == 0 then
            run_number = run_number + 1
            local clock = server.clock
            server = new_server('run-' .. run_number)
            server.clock = clock + math.random(-100, 100) * SECOND
            for _, host in ipairs(hosts) do host.offset = nil end
        end
    end)
    local most = most_in(WINDOW * SECOND)
    claim('an empty server hears first what the hosts know', most <= LIMIT, most)
    claim('and gives slots again', #admissions >= 600 / WINDOW * LIMIT * 0.7, #admissions)
end

do -- a replica that lacks the last writes takes over
    local hosts, run_number, replica = fresh(3), 1, nil
    run(hosts, 600, function(step)
        if step % 300 == 280 then replica = copy(server.keys) end
        if step % 300 == 0 and replica then
            run_number = run_number + 1
            local clock = server.clock
            server = new_server('run-' .. run_number, replica)
            server.clock = clock
            replica = nil
        end
    end)
    local most = most_in(WINDOW * SECOND)
    claim('lost writes are brought back after a failover', most <= LIMIT, most)
end

do -- what a host that is gone had been given, and replication had lost: the documented bound
    local hosts = fresh(3)
    run(hosts, 120)
    local before = #admissions
    server = new_server('run-2')
    table.remove(hosts, 1)
    run(hosts, 120)
    claim('a host that is gone leaves a gap of its own slots at most', most_in(WINDOW * SECOND) <= 2 * LIMIT and #admissions > before)
end

do -- all limits of a call or none
    server, admissions, real = new_server('run-1'), {}, 0
    local host = new_host {limit('wide', 1000, 60, 10), limit('narrow', 3, 60, 3)}
    for _ = 1, 60 do
        take(host)
        pass(100000)
    end
    local answer = call('peek', host.epoch, 0, host.limits)
    claim('a refused call takes nothing of the other limits', #admissions == 3 and answer[4] >= 7, #admissions .. ' ' .. answer[4])
    local refused = take(host)
    claim('the limit that lasts longest is named', refused[1] == 'refused' and refused[4] == 2)
end

do -- what is given back is as if it had never been taken
    server, admissions, real = new_server('run-1'), {}, 0
    local host = new_host {limit('one', 1, 60, 1)}
    take(host)
    pass(2 * SECOND)
    local answer = take(host)
    claim('the slot is granted', answer[1] == 'granted', answer[1])
    claim('and is not there twice', take(host)[1] == 'refused')
    call('give-back', host.epoch, 0, host.limits, {answer[4], answer[5], answer[2] + host.limits[1].pace})
    pass(1000)
    claim('it is there again', take(host)[1] == 'granted')
    call('give-back', host.epoch, 0, host.limits, {answer[4], answer[5], answer[2] + host.limits[1].pace})
    claim('but once only', take(host)[1] == 'refused')
end

do -- a word from the future, as damage or another configuration leaves it
    server, admissions, real = new_server('run-1'), {}, 0
    local host = new_host {limit('one', 1, 60, 1)}
    take(host)
    pass(2 * SECOND)
    server.keys.one = {1e15}
    take(host)
    pass(61 * SECOND)
    claim('blocks nobody for longer than its interval', take(host)[1] == 'granted')
end

do -- a host of an epoch that is over gets nothing before it has brought what it knows
    local hosts = fresh(2)
    run(hosts, 30)
    server = new_server('run-2')
    local answer = take(hosts[1])
    claim('a new server gives nothing at once', answer[1] == 'epoch' and answer[4] == 1500000)
    take(hosts[1])
    pass(2 * SECOND)
    claim('a host that was not there before has to bring first', call('take', 12345, 0, hosts[2].limits)[1] == 'epoch')
end

-- Connections: three hosts of several processes each; a process holds a number of its host alone, as the lock of policy/connections.c has
-- it. What is claimed: never more connections than are allowed, whatever is killed, cut off or lost.
local MOST, LEAST, LIFE = 4, 60 * SECOND, 70 * SECOND

local function new_fleet(count)
    server, real = new_server('run-1'), 0
    local fleet = {}
    for i = 1, count do fleet[i] = {name = 'host' .. i, epoch = 0, held = {}, cut = false} end
    return fleet
end

local function held(host)
    local numbers = {}
    for number in pairs(host.held) do table.insert(numbers, number) end
    return numbers
end

local function open(fleet)
    local all = 0
    for _, host in ipairs(fleet) do all = all + #held(host) end
    return all
end

local function bring_connections(host, epoch)
    call('bring', epoch, 0, {}, {})
    if #held(host) > 0 then call('connected', epoch, 0, {}, {host.name, LIFE, unpack(held(host))}, 'connections') end
    host.epoch = epoch
end

local function connect(host)
    local number = 0
    while host.held[number] do number = number + 1 end
    if number >= MOST or host.cut then return end
    local answer = call('take', host.epoch, 0, {}, {host.name, number, MOST, LEAST, LIFE}, 'connections')
    if answer[1] == 'epoch' and answer[3] ~= host.epoch then bring_connections(host, answer[3]) end
    if answer[1] == 'granted' then host.held[number] = real end
    return answer
end

local function close(host, killed)
    local number = next(host.held)
    if not number then return end
    if not killed and not host.cut then call('disconnect', host.epoch, 0, {}, {host.name, number}, 'connections') end
    host.held[number] = nil
end

local function sweep(host)
    if host.cut then return end
    local answer = call('connections', host.epoch, 0, {}, {host.name}, 'connections')
    if answer[3] ~= host.epoch then bring_connections(host, answer[3]) end
    for at = 5, #answer do
        if not host.held[answer[at]] then call('disconnect', host.epoch, 0, {}, {host.name, answer[at]}, 'connections') end
    end
end

local function live(fleet, steps, trouble)
    local most, granted = 0, 0
    for step = 1, steps do
        if trouble then trouble(step) end
        local host = fleet[math.random(#fleet)]
        if math.random(2) == 1 then
            local answer = connect(host)
            granted = granted + (answer and answer[1] == 'granted' and 1 or 0)
        else
            close(host, math.random(3) == 1)
        end
        for _, each in ipairs(fleet) do
            if step % 4 == 0 then sweep(each) end
            for number, since in pairs(each.held) do -- no delivery lasts for longer
                if real - since > LEAST - 2 * SECOND then each.held[number] = nil end
            end
        end
        most = math.max(most, open(fleet))
        pass(math.random(400000))
    end
    return most, granted
end

do
    local fleet = new_fleet(3)
    local most, granted = live(fleet, 4000)
    claim('all hosts together have no more connections than are allowed', most <= MOST, most)
    claim('and have as many', most == MOST and granted > 500, most .. ' ' .. granted)
end

do
    local fleet, run_number = new_fleet(3), 1
    local most, granted = live(fleet, 4000, function(step)
        if step % 200 == 0 then
            run_number = run_number + 1
            local clock = server.clock
            server = new_server('run-' .. run_number)
            server.clock = clock
        end
        if step % 150 == 0 then fleet[step / 150 % 3 + 1].cut = true end
        if step % 150 == 75 then for _, host in ipairs(fleet) do host.cut = false end end
    end)
    claim('nor when the server is lost', granted > 500, granted)
    -- who is cut off while a new server asks cannot say what it has: the documented bound
    claim('but for those of a host that is cut off then', most <= 2 * MOST, most)
end

do
    local fleet, run_number = new_fleet(3), 1
    local most = live(fleet, 4000, function(step)
        if step % 200 == 0 then
            run_number = run_number + 1
            local clock = server.clock
            server = new_server('run-' .. run_number)
            server.clock = clock
        end
    end)
    claim('a new server hears first what the hosts have', most <= MOST, most)
end

do
    local fleet = new_fleet(2)
    fleet[1].epoch = call('peek', 0, 0, {})[3]
    pass(2 * SECOND)
    fleet[2].epoch = fleet[1].epoch
    for _ = 1, MOST do connect(fleet[1]) end
    claim('one host may have them all', open(fleet) == MOST, open(fleet))
    claim('then another finds none', connect(fleet[2])[1] == 'busy')
    local answer = call('take', fleet[1].epoch, 0, {}, {'host1', 3, MOST, LEAST, LIFE}, 'connections')
    claim('who has more than its share hears that others wait', answer[4] == 1, answer[4])
    answer = call('take', fleet[1].epoch, 0, {}, {'host1', 1, MOST, LEAST, LIFE}, 'connections')
    claim('and not for its share', answer[4] == 0, answer[4])
    pass(3 * SECOND)
    answer = call('take', fleet[1].epoch, 0, {}, {'host1', 3, MOST, LEAST, LIFE}, 'connections')
    claim('nor for ever', answer[4] == 0, answer[4])
    pass(LIFE)
    claim('those of a host that is gone expire', connect(fleet[2])[1] == 'granted')
end

do -- a connection or none, with all limits or none
    server, real = new_server('run-1'), 0
    local one = {limit('one', 1, 60, 1)}
    local epoch = call('peek', 0, 0, {})[3]
    pass(2 * SECOND)
    claim('with a connection', call('take', epoch, 0, one, {'host1', 0, 1, LEAST, LIFE}, 'connections')[1] == 'granted')
    claim('a limit that refuses takes no connection', call('take', epoch, 0, one, {'host2', 0, 9, LEAST, LIFE}, 'connections')[1] == 'refused'
        and call('connections', epoch, 0, {}, {'host2'}, 'connections')[4] == 1)
    local other = {limit('other', 1, 60, 1)}
    claim('no connection takes nothing of a limit', call('take', epoch, 0, other, {'host2', 0, 1, LEAST, LIFE}, 'connections')[1] == 'busy'
        and call('take', epoch, 0, other)[1] == 'granted')
    call('reset', epoch, 0, one, {}, 'connections')
    claim('a reset forgets connections', call('connections', epoch, 0, {}, {'host1'}, 'connections')[4] == 0)
end

do -- what hosts tell each other
    server, real = new_server('run-1'), 0
    local one = {limit('one', 5, 60, 5)}
    local epoch = call('peek', 0, 0, {})[3]
    pass(2 * SECOND)
    claim('nothing is told at first', call('take', epoch, 0, one, {}, nil, '0')[1] == 'granted')
    local first = call('tell', epoch, 0, {}, {'slower'}, nil, '0')
    claim('what is told has a version', first[1] == 'done' and first[4] > 0)
    local news = call('take', epoch, 0, one, {}, nil, '0')
    claim('who does not know it hears it before anything is given out', news[1] == 'news' and news[4] == first[4] and news[5] == 'slower')
    local version = string.format('%.0f', first[4])
    claim('and once', call('take', epoch, 0, one, {}, nil, version)[1] == 'granted')
    claim('nothing was taken by those who heard', call('peek', epoch, 0, one)[4] == 3)
    claim('nobody tells over what he has not heard', call('tell', epoch, 0, {}, {'faster'}, nil, '0')[5] == 'slower')
    local second = call('tell', epoch, 0, {}, {'faster'}, nil, version)
    claim('each has a version of its own', second[4] > first[4])
    server = new_server('run-2')
    claim('a server that has lost it says so', call('hear', 0, 0, {}, {}, nil, string.format('%.0f', second[4]))[4] == 0)
end

print(string.format('%d passed, %d failed', passed, failed))
os.exit(failed == 0 and 0 or 1)
