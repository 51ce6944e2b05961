/**
 * What became of every event, by what the stand-in API saw.
 * Invariant: nothing here asks the spool whether it did well, but which events it says that it buried.
 */
import { LEASE_MS, type DeadEvent } from '../../../src/relay/spool/spool.ts'
import type { Tracked } from './browsers.ts'

/** One event as it arrived at the API. */
export interface Arrival {
  id: string
  /** The relay that brought it. */
  relay: string
  /** Milliseconds since 1970. */
  at: number
  /** When the answer left, or the connection was cut; Infinity where neither happened. */
  endedAt: number
  /** What the API did with it: a reset after storing is an answer that was lost. */
  fate: 'answered' | 'lost' | 'failed'
}

/** A `kill -9`. */
export interface Kill {
  /** Of a relay; or of the store, which all relays share. */
  name: string
  /** Milliseconds since 1970. */
  at: number
  /** When it was back: what arrives from it until then was sent before it died. */
  until: number
}

/** The name of the store among the killed. */
export const STORE = 'the store'

/** Why an event may have come a second time. */
export type Excuse = 'reset after it was stored' | 'relay killed before it had written the answer down'

/** How events fared. */
export interface Reckoning {
  events: number
  /** Neither stored nor buried. */
  lost: number
  /** First arrivals behind a later event of the same contact. */
  disordered: number
  /** Further arrivals that nothing excuses. */
  duplicated: number
  /** Further arrivals after an answer that was lost, by why it was. */
  allowed: Partial<Record<Excuse, number>>
  /** Events that the spool gave up with a reason. */
  buried: number
  /** What else is wrong, and which events the above are: one line each. */
  problems: string[]
}

/** Answers that left so close to each other may be read by a relay in any order, milliseconds. */
const SLACK_MS = 200

/** What all this is known from. */
export interface Evidence {
  tracked: readonly Tracked[]
  arrivals: readonly Arrival[]
  kills: readonly Kill[]
  buried: readonly DeadEvent[]
  /** Whether each contact that has an event in Pristo has its email there. */
  hasDetails(contactId: string): boolean
}

/** Why an event may have come again after `first`, if anything excuses it. `stored` is what arrived and was stored, in order. */
const createExcuse = (stored: readonly Arrival[], contactOf: (id: string) => string, kills: readonly Kill[]) => {
  /** What each relay is known to have written down, and by when: a later event of a contact is claimed only after the last one's answer was. */
  const written = new Map<string, { answeredAt: number; by: number }[]>()
  const latest = new Map<string, Arrival>()
  for (const arrival of stored) {
    const contactId = contactOf(arrival.id)
    const before = latest.get(contactId)
    latest.set(contactId, arrival)
    if (!before || before.id === arrival.id || before.fate !== 'answered') continue
    const list = written.get(before.relay) ?? []
    list.push({ answeredAt: before.endedAt, by: arrival.at })
    written.set(before.relay, list)
  }

  /** Whether who was killed then had not yet written down what was answered at `endedAt`: it had none of what was answered later. */
  const hadNotWritten = (relay: string, endedAt: number, killedAt: number): boolean =>
    !written.get(relay)?.some(({ answeredAt, by }) => answeredAt > endedAt + SLACK_MS && by < killedAt)

  return (first: Arrival): Excuse | undefined => {
    if (first.fate === 'lost') return 'reset after it was stored'
    const isFatal = ({ name, at, until }: Kill): boolean => name === first.relay && until > first.at && at < first.at + LEASE_MS && hadNotWritten(first.relay, first.endedAt, at)
    return kills.some(isFatal) ? 'relay killed before it had written the answer down' : undefined
  }
}

/** How a second arrival came about, for who looks for the cause. */
const tell = (first: Arrival, again: Arrival, kills: readonly Kill[]): string => {
  const deaths = kills.filter(({ at }) => at > first.at - LEASE_MS / 3 && at < again.at).map(({ name, at }) => `${name} killed at ${at - first.at} ms`)
  return `after ${again.at - first.at} ms: first by ${first.relay}, which was answered after ${first.endedAt - first.at} ms (${deaths.join(', ') || 'nobody killed'}), then by ${again.relay}`
}

/** What is wrong with what the spool buried. */
const judgeBuried = (buried: readonly DeadEvent[], isPoison: (id: string) => boolean): string[] => {
  const sound = buried.filter(({ event }) => !isPoison(event.id))
  const reasonless = buried.filter(({ reason }) => reason.code !== 'invalid_event' || reason.status !== 400 || !reason.message?.includes('unknown type'))
  const again = buried.length - new Set(buried.map(({ event }) => event.id)).size
  return [
    ...sound.map(({ event, reason }) => `buried although it is sound: ${JSON.stringify(event)}: ${JSON.stringify(reason)}`),
    ...reasonless.map(({ reason }) => `buried without its reason: ${JSON.stringify(reason)}`),
    ...(again ? [`buried twice: ${again} events`] : []),
  ]
}

/** Reckons, once nothing waits any more. */
export const reckon = ({ tracked, arrivals, kills, buried, hasDetails }: Evidence): Reckoning => {
  const byId = new Map(tracked.map((event) => [event.id, event]))
  const stored = arrivals.filter(({ id, fate }) => fate !== 'failed' && byId.get(id)?.isPoison === false)
  const excuseOf = createExcuse(stored, (id) => byId.get(id)?.contactId ?? '', kills)
  const problems: string[] = []
  const allowed: Partial<Record<Excuse, number>> = {}
  const last = new Map<string, Arrival>()
  const newest = new Map<string, number>()
  let disordered = 0
  let duplicated = 0

  for (const arrival of stored) {
    const { nth, contactId } = byId.get(arrival.id) ?? { nth: 0, contactId: '' }
    const name = `event ${nth} of ${contactId}`
    const first = last.get(arrival.id)
    const newestNth = newest.get(contactId) ?? -1
    const isLate = nth < newestNth
    last.set(arrival.id, arrival)
    newest.set(contactId, Math.max(nth, newestNth))
    if (!first) {
      if (isLate) problems.push(`disordered: ${name} came behind a later one, by ${arrival.relay}`)
      disordered += +isLate
      continue
    }
    const excuse = isLate ? undefined : excuseOf(first) // that a later one was on its way says that the spool knew of this one
    if (excuse) allowed[excuse] = (allowed[excuse] ?? 0) + 1
    else problems.push(`duplicated: ${name} came again${isLate ? ', behind a later one,' : ''} ${tell(first, arrival, kills)}`)
    duplicated += +!excuse
  }

  const buriedIds = new Set(buried.map(({ event }) => event.id))
  const lost = tracked.filter(({ id }) => !last.has(id) && !buriedIds.has(id))
  const strange = new Set(arrivals.flatMap(({ id }) => (byId.has(id) ? [] : [id])))
  problems.push(
    ...lost.map(({ contactId, nth }) => `lost: event ${nth} of ${contactId}`),
    ...judgeBuried(buried, (id) => byId.get(id)?.isPoison === true),
    ...(strange.size ? [`${strange.size} events arrived that nobody tracked`] : []),
    ...[...newest.keys()].flatMap((contactId) => (hasDetails(contactId) ? [] : [`${contactId} has lost its email`])),
  )
  return { events: tracked.length, lost: lost.length, disordered, duplicated, allowed, buried: buried.length, problems }
}
