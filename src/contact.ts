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
  /** Grows with every decision, and is the time of it unless the clock was set back; 0 where none was made. */
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
  /** Writes down what was decided while nothing could be written, or what has been erased since. */
  save(): void
  /** As if nobody had ever been here: what was tracked or decided until now is denied. */
  forget(): void
  /**
   * When a denial was that the disk has not carried out yet, on the scale of {@link Visitor.rev}; else 0. Who looks at the disk
   * and at what earlier pages left sets it, and resets it.
   */
  deniedAt: number
  /** Whether this contact is the visitor by now, with an email or a phone. */
  canMend(refused: Contact | undefined): boolean
  /**
   * Gives an event what it lacks and the visitor has: a contact, or the email or phone for want of which it was refused.
   * Otherwise the reason why it goes: a logout before it had a contact, or a denial.
   */
  complete(record: StoredRecord): StoredRecord | 'reset' | 'denied'
}

const KEY = 'pristo_contact'

/** Whether Pristo can be told of somebody new by it. */
export const isReachable = (contact: Contact | undefined): boolean => !!(contact?.email || contact?.phone)

/** Whether what is known of somebody has what a refused event of theirs lacks. */
const mends = (known: Contact | undefined, refused: Contact | undefined): boolean => known?.id === refused?.id && isReachable(known)

const isSame = (a: Contact | undefined, b: Contact | undefined): boolean => JSON.stringify(a) === JSON.stringify(b)

export const createIdentity = (page: Page): Identity => {
  let visitor: Visitor = { rev: 0, epoch: 0 }
  let newest = 0 // of all events seen: a logout is later than they, also when the clock was set back

  const adopt = (found: unknown): void => {
    const { rev = 0, epoch = 0, known }: Partial<Visitor> = Object(found)
    if (rev < identity.deniedAt) return
    const isLater = rev > visitor.rev || (known && rev === visitor.rev)
    const latest = isLater ? (found as Visitor) : visitor // our own words: nobody else writes them
    visitor = { ...latest, epoch: Math.max(epoch, visitor.epoch) } // a logout stays one, whoever was named since
  }

  const current = (): Visitor => {
    adopt(page.read(KEY))
    return visitor
  }

  const save = (): void => {
    const { rev } = Object(page.read(KEY))
    if (current().rev > 0 && rev !== visitor.rev) page.write(KEY, visitor)
  }

  /** Later than all that is known. */
  const later = (): number => Math.max(Date.now(), visitor.rev, newest, identity.deniedAt) + 1

  const change = (contact?: Contact): void => {
    const { epoch, contact: before = contact } = current()
    const next = later()
    visitor = { rev: next, epoch: contact && before?.id === contact.id ? epoch : next, contact, known: false }
    save()
  }

  const identity: Identity = {
    current,
    adopt,
    decide: (contact) => {
      const { contact: before } = current()
      // What is said of the same person adds up: a page that knows only the id takes no email away.
      const whole = contact && before?.id === contact.id ? { ...before, ...contact } : contact
      if (!whole || !isSame(whole, before)) change(whole)
    },
    confirm: (contact) => {
      // Of a hundred events with the details that are stored the first one says it.
      if (!contact || !isSame(contact, current().contact) || visitor.known) return
      visitor = { ...visitor, known: true } // no decision: another tab's counts, whenever it comes
      page.write(KEY, visitor)
    },
    save,
    forget: () => {
      current() // as it is on this device: a page that begins with a denial has not looked yet
      identity.deniedAt = later()
      visitor = { rev: 0, epoch: 0 }
      page.erase(KEY)
    },
    deniedAt: 0,
    canMend: (refused) => mends(current().contact, refused),
    complete: (record) => {
      const { event, epoch, parked } = record
      const { contact, known } = visitor
      newest = Math.max(newest, epoch)
      if (epoch < identity.deniedAt) return 'denied'
      if (!event.contact && epoch < visitor.epoch) return 'reset'
      return contact && (event.contact ? parked && mends(contact, event.contact) : true)
        ? { ...record, parked: false, event: { ...event, contact: known && !parked ? { id: contact.id } : contact } }
        : record
    },
  }
  return identity
}
