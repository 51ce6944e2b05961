/**
 * When to send, how much, and how soon again.
 * Invariant: one parcel at a time while the page is seen; when it goes, everything that fits leaves synchronously.
 */
import { MAX_EVENTS, type Result } from './contract.ts'
import { explain, type TrackedEvent } from './event.ts'
import { AHEAD, FULL_BYTES, LEASE_MS, leftMs, type Holding } from './holding.ts'
import type { StoredRecord } from './outbox.ts'
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

/** So many requests in a row without any answer, and from then on only one event is tried, every {@link MAX_WAIT_MS}. */
const SILENCES = 3

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
  /** What becomes of a refused event. */
  refuse(event: TrackedEvent, refusal: Refusal): Parameters<Holding['land']>[1]
  /** Told what is wrong with the set-up, or with us: one line, or whatever was thrown. */
  complain(problem: unknown): void
}

export interface Flusher {
  /** Takes a new event. */
  add(record: StoredRecord): void
  /** Tries at once, backoff or not. Resolves, when nothing more can be sent now, to the number that wait; never rejects. */
  wake(): Promise<number>
  /** The page may be going: sends synchronously what is held, and spills what the disk has not confirmed. */
  leave(): void
  /** Sets no timer any more. A request that is under way ends as it ends. */
  close(): void
}

export const createFlusher = ({ holding, send, room, page, maySend, refuse, complain }: FlusherParts): Flusher => {
  let limit = MAX_EVENTS
  let failures = 0
  let isTold = false
  let silences = 0
  let orderedUntil = 0 // by a Retry-After, which nothing overrides
  let pausedUntil = 0 // by that, and by our own backoff
  let pending = 0
  let isLeaving = false
  let added = 0 // since the last look at what waits
  let timer: ReturnType<typeof setTimeout> | undefined
  let running: Promise<unknown> = Promise.resolve()

  let schedule = (delayMs: number): void => {
    clearTimeout(timer)
    timer = setTimeout(run, delayMs)
  }

  const deliver = async (events: TrackedEvent[], keepalive: boolean): Promise<void> => {
    const reply = await send(events, keepalive)
    const { http, waitMs = 0, results }: Partial<Reply> = reply ?? {}
    const at = Date.now()
    const isTooLarge = http === 413
    const outcomes = events.map(({ id }): Result | undefined =>
      isTooLarge && !events[1] ? { id, outcome: 'rejected', code: 'too_large' } : results?.find((one) => one.id === id),
    )
    // A final word on one of ours: without it the same would be sent again at once, for ever.
    const isProgress = isTooLarge || outcomes.some((result) => result?.outcome === 'stored' || result?.outcome === 'rejected')
    const isMisplaced = !!http && !results && !isTooLarge && http !== 429 && http < 500
    if (isMisplaced && !isTold) complain(explain('endpoint', http, 'Pristo relay'))
    isTold = isMisplaced || (isTold && !isProgress)

    silences = reply ? 0 : silences + +page.isOnline()
    const isSilent = silences >= SILENCES
    limit = isTooLarge ? events.length >> 1 || 1 : isSilent ? 1 : Math.min(MAX_EVENTS, limit * 2)

    const longestMs = Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** failures)
    const backoffMs = isProgress ? 0 : isSilent ? MAX_WAIT_MS : Math.random() * longestMs
    failures = isProgress ? 0 : failures + 1
    const orderedMs = Math.max(leftMs(orderedUntil), waitMs)
    const pauseMs = Math.max(orderedMs, backoffMs)
    // 0 where there is nothing to wait for: a clock set back makes a wait of any moment.
    orderedUntil = orderedMs && at + orderedMs
    pausedUntil = pauseMs && at + pauseMs

    // The breaker is this page's: the next one tries at once.
    const due = at + Math.max(LEASE_MS, isSilent ? orderedMs : pauseMs)
    events.forEach((event, nth) => {
      const result = outcomes[nth]
      holding.land(
        event,
        result?.outcome === 'stored' ? result.outcome : result?.outcome === 'rejected' ? refuse(event, result) : { due },
      )
    })
  }

  const drain = async (): Promise<void> => {
    added = 0
    try {
      for (let isFirst = true; ; isFirst = false) {
        const count = maySend() && !leftMs(pausedUntil) ? limit : 0
        pending = await (isFirst ? holding.sync(count * AHEAD) : holding.settle(count))
        // What a page that is gone held is given away; and while the disk answered, consent may have ended or a Retry-After come.
        if (page.isGone() || !maySend() || leftMs(pausedUntil)) break
        const events = holding.take(count, FULL_BYTES)
        if (!events[0]) break
        // Keepalive is refused while other scripts hold the budget: after a failure the next request goes without.
        await deliver(events, !(failures & 1))
      }
    } finally {
      schedule(leftMs(pausedUntil) || (pending ? WINDOW_MS : POLL_MS))
    }
  }

  const after = (work: Promise<unknown>): Promise<unknown> => (running = Promise.all([running, work]).catch(complain))

  const run = (): Promise<unknown> => after(running.then(drain))

  /** Synchronous up to the requests: nothing that is awaited here would leave with the page. */
  const leave = (): void => {
    isLeaving = false
    while (maySend() && !leftMs(orderedUntil)) {
      const events = holding.take(MAX_EVENTS, room())
      if (!events[0]) break
      void after(deliver(events, true).then(() => holding.sync(0)))
    }
    holding.spill()
  }

  return {
    add: (record) => {
      if (holding.add(record) === 1) schedule(WINDOW_MS)
      // A timer a call costs more than the call; in a pause one is set for its end.
      if (++added === ENOUGH && !leftMs(pausedUntil)) schedule(0)
      // Out of sight there may be no later moment than the end of this task.
      const wasLeaving = isLeaving
      isLeaving = page.isHidden()
      if (isLeaving && !wasLeaving) queueMicrotask(leave)
    },
    wake: async () => {
      pausedUntil = orderedUntil
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
