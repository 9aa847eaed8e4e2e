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
    math = math, tonumber = tonumber, type = type, ipairs = ipairs, unpack = unpack,
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

local function call(operation, epoch, estimate, limits, more)
    environment.KEYS, environment.ARGV = {'state'}, {operation, server.run, tostring(epoch), tostring(estimate), '250000'}
    for i, limit in ipairs(limits) do
        environment.KEYS[i + 1] = limit.key
        for _, word in ipairs {limit.lanes, limit.pace, limit.window} do
            table.insert(environment.ARGV, string.format('%.0f', word))
        end
    end
    for _, word in ipairs(more or {}) do table.insert(environment.ARGV, string.format('%.0f', word)) end
    return setfenv(script, environment)()
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

print(string.format('%d passed, %d failed', passed, failed))
os.exit(failed == 0 and 0 or 1)
