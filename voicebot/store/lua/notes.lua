-- Notes that instances leave each other.

-- key, body, what is to stand there now; `1` before either of the two, or `0` for none: 1 if the note is `body` then.
function program.put_note(args)
  local name = args[2]
  local body = args[3] == '1' and args[4]
  local instead_of = args[5] == '1' and args[6]
  local standing = redis.call('HGET', key('notes'), name)
  if standing == body then return 1 end
  if standing ~= instead_of then return 0 end
  if body then redis.call('HSET', key('notes'), name, body) else redis.call('HDEL', key('notes'), name) end
  return 1
end
