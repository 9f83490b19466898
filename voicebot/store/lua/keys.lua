-- What runs inside Redis, so that every change of the store is one step. Each function of `program` is an operation: a
-- script of its own, with what it needs of the rest (see redis_program.py, which goes by the lines that begin a
-- definition). Its name is ARGV[1], its arguments (`args`) are counted from 2. Times are whole microseconds since 1970
-- as text: they are compared, never reckoned with, for Lua would print 16 digits as 14.
--
-- An operation looks at everything it needs before it writes anything: Redis undoes no script that fails half-way.
--
-- All keys begin with `voicebot:`. Of a call:
--   call:SID               hash     the record; `done_by` names the last change of hands, so that its repetition is known;
--                                   of an ended one `digest` (JSON), `outcome` and `ended_reason`
--   journal:SID            stream   entry N has the id N-0
--   report:SID             string
--   deliveries_of:SID      zset     its rows of the outbox
--   secrets:SID            hash     its vault: sealed values by field
-- Of all calls (scores are times, members are sids):
--   calls, unfinished, ended        zsets, by start
--   endings                         zset, by end
--   number:NUMBER          zset     those from or to it, by start
--   owner:ID               hash     an instance's unfinished calls, with the attempt of each
--   letters:ID             list     what was left for an instance
--   beats                  hash     instances, with the count of their beats
--   takers                 set      those that take calls
-- Of the outbox:
--   delivery:ID            hash     the row
--   deliveries, deliveries:STATE    zsets; scores are negative times of creation, so that the latest is first
--   due:HOST               zset     its pending rows, by when they are due (or their lease lapses)
--   hosts                  zset     hosts that have any, by when the first one is due
--   disabled_urls          zset     receivers that are gone, by since when
--   held:URL               set      their rows
-- And `notes` (hash, by the notes' keys), `clip:KEY` (strings that lapse), `schema`, `written` (what is written to see
-- whether it can be).

local PREFIX = 'voicebot:'

local function key(...)
  return PREFIX .. table.concat({...}, ':')
end

local program = {}
