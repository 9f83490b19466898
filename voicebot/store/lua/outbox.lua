-- The outbox of deliveries.

local DELIVERY = {
  'call_sid', 'url', 'body', 'state', 'attempts', 'due_us', 'created_us', 'tried_us', 'status', 'reason', 'secret',
  'bearer', 'secrets',
}
local NEW = 7 -- arguments of a new delivery: webhook_id, url, host, body, secret, bearer, secrets

local function delivery(id)
  local values = redis.call('HMGET', key('delivery', id), unpack(DELIVERY))
  if not values[1] then return false end
  table.insert(values, 1, id)
  return values
end

local function deliveries(ids)
  local found = {}
  for _, id in ipairs(ids) do
    local one = delivery(id)
    if one then found[#found + 1] = one end
  end
  return found
end

-- Brings `hosts` up to date after `due:HOST` has changed.
local function note_first_due(host)
  local first = redis.call('ZRANGE', key('due', host), 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', key('hosts'), first[2], host)
  else
    redis.call('ZREM', key('hosts'), host)
  end
end

local function set_due(id, host, due)
  redis.call('HSET', key('delivery', id), 'due_us', due)
  redis.call('ZADD', key('due', host), due, id)
end

local function unset_due(id, host)
  redis.call('HDEL', key('delivery', id), 'due_us')
  redis.call('ZREM', key('due', host), id)
end

-- The one place where a row changes its state. `due` is for `pending` alone.
local function set_state(id, state, due)
  local old, url, host, created =
    unpack(redis.call('HMGET', key('delivery', id), 'state', 'url', 'host', 'created_us'))
  redis.call('HSET', key('delivery', id), 'state', state)
  if old ~= state then
    if old then redis.call('ZREM', key('deliveries', old), id) end
    redis.call('ZADD', key('deliveries', state), '-' .. created, id)
    if old == 'disabled' then redis.call('SREM', key('held', url), id) end
    if state == 'disabled' then redis.call('SADD', key('held', url), id) end
  end
  if state == 'pending' then set_due(id, host, due) else unset_due(id, host) end
  note_first_due(host)
end

-- Empties the vault of an ended call out of which nobody is to get anything any more.
local function empty_vault(sid)
  if redis.call('EXISTS', key('secrets', sid)) == 0 then return end
  if redis.call('HEXISTS', key('call', sid), 'ended_us') == 0 then return end
  for _, id in ipairs(redis.call('ZRANGE', key('deliveries_of', sid), 0, -1)) do
    local state, secrets = unpack(redis.call('HMGET', key('delivery', id), 'state', 'secrets'))
    if state == 'pending' and secrets and secrets ~= '' then return end
  end
  redis.call('UNLINK', key('secrets', sid))
end

-- Rows that stand in `args`, due at `now`, or held if their URL is disabled; those that are there are left alone.
local function add_deliveries(sid, now, args, first, last)
  for n = first, last, NEW do
    local id, url, host, body, secret, bearer, secrets = unpack(args, n, n + NEW - 1)
    if redis.call('EXISTS', key('delivery', id)) == 0 then
      redis.call(
        'HSET', key('delivery', id), 'call_sid', sid, 'url', url, 'host', host, 'body', body, 'secret', secret,
        'bearer', bearer, 'secrets', secrets, 'attempts', 0, 'created_us', now
      )
      redis.call('ZADD', key('deliveries'), '-' .. now, id)
      redis.call('ZADD', key('deliveries_of', sid), '-' .. now, id)
      local held = redis.call('ZSCORE', key('disabled_urls'), url)
      set_state(id, held and 'disabled' or 'pending', now)
    end
  end
end

-- sid, now_us, deliveries.
function program.enqueue(args)
  add_deliveries(args[2], args[3], args, 4, #args)
end

-- now_us, when the lease lapses, limit, per_host, then hosts and how many are under way to each: rows.
function program.lease(args)
  local now, lapses, limit, per_host = args[2], args[3], tonumber(args[4]), tonumber(args[5])
  local under_way = {}
  for n = 6, #args, 2 do under_way[args[n]] = tonumber(args[n + 1]) end
  local leased = {}
  for _, host in ipairs(redis.call('ZRANGEBYSCORE', key('hosts'), '-inf', now)) do
    local room = math.min(per_host - (under_way[host] or 0), limit - #leased)
    if room > 0 then
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('due', host), '-inf', now, 'LIMIT', 0, room)) do
        set_due(id, host, lapses)
        leased[#leased + 1] = id
      end
      note_first_due(host)
    end
  end
  return deliveries(leased)
end

-- after_us: when the first row beyond it is due; false if none is.
function program.next_due(args)
  local after = args[2]
  local first = redis.call('ZRANGEBYSCORE', key('hosts'), '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  for _, host in ipairs(redis.call('ZRANGEBYSCORE', key('hosts'), '-inf', after)) do
    local due = redis.call('ZRANGEBYSCORE', key('due', host), '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if due and (not first or tonumber(due) < tonumber(first)) then first = due end
  end
  return first or false
end

-- webhook_id, now_us, status.
function program.delivered(args)
  local id, now, status = args[2], args[3], args[4]
  local state = redis.call('HGET', key('delivery', id), 'state')
  if not state or state == 'delivered' then return end
  redis.call('HINCRBY', key('delivery', id), 'attempts', 1)
  redis.call('HSET', key('delivery', id), 'tried_us', now, 'status', status)
  redis.call('HDEL', key('delivery', id), 'reason')
  set_state(id, 'delivered')
  empty_vault(redis.call('HGET', key('delivery', id), 'call_sid'))
end

-- webhook_id, now_us, reason, attempts before, the next state, when it is due then (or ''), of the attempt under way:
-- its URL and host if that is to be held from now on, or false.
function program.failed(args)
  local id, now, reason, attempts, next_state, due = args[2], args[3], args[4], args[5], args[6], args[7]
  local state, so_far, url, host =
    unpack(redis.call('HMGET', key('delivery', id), 'state', 'attempts', 'url', 'host'))
  if state ~= 'pending' or so_far ~= attempts then return false end
  redis.call('HINCRBY', key('delivery', id), 'attempts', 1)
  redis.call('HSET', key('delivery', id), 'tried_us', now, 'reason', reason)
  redis.call('HDEL', key('delivery', id), 'status')
  set_state(id, next_state, due)
  if next_state ~= 'pending' then empty_vault(redis.call('HGET', key('delivery', id), 'call_sid')) end
  if next_state ~= 'disabled' then return false end
  redis.call('ZADD', key('disabled_urls'), now, url)
  return {url, host}
end

-- url, host, how many of its rows to pass over, limit: holds those that are for `url`; how many there were, and how
-- many of these are held now.
function program.hold(args)
  local url, host, first, limit = args[2], args[3], tonumber(args[4]), tonumber(args[5])
  local ids = redis.call('ZRANGE', key('due', host), first, first + limit - 1)
  local held = 0
  for _, id in ipairs(ids) do
    if redis.call('HGET', key('delivery', id), 'url') == url then
      set_state(id, 'disabled')
      empty_vault(redis.call('HGET', key('delivery', id), 'call_sid'))
      held = held + 1
    end
  end
  return {#ids, held}
end

-- webhook_id, now_us: its URL, which is enabled; false for an unknown one.
function program.requeue(args)
  local id, now = args[2], args[3]
  local url = redis.call('HGET', key('delivery', id), 'url')
  if not url then return false end
  redis.call('HSET', key('delivery', id), 'attempts', 0)
  set_state(id, 'pending', now)
  redis.call('ZREM', key('disabled_urls'), url)
  return url
end

-- url, now_us, limit: lets so many of the rows go that are held; how many did.
function program.release(args)
  local url, now, limit = args[2], args[3], args[4]
  local ids = redis.call('SRANDMEMBER', key('held', url), limit)
  for _, id in ipairs(ids) do set_state(id, 'pending', now) end
  return #ids
end

-- webhook_id: the row, or false.
function program.delivery(args)
  return delivery(args[2])
end

-- How many rows are pending, dead and disabled, and when the oldest pending one was made (false if there is none).
function program.backlog(args)
  local oldest = redis.call('ZRANGE', key('deliveries', 'pending'), -1, -1)[1]
  return {
    redis.call('ZCARD', key('deliveries', 'pending')), redis.call('ZCARD', key('deliveries', 'dead')),
    redis.call('ZCARD', key('deliveries', 'disabled')),
    oldest and redis.call('HGET', key('delivery', oldest), 'created_us') or false,
  }
end

-- How many of an index by age stand before the place after a row, which need not be in it.
local function rank_behind(index, created, id)
  local rank = redis.call('ZCOUNT', index, '-inf', '(-' .. created)
  for _, tied in ipairs(redis.call('ZRANGEBYSCORE', index, '-' .. created, '-' .. created)) do
    if tied <= id then rank = rank + 1 end
  end
  return rank
end

-- limit, state (or ''), sid (or ''), a place to go on after (a time of creation and an id, or '' twice): rows, latest
-- first.
function program.deliveries(args)
  local limit, state, sid, created, place = tonumber(args[2]), args[3], args[4], args[5], args[6]
  local index = key('deliveries')
  if sid ~= '' then
    index = key('deliveries_of', sid)
  elseif state ~= '' then
    index = key('deliveries', state)
  end
  local rank = created == '' and 0 or rank_behind(index, created, place)
  if sid == '' then return deliveries(redis.call('ZRANGE', index, rank, rank + limit - 1)) end
  local wanted = {}
  for _, id in ipairs(redis.call('ZRANGE', index, rank, -1)) do
    local fits = state == '' or redis.call('HGET', key('delivery', id), 'state') == state
    if fits and #wanted < limit then wanted[#wanted + 1] = id end
  end
  return deliveries(wanted)
end
