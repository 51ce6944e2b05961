/**
 * Who an event is about.
 * Invariant: where the site's session decides, no event reaches the API under another contact, nor with details that the page made up.
 */
import type { Contact, PristoEvent } from '../contract.ts'
import type { Identity } from './options.ts'
import type { Parsed } from './schema.ts'
import { within } from './time.ts'

/** What is known of a request's sender. */
export type Claimant =
  /** Each event speaks for itself. */
  | { kind: 'page' }
  | { kind: 'contact'; contact: Contact }
  /** The site has a session and nobody is logged in. */
  | { kind: 'nobody' }
  /** The site's own code failed; it was reported. */
  | { kind: 'unknown' }

/** Asks the site once per request. `limitMs` bounds its answer; `parseContact` judges it. */
export const createIdentify =
  ({
    identity,
    limitMs,
    parseContact,
    report,
  }: {
    identity: Identity
    limitMs: number
    parseContact: (value: unknown) => Parsed<Contact>
    report: (message: string, cause?: unknown) => void
  }) =>
  async (request: Request): Promise<Claimant> => {
    if (identity === 'page') return { kind: 'page' }
    const unknown = (why: string, cause?: unknown): Claimant => {
      report(`identity.resolve ${why}; the events wait in the browser`, cause)
      return { kind: 'unknown' }
    }
    try {
      const answer = await within((async () => ({ contact: await identity.resolve(request) }))(), limitMs)
      if (!answer) return unknown(`took over ${limitMs} ms`)
      if (answer.contact === null || answer.contact === undefined) return { kind: 'nobody' }
      // As JSON, since that is how it leaves: fields that are undefined are absent, a Date is its text.
      const contact = parseContact(JSON.parse(JSON.stringify(answer.contact)))
      return contact.ok ? { kind: 'contact', contact: contact.value } : unknown(`gave no valid contact (${contact.reason})`)
    } catch (cause) {
      return unknown('failed', cause)
    }
  }

/** The event as it may leave, or undefined where it claims somebody else's contact. */
export const assignContact = (event: PristoEvent, claimant: Claimant): PristoEvent | undefined => {
  if (claimant.kind !== 'contact') return event
  return event.contact.id === claimant.contact.id ? { ...event, contact: claimant.contact } : undefined
}
