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
const TOTALS = `
local totals = redis.call('HMGET', p, 'version', 'seq', 'events', 'bytes')
if totals[1] ~= '${MIGRATIONS.length}' then return redis.error_reply('SCHEMA ' .. (totals[1] or '0')) end
local seq, events, bytes = tonumber(totals[2]), tonumber(totals[3]), tonumber(totals[4])
local function save() redis.call('HSET', p, 'seq', int(seq), 'events', int(events), 'bytes', int(bytes)) end
`

/**
 * Redis refuses what may need memory where it has none left, but not within a script that has written already (\`SCRIPT_WRITE_DIRTY\` in script.c
 * of 7.0, \`lua_write_dirty\` in scripting.c of 6.2): to delete a key that is not there counts as such, and so does what takes something away.
 * Without this, a spool that is full could not be emptied.
 */
const WITHOUT_MEMORY = `
redis.call('DEL', p .. ':none')
`

const LANES = `
local stamp = ' ' .. int(at) .. '\\n' -- SEQ has 13 digits for the next thousand years, so that Lua writes it as it is

-- Behind what waits of a contact: it is due at once where nothing does.
local function append(lane, entries)
  if redis.call('RPUSH', p .. ':lane:' .. lane, unpack(entries)) == #entries then
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
  local acceptedAt, body = string.match(first, '^%d+ (%d+)\\n(.*)$')
  local following = redis.call('LINDEX', p .. ':lane:' .. lane, 0)
  redis.call('HDEL', p .. ':held', lane)
  if following then
    local followingAt = string.match(following, '^%d+ (%d+)')
    redis.call('ZADD', p .. ':due', int(at), lane)
    if followingAt ~= acceptedAt then redis.call('ZADD', p .. ':heads', followingAt, lane) end
  else
    redis.call('ZREM', p .. ':due', lane)
    redis.call('ZREM', p .. ':heads', lane)
  end
  events = events - 1
  return body, acceptedAt
end

local function remember(name)
  redis.call('SET', p .. ':id:' .. name, int(at + ${SEEN_MS}), 'PX', ${SEEN_MS})
end
`

/**
 * ARGV: time, most bytes, then of each contact: its CONTACT, how many events, and of each event ID and body. A contact's events come in portions
 * of at most 1 000: Lua has a stack of 8 000 values.
 * The first thing that is written is refused where there is no memory left, so that nothing is.
 */
const PUT = `
local groups = {}
local added = 0
local count = 0
local i = 3
while i < #ARGV do
  local lane = ARGV[i]
  local last = i + 2 * ARGV[i + 1]
  local ids, fresh = {}, {}
  for n = i + 2, last, 2 do ids[#ids + 1] = p .. ':id:' .. ARGV[n] .. ' ' .. lane end
  for n, known in ipairs(redis.call('MGET', unpack(ids))) do
    if not known or (known ~= '0' and tonumber(known) < at) then
      local body = ARGV[i + 1 + 2 * n]
      fresh[#fresh + 1] = { ids[n], body }
      added = added + #body
    end
  end
  if #fresh > 0 then groups[#groups + 1] = { lane, fresh } end
  count = count + #fresh
  i = last + 2
end
if count == 0 then
  -- Whoever put them may have had no answer: what is written now is synced after them, and so are they.
  redis.call('DEL', p .. ':none')
  save()
  return 'accepted'
end
if bytes + added > tonumber(ARGV[2]) then return 'full' end
for _, group in ipairs(groups) do
  local ids, entries = {}, {}
  for n, event in ipairs(group[2]) do
    ids[2 * n - 1], ids[2 * n] = event[1], '0'
    entries[n] = seq + n .. stamp .. event[2]
  end
  redis.call('MSET', unpack(ids))
  append(group[1], entries)
  seq = seq + #entries
end
events = events + count
bytes = bytes + added
save()
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
${WITHOUT_MEMORY}
local fence = redis.call('HINCRBY', p, 'fence', #lanes) - #lanes
for n, lane in ipairs(lanes) do
  local entry = redis.call('LINDEX', p .. ':lane:' .. lane, 0)
  if entry then
    local attempts = string.match(redis.call('HGET', p .. ':held', lane) or '0 0', '%d+$')
    redis.call('ZADD', p .. ':due', int(at + ${LEASE_MS}), lane)
    redis.call('HSET', p .. ':held', lane, int(fence + n) .. ' ' .. attempts)
    local details = redis.call('GET', p .. ':details:' .. lane)
    claims[#claims + 1] = { entry, attempts, int(fence + n), details or '' }
  else
    -- Somebody has deleted the list: others go on.
    redis.call('ZREM', p .. ':due', lane)
    redis.call('ZREM', p .. ':heads', lane)
  end
end
return claims
`

/** ARGV: time, contact, fence, name. */
const SETTLE = `
if not isHeld(ARGV[2], ARGV[3]) then return 0 end
local body = advance(ARGV[2])
bytes = bytes - #body
save()
redis.call('DEL', p .. ':details:' .. ARGV[2])
remember(ARGV[4])
return 1
`

/** ARGV: time, contact, fence, milliseconds to wait. */
const RETRY = `
if not isHeld(ARGV[2], ARGV[3]) then return 0 end
${WITHOUT_MEMORY}
local attempts = string.match(redis.call('HGET', p .. ':held', ARGV[2]), '%d+$')
redis.call('HSET', p .. ':held', ARGV[2], '0 ' .. int(attempts + 1))
redis.call('ZADD', p .. ':due', int(at + ARGV[4]), ARGV[2])
return 1
`

/** ARGV: time, contact, fence, name, reason, details or an empty text. */
const BURY = `
if not isHeld(ARGV[2], ARGV[3]) then return 0 end
local body, acceptedAt = advance(ARGV[2])
seq = seq + 1
save()
redis.call('ZADD', p .. ':dead', int(seq), ARGV[4])
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

/** ARGV: time, ids. Gives the number of each buried event that has one of them. */
const FIND = `
local found = {}
for i = 2, #ARGV do
  for _, name in ipairs(redis.call('ZRANGEBYLEX', p .. ':dead:names', '[' .. ARGV[i] .. ' ', '(' .. ARGV[i] .. '!')) do
    found[#found + 1] = redis.call('ZSCORE', p .. ':dead', name)
  end
end
return found
`

/**
 * ARGV: time, then either `all`, most, and up to which number (empty at first: what is buried from now on is not meant); or `numbers` and these.
 * Gives how many there were, and the number for the next portion.
 */
const EXHUME = `
local function chosen()
  if ARGV[2] == 'all' then return redis.call('ZRANGEBYSCORE', p .. ':dead', '-inf', upTo, 'LIMIT', 0, ARGV[3]) end
  local names = {}
  for i = 3, #ARGV do
    names[#names + 1] = redis.call('ZRANGEBYSCORE', p .. ':dead', ARGV[i], ARGV[i])[1]
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
if not upTo or upTo == '' then upTo = int(seq) end
`

const REPLAY = `
local names = chosen()
for _, name in ipairs(names) do
  seq = seq + 1
  append(string.sub(name, 38), { seq .. stamp .. exhume(name) })
  events = events + 1
end
save()
return { #names, upTo }
`

const DROP = `
local names = chosen()
for _, name in ipairs(names) do
  bytes = bytes - #exhume(name)
  remember(name)
end
save()
return { #names, upTo }
`

/** Gives events, bytes, contacts, buried ones, when the next is due, when the oldest was accepted; the last two empty where none waits. */
const STATS = `
local due = redis.call('ZRANGE', p .. ':due', 0, 0, 'WITHSCORES')
local oldest = redis.call('ZRANGE', p .. ':heads', 0, 0, 'WITHSCORES')
return { int(events), int(bytes), redis.call('ZCARD', p .. ':due'), redis.call('ZCARD', p .. ':dead'), due[2] or '', oldest[2] or '' }
`

const step = (...parts: string[]): string => BASE + CLOCK + TOTALS + parts.join('')

/** The scripts by what they do. */
export const SCRIPTS = {
  put: step(LANES, PUT),
  claim: step(CLAIM),
  settle: step(LANES, SETTLE),
  retry: step(LANES, RETRY),
  bury: step(LANES, BURY),
  list: step(LIST),
  find: step(FIND),
  replay: step(LANES, UP_TO, EXHUME, REPLAY),
  drop: step(LANES, UP_TO, EXHUME, DROP),
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
