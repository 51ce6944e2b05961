/**
 * Who the visitor is, and whether Pristo knows it yet.
 * Invariant: events carry a contact's details until one that carried them is stored, and from then on only the id,
 * since the API overwrites what it has with whatever an event brings.
 */
import type { Contact } from './contract.ts'
import type { TrackedEvent } from './event.ts'

/** What is kept of the visitor between pages. */
export interface Visitor {
  /** With all details; absent before `identify()` and after `reset()`. */
  contact?: Contact | undefined
  /** Whether Pristo has stored an event with these details. */
  known?: boolean
}

/** Whether two contacts say the same. */
export const isSame = (a: Contact | undefined, b: Contact | undefined): boolean => JSON.stringify(a) === JSON.stringify(b)

/** Gives an event without a contact the visitor known by now; the same object where there is none to give. */
export const complete = (event: TrackedEvent, { contact, known }: Visitor): TrackedEvent =>
  event.contact || !contact ? event : { ...event, contact: known ? { id: contact.id } : contact }
