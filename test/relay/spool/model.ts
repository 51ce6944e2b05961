/**
 * A spool as one would write it down on paper, and sequences of steps to compare an engine with it.
 * Invariant: arrays and maps only; nothing here knows how any engine does it.
 */
import * as fc from 'fast-check'
import type { PristoEvent } from '../../../src/contract.ts'
import { LEASE_MS, MAX_WAIT_MS, SEEN_MS, type Claim, type Spool } from '../../../src/relay/spool/spool.ts'
import { makeEvent } from '../harness.ts'

/** One thing that is asked of a spool. `nth` is one of the claims so far, those that are over included. */
export type Step =
  | { kind: 'put'; events: { n: number; contact: string; email: boolean }[] }
  | { kind: 'claim' }
  | { kind: 'stats' }
  | { kind: 'settle'; nth: number }
  | { kind: 'bury'; nth: number }
  | { kind: 'retry'; nth: number; delayMs: number }
  | { kind: 'replay'; ids: number[] | 'all' }
  | { kind: 'drop'; ids: number[] | 'all' }
  | { kind: 'pass'; ms: number }

const event = fc.record({ n: fc.nat(9), contact: fc.constantFrom('a', 'b', 'c'), email: fc.boolean() })
const nth = fc.nat(8)
const ids = fc.oneof(fc.constant('all' as const), fc.array(fc.nat(9), { minLength: 1, maxLength: 3 }))

const isLong = (step: Step): boolean => step.kind === 'pass' && step.ms > SEEN_MS

/** Few ids, few contacts and times at the edges: so that steps meet. Not so long that details of a contact are forgotten. */
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), events: fc.array(event, { minLength: 1, maxLength: 4 }) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('claim' as const) }) },
    { weight: 5, arbitrary: fc.oneof(fc.record({ kind: fc.constant('settle' as const), nth }), fc.record({ kind: fc.constant('bury' as const), nth })) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('retry' as const), nth, delayMs: fc.constantFrom(0, 1_000, 3_600_000) }) },
    { weight: 1, arbitrary: fc.oneof(fc.record({ kind: fc.constant('replay' as const), ids }), fc.record({ kind: fc.constant('drop' as const), ids })) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 1_000, LEASE_MS - 1, LEASE_MS, SEEN_MS + 1, -MAX_WAIT_MS - LEASE_MS - 1) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('stats' as const) }) },
  ),
  { minLength: 5, maxLength: 40 },
).filter((all) => all.filter(isLong).length < 3)

interface Waiting {
  event: PristoEvent
  acceptedAt: number
}

interface Lane {
  events: Waiting[]
  dueAt: number
  attempts: number
  /** The claim that holds its first event. */
  holder: number | undefined
}

const keyOf = ({ id, contact }: PristoEvent): string => `${id} ${contact.id}`
const bytesOf = ({ event }: { event: PristoEvent }): number => JSON.stringify(event).length

/** What an engine's answers are to be, step by step; `at` is the clock's time. */
export const createModel = (at: () => number) => {
  const lanes = new Map<string, Lane>()
  const seen = new Map<string, number>()
  const details = new Map<string, PristoEvent['contact']>()
  let dead: Waiting[] = []
  let claims = 0

  const isKnown = (key: string): boolean =>
    [...lanes.values()].some(({ events }) => events.some((one) => keyOf(one.event) === key)) || dead.some((one) => keyOf(one.event) === key) || (seen.get(key) ?? -Infinity) >= at()

  const add = (event: PristoEvent): void => {
    const lane = lanes.get(event.contact.id) ?? { events: [], dueAt: at(), attempts: 0, holder: undefined }
    lanes.set(event.contact.id, lane)
    lane.events.push({ event, acceptedAt: at() })
  }

  /** The lane that this claim holds. */
  const held = (contact: string, number: number): Lane | undefined => {
    const lane = lanes.get(contact)
    return lane?.holder === number ? lane : undefined
  }

  const advance = (contact: string, lane: Lane): Waiting | undefined => {
    const first = lane.events.shift()
    Object.assign(lane, { dueAt: at(), attempts: 0, holder: undefined })
    if (!lane.events.length) lanes.delete(contact)
    return first
  }

  const exhume = (ids: readonly string[] | 'all'): Waiting[] => {
    const chosen = dead.filter(({ event }) => ids === 'all' || ids.includes(event.id))
    dead = dead.filter((one) => !chosen.includes(one))
    return chosen
  }

  return {
    put: (events: readonly PristoEvent[]): void => {
      for (const event of events) if (!isKnown(keyOf(event))) add(event)
    },
    /** All that are due, by contact, with the number of the claim. */
    claim: () =>
      [...lanes].flatMap(([contact, lane]) => {
        if (lane.dueAt > at() && lane.dueAt <= at() + MAX_WAIT_MS) return []
        const [first] = lane.events
        if (!first) return []
        Object.assign(lane, { dueAt: at() + LEASE_MS, holder: claims++ })
        const event = { ...first.event, contact: { ...details.get(contact), ...first.event.contact } }
        return [{ contact, number: claims - 1, event, acceptedAt: first.acceptedAt, attempts: lane.attempts }]
      }),
    settle: (contact: string, number: number): boolean => {
      const lane = held(contact, number)
      const first = lane && advance(contact, lane)
      if (!first) return false
      seen.set(keyOf(first.event), at() + SEEN_MS)
      details.delete(contact)
      return true
    },
    retry: (contact: string, number: number, delayMs: number): boolean => {
      const lane = held(contact, number)
      if (lane) Object.assign(lane, { dueAt: at() + delayMs, attempts: lane.attempts + 1, holder: undefined })
      return lane !== undefined
    },
    bury: (contact: string, number: number, claimed: PristoEvent): boolean => {
      const lane = held(contact, number)
      const first = lane && advance(contact, lane)
      if (!first) return false
      dead.push(first)
      if (claimed.contact.email) details.set(contact, claimed.contact)
      return true
    },
    replay: (ids: readonly string[] | 'all'): number => {
      const chosen = exhume(ids)
      for (const { event } of chosen) add(event)
      return chosen.length
    },
    drop: (ids: readonly string[] | 'all'): number => {
      const chosen = exhume(ids)
      for (const { event } of chosen) seen.set(keyOf(event), at() + SEEN_MS)
      return chosen.length
    },
    stats: () => {
      const waiting = [...lanes.values()].flatMap(({ events }) => events)
      return { events: waiting.length, contacts: lanes.size, dead: dead.length, bytes: [...waiting, ...dead].reduce((sum, one) => sum + bytesOf(one), 0) }
    },
  }
}

const eventFor = ({ n, contact, email }: { n: number; contact: string; email: boolean }): PristoEvent =>
  makeEvent(n, { contact: { id: contact, ...(email && { email: `${n}@b.co` }) } })

/** Takes the steps with an engine and the model; `expectSame` throws where they differ. */
export const compare = async (
  spool: Spool,
  { steps, clock, expectSame }: { steps: readonly Step[]; clock: { at: number }; expectSame: (engine: unknown, model: unknown, step: Step) => void },
): Promise<void> => {
  const model = createModel(() => clock.at)
  const claims: { real: Claim; contact: string; number: number }[] = []
  const idsOf = (chosen: readonly number[] | 'all') => (chosen === 'all' ? chosen : chosen.map((n) => makeEvent(n).id))
  const byContact = <T extends { contact: string }>(all: T[]): T[] => all.sort((a, b) => (a.contact < b.contact ? -1 : 1))

  const take = async (step: Step): Promise<[unknown, unknown]> => {
    if (step.kind === 'pass') return [(clock.at += step.ms), clock.at]
    if (step.kind === 'put') {
      const events = step.events.map(eventFor)
      model.put(events)
      return [await spool.put(events), 'accepted']
    }
    if (step.kind === 'claim') {
      const given = byContact((await spool.claim(10)).map((real) => ({ real, contact: real.event.contact.id })))
      const expected = byContact(model.claim())
      given.forEach(({ real, contact }, place) => claims.push({ real, contact, number: expected[place]?.number ?? -1 }))
      return [
        given.map(({ real: { event, acceptedAt, attempts } }) => ({ event, acceptedAt, attempts })),
        expected.map(({ event, acceptedAt, attempts }) => ({ event, acceptedAt, attempts })),
      ]
    }
    if (step.kind === 'stats') {
      const { events, contacts, dead, bytes } = await spool.stats()
      return [{ events, contacts, dead, bytes }, model.stats()]
    }
    if (step.kind === 'replay' || step.kind === 'drop') return [await spool.dead[step.kind](idsOf(step.ids)), model[step.kind](idsOf(step.ids))]
    const claim = claims.at(-1 - step.nth)
    if (!claim) return [undefined, undefined]
    const { real, contact, number } = claim
    if (step.kind === 'settle') return [await spool.settle(real), model.settle(contact, number)]
    if (step.kind === 'bury') return [await spool.bury(real, { code: 'invalid_event' }), model.bury(contact, number, real.event)]
    return [await spool.retry(real, step.delayMs), model.retry(contact, number, step.delayMs)]
  }

  for (const step of steps) {
    const [engine, expected] = await take(step)
    expectSame(engine, expected, step)
  }
}
