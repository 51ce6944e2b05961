/**
 * Who the visitor is, and whether Pristo knows it yet.
 * Invariants: events carry a contact's details until one that carried them is stored, and from then on only the id,
 * since the API overwrites what it has with whatever an event brings. The latest decision on this device counts, whichever
 * tab or page made it, and whichever of the two stores kept it.
 */
import type { Contact } from './contract.ts'
import type { StoredRecord } from './outbox.ts'
import type { Page } from './page.ts'

/** What is kept of the visitor between pages. */
export interface Visitor {
  /** Grows with every decision; 0 where none was made. */
  rev: number
  /** The `rev` of the last logout: events without a contact that are older belong to nobody. */
  epoch: number
  /** With all details; absent before `identify()` and after `reset()`. */
  contact?: Contact | undefined
  /** Whether Pristo has stored an event with these details. */
  known?: boolean | undefined
}

export interface Identity {
  /** The visitor by now: another tab may have decided since. */
  current(): Visitor
  /** Takes over what a store has of the visitor, where that is later. */
  adopt(found: unknown): void
  /** Another contact, or none, is a logout first. */
  decide(contact?: Contact): void
  /** Pristo has stored an event with this contact. */
  confirm(contact: Contact | undefined): void
  /** The details of this contact, where it is the visitor and has an email or a phone. Pristo does not have them: they travel again. */
  recall(contact: Contact): Contact | undefined
  /** Writes down what was decided while nothing could be written. */
  save(): void
  /** As if nobody had ever been here. */
  forget(): void
  /** Gives an event what it lacks and the visitor has: a contact, or the email or phone for want of which it was refused. */
  complete(record: StoredRecord): StoredRecord
  /** Whether an event belongs to nobody any more. */
  isOrphaned(record: StoredRecord): boolean
}

const KEY = 'pristo_contact'

/** Whether Pristo can be told of somebody new by it. */
export const isReachable = ({ email, phone }: Contact): boolean => !!(email || phone)

const isSame = (a: Contact | undefined, b: Contact | undefined): boolean => JSON.stringify(a) === JSON.stringify(b)

export const createIdentity = (page: Page): Identity => {
  let visitor: Visitor = { rev: 0, epoch: 0 }

  const adopt = (found: unknown): void => {
    if (Object(found).rev > visitor.rev) visitor = found as Visitor // our own words: nobody else writes them
  }

  const current = (): Visitor => {
    adopt(page.read(KEY))
    return visitor
  }

  const save = (): unknown => visitor.rev && page.write(KEY, visitor)

  const change = (contact: Contact | undefined, known: boolean): void => {
    const { rev, epoch, contact: before } = current()
    const now = Math.max(Date.now(), rev + 1) // also when the clock was set back
    visitor = { rev: now, epoch: contact && (before ?? contact).id === contact.id ? epoch : now, contact, known }
    save()
  }

  const ofVisitor = (contact: Contact | undefined): Contact | undefined => {
    const { contact: ours } = visitor
    return ours && ours.id === contact?.id && isReachable(ours) ? ours : undefined
  }

  return {
    current,
    adopt,
    decide: (contact) => {
      if (!contact || !isSame(contact, current().contact)) change(contact, false)
    },
    confirm: (contact) => {
      if (isSame(contact, current().contact)) change(contact, true)
    },
    recall: (contact) => {
      const ours = ofVisitor(contact)
      if (ours) change(ours, false)
      return ours
    },
    save,
    forget: () => {
      visitor = { rev: 0, epoch: 0 }
      page.erase(KEY)
    },
    complete: (record) => {
      const { event, due, epoch, parked } = record
      const { contact, known } = visitor
      const details = event.contact ? parked && ofVisitor(event.contact) : contact
      return details
        ? { event: { ...event, contact: known && !parked ? { id: details.id } : details }, due: parked ? 0 : due, epoch }
        : record
    },
    isOrphaned: ({ event, epoch }) => !event.contact && epoch < visitor.epoch,
  }
}
