/**
 * Spools on Cloudflare: events are safe in Durable Objects before the relay answers, and are delivered from there by their alarms.
 * Invariant: whenever an object holds an event and does nothing, there is an alarm for it.
 * @module pristo/relay/object
 */
import { createReport } from '../hooks.ts'
import type { RelayOptions } from '../options.ts'
import type { Fetch } from '../upstream.ts'
import type { Answered, Asked } from './shards.ts'
import { checkMaxBytes, LEASE_MS, MAX_BYTES, MAX_WAIT_MS, SpoolError } from './spool.ts'
import { checkHow, createSpoolWorker, type WorkerOptions } from './start.ts'
import { createStorageSpool, type ObjectStorage } from './storage.ts'
import type { OnRest, Worker } from './worker.ts'

export { objectSpool, type ObjectNamespace } from './shards.ts'
export { SpoolError, type DeadEvent, type DeadEvents, type Reason, type Selection, type Spool, type Stats } from './spool.ts'
export type { WorkerOptions } from './start.ts'
export type { ObjectStorage } from './storage.ts'

/** How an object delivers, and what it keeps. With several objects (`shards` of {@link objectSpool}) each has these for itself. */
export interface ObjectOptions extends WorkerOptions {
  /** Most bytes of JSON that one object keeps, buried events included; then it is full. Default 64 MiB: with 16 shards 1 GiB. */
  maxBytes?: number | undefined
}

/** What Cloudflare calls. */
export interface SpoolObject {
  /** Answers `objectSpool`; only the binding leads here. */
  fetch(request: Request): Promise<Response>
  /** Delivers what is due. */
  alarm(): Promise<void>
}

/** The class of the objects, for the Worker's module to export. */
export type SpoolObjectClass<Env> = new (context: { storage: ObjectStorage }, env: Env) => SpoolObject

/** Simultaneous connections that Cloudflare allows (https://developers.cloudflare.com/workers/platform/limits/, as of 2026-11). */
const CONCURRENCY = 6

/** How long an alarm works before it leaves the rest to the next one: Cloudflare ends one after 15 minutes. */
const PORTION_MS = 20_000

/** Calls of the API from which on an alarm leaves the rest to the next one: a free plan allows 50 to each, and some are on their way by then. */
const PORTION_CALLS = 40

/** Where the object itself cannot work (wrong settings, damaged storage), it tries again after this: it must not give up, as the platform would. */
const BROKEN_MS = 60_000

/** An alarm that is late by so much is not believed to come: some runtimes lose it with a restart or six failures. Setting it again does no harm. */
const LATE_MS = 60_000

/** Completes the sentence "the spool …". */
const what = (error: unknown): string => {
  const message = (error instanceof Error ? error.message : String(error)).replace('[pristo] ', '')
  return error instanceof SpoolError ? message.replace('the spool ', '') : `failed: ${message}`
}

/** Delivers a portion at a time: `deliver` ends where nothing is due or the portion is over, and says how long to leave the API alone. */
const createPortions = (options: RelayOptions, how: WorkerOptions, spool: ReturnType<typeof createStorageSpool>) => {
  let end: OnRest = () => undefined
  let calls = 0

  const callApi: Fetch = options.fetch ?? ((url, init) => fetch(url, init))
  const counted: Fetch = (url, init) => {
    calls++
    if (calls >= PORTION_CALLS) end(0)
    return callApi(url, init)
  }
  const start: (onRest: OnRest) => Worker = createSpoolWorker(
    {
      ...options,
      fetch: counted,
      spool: {
        put: async (events) => spool.put(events),
        claim: async (most) => spool.claim(most),
        settle: async (claim) => spool.settle(claim),
        retry: async (claim, delayMs) => spool.retry(claim, delayMs),
        bury: async (claim, reason) => spool.bury(claim, reason),
      },
    },
    { ...how, concurrency: Math.min(how.concurrency ?? CONCURRENCY, CONCURRENCY) },
  )

  return async (): Promise<number> => {
    calls = 0
    const over = new Promise<number>((resolve) => {
      end = resolve
    })
    const timer = setTimeout(() => end(0), PORTION_MS)
    const worker = start((waitMs) => end(waitMs))
    const waitMs = await over
    clearTimeout(timer)
    await worker.stop()
    return waitMs
  }
}

const createObject = (storage: ObjectStorage, optionsOf: () => RelayOptions, { maxBytes, ...how }: WorkerOptions & { maxBytes: number }): SpoolObject => {
  const now = Date.now
  const spool = createStorageSpool({ storage, now, maxBytes })
  let deliver: (() => Promise<number>) | undefined
  let isDelivering = false
  /** When the API may be asked again. */
  let restsUntil = 0
  /** The alarm, as far as this object has lived to see it. */
  let armedAt: number | undefined

  const setAlarm = async (at: number): Promise<void> => {
    armedAt = at
    try {
      await storage.setAlarm(at)
    } catch (error) {
      armedAt = undefined
      throw error
    }
  }

  /** When the next alarm has to be, by what waits; now where a clock that was wrong has set it far off: then it can be claimed now. */
  const dueAt = (): number | undefined => {
    const due = spool.stats().dueAt
    if (due === undefined) return undefined
    const at = Math.max(due, restsUntil, now())
    return at > now() + MAX_WAIT_MS ? now() : at
  }

  /** Sees that there is an alarm for what waits. A delivery does so itself, at its end. */
  const arm = async (): Promise<void> => {
    const at = isDelivering ? undefined : dueAt()
    const isArmed = armedAt !== undefined && at !== undefined && armedAt <= at && now() - armedAt < LATE_MS
    if (at !== undefined && !isArmed) await setAlarm(at)
  }

  /** After a delivery: the next alarm, or none. */
  const rearm = async (): Promise<void> => {
    const at = dueAt()
    if (at !== undefined) return setAlarm(at)
    armedAt = undefined
    await storage.deleteAlarm()
  }

  const answer = (asked: Asked): unknown => {
    if (asked.verb === 'put') return spool.put(asked.events)
    if (asked.verb === 'stats') return spool.stats()
    return asked.verb === 'list' ? spool.list(asked.most) : spool[asked.verb](asked.which)
  }

  const respond = (answered: Answered): Response => Response.json(answered)

  return {
    fetch: async (request) => {
      try {
        const asked: Asked = await request.json()
        const value = answer(asked)
        await arm() // begins in the same turn: what was put and its alarm are on the disk together
        return respond({ value })
      } catch (error) {
        return respond({ error: what(error) })
      }
    },

    // Never throws, unless not even an alarm can be set: of what throws, the platform lets the alarm go after six tries.
    alarm: async () => {
      isDelivering = true
      try {
        // For the case that this object ends in the middle of its work: then its claims are free again. On the disk before anything else, since the
        // platform itself tries an alarm that ends so six times, and lets it go.
        await setAlarm(now() + LEASE_MS)
        await storage.sync()
        deliver ??= createPortions(optionsOf(), how, spool)
        if ((dueAt() ?? Infinity) <= now()) {
          const waitMs = await deliver()
          restsUntil = now() + waitMs // from its end: `now() + (await …)` would read the clock before
        }
        isDelivering = false
        await rearm()
      } catch (error) {
        isDelivering = false
        restsUntil = now() + BROKEN_MS
        createReport()(`the spool ${what(error)}; it tries again in ${BROKEN_MS / 1000} s`)
        await setAlarm(restsUntil)
      }
    },
  }
}

/**
 * The class of Durable Object that keeps events and delivers them, with the options of the relay that fills it (its `spool` aside): export it from
 * the Worker under the name in its configuration, where it must be one of `new_sqlite_classes`. Hooks and `onError` of the options hear of each attempt.
 * `optionsOf` is asked at the first alarm; where it throws, or gives what cannot be used, events wait, and the Worker's log says why once a minute.
 * Throws a TypeError of one line where an option of how it works cannot be used.
 */
export const createSpoolObject = <Env>(optionsOf: (env: Env) => RelayOptions, { maxBytes = MAX_BYTES / 16, ...how }: ObjectOptions = {}): SpoolObjectClass<Env> => {
  checkHow(how)
  checkMaxBytes(maxBytes)
  return class implements SpoolObject {
    readonly #object: SpoolObject

    constructor({ storage }: { storage: ObjectStorage }, env: Env) {
      this.#object = createObject(storage, () => optionsOf(env), { maxBytes, ...how })
    }

    fetch(request: Request): Promise<Response> {
      return this.#object.fetch(request)
    }

    alarm(): Promise<void> {
      return this.#object.alarm()
    }
  }
}
