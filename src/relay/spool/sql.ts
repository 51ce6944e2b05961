/**
 * A spool in SQL, for any SQLite: a file on Node, the storage of a Durable Object.
 * Invariant: every function is one step of a transaction that its caller begins and commits; nothing here waits.
 */
import type { Contact, PristoEvent } from '../../contract.ts'
import { parseJson } from '../json.ts'
import {
  byName,
  DETAILS_MS,
  detailsOf,
  FORGET_AT_ONCE,
  laneOf,
  LEASE_MS,
  MAX_BYTES,
  MAX_WAIT_MS,
  nameOf,
  portionsOf,
  SEEN_MS,
  SpoolError,
  withDetails,
  type Claim,
  type DeadEvent,
  type Reason,
  type Selection,
  type Stats,
} from './spool.ts'

/** A value in a row. */
export type Value = string | number | null

/** Runs one statement, its values bound to `?`, and gives its rows. */
export type Query = (sql: string, ...values: Value[]) => Record<string, unknown>[]

/**
 * Each makes the schema of its number (from 1) of the one before it. What is here was released and never changes: a spool may be of any age.
 *
 * `lanes` has one row for each contact with events: `due_at` is when its first event may be claimed, which a claim moves by the lease.
 * `seen` has what left within 48 h. `details` is what buried events could not bring to Pristo. `totals` is one row; its `fence` numbers claims and
 * burials, and only grows: whoever chose buried events gets no others in their place. (Numbers that SQLite gave before were lower: a burial has a claim.)
 */
export const MIGRATIONS: readonly (readonly string[])[] = [
  [
    'create table events (seq integer primary key, key text not null unique, contact text not null, body text not null, bytes integer not null, accepted_at integer not null)',
    'create index events_of_contact on events (contact, seq)',
    'create table lanes (contact text primary key, due_at integer not null, attempts integer not null, fence integer not null) without rowid',
    'create index lanes_by_due on lanes (due_at)',
    'create table dead (seq integer primary key, key text not null unique, body text not null, bytes integer not null, reason text not null, accepted_at integer not null, buried_at integer not null)',
    'create table seen (key text primary key, until integer not null) without rowid',
    'create index seen_by_until on seen (until)',
    'create table totals (events integer not null, lanes integer not null, dead integer not null, bytes integer not null, fence integer not null)',
    'insert into totals values (0, 0, 0, 0, 0)',
  ],
  ['create table details (contact text primary key, body text not null, until integer not null) without rowid', 'create index details_by_until on details (until)'],
]

const utf8 = new TextEncoder()

/** How many ids a statement takes at the most: SQLite's own limit is far above. */
const IDS_AT_ONCE = 100

/** What the columns hold is what was written: a row of another shape is a file that somebody else has changed. */
const number = (row: Record<string, unknown>, column: string): number => {
  const value = row[column]
  if (typeof value === 'number') return value
  throw new SpoolError(`holds no number in ${column}: the file is damaged`)
}

const json = <T>(row: Record<string, unknown>, column: string): T => {
  const value = parseJson(String(row[column]))
  if (typeof value === 'object' && value !== null) return value as T // written by `put` or `bury`, which typed it
  throw new SpoolError(`holds no JSON in ${column}: the file is damaged`)
}

/** Brings the schema to the newest version, within a transaction. Throws where it is of a newer package. */
export const migrate = (query: Query, migrations = MIGRATIONS): void => {
  query('create table if not exists version (version integer not null)')
  const [row] = query('select version from version')
  const version = row ? number(row, 'version') : 0
  if (version > migrations.length)
    throw new SpoolError(`was written by a newer version of pristo (schema ${version}; this one knows ${migrations.length}): install that one`)
  if (version === migrations.length) return // not a byte is written: the disk may be full
  for (const statements of migrations.slice(version)) for (const statement of statements) query(statement)
  query(row ? 'update version set version = ?' : 'insert into version values (?)', migrations.length)
}

/** `query` must be within a transaction at each call; `now` in milliseconds. */
export const createSqlSpool = ({ query, now, maxBytes = MAX_BYTES }: { query: Query; now: () => number; maxBytes?: number }) => {
  const first = (sql: string, ...values: Value[]): Record<string, unknown> | undefined => query(sql, ...values)[0]

  const totals = (): Record<string, unknown> => first('select * from totals') ?? {}

  const nextFence = (): number => number(first('update totals set fence = fence + 1 returning fence') ?? {}, 'fence')

  /** Whether the claim is still its holder's. */
  const isHeld = ({ event, fence }: Claim): boolean => first('select 1 from lanes where contact = ? and fence = ?', laneOf(event.contact), fence) !== undefined

  /** Adds to the lane of a contact: it is due at once where it is new, else when it was. */
  const openLane = (contact: string, at: number): void => {
    const isNew = query('insert into lanes values (?, ?, 0, 0) on conflict do nothing returning 1', contact, at).length
    if (isNew) query('update totals set lanes = lanes + 1')
  }

  /** The first event of a lane is gone: the next one is due, or the lane is over. */
  const advance = ({ event, seq }: Claim, bytes: number): void => {
    const contact = laneOf(event.contact)
    query('delete from events where seq = ?', seq)
    query('update totals set events = events - 1, bytes = bytes - ?', bytes)
    if (first('select 1 from events where contact = ? limit 1', contact)) {
      query('update lanes set due_at = ?, attempts = 0, fence = 0 where contact = ?', now(), contact)
      return
    }
    query('delete from lanes where contact = ?', contact)
    query('update totals set lanes = lanes - 1')
  }

  const forget = (at: number): void => {
    query('delete from seen where key in (select key from seen where until < ? order by until limit ?)', at, FORGET_AT_ONCE)
    query('delete from details where contact in (select contact from details where until < ? order by until limit ?)', at, FORGET_AT_ONCE)
  }

  const isKnown = (key: string, at: number): boolean =>
    first('select 1 from events where key = ?1 union all select 1 from dead where key = ?1 union all select 1 from seen where key = ?1 and until >= ?2 limit 1', key, at) !== undefined

  const claimLane = (contact: string, attempts: number, at: number): Claim | undefined => {
    const row = first('select seq, body, accepted_at from events where contact = ? order by seq limit 1', contact)
    if (!row) return undefined
    const fence = nextFence()
    query('update lanes set due_at = ?, fence = ? where contact = ?', at + LEASE_MS, fence, contact)
    const details = first('select body from details where contact = ?', contact)
    const event = withDetails(json<PristoEvent>(row, 'body'), details && json<Contact>(details, 'body'))
    return { event, acceptedAt: number(row, 'accepted_at'), attempts, seq: number(row, 'seq'), fence }
  }

  /** Where the buried events of a selection are, in the order in which they were buried: without one, SQLite gives them by their keys. */
  const selectDead = (which: Selection): number[] => {
    if (which === 'all') return query('select seq from dead order by seq').map((row) => number(row, 'seq'))
    const ids = [...new Set(which.map((id) => id.toLowerCase()))]
    const rows = portionsOf(ids, IDS_AT_ONCE).flatMap((portion) => query(`select seq from dead where substr(key, 1, 36) in (${portion.map(() => '?').join(', ')})`, ...portion))
    return rows.map((row) => number(row, 'seq')).sort((one, other) => one - other)
  }

  const isDead = (seq: number): boolean => first('select 1 from dead where seq = ?', seq) !== undefined

  const exhume = (seq: Value): { row: Record<string, unknown>; bytes: number } => {
    const row = first('delete from dead where seq = ? returning *', seq) ?? {}
    const bytes = number(row, 'bytes')
    query('update totals set dead = dead - 1, bytes = bytes - ?', bytes)
    return { row, bytes }
  }

  const insert = (event: PristoEvent, body: string, bytes: number, at: number): void => {
    query('insert into events (key, contact, body, bytes, accepted_at) values (?, ?, ?, ?, ?)', nameOf(event), laneOf(event.contact), body, bytes, at)
    query('update totals set events = events + 1, bytes = bytes + ?', bytes)
    openLane(laneOf(event.contact), at)
  }

  return {
    put: (events: readonly PristoEvent[]): 'accepted' | 'full' => {
      const at = now()
      forget(at)
      const fresh = [...byName(events)].flatMap(([key, event]) => {
        if (isKnown(key, at)) return []
        const body = JSON.stringify(event)
        return [{ event, body, bytes: utf8.encode(body).length }]
      })
      const added = fresh.reduce((sum, { bytes }) => sum + bytes, 0)
      if (added && number(totals(), 'bytes') + added > maxBytes) return 'full'
      for (const { event, body, bytes } of fresh) insert(event, body, bytes, at)
      return 'accepted'
    },

    claim: (most: number): Claim[] => {
      const at = now()
      const due = query('select contact, attempts from lanes where due_at <= ? order by due_at limit ?', at, most)
      const astray = due.length < most ? query('select contact, attempts from lanes where due_at > ? limit ?', at + MAX_WAIT_MS, most - due.length) : []
      return [...due, ...astray].flatMap((lane) => claimLane(String(lane['contact']), number(lane, 'attempts'), at) ?? [])
    },

    settle: (claim: Claim): boolean => {
      if (!isHeld(claim)) return false
      const row = first('select key, bytes from events where seq = ?', claim.seq) ?? {}
      query('insert or replace into seen values (?, ?)', String(row['key']), now() + SEEN_MS)
      query('delete from details where contact = ?', laneOf(claim.event.contact))
      advance(claim, number(row, 'bytes'))
      return true
    },

    retry: (claim: Claim, delayMs: number): boolean => {
      if (!isHeld(claim)) return false
      query('update lanes set due_at = ?, attempts = attempts + 1, fence = 0 where contact = ?', now() + delayMs, laneOf(claim.event.contact))
      return true
    },

    bury: (claim: Claim, reason: Reason): boolean => {
      if (!isHeld(claim)) return false
      const at = now()
      const row = first('select key, body, bytes, accepted_at from events where seq = ?', claim.seq) ?? {}
      const bytes = number(row, 'bytes')
      query(
        'insert into dead (seq, key, body, bytes, reason, accepted_at, buried_at) values (?, ?, ?, ?, ?, ?, ?)',
        ...[nextFence(), String(row['key']), String(row['body']), bytes, JSON.stringify(reason), number(row, 'accepted_at'), at],
      )
      const details = detailsOf(claim.event)
      if (details) query('insert or replace into details values (?, ?, ?)', laneOf(details), JSON.stringify(details), at + DETAILS_MS)
      advance(claim, bytes)
      query('update totals set dead = dead + 1, bytes = bytes + ?', bytes)
      return true
    },

    stats: (): Stats => {
      const row = totals()
      const oldest = first('select accepted_at from events order by seq limit 1')
      const next = first('select due_at from lanes order by due_at limit 1')
      return {
        events: number(row, 'events'),
        contacts: number(row, 'lanes'),
        dead: number(row, 'dead'),
        bytes: number(row, 'bytes'),
        maxBytes,
        oldestAt: oldest && number(oldest, 'accepted_at'),
        dueAt: next && number(next, 'due_at'),
      }
    },

    list: (most: number): DeadEvent[] =>
      query('select * from dead order by seq limit ?', most).map((row) => ({
        event: json<PristoEvent>(row, 'body'),
        reason: json<Reason>(row, 'reason'),
        acceptedAt: number(row, 'accepted_at'),
        buriedAt: number(row, 'buried_at'),
      })),

    selectDead,

    /** By where they are; those that are there no more are left out. */
    replay: (chosen: readonly number[]): number => {
      const at = now()
      const there = chosen.filter(isDead)
      for (const seq of there) {
        const { row, bytes } = exhume(seq)
        insert(json<PristoEvent>(row, 'body'), String(row['body']), bytes, at)
      }
      return there.length
    },

    /** The same. */
    drop: (chosen: readonly number[]): number => {
      const there = chosen.filter(isDead)
      for (const seq of there) {
        const { row } = exhume(seq)
        query('insert or replace into seen values (?, ?)', String(row['key']), now() + SEEN_MS)
      }
      return there.length
    },
  }
}
