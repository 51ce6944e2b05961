/**
 * Pages that track, and behave as the browser part does: what a relay has not said to be stored is kept, and sent again.
 * Invariant: one request at a time, and the events of each contact in the order in which they were tracked.
 */
import { Agent } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import type { PristoEvent } from '../../../src/contract.ts'
import { MAX_EVENTS } from '../../../src/contract.ts'
import type { Random } from '../../simulation/random.ts'
import { post } from './post.ts'
import type { Relay } from './relays.ts'

/** An event that was tracked. */
export interface Tracked {
  id: string
  contactId: string
  /** Its place among the events of its contact, from 0. */
  nth: number
  /** The API will refuse it, whatever happens. */
  isPoison: boolean
}

/** Some pages at work. */
export interface Browsers {
  /** Tracks some more events, in any of the pages. */
  track(count: number): void
  /** Everything that was tracked so far. */
  tracked(): readonly Tracked[]
  /** How many events wait in the pages. */
  waiting(): number
  /** Resolves once no event waits in a page. */
  empty(): Promise<void>
  /** Called as a page sends a batch to a relay. */
  onSend(hear: (relay: Relay) => void): void
  /** What relays said that no relay should. */
  problems(): string[]
  close(): void
}

/** How the pages are. */
export interface Visit {
  relays: readonly Relay[]
  random: Random
  pages: number
  contactsEach: number
  /** Of an event, 0 to 1. */
  poison: number
  /** Begins the contacts' ids. */
  prefix?: string
}

/** Waits after a failure, milliseconds. A browser waits longer, and as long as it was asked to; more writes meet more kills. */
const FIRST_WAIT_MS = 50
const MAX_WAIT_MS = 1_000

/** How often a relay's answer does not reach its page, 0 to 1, and how long that waits then at the most, milliseconds: the events may have left meanwhile. */
const UNHEARD = 0.05
const UNHEARD_WAIT_MS = 2_000

/** Between two looks at an empty queue, milliseconds. */
const LOOK_MS = 10

const idOf = (number: number, random: Random): string =>
  `0190a000-0000-7000-${(0x8000 + random.int(0, 0x3fff)).toString(16)}-${number.toString(16).padStart(12, '0')}`

/** Opens pages, each with contacts of its own. They send until they are closed. */
export const openBrowsers = ({ relays, random, pages, contactsEach, poison, prefix = 'c' }: Visit): Browsers => {
  const agent = new Agent({ keepAlive: true })
  const tracked: Tracked[] = []
  const counts = new Map<string, number>()
  const queues = Array.from({ length: pages }, (): PristoEvent[] => [])
  const problems: string[] = []
  let hear: (relay: Relay) => void = () => undefined
  let isClosed = false

  const makeEvent = (contactId: string): PristoEvent => {
    const nth = counts.get(contactId) ?? 0
    counts.set(contactId, nth + 1)
    const id = idOf(tracked.length, random)
    const isPoison = random.chance(poison)
    tracked.push({ id, contactId, nth, isPoison })
    // Details travel until Pristo has them; behind a relay with a spool a page believes that after the first event.
    const contact = nth ? { id: contactId } : { id: contactId, email: `${contactId}@shop.example`, customFields: { plan: 'pro' } }
    return { id, type: isPoison ? 'unheard_of' : 'purchase', occurredAt: new Date().toISOString(), contact, customFields: { nth: String(nth) } }
  }

  const send = async (queue: PristoEvent[], chance: Random): Promise<boolean> => {
    const events = queue.slice(0, chance.int(1, MAX_EVENTS))
    const relay = relays[chance.int(0, relays.length - 1)]
    if (!relay) throw new Error('there is no relay')
    hear(relay)
    const heard = await post(relay.url, events, agent)
    if (!heard) return false
    if (chance.chance(UNHEARD)) {
      await wait(chance.next() * UNHEARD_WAIT_MS)
      return false
    }
    const results = new Map(heard.results.map((result) => [result.id, result]))
    for (const { id } of events) {
      const result = results.get(id)
      if (result?.outcome === 'rejected') problems.push(`${relay.name} rejected an event: ${result.code} ${result.message}`)
    }
    if (heard.results.length && ![200, 202, 503].includes(heard.status)) problems.push(`${relay.name} answered ${heard.status} with results`)
    const isStored = (event: PristoEvent): boolean => results.get(event.id)?.outcome === 'stored'
    const kept = events.filter((event) => !isStored(event))
    queue.splice(0, events.length, ...kept)
    return kept.length < events.length
  }

  const run = async (queue: PristoEvent[], chance: Random): Promise<void> => {
    let failures = 0
    while (!isClosed) {
      if (!queue.length) {
        await wait(LOOK_MS)
        continue
      }
      failures = (await send(queue, chance)) ? 0 : failures + 1
      if (failures) await wait(chance.next() * Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** failures))
    }
  }

  queues.forEach((queue, page) => void run(queue, random.fork(`page ${page}`)))
  const waiting = (): number => queues.reduce((sum, queue) => sum + queue.length, 0)
  return {
    track: (count) => {
      for (let n = 0; n < count; n++) {
        const page = random.int(0, pages - 1)
        queues[page]?.push(makeEvent(`${prefix}${page}_${random.int(0, contactsEach - 1)}`))
      }
    },
    tracked: () => tracked,
    waiting,
    empty: async () => {
      while (waiting()) await wait(LOOK_MS)
    },
    onSend: (listener) => {
      hear = listener
    },
    problems: () => [...new Set(problems)],
    close: () => {
      isClosed = true
      agent.destroy()
    },
  }
}
