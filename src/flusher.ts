/**
 * When to send, how much, and how soon again.
 * Invariant: one parcel at a time while the page lives; when it goes, everything that fits leaves synchronously.
 */
import { MAX_EVENTS, type Result } from './contract.ts'
import { explain, type TrackedEvent } from './event.ts'
import { FULL_BYTES, LEASE_MS, type Holding } from './holding.ts'
import type { Page } from './page.ts'
import type { Reply, Send } from './sender.ts'

/** How long a first event waits for others, milliseconds. */
const WINDOW_MS = 2_000

/** So many events need not wait for more. */
const ENOUGH = 20

/** The first wait after a failure, and the longest, milliseconds: full jitter between 0 and the doubled wait. */
const FIRST_WAIT_MS = 1_000
const MAX_WAIT_MS = 300_000

/** How often a tab looks for events that another one left behind, milliseconds: a lease ends 15 s after its tab did. */
const POLL_MS = 5_000

/** The relay's word that an event will never be stored. */
export type Refusal = Extract<Result, { outcome: 'rejected' }>

export interface FlusherParts {
  holding: Holding
  send: Send
  /** UTF-8 bytes of events that may still be sent so that they survive the page's end. */
  room(): number
  page: Page
  /** Whether events may be sent. */
  maySend(): boolean
  onRejected(event: TrackedEvent, refusal: Refusal): 'rejected'
  /** Told what is wrong with the set-up, or with us: one line, or whatever was thrown. */
  complain(problem: unknown): void
}

export interface Flusher {
  /** Takes a new event. */
  add(event: TrackedEvent): void
  /** Tries at once, backoff or not. Resolves, when nothing more can be sent now, to the number that wait; never rejects. */
  wake(): Promise<number>
  /** The page may be going: sends synchronously what is held, and spills what the disk has not confirmed. */
  leave(): void
  /** Sends no more. */
  close(): void
}

export const createFlusher = ({ holding, send, room, page, maySend, onRejected, complain }: FlusherParts): Flusher => {
  let failures = 0
  let pausedUntil = 0 // by our own backoff
  let orderedUntil = 0 // by a Retry-After, which nothing overrides
  let pending = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  let running: Promise<unknown> = Promise.resolve()

  const pauseMs = (): number => Math.max(0, pausedUntil - Date.now(), orderedUntil - Date.now())

  let schedule = (delayMs: number): void => {
    clearTimeout(timer)
    timer = setTimeout(run, delayMs)
  }

  const deliver = async (events: TrackedEvent[]): Promise<unknown> => {
    const { http, waitMs = 0, results }: Partial<Reply> = (await send(events)) ?? {}
    const at = Date.now()
    if (http && !results && !failures) complain(explain('endpoint', http, 'Pristo relay'))
    if (results?.some(({ outcome }) => outcome !== 'retry')) failures = 0
    else pausedUntil = at + Math.random() * Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** failures++)
    orderedUntil = Math.max(orderedUntil, at + waitMs)

    const due = at + Math.max(LEASE_MS, pauseMs())
    return holding.sweep((record) => {
      const isSent = ({ id }: { id: string }): boolean => id === record.event.id
      const result = results?.find(isSent)
      return result?.outcome === 'stored'
        ? result.outcome
        : result?.outcome === 'rejected'
          ? onRejected(record.event, result)
          : events.some(isSent)
            ? { ...record, due }
            : record
    })
  }

  const drain = async (): Promise<void> => {
    for (;;) {
      const count = maySend() && !pauseMs() ? MAX_EVENTS : 0
      pending = await holding.claim(count)
      const events = holding.take(count, FULL_BYTES)
      if (!events[0]) break
      await deliver(events)
    }
    schedule(pauseMs() || (pending ? WINDOW_MS : POLL_MS))
  }

  const after = (work: Promise<unknown>): Promise<unknown> => (running = work.catch(complain))

  const run = (): Promise<unknown> => after(running.then(drain))

  /** Synchronous up to the requests: nothing that is awaited here would leave with the page. */
  const leave = (): void => {
    while (maySend() && Date.now() >= orderedUntil) {
      const events = holding.take(MAX_EVENTS, room())
      if (!events[0]) break
      void after(deliver(events))
    }
    holding.spill()
  }

  return {
    add: (event) => {
      const more = holding.add(event) % ENOUGH
      if (more < 2) schedule(more && WINDOW_MS)
      // Out of sight there may be no later moment.
      if (page.isHidden()) queueMicrotask(leave)
    },
    wake: async () => {
      pausedUntil = 0
      await run()
      return pending
    },
    leave,
    close: () => {
      clearTimeout(timer)
      schedule = () => {}
    },
  }
}
