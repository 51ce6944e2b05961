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

/** Reckons, once nothing waits any more. */
export const reckon = ({ tracked, arrivals, kills, buried, hasDetails }: Evidence): Reckoning => {
  const byId = new Map(tracked.map((event) => [event.id, event]))
  const stored = arrivals.filter(({ id, fate }) => fate !== 'failed' && byId.get(id)?.isPoison === false)
  const problems: string[] = []
  const allowed: Partial<Record<Excuse, number>> = {}
  const last = new Map<string, Arrival>()
  const newest = new Map<string, number>()
  let disordered = 0
  let duplicated = 0

  /** When each relay is known to have written down what: a later event of a contact is claimed only after its last one was. */
  const written = new Map<string, { answeredAt: number; by: number }[]>()
  const latest = new Map<string, Arrival>()
  for (const arrival of stored) {
    const contactId = byId.get(arrival.id)?.contactId ?? ''
    const last = latest.get(contactId)
    latest.set(contactId, arrival)
    if (!last || last.id === arrival.id || last.fate !== 'answered') continue
    const list = written.get(last.relay) ?? []
    list.push({ answeredAt: last.endedAt, by: arrival.at })
    written.set(last.relay, list)
  }

  /** Whether who was killed then had not yet written down what was answered at `endedAt`: it had none of what was answered later. */
  const hadNotWritten = (relay: string, endedAt: number, killedAt: number): boolean =>
    !written.get(relay)?.some(({ answeredAt, by }) => answeredAt > endedAt + SLACK_MS && by < killedAt)

  /** Why the spool did not learn that the event had arrived. */
  const excuseOf = (first: Arrival): Excuse | undefined => {
    if (first.fate === 'lost') return 'reset after it was stored'
    const isFatal = ({ name, at, until }: Kill): boolean => name === first.relay && until > first.at && at < first.at + LEASE_MS && hadNotWritten(first.relay, first.endedAt, at)
    return kills.some(isFatal) ? 'relay killed before it had written the answer down' : undefined
  }

  for (const arrival of stored) {
    const event = byId.get(arrival.id)
    if (!event) continue
    const first = last.get(arrival.id)
    const isLate = event.nth < (newest.get(event.contactId) ?? -1)
    const name = `event ${event.nth} of ${event.contactId}`
    last.set(arrival.id, arrival)
    if (!first) {
      if (isLate) problems.push(`disordered: ${name} came behind a later one, by ${arrival.relay}`)
      disordered += +isLate
      newest.set(event.contactId, Math.max(event.nth, newest.get(event.contactId) ?? -1))
      continue
    }
    // That a later one was on its way says that the spool knew of this one.
    const excuse = isLate ? undefined : excuseOf(first)
    if (excuse) {
      allowed[excuse] = (allowed[excuse] ?? 0) + 1
      continue
    }
    duplicated++
    const deaths = kills.filter(({ at }) => at > first.at - LEASE_MS / 3 && at < arrival.at).map((kill) => `${kill.name} killed at ${kill.at - first.at} ms`)
    const end = `${first.relay}, which was answered after ${first.endedAt - first.at} ms (${deaths.join(', ') || 'nobody killed'})`
    problems.push(`duplicated: ${name} came again after ${arrival.at - first.at} ms${isLate ? ', behind a later one' : ''}: first by ${end}, then by ${arrival.relay}`)
  }

  const buriedIds = new Set(buried.map(({ event }) => event.id))
  const lost = tracked.filter(({ id }) => !last.has(id) && !buriedIds.has(id))
  for (const { contactId, nth } of lost) problems.push(`lost: event ${nth} of ${contactId}`)
  for (const { event, reason } of buried) {
    if (!byId.get(event.id)?.isPoison) problems.push(`buried although it is sound: ${JSON.stringify(event)}: ${JSON.stringify(reason)}`)
    if (reason.code !== 'invalid_event' || reason.status !== 400 || !reason.message?.includes('unknown type')) problems.push(`buried without its reason: ${JSON.stringify(reason)}`)
  }
  if (buriedIds.size !== buried.length) problems.push(`buried twice: ${buried.length - buriedIds.size} events`)
  const strange = new Set(arrivals.flatMap(({ id }) => (byId.has(id) ? [] : [id])))
  if (strange.size) problems.push(`${strange.size} events arrived that nobody tracked`)
  for (const contactId of newest.keys()) if (!hasDetails(contactId)) problems.push(`${contactId} has lost its email`)
  return { events: tracked.length, lost: lost.length, disordered, duplicated, allowed, buried: buried.length, problems }
}
