/**
 * Who an event is about.
 * Invariant: where the site's session or backend decides, no event reaches the API under another contact, nor with details of the page's
 * where the site has named some.
 */
import type { Contact, PristoEvent } from '../contract.ts'
import type { Parsed } from './given.ts'
import type { CheckedIdentity, Session } from './options.ts'
import { within } from './time.ts'
import { createVerify, type Verdict } from './token.ts'

/** What is known of a request's sender: each event speaks for itself, or what the site says of all of them. */
export type Claimant = { kind: 'page' } | Verdict

/** What a room that asks the site is given. */
interface Means {
  limitMs: number
  now: () => number
  parseContact: (value: unknown) => Parsed<Contact>
  report: (message: string, cause?: unknown) => void
}

/** Asks the site's own session, within `limitMs`. */
const askSession = async (session: Session, request: Request, { limitMs, parseContact, report }: Means): Promise<Verdict> => {
  const unknown = (why: string, cause?: unknown): Verdict => {
    report(`identity.resolve ${why}; the events wait in the browser`, cause)
    return { kind: 'unknown' }
  }
  try {
    const answer = await within((async () => ({ contact: await session.resolve(request) }))(), limitMs)
    if (!answer) return unknown(`took over ${limitMs} ms`)
    if (answer.contact === null || answer.contact === undefined) return { kind: 'refused', code: 'unauthenticated', message: 'nobody is logged in' }
    // As JSON, since that is how it leaves: fields that are undefined are absent, a Date is its text.
    const contact = parseContact(JSON.parse(JSON.stringify(answer.contact)))
    return contact.ok ? { kind: 'contact', id: contact.value.id, contact: contact.value } : unknown(`gave no valid contact (${contact.reason})`)
  } catch (cause) {
    return unknown('failed', cause)
  }
}

/** Asks once per request; `token` is the batch's. `limitMs` bounds the session's answer; `parseContact` judges what the site says. */
export const createIdentify = ({ identity, ...means }: Means & { identity: CheckedIdentity }) => {
  if (identity === 'page') return async (): Promise<Claimant> => ({ kind: 'page' })
  if ('resolve' in identity) return (request: Request): Promise<Claimant> => askSession(identity, request, means)
  const verify = createVerify({ ...identity, ...means })
  return (_: Request, token: string | undefined): Promise<Claimant> => verify(token)
}

/** The event as it may leave, or undefined where it claims somebody else's contact. */
export const assignContact = (event: PristoEvent, claimant: Extract<Claimant, { kind: 'page' | 'contact' }>): PristoEvent | undefined => {
  if (claimant.kind === 'page') return event
  const { id, contact = event.contact } = claimant
  return event.contact.id === id ? { ...event, contact } : undefined
}
