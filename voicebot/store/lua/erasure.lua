-- Retention and erasure.

local function has_pending(ids)
  for _, id in ipairs(ids) do
    if redis.call('HGET', key('delivery', id), 'state') == 'pending' then return true end
  end
  return false
end

local function erase_delivery(id)
  local state, url, host = unpack(redis.call('HMGET', key('delivery', id), 'state', 'url', 'host'))
  redis.call('ZREM', key('deliveries'), id)
  redis.call('ZREM', key('deliveries', state), id)
  redis.call('SREM', key('held', url), id)
  redis.call('ZREM', key('due', host), id)
  note_first_due(host)
  redis.call('UNLINK', key('delivery', id))
end

local function erase(sid)
  for _, id in ipairs(redis.call('ZRANGE', key('deliveries_of', sid), 0, -1)) do erase_delivery(id) end
  for _, index in ipairs({'calls', 'ended', 'endings'}) do redis.call('ZREM', key(index), sid) end
  for _, number in ipairs(numbers_of(sid)) do redis.call('ZREM', key('number', number), sid) end
  redis.call(
    'UNLINK', key('call', sid), key('journal', sid), key('report', sid), key('deliveries_of', sid), key('secrets', sid)
  )
end

-- '1' to keep calls with a pending delivery (or '0'), sids: those of them that had ended, and were erased.
function program.erase(args)
  local erased = {}
  for n = 3, #args do
    local sid = args[n]
    local ended = redis.call('HEXISTS', key('call', sid), 'ended_us') == 1
    local kept = args[2] == '1' and has_pending(redis.call('ZRANGE', key('deliveries_of', sid), 0, -1))
    if ended and not kept then
      erase(sid)
      erased[#erased + 1] = sid
    end
  end
  return erased
end

-- a time, how many to pass over, limit: sids of calls that ended before it, oldest first.
function program.ended_before(args)
  return redis.call('ZRANGEBYSCORE', key('endings'), '-inf', '(' .. args[2], 'LIMIT', args[3], args[4])
end

-- Our schema's version: the one that the database has then.
function program.schema(args)
  redis.call('SET', key('schema'), args[2], 'NX')
  return redis.call('GET', key('schema'))
end

-- A small write, and one that is allowed when memory is full: so that an erasure can then be waited for, too.
function program.mark()
  if redis.call('EXPIRE', key('written'), 1000000) == 0 then redis.call('SET', key('written'), 1) end
end
