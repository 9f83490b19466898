-- Letters between instances.

-- owner, letter.
function program.post_letter(args)
  redis.call('RPUSH', key('letters', args[2]), args[3])
  redis.call('EXPIRE', key('letters', args[2]), 600)
end

-- owner: its letters, which are gone then.
function program.take_letters(args)
  local letters = redis.call('LRANGE', key('letters', args[2]), 0, -1)
  redis.call('UNLINK', key('letters', args[2]))
  return letters
end
