-- Calls and whose they are.

local RECORD = {
  'flow_name', 'flow_version', 'caller', 'called', 'direction', 'started_us', 'owner', 'attempt', 'token_issued_at',
  'claimed', 'ended_us',
}

-- The sid and the fields of RECORD; false for an unknown call.
local function record(sid)
  local values = redis.call('HMGET', key('call', sid), unpack(RECORD))
  if not values[1] then return false end
  table.insert(values, 1, sid)
  return values
end

local function records(sids)
  local found = {}
  for _, sid in ipairs(sids) do
    local one = record(sid)
    if one then found[#found + 1] = one end
  end
  return found
end

-- Whose call it is, as far as it is known.
local function numbers_of(sid)
  local caller, called = unpack(redis.call('HMGET', key('call', sid), 'caller', 'called'))
  local found = {}
  if caller then found[1] = caller end
  if called then found[#found + 1] = called end
  return found
end

-- sid, max_calls, this request's own id, then fields and their values: the record that stands, and 1 if it is this one.
function program.open_call(args)
  local sid, max_calls, request = args[2], tonumber(args[3]), args[4]
  local standing = record(sid)
  if standing then
    local ours = redis.call('HGET', key('call', sid), 'done_by') == request
    return {standing, ours and 1 or 0}
  end
  if redis.call('ZCARD', key('unfinished')) >= max_calls then return {false, 0} end
  redis.call('HSET', key('call', sid), 'done_by', request, unpack(args, 5))
  local started, owner, attempt, ended =
    unpack(redis.call('HMGET', key('call', sid), 'started_us', 'owner', 'attempt', 'ended_us'))
  redis.call('ZADD', key('calls'), started, sid)
  for _, number in ipairs(numbers_of(sid)) do redis.call('ZADD', key('number', number), started, sid) end
  if ended then
    redis.call('ZADD', key('ended'), started, sid)
    redis.call('ZADD', key('endings'), ended, sid)
  else
    redis.call('ZADD', key('unfinished'), started, sid)
    redis.call('HSET', key('owner', owner), sid, attempt)
  end
  return {record(sid), 1}
end

local function change_hands(sid, old_owner, owner, attempt)
  redis.call('HSET', key('call', sid), 'owner', owner, 'attempt', attempt)
  redis.call('HDEL', key('owner', old_owner), sid)
  redis.call('HSET', key('owner', owner), sid, attempt)
end

-- The call's owner, present attempt and whether that is claimed, if `attempt` is it and the call is not over.
local function present(sid, attempt)
  local owner, now, claimed, ended =
    unpack(redis.call('HMGET', key('call', sid), 'owner', 'attempt', 'claimed', 'ended_us'))
  if ended or now ~= attempt then return nil end
  return owner, tonumber(now), claimed == '1'
end

local function is_done_by(sid, request)
  return redis.call('HGET', key('call', sid), 'done_by') == request
end

-- sid, attempt, owner, this request's own id: the record, or false if the stream comes too late.
function program.claim_stream(args)
  local sid, attempt, owner, request = args[2], args[3], args[4], args[5]
  if is_done_by(sid, request) then return record(sid) end
  local old_owner, now, claimed = present(sid, attempt)
  if not old_owner or claimed then return false end
  redis.call('HSET', key('call', sid), 'claimed', 1, 'done_by', request)
  if old_owner ~= owner then change_hands(sid, old_owner, owner, now + 1) end
  return record(sid)
end

-- sid, attempt, owner, token_issued_at, this request's own id: the record, or false if another was first.
function program.take_over(args)
  local sid, attempt, owner, token_issued_at, request = args[2], args[3], args[4], args[5], args[6]
  if is_done_by(sid, request) then return record(sid) end
  local old_owner, now = present(sid, attempt)
  if not old_owner then return false end
  redis.call('HSET', key('call', sid), 'claimed', 0, 'token_issued_at', token_issued_at, 'done_by', request)
  change_hands(sid, old_owner, owner, now + 1)
  return record(sid)
end

-- sid: the record, or false.
function program.call(args)
  return record(args[2])
end

-- owner, '1' if it takes calls: its unfinished calls, each followed by its attempt.
function program.beat(args)
  redis.call('HINCRBY', key('beats'), args[2], 1)
  redis.call(args[3] == '1' and 'SADD' or 'SREM', key('takers'), args[2])
  return redis.call('HGETALL', key('owner', args[2]))
end

-- owner.
function program.retire(args)
  redis.call('HDEL', key('beats'), args[2])
  redis.call('SREM', key('takers'), args[2])
  redis.call('UNLINK', key('letters', args[2]))
end

-- How many of an index by start stand before the place of a call, which need not be in it.
local function rank_after(index, started, sid)
  local rank = redis.call('ZCOUNT', index, '(' .. started, '+inf')
  for _, tied in ipairs(redis.call('ZREVRANGEBYSCORE', index, started, started)) do
    if tied >= sid then rank = rank + 1 end
  end
  return rank
end

-- Whether a call that stands in an index is one of those that are asked for.
local function is_wanted(sid, number, ended)
  local caller, called, ended_us = unpack(redis.call('HMGET', key('call', sid), 'caller', 'called', 'ended_us'))
  if number ~= '' and number ~= caller and number ~= called then return false end
  return ended == '' or (ended == '1') == (ended_us ~= false)
end

-- limit, a sid that the calls started before (or ''), a number (or ''), ended ('1', '0' or ''): records, latest first.
function program.calls(args)
  local limit, before, number, ended = tonumber(args[2]), args[3], args[4], args[5]
  local index = key('calls')
  if ended == '0' then
    index = key('unfinished') -- the least
  elseif number ~= '' then
    index = key('number', number)
  elseif ended == '1' then
    index = key('ended')
  end
  local rank = 0
  if before ~= '' then
    local started = redis.call('HGET', key('call', before), 'started_us')
    if not started then return {} end
    rank = rank_after(index, started, before)
  end
  local wanted = {}
  while #wanted < limit do
    local page = redis.call('ZREVRANGE', index, rank, rank + limit - 1)
    for _, sid in ipairs(page) do
      if #wanted < limit and is_wanted(sid, number, ended) then wanted[#wanted + 1] = sid end
    end
    if #page < limit then break end
    rank = rank + limit
  end
  return records(wanted)
end

-- Whether a call is one of those that are looked for; `wanted` pairs fields with values, '' for any.
local function is_looked_for(sid, number, ended, wanted)
  if not is_wanted(sid, number, ended) then return false end
  for field, value in pairs(wanted) do
    if value ~= '' and redis.call('HGET', key('call', sid), field) ~= value then return false end
  end
  return true
end

-- limit, how many to look at, a place to go on after (a start and a sid, or '' twice), a number, ended, since, until
-- (starts), flow, direction, outcome, ended_reason (each may be ''): the place to go on after (false twice where there is
-- no more), and the records, each with its digest (or false) after it.
function program.find_calls(args)
  local limit, looks, started, place, number, ended = tonumber(args[2]), tonumber(args[3]), unpack(args, 4, 7)
  local since, until_ = args[8], args[9]
  local wanted = {flow_name = args[10], direction = args[11], outcome = args[12], ended_reason = args[13]}
  local index = key('calls')
  if ended == '0' then
    index = key('unfinished')
  elseif number ~= '' then
    index = key('number', number)
  elseif ended == '1' then
    index = key('ended')
  end
  local rank = until_ == '' and 0 or redis.call('ZCOUNT', index, until_, '+inf')
  if started ~= '' then rank = math.max(rank, rank_after(index, started, place)) end
  local page = redis.call('ZREVRANGE', index, rank, rank + looks - 1, 'WITHSCORES')
  local found, count = {}, 0
  for n = 1, #page, 2 do
    local sid = page[n]
    if since ~= '' and tonumber(page[n + 1]) < tonumber(since) then return {false, false, found} end
    if is_looked_for(sid, number, ended, wanted) then
      found[#found + 1] = record(sid)
      found[#found + 1] = redis.call('HGET', key('call', sid), 'digest')
      count = count + 1
      if count == limit then return {redis.call('HGET', key('call', sid), 'started_us'), sid, found} end
    end
  end
  if #page < 2 * looks then return {false, false, found} end
  local last = page[#page - 1]
  return {redis.call('HGET', key('call', last), 'started_us'), last, found}
end
