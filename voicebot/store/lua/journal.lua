-- Journals, and the end of a call.

local ENTRY = 5 -- arguments of an entry: sequence, kind, at_ms, wall_us, body

-- A stream's entry is a list of names and values; whether it holds what stands in `args` from `first` on.
local function is_same(stored, args, first)
  for n = 1, ENTRY - 1 do
    if stored[2 * n] ~= args[first + n] then return false end
  end
  return true
end

local function add_entry(call, journal, args, n)
  local kind, at_ms, wall_us, body = unpack(args, n + 1, n + ENTRY - 1)
  return call('XADD', journal, args[n] .. '-0', 'kind', kind, 'at_ms', at_ms, 'wall_us', wall_us, 'body', body)
end

local function sequence_of(stored)
  return tonumber(string.match(stored[1], '^%d+'))
end

-- Adds entries before others that are there already (`late`: where they stand in `args`). A stream only grows at its
-- end, so it is written anew. Rare: what did not fit into memory in an outage comes with the report.
local function add_late(journal, args, late)
  local stored = redis.call('XRANGE', journal, '-', '+')
  table.sort(late, function(a, b) return tonumber(args[a]) < tonumber(args[b]) end)
  redis.call('DEL', journal)
  local next_late = 1
  for _, entry in ipairs(stored) do
    while late[next_late] and tonumber(args[late[next_late]]) < sequence_of(entry) do
      add_entry(redis.call, journal, args, late[next_late])
      next_late = next_late + 1
    end
    redis.call('XADD', journal, entry[1], unpack(entry[2]))
  end
end

-- Adds an entry at the journal's end; false if that is at or beyond its number. To try is cheaper than to ask first.
local function add_at_end(journal, args, n)
  local added = add_entry(redis.pcall, journal, args, n)
  if type(added) ~= 'table' then return true end
  local top = redis.call('XREVRANGE', journal, '+', '-', 'COUNT', 1)[1]
  if top and tonumber(args[n]) <= sequence_of(top) then return false end
  return add_entry(redis.call, journal, args, n) -- another error, which ends the operation
end

-- Adds the entries that stand in `args`; returns the numbers of those in whose place another one stands.
local function add_entries(sid, args, first, last)
  local journal = key('journal', sid)
  local refused, late = {}, {}
  for n = first, last, ENTRY do
    if not add_at_end(journal, args, n) then
      local there = redis.call('XRANGE', journal, args[n] .. '-0', args[n] .. '-0')[1]
      if not there then
        late[#late + 1] = n
      elseif not is_same(there[2], args, n) then
        refused[#refused + 1] = args[n]
      end
    end
  end
  if #late > 0 then add_late(journal, args, late) end
  return refused
end

-- sid, attempt, entries: numbers of those that were refused; false if the call is in other hands, or over.
function program.append(args)
  local sid, attempt = args[2], args[3]
  if not present(sid, attempt) then return false end
  return add_entries(sid, args, 4, #args)
end

-- sid, after: the attempt that may write now (false: none may), and entries beyond `after`.
function program.journal(args)
  local sid, after = args[2], args[3]
  local attempt, ended = unpack(redis.call('HMGET', key('call', sid), 'attempt', 'ended_us'))
  local entries = redis.call('XRANGE', key('journal', sid), string.format('%d-0', after + 1), '+')
  return {not ended and attempt, entries}
end

-- sid, attempt, this request's own id, ended_us, report, its digest, outcome and reason of ending (or ''), number of
-- entries, entries, deliveries: {1} and numbers of
-- entries that were refused; {0} if the call has a report; false if it is in other hands.
function program.finish(args)
  local sid, attempt, request, ended, report = args[2], args[3], args[4], args[5], args[6]
  if redis.call('EXISTS', key('report', sid)) == 1 then
    return {is_done_by(sid, request) and 1 or 0}
  end
  local owner = present(sid, attempt)
  if not owner then return false end
  local after_entries = 11 + ENTRY * tonumber(args[10])
  local refused = add_entries(sid, args, 11, after_entries - 1)
  redis.call('SET', key('report', sid), report)
  redis.call('HSET', key('call', sid), 'ended_us', ended, 'done_by', request, 'digest', args[7])
  if args[8] ~= '' then redis.call('HSET', key('call', sid), 'outcome', args[8]) end
  if args[9] ~= '' then redis.call('HSET', key('call', sid), 'ended_reason', args[9]) end
  redis.call('HDEL', key('owner', owner), sid)
  redis.call('ZREM', key('unfinished'), sid)
  redis.call('ZADD', key('ended'), redis.call('HGET', key('call', sid), 'started_us'), sid)
  redis.call('ZADD', key('endings'), ended, sid)
  add_deliveries(sid, ended, args, after_entries, #args)
  empty_vault(sid)
  return {1, unpack(refused)}
end

-- sid, attempt, name, sealed: puts it into the call's vault; 0 if the call is in other hands, or over.
function program.keep_secret(args)
  local sid, attempt, name, sealed = args[2], args[3], args[4], args[5]
  if not present(sid, attempt) then return 0 end
  redis.call('HSET', key('secrets', sid), name, sealed)
  return 1
end
