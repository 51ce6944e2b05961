/**
 * Events → outcomes: one contact in order, contacts side by side.
 * Invariant: every event has exactly one outcome, in the order given; an event that is kept is never overtaken by a later one of its contact;
 * the answer is ready at the deadline at the latest, while what was begun goes on.
 */
import type { PristoEvent } from '../contract.ts'
import { retry, type Outcome } from './outcome.ts'

/** Simultaneous connections that Cloudflare Workers allow a request. */
const LANES = 6

/** A batch under way. Neither promise rejects. */
export interface Delivery {
  /** One outcome per event, in order, at the deadline at the latest: an event still on its way then is `in_flight`. */
  outcomes: Promise<Outcome[]>
  /** Settles when the last call has ended, which may be after the answer left: for `waitUntil`. */
  settled: Promise<void>
}

/** The events of one contact, by their places in the batch. */
type Lane = number[]

const group = <K>(places: Iterable<readonly [K, number]>): Map<K, number[]> => {
  const groups = new Map<K, number[]>()
  for (const [key, place] of places) groups.set(key, [...(groups.get(key) ?? []), place])
  return groups
}

/** Starts a delivery; once `deadline` is aborted nothing further begins. `send` must not reject. */
export const createDeliver =
  (send: (event: PristoEvent) => Promise<Outcome>) =>
  (events: readonly PristoEvent[], deadline: AbortSignal): Delivery => {
    const outcomes: (Outcome | undefined)[] = events.map(() => undefined)
    const begun = new Set<number>()

    // The same id twice is the same event: one call, one outcome for both.
    const copies = group(events.map((event, place) => [event.id.toLowerCase(), place]))
    const firsts = [...copies.values()].flatMap(([first]) => (first === undefined ? [] : [first]))
    const lanes = [...group(firsts.map((place) => [events[place]?.contact.id, place])).values()]

    const run = async (lane: Lane): Promise<void> => {
      let isHeld = false
      for (const place of lane) {
        const event = events[place]
        if (!event || deadline.aborted) return
        if (isHeld) {
          outcomes[place] = retry('blocked')
          continue
        }
        begun.add(place)
        const outcome = await send(event)
        outcomes[place] = outcome
        isHeld = outcome.outcome === 'retry'
      }
    }

    const waiting = [...lanes]
    const work = async (): Promise<void> => {
      for (let lane = waiting.shift(); lane; lane = waiting.shift()) await run(lane)
    }

    /** What to say of a lane's event that has no outcome at the deadline: its lane's head may still be on its way, and must not be overtaken. */
    const unfinished = (place: number, lane: Lane): Outcome => {
      if (begun.has(place)) return retry('in_flight')
      const isBehind = lane.some((other) => begun.has(other) && (!outcomes[other] || outcomes[other].outcome === 'retry'))
      return retry(isBehind ? 'blocked' : 'deadline')
    }

    const answer = (): Outcome[] => {
      const said = new Map<number, Outcome>()
      for (const lane of lanes) for (const place of lane) said.set(place, outcomes[place] ?? unfinished(place, lane))
      return events.map((event, place) => said.get(copies.get(event.id.toLowerCase())?.[0] ?? place) ?? retry('deadline'))
    }

    const settled = Promise.all(Array.from({ length: LANES }, work)).then(() => undefined)
    const isOver = new Promise<void>((resolve) => deadline.addEventListener('abort', () => resolve(), { once: true }))
    return { outcomes: Promise.race([settled, isOver]).then(answer), settled }
  }
