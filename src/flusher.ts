/**
 * When to send, how much, and how soon again.
 * Invariant: one parcel at a time while the page lives; when it goes, everything that fits leaves synchronously.
 */
import { isReachable, type Identity } from './contact.ts'
import { MAX_EVENTS, type Result } from './contract.ts'
import { explain, type TrackedEvent } from './event.ts'
import { FULL_BYTES, LEASE_MS, type Holding } from './holding.ts'
import type { StoredRecord } from './outbox.ts'
import type { Page } from './page.ts'
import type { Sender } from './sender.ts'

/** How long a first event waits for others, milliseconds. */
const WINDOW_MS = 2_000

/** So many events need not wait for more. */
const ENOUGH = 20

/** The first wait after a failure, and the longest, milliseconds: full jitter between 0 and the doubled wait. */
const FIRST_WAIT_MS = 1_000
const MAX_WAIT_MS = 300_000

/** How often a tab looks for events that another one left behind, milliseconds: a lease ends 15 s after its tab did. */
const POLL_MS = 5_000

/** Why an event was refused: for good, or until its contact has an email or a phone (`parked`). */
export interface Rejection {
  event: TrackedEvent
  code: string
  /** Of the Pristo API; absent where the relay refused. */
  status?: number | undefined
  message?: string | undefined
  parked: boolean
}

export interface FlusherParts {
  holding: Holding
  sender: Sender
  page: Page
  identity: Identity
  /** Whether events may be sent. */
  maySend(): boolean
  onRejected(rejection: Rejection): void
  /** Told what is wrong with the set-up, or with us: one line, or whatever was thrown. */
  complain(problem: unknown): void
}

export interface Flusher {
  /** Takes a new event. */
  add(event: TrackedEvent): void
  /** Tries at once, backoff or not. Resolves, when nothing more can be sent now, to the number that wait; never rejects. */
  wake(): Promise<number>
  /** Sends after the usual window. */
  soon(): void
  /** The page may be going: sends synchronously what is held, and spills what the disk has not confirmed. */
  leave(): void
  /** Sends no more. */
  close(): void
}

export const createFlusher = ({ holding, sender, page, identity, maySend, onRejected, complain }: FlusherParts): Flusher => {
  let limit = MAX_EVENTS
  let failures = 0
  let pausedUntil = 0 // by our own backoff
  let orderedUntil = 0 // by a Retry-After, which nothing overrides
  let pending = 0
  let isTold = false
  let isSoon = false
  let timer: ReturnType<typeof setTimeout> | undefined
  let running: Promise<unknown> = Promise.resolve()

  const pauseMs = (): number => Math.max(0, pausedUntil - Date.now(), orderedUntil - Date.now())

  const schedule = (delayMs: number): void => {
    clearTimeout(timer)
    timer = setTimeout(run, delayMs)
  }

  const soon = (): void => {
    if (!isSoon) schedule(WINDOW_MS)
    isSoon = true
  }

  /** What becomes of a refused event. */
  const refuse = (record: StoredRecord, { code, status, message }: Extract<Result, { outcome: 'rejected' }>): StoredRecord | 'rejected' => {
    // Only the API knows that it misses the contact's details; the relay's own refusals are final.
    const parked = !!status && !isReachable(record.event.contact)
    const next = identity.complete({ ...record, parked })
    if (parked && !next.parked) return next // once more, with the details
    onRejected({ event: record.event, code, status, message, parked })
    return parked ? next : 'rejected'
  }

  const deliver = async (events: TrackedEvent[], keepalive: boolean): Promise<unknown> => {
    const reply = await sender.send(events, keepalive)
    const { http, waitMs = 0 } = reply ?? {}
    const at = Date.now()
    const ids = events.map(({ id }) => id)
    let results = reply?.results
    if (http === 413) {
      limit = ids.length >> 1 || 1
      if (!ids[1]) results = ids.map((id) => ({ id, outcome: 'rejected', code: 'too_large' }))
    } else if (http && !results && !isTold) {
      isTold = true
      complain(explain('endpoint', http, 'a Pristo relay'))
    }
    if (results?.some(({ outcome }) => outcome !== 'retry')) failures = 0
    else pausedUntil = at + Math.random() * Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** failures++)
    orderedUntil = Math.max(orderedUntil, at + waitMs)

    const due = Math.max(at + LEASE_MS, pausedUntil, orderedUntil)
    return holding.sweep((record) => {
      const result = results?.find(({ id }) => id === record.event.id)
      if (!ids.includes(record.event.id)) return record
      if (result?.outcome === 'rejected') return refuse(record, result)
      return result?.outcome === 'stored' ? 'stored' : { ...record, due }
    })
  }

  const drain = async (): Promise<void> => {
    for (isSoon = false; ; ) {
      const count = maySend() && !pauseMs() ? limit : 0
      pending = await holding.claim(count)
      const events = holding.take(count, FULL_BYTES)
      if (!events[0]) break
      // Keepalive is refused while another script holds the budget: after a failure the next request goes without.
      await deliver(events, !(failures & 1))
    }
    if (!isSoon) schedule(pauseMs() || POLL_MS)
  }

  const after = (work: Promise<unknown>): Promise<unknown> => (running = work.catch(complain))

  const run = (): Promise<unknown> => after(running.then(drain))

  /** Synchronous up to the requests: nothing that is awaited here would leave with the page. */
  const leave = (): void => {
    while (maySend() && Date.now() >= orderedUntil) {
      const events = holding.take(MAX_EVENTS, sender.room())
      if (!events[0]) break
      void after(deliver(events, true))
    }
    holding.spill()
  }

  return {
    add: (event) => {
      if (holding.add(event) % ENOUGH) soon()
      else void run()
      // Out of sight there may be no later moment.
      if (page.isHidden()) queueMicrotask(leave)
    },
    wake: async () => {
      pausedUntil = 0
      await run()
      return pending
    },
    soon,
    leave,
    close: () => {
      isSoon = true // nothing is scheduled any more
      clearTimeout(timer)
    },
  }
}
