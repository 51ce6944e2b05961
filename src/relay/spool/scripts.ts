/**
 * What a spool does within Redis, in Lua.
 * Invariant: each script is one step that no other command comes between; it has one key, the prefix, in whose braces all others are, so that a
 * cluster keeps them together; text of events is carried and measured, never read.
 *
 * Under the prefix (`{pristo}` itself is a hash of totals: version, seq, fence, events, bytes):
 *
 * - `:lane:CONTACT` list: events that wait, each `SEQ ACCEPTED_AT\nBODY`. The first one is the one that may be on its way.
 * - `:due` sorted set: contacts by when their first event may be claimed, which a claim moves by the lease.
 * - `:heads` sorted set: contacts by when their first event was accepted.
 * - `:held` hash: contact to `FENCE ATTEMPTS`, only while an event is on its way or was tried.
 * - `:id:NAME` string: `0` while the event waits or is buried, then until when it is known, in milliseconds since 1970.
 * - `:details:CONTACT` string: what buried events could not bring to Pristo.
 * - `:dead` sorted set: names of buried events by a number that grows; `:dead:names` the same by name; `:dead:events` hash: name to
 *   `ACCEPTED_AT BURIED_AT\nREASON\nBODY`.
 *
 * CONTACT is the contact's id as JSON, NAME the event's id, a space and CONTACT: no two of them make one text, and neither has a line break.
 */
import { DETAILS_MS, LEASE_MS, MAX_WAIT_MS, SEEN_MS } from './spool.ts'

/**
 * Each makes the schema of its number (from 1) of the one before it. What is here was released and never changes. A relay of an older version
 * that is still at work finds the number changed at its next script, and is refused; so a step may change anything, but it holds up all others
 * while it runs: what it does to every event must be done in portions, by scripts that know both forms, before the number changes.
 *
 * `fence` and `seq` begin at the time, not at 0: where somebody empties the database, no claim from before is taken for one from after.
 */
export const MIGRATIONS: readonly string[] = ["redis.call('HSET', p, 'seq', int(at), 'fence', int(at), 'events', 0, 'bytes', 0)"]

/** Numbers of over 14 digits would become 1e+15. */
const BASE = `
local p = KEYS[1]
local function int(n) return string.format('%.0f', n) end
`

/** ARGV[1] is the time, or empty: then it is the server's, since the clocks of relays differ. */
const CLOCK = `
local at = tonumber(ARGV[1])
if not at then
  local time = redis.call('TIME')
  at = time[1] * 1000 + math.floor(time[2] / 1000)
end
`

/** An older relay must not write what a newer one would not read, nor any into a database that was emptied. */
const VERSION = `
local version = redis.call('HGET', p, 'version') or '0'
if version ~= '${MIGRATIONS.length}' then return redis.error_reply('SCHEMA ' .. version) end
`

/**
 * Redis refuses what may need memory where it has none left, but not within a script that has written already (scripting.c, \`SCRIPT_WRITE_DIRTY\`;
 * 6.2 and 7.0): to delete a key that is not there counts as such. Without this, a spool that is full could not be emptied.
 */
const WITHOUT_MEMORY = `
redis.call('DEL', p .. ':none')
`

const LANES = `
local function append(lane, seq, body)
  if redis.call('RPUSH', p .. ':lane:' .. lane, int(seq) .. ' ' .. int(at) .. '\\n' .. body) == 1 then
    redis.call('ZADD', p .. ':due', int(at), lane)
    redis.call('ZADD', p .. ':heads', int(at), lane)
  end
end

local function isHeld(lane, fence)
  local held = redis.call('HGET', p .. ':held', lane)
  return held and string.match(held, '^%d+') == fence
end

-- Takes the first event of a lane out: the next one is due, or the lane is over.
local function advance(lane)
  local first = redis.call('LPOP', p .. ':lane:' .. lane)
  local following = redis.call('LINDEX', p .. ':lane:' .. lane, 0)
  redis.call('HDEL', p .. ':held', lane)
  if following then
    redis.call('ZADD', p .. ':due', int(at), lane)
    redis.call('ZADD', p .. ':heads', string.match(following, '^%d+ (%d+)'), lane)
  else
    redis.call('ZREM', p .. ':due', lane)
    redis.call('ZREM', p .. ':heads', lane)
  end
  redis.call('HINCRBY', p, 'events', -1)
  return first
end

local function remember(name)
  redis.call('SET', p .. ':id:' .. name, int(at + ${SEEN_MS}), 'PX', ${SEEN_MS})
end
`

/** ARGV: time, most bytes, then of each event name, contact, body. */
const PUT = `
local totals = redis.call('HMGET', p, 'seq', 'events', 'bytes')
local fresh = {}
local added = 0
for i = 3, #ARGV, 3 do
  local known = redis.call('GET', p .. ':id:' .. ARGV[i])
  if not known or (known ~= '0' and tonumber(known) < at) then
    fresh[#fresh + 1] = i
    added = added + #ARGV[i + 2]
  end
end
if #fresh == 0 then
  -- Whoever put them may have had no answer: what is written now is synced after them, and so are they.
  redis.call('DEL', p .. ':none')
  redis.call('HINCRBY', p, 'known', 1)
  return 'accepted'
end
if totals[3] + added > tonumber(ARGV[2]) then return 'full' end
redis.call('HSET', p, 'seq', int(totals[1] + #fresh), 'events', int(totals[2] + #fresh), 'bytes', int(totals[3] + added))
for n, i in ipairs(fresh) do
  redis.call('SET', p .. ':id:' .. ARGV[i], 0)
  append(ARGV[i + 1], totals[1] + n, ARGV[i + 2])
end
return 'accepted'
`

/** ARGV: time, most. Gives of each claim: entry, attempts, fence, details or an empty text. */
const CLAIM = `
local lanes = redis.call('ZRANGEBYSCORE', p .. ':due', '-inf', int(at), 'LIMIT', 0, ARGV[2])
if #lanes < tonumber(ARGV[2]) then
  local astray = redis.call('ZRANGEBYSCORE', p .. ':due', '(' .. int(at + ${MAX_WAIT_MS}), '+inf', 'LIMIT', 0, ARGV[2] - #lanes)
  for _, lane in ipairs(astray) do lanes[#lanes + 1] = lane end
end
local claims = {}
if #lanes == 0 then return claims end
local fence = redis.call('HINCRBY', p, 'fence', #lanes) - #lanes
for n, lane in ipairs(lanes) do
  local attempts = string.match(redis.call('HGET', p .. ':held', lane) or '0 0', '%d+$')
  redis.call('ZADD', p .. ':due', int(at + ${LEASE_MS}), lane)
  redis.call('HSET', p .. ':held', lane, int(fence + n) .. ' ' .. attempts)
  local entry = redis.call('LINDEX', p .. ':lane:' .. lane, 0)
  local details = redis.call('GET', p .. ':details:' .. lane)
  claims[n] = { entry, attempts, int(fence + n), details or '' }
end
return claims
`

/** ARGV: time, contact, fence, name. */
const SETTLE = `
if not isHeld(ARGV[2], ARGV[3]) then return 0 end
local body = string.match(advance(ARGV[2]), '\\n(.*)$')
redis.call('HINCRBY', p, 'bytes', -#body)
redis.call('DEL', p .. ':details:' .. ARGV[2])
remember(ARGV[4])
return 1
`

/** ARGV: time, contact, fence, milliseconds to wait. */
const RETRY = `
if not isHeld(ARGV[2], ARGV[3]) then return 0 end
local attempts = string.match(redis.call('HGET', p .. ':held', ARGV[2]), '%d+$')
redis.call('HSET', p .. ':held', ARGV[2], '0 ' .. int(attempts + 1))
redis.call('ZADD', p .. ':due', int(at + ARGV[4]), ARGV[2])
return 1
`

/** ARGV: time, contact, fence, name, reason, details or an empty text. */
const BURY = `
if not isHeld(ARGV[2], ARGV[3]) then return 0 end
local acceptedAt, body = string.match(advance(ARGV[2]), '^%d+ (%d+)\\n(.*)$')
redis.call('ZADD', p .. ':dead', redis.call('HINCRBY', p, 'seq', 1), ARGV[4])
redis.call('ZADD', p .. ':dead:names', 0, ARGV[4])
redis.call('HSET', p .. ':dead:events', ARGV[4], acceptedAt .. ' ' .. int(at) .. '\\n' .. ARGV[5] .. '\\n' .. body)
if ARGV[6] ~= '' then redis.call('SET', p .. ':details:' .. ARGV[2], ARGV[6], 'PX', ${DETAILS_MS}) end
return 1
`

/** ARGV: time, the number after which to begin, most. Gives of each: number, entry. */
const LIST = `
local found = redis.call('ZRANGEBYSCORE', p .. ':dead', '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local events = {}
for i = 1, #found, 2 do events[#events + 1] = { found[i + 1], redis.call('HGET', p .. ':dead:events', found[i]) } end
return events
`

/**
 * ARGV: time, then either `all`, most, and up to which number (empty at first: what is buried from now on is not meant); or `ids` and these.
 * Gives how many there were, and the number for the next portion.
 */
const EXHUME = `
local function chosen()
  if ARGV[2] == 'all' then return redis.call('ZRANGEBYSCORE', p .. ':dead', '-inf', upTo, 'LIMIT', 0, ARGV[3]) end
  local names = {}
  for i = 3, #ARGV do
    for _, name in ipairs(redis.call('ZRANGEBYLEX', p .. ':dead:names', '[' .. ARGV[i] .. ' ', '(' .. ARGV[i] .. '!')) do names[#names + 1] = name end
  end
  return names
end

local function exhume(name)
  local entry = redis.call('HGET', p .. ':dead:events', name)
  redis.call('ZREM', p .. ':dead', name)
  redis.call('ZREM', p .. ':dead:names', name)
  redis.call('HDEL', p .. ':dead:events', name)
  return string.match(entry, '\\n.-\\n(.*)$')
end
`

const UP_TO = `
local upTo = ARGV[4]
if not upTo or upTo == '' then upTo = redis.call('HGET', p, 'seq') end
`

const REPLAY = `
local names = chosen()
for _, name in ipairs(names) do
  append(string.sub(name, 38), redis.call('HINCRBY', p, 'seq', 1), exhume(name))
  redis.call('HINCRBY', p, 'events', 1)
end
return { #names, upTo }
`

const DROP = `
local names = chosen()
for _, name in ipairs(names) do
  redis.call('HINCRBY', p, 'bytes', -#exhume(name))
  remember(name)
end
return { #names, upTo }
`

/** Gives events, bytes, contacts, buried ones, when the next is due, when the oldest was accepted; the last two empty where none waits. */
const STATS = `
local totals = redis.call('HMGET', p, 'events', 'bytes')
local due = redis.call('ZRANGE', p .. ':due', 0, 0, 'WITHSCORES')
local oldest = redis.call('ZRANGE', p .. ':heads', 0, 0, 'WITHSCORES')
return { totals[1], totals[2], redis.call('ZCARD', p .. ':due'), redis.call('ZCARD', p .. ':dead'), due[2] or '', oldest[2] or '' }
`

const step = (...parts: string[]): string => BASE + CLOCK + VERSION + parts.join('')

/** The scripts by what they do. */
export const SCRIPTS = {
  put: step(LANES, PUT),
  claim: step(WITHOUT_MEMORY, CLAIM),
  settle: step(WITHOUT_MEMORY, LANES, SETTLE),
  retry: step(WITHOUT_MEMORY, LANES, RETRY),
  bury: step(WITHOUT_MEMORY, LANES, BURY),
  list: step(LIST),
  replay: step(WITHOUT_MEMORY, LANES, UP_TO, EXHUME, REPLAY),
  drop: step(WITHOUT_MEMORY, LANES, UP_TO, EXHUME, DROP),
  stats: step(STATS),
} as const

/** The migration to a version, as a script: does nothing where another relay was first. Gives the version that there is then. ARGV: time. */
export const migrationTo = (version: number, migrations = MIGRATIONS): string => `${BASE}${CLOCK}
local version = tonumber(redis.call('HGET', p, 'version') or '0')
if version ~= ${version - 1} then return version end
${migrations[version - 1] ?? ''}
redis.call('HSET', p, 'version', ${version})
return ${version}
`
