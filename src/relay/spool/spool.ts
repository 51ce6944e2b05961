/**
 * What a spool is: events that the relay has taken upon itself, on a disk, until Pristo has them.
 * Invariant: what `put` accepted leaves only by `settle`, `bury` or an operator's `drop`; one contact's events are claimed one at a time and in
 * order, whatever other contacts do; only the holder of a claim can end it.
 */
import type { Contact, PristoEvent } from '../../contract.ts'
import { fail } from '../given.ts'

/** A claim nobody ended is free again after this: above the longest call of the API (10 s), as its worker may only be slow. */
export const LEASE_MS = 15_000

/** How long an event that has left is still known by its id, so that the same one is not taken twice. */
export const SEEN_MS = 48 * 3600 * 1000

/** How long a contact's details, which a buried event could not bring to Pristo, wait for the next one: longer than that one may wait itself. */
export const DETAILS_MS = 7 * 24 * 3600 * 1000

/** Nothing waits longer than this (an hour of `Retry-After` is the longest): a time beyond it was set by a clock that was wrong. */
export const MAX_WAIT_MS = 2 * 3600 * 1000

/** What is kept at most, buried events included, in bytes of JSON. At 400 bytes an event 2.7 million of them. */
export const MAX_BYTES = 2 ** 30

/** How many forgotten ids a `put` clears away: more than it can add, so that they cannot pile up. */
export const FORGET_AT_ONCE = 100

/** An event that a worker has for itself until its lease runs out: the first of its contact. */
export interface Claim {
  /** As it was put, with the details of its contact that an earlier, buried event could not bring to Pristo. */
  event: PristoEvent
  /** Milliseconds since 1970. */
  acceptedAt: number
  /** How often it was tried before: 0 at first. */
  attempts: number
  /** The engine's own name for the event. */
  seq: number
  /** Which claim this is: a later one of the same contact has another number, and ends this one. */
  fence: number
}

/** Why an event was buried. */
export interface Reason {
  /** A RejectCode, or `expired`: three days without success. */
  code: string
  /** HTTP status of the Pristo API, where it was that which refused. */
  status?: number
  /** Without what the event said. */
  message?: string
}

/** A buried event. */
export interface DeadEvent {
  event: PristoEvent
  reason: Reason
  /** Milliseconds since 1970. */
  acceptedAt: number
  buriedAt: number
}

/** What is in a spool. */
export interface Stats {
  /** Events that wait or are on their way. */
  events: number
  /** Contacts that they are of. */
  contacts: number
  /** Buried events. */
  dead: number
  /** Bytes of JSON of all events, buried ones included. */
  bytes: number
  /** The most that `bytes` may be. */
  maxBytes: number
  /** When the oldest event that waits was accepted, in milliseconds since 1970; undefined where none waits. */
  oldestAt: number | undefined
  /** When the next event is due, in milliseconds since 1970; undefined where none waits. */
  dueAt: number | undefined
}

/** Events by their ids (in any case), or all there are. */
export type Selection = 'all' | readonly string[]

/** What an operator does with buried events. */
export interface DeadEvents {
  /** The first `most` of them, in the order in which they were buried. */
  list(most: number): Promise<DeadEvent[]>
  /** Puts them behind what waits of their contacts, for another three days; resolves to how many there were. */
  replay(which: Selection): Promise<number>
  /** Deletes them for good; resolves to how many there were. */
  drop(which: Selection): Promise<number>
}

/**
 * A spool. Whatever cannot be done rejects with one line that says why, and has changed nothing (a `replay` or `drop` of many: some). `settle`, `retry` and `bury` resolve to false
 * where the claim is somebody else's by now.
 */
export interface Spool {
  /** Resolves once all of the events are on the disk (an event that is known already, by id and contact, is not taken again), or `full`: none is. */
  put(events: readonly PristoEvent[]): Promise<'accepted' | 'full'>
  /** Up to `most` events that are due, each of another contact; the contacts that waited longest come first. */
  claim(most: number): Promise<Claim[]>
  /** Pristo has it. */
  settle(claim: Claim): Promise<boolean>
  /** Not before `delayMs` from now, and no other event of the contact before it. */
  retry(claim: Claim, delayMs: number): Promise<boolean>
  /** It will never be stored: the next one of the contact is due. */
  bury(claim: Claim, reason: Reason): Promise<boolean>
  /** What is in it, at a cost that does not grow with it. */
  stats(): Promise<Stats>
  /** What an operator does with buried events. */
  dead: DeadEvents
  /** Ends its use by this process. */
  close(): Promise<void>
}

/** The event as it leaves: where a buried event could not bring its contact's details to Pristo, the next one does, as the browser would. */
export const withDetails = (event: PristoEvent, details: Contact | undefined): PristoEvent => {
  if (!details) return event
  const fields = { ...details.customFields, ...event.contact.customFields }
  return { ...event, contact: { ...details, ...event.contact, ...(Object.keys(fields).length && { customFields: fields }) } }
}

/** The details that are lost with a buried event, unless the next one brings them. */
export const detailsOf = ({ contact }: PristoEvent): Contact | undefined => (Object.keys(contact).length > 1 ? contact : undefined)

/**
 * A contact as engines have it. An id may be any text, and what a database makes of a NUL or of half a surrogate pair differs: read back as another
 * text, it would be a lane without events, which is due for ever and before all others. JSON escapes both, and line breaks.
 */
export const laneOf = ({ id }: Contact): string => JSON.stringify(id)

/** What an event is known by. Without the contact, anybody could keep a stranger's event away by its id; UUIDs have a fixed length, so no two of these make one text. */
export const nameOf = ({ id, contact }: PristoEvent): string => `${id.toLowerCase()} ${laneOf(contact)}`

/** A batch by these names: where one comes twice the first counts, as between two batches. */
export const byName = (events: readonly PristoEvent[]): Map<string, PristoEvent> => {
  const named = new Map<string, PristoEvent>()
  for (const event of events) {
    const name = nameOf(event)
    if (!named.has(name)) named.set(name, event)
  }
  return named
}

/** All of them, at most so many at once. */
export const portionsOf = <T>(all: readonly T[], most: number): T[][] => Array.from({ length: Math.ceil(all.length / most) }, (_, n) => all.slice(n * most, (n + 1) * most))

/** Throws the one line where a spool cannot have this limit: what is no number would be none. */
export const checkMaxBytes = (given: unknown): void => {
  if (typeof given !== 'number' || !Number.isSafeInteger(given) || given < 1) fail('maxBytes', given, 'a whole number of bytes from 1')
}

/** A spool cannot do what it was asked; the message is one line for whoever runs the relay. */
export class SpoolError extends Error {
  /** `what` completes "the spool …"; `cause` is the engine's own error. */
  constructor(what: string, cause?: unknown) {
    super(`[pristo] the spool ${what}`, { cause })
    this.name = 'SpoolError'
  }
}

/** There is no spool at this place, and none was to be made. */
export class NoSpoolError extends SpoolError {
  constructor() {
    super('is not there: no relay has made it yet, or the place is another one')
    this.name = 'NoSpoolError'
  }
}
