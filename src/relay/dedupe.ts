/**
 * One delivery per event.
 * Invariant: only a stored event is remembered, a failing store never costs an event (at worst it costs a duplicate),
 * and no contact data enters a store outside of this process: its keys are hashes.
 */
import { hashText } from './hash.ts'
import { retry, stored, type Outcome } from './outcome.ts'
import { within } from './time.ts'

/** What a store knows of a key: never seen, another request is at work on it, or already stored. */
export type Claim = 'new' | 'busy' | 'done'

/**
 * Where delivered events are remembered; synchronous or not. Relays that share one never send an event twice.
 * Keys are 64 hex digits. Whatever throws or takes over a second is passed over: the event is delivered anyway.
 */
export interface DedupeStore {
  /** Answers `new` to exactly one caller and makes the key `busy`, for 30 s at the most, as its relay may have died. Must be atomic. */
  claim(key: string): Claim | Promise<Claim>
  /** The event is stored: answer `done` from now on, for as long as the store can (a browser comes back for 7 days). */
  keep(key: string): void | Promise<void>
  /** The event is not stored: forget the key. */
  release(key: string): void | Promise<void>
}

/** The longest call is 10 s; a claim three times as old was left behind by a relay that died. */
const LEASE_MS = 30_000

/** What a day of retries of a busy site needs; both are far below any limit of an edge isolate (10 000 × at most 500 bytes = 5 MB). */
const MAX_KEYS = 10_000
const MAX_AGE_MS = 24 * 3600 * 1000

/** The default store: this process only, the oldest keys go first. `now` in milliseconds. */
export const createMemoryStore = (
  now: () => number,
  { maxKeys = MAX_KEYS, maxAgeMs = MAX_AGE_MS }: { maxKeys?: number; maxAgeMs?: number } = {},
): DedupeStore => {
  /** Insertion order is age order: a key is deleted before it is set again. */
  const keys = new Map<string, { isDone: boolean; until: number }>()
  /** Stands before the oldest: one that starts anew passes the holes of all that went before it (4 µs an event on Node 20, once it is full). */
  const ages = keys.keys()

  const put = (key: string, isDone: boolean, lifeMs: number) => {
    keys.delete(key)
    keys.set(key, { isDone, until: now() + lifeMs })
    if (keys.size <= maxKeys) return
    const { value: oldest } = ages.next()
    if (oldest !== undefined) keys.delete(oldest)
  }

  return {
    claim: (key) => {
      const known = keys.get(key)
      if (known && now() < known.until) return known.isDone ? 'done' : 'busy'
      put(key, false, LEASE_MS)
      return 'new'
    },
    keep: (key) => put(key, true, maxAgeMs),
    release: (key) => void keys.delete(key),
  }
}

/** Any kind of promise: clients of databases bring their own. */
const isPromise = <T>(value: T | Promise<T>): value is Promise<T> => typeof value === 'object' && value !== null && 'then' in value

/**
 * Someone else's store, maybe shared with relays of other populations, behind hashes.
 * (The one in memory needs none: on Node each digest goes to another thread, a tenth of a delivery.)
 */
export const createHashedStore = (store: DedupeStore, populationId: string): DedupeStore => {
  const keyOf = (key: string): Promise<string> => hashText(`${populationId.toLowerCase()} ${key}`)
  return {
    claim: async (key) => store.claim(await keyOf(key)),
    keep: async (key) => store.keep(await keyOf(key)),
    release: async (key) => store.release(await keyOf(key)),
  }
}

/** A contact's id may be as long as a batch: a longer key is kept as its hash. */
const MAX_KEY_CHARS = 200

/** Runs a delivery at most once per event and contact: `in_flight` while another request is at it, `stored` after it succeeded. */
export type Once = (who: { eventId: string; contactId: string }, deliver: () => Promise<Outcome>) => Promise<Outcome>

/** `limitMs` bounds each wait for the store. */
export const createOnce = ({
  store,
  limitMs,
  report,
}: {
  store: DedupeStore
  limitMs: number
  report: (message: string, cause?: unknown) => void
}): Once => {
  const ask = async <T>(what: string, question: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      const asked = question()
      // The store in memory answers at once: two timers for each event would be a twentieth of a delivery.
      if (!isPromise(asked)) return asked
      const answer = await within((async () => ({ value: await asked }))(), limitMs)
      if (answer) return answer.value
      report(`the deduplication store took over ${limitMs} ms to ${what}; events are delivered without it`)
    } catch (cause) {
      report(`the deduplication store could not ${what}; events are delivered without it`, cause)
    }
    return undefined
  }

  return async ({ eventId, contactId }, deliver) => {
    // The contact is part of the key: nobody can suppress a stranger's event by guessing its id. UUIDs have a fixed length, so no two make one text.
    const text = `${eventId.toLowerCase()} ${contactId}`
    const key = text.length > MAX_KEY_CHARS ? await hashText(text) : text
    const claim = await ask('claim', () => store.claim(key))
    if (claim === 'done') return stored
    if (claim === 'busy') return retry('in_flight')
    const outcome = await deliver()
    await (outcome.outcome === 'stored' ? ask('keep', () => store.keep(key)) : ask('release', () => store.release(key)))
    return outcome
  }
}
