/**
 * Who is identified, and whether Pristo knows it yet.
 * Invariant: events carry a contact's details until one that carried them is stored, and from then on only the id,
 * since the API overwrites what it has with whatever an event brings.
 */
import type { Contact } from './contract.ts'
import type { StoredRecord } from './outbox.ts'

/** What is kept of the visitor between pages. */
export interface ContactState {
  contact?: Contact | undefined
  /** Whether Pristo has stored an event with these details. */
  known?: boolean
}

/** The one who knows the visitor. */
export interface Identity {
  /** The contact with all details; `undefined` before `identify()` and after `reset()`. */
  current(): Contact | undefined
  /** Takes a contact, or none (`reset()`). The same details again change nothing. */
  identify(given?: Contact): void
  /** Says that an event with this contact was stored. */
  confirm(contact: Contact | undefined): void
  /** Takes what another page or tab has decided; anything that is no state counts as nobody. */
  adopt(state: unknown): void
  /**
   * Brings a record up to the visitor known by now: one without a contact gets it, one that was parked for want of an
   * email or a phone goes back into the queue when its contact has one. The same object where nothing changes.
   */
  complete(record: StoredRecord): StoredRecord
}

/** What Pristo needs to create a contact. */
export const isReachable = (contact: Contact | undefined): unknown => contact?.email || contact?.phone

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

/** @param save keeps a state where the next page finds it */
export const createIdentity = (save: (state: ContactState) => void): Identity => {
  let state: ContactState = {}

  const decide = (contact?: Contact, known?: boolean): void => save((state = { contact, known: !!known }))

  return {
    current: () => state.contact,
    identify: (given) => same(given, state.contact) || decide(given),
    confirm: (contact) => state.known || !same(contact, state.contact) || decide(contact, true),
    adopt: (given) => {
      state = Object(given)
    },
    complete: (record) => {
      const { contact, known } = state
      const { event, due, parked } = record
      const isWanted = contact && (event.contact ? parked && contact.id === event.contact.id && isReachable(contact) : true)
      return isWanted ? { event: { ...event, contact: known && !parked ? { id: contact.id } : contact }, due } : record
    },
  }
}
