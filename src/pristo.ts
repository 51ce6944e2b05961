/**
 * `createPristo()`: the wiring. Read it first.
 *
 * track() → event → holding (memory, IndexedDB) → flusher → sender ═ POST ═▶ relay
 *
 * Invariant: no method throws, rejects or blocks, whatever it is given.
 */
import { complete, isSame, type Visitor } from './contact.ts'
import type { Contact } from './contract.ts'
import type { Direct } from './direct.ts'
import { explain, makeContact, makeEvent, makeId, type ContactInput, type Fields, type FieldValue, type TrackedEvent } from './event.ts'
import { createFlusher, type Refusal } from './flusher.ts'
import { createHolding, type DropReason } from './holding.ts'
import { createOutbox } from './outbox.ts'
import { openPage, type Page } from './page.ts'
import { createTransport, type Send, type Transport } from './sender.ts'

/** `granted`: stored and sent. `pending`: held in memory, nothing written. `denied`: erased, nothing tracked. */
export type Consent = 'granted' | 'pending' | 'denied'

/** How a page is set up. All of it is optional. */
export interface Options {
  /** The relay: a path of the site's own origin, or an http(s) URL. @default '/pristo' */
  endpoint?: string | undefined
  /** Sends straight to the API, with the key in the page: for trials and trusted pages. */
  direct?: Direct
  /** What the visitor has agreed to so far. @default 'granted' */
  consent?: Consent
}

/** What can be listened to, and what a listener is given. */
export interface Payloads {
  /** Stored by Pristo. */
  delivered: TrackedEvent
  /** Refused, and why. */
  rejected: { event: TrackedEvent } & Refusal
  /** Given up undelivered. */
  dropped: { event: TrackedEvent; reason: DropReason }
  /** A wrong call or set-up: what was given and what is allowed. */
  error: { message: string }
}

/** The arguments of `track()` after the type: fields may be left out where none is required. */
export type FieldsOf<Type> = {} extends Type ? [fields?: Type] : [fields: Type]

/** Event types and their fields: `{ purchase: { amount: string } }`. */
export type EventMap<Events> = { [Type in keyof Events]: { [Field in keyof Events[Type]]: FieldValue } }

/** What a page talks to. */
export interface Pristo<Events extends EventMap<Events> = Record<string, Fields>> {
  /** Says who the visitor is. Pristo needs an email or a phone the first time it hears of a contact. */
  identify(contact: ContactInput): void
  /** Takes an event of this moment. Returns its id (a UUIDv7), or `undefined` where it was refused. */
  track<Type extends keyof Events & string>(type: Type, ...fields: FieldsOf<Events[Type]>): string | undefined
  /** Sends what can be sent now; resolves once nothing more can be done. */
  flush(): Promise<FlushResult>
  /** Logout: forgets the contact. Events already tracked keep theirs; those still without one are dropped. */
  reset(): void
  /** `granted`: store and send. `pending`: hold in memory. `denied`: erase everything and track nothing. */
  consent(state: Consent): void
  /** Listens until the returned function is called. */
  on<Name extends keyof Payloads>(name: Name, listener: (payload: Payloads[Name]) => void): () => void
  /** Stops timers and listeners. What is stored stays stored. */
  close(): void
}

/** What a `flush()` came to. */
export interface FlushResult {
  /** Stored by Pristo since the call. */
  delivered: number
  /** Refused for good since the call. */
  rejected: number
  /** Still waiting on this device: for a contact, a retry, or another tab. */
  pending: number
}

const CONTACT_KEY = 'pristo_contact'

const CONSENT = /^(granted|pending|denied)$/

/** Characters of an event's JSON, so that one alone always fits into a batch: 3 bytes of UTF-8 each at most. */
const MAX_EVENT_CHARS = 19_900

/**
 * Starts tracking on this page; only where there is a `document`.
 * @param createSend makes the way out, to the relay at this address or elsewhere
 */
export const startPristo = (
  { endpoint = '/pristo', consent: initial = 'granted' }: Options,
  createSend: (transport: Transport, address: string, page: Page) => Send,
): Pristo => {
  const mayStore = (): boolean => consent !== 'pending'
  const page = openPage(mayStore)
  const listeners = new Set<[name: string, listener: (payload: never) => void]>()
  let visitor: Visitor = {}
  let delivered = 0
  let rejected = 0
  let consent: Consent = 'pending' // a mistyped one tracks nobody

  const emit = <Name extends keyof Payloads>(wanted: Name, payload: Payloads[Name]): void =>
    listeners.forEach(([name, listener]) => {
      try {
        if (name === wanted) listener(payload as never)
      } catch (error) {
        console.error(error)
      }
    })

  const complain = (problem: unknown): void => {
    const message = `[pristo] ${problem}`
    console.error(message)
    emit('error', { message })
  }

  /** A call of the site's. Its mistakes are told, never thrown. */
  const safe =
    <Given extends unknown[], Answer>(work: (...given: Given) => Answer) =>
    (...given: Given): Answer | undefined => {
      try {
        return work(...given)
      } catch (problem) {
        complain(problem)
      }
    }

  const decide = (contact?: Contact, known = false): void => {
    visitor = { contact, known }
    page.write(CONTACT_KEY, visitor)
  }

  const holding = createHolding(createOutbox(page.idb, mayStore), page, (event, reason) => {
    if (reason === 'stored') {
      delivered++
      if (isSame(event.contact, visitor.contact)) decide(event.contact, true)
      emit('delivered', event)
    } else if (reason === 'rejected') rejected++
    else emit('dropped', { event, reason })
  })

  const transport = createTransport(page)

  if (!/^(https?:\/)?\/./.test(endpoint)) {
    complain(explain('endpoint', endpoint, 'path or URL'))
    endpoint = '/pristo'
  }

  const flusher = createFlusher({
    holding,
    send: createSend(transport, endpoint, page),
    room: transport.room,
    page,
    maySend: () => consent === 'granted',
    complain,
    onRejected: (event, refusal) => {
      complain(`${event.type} rejected: ${JSON.stringify(refusal)}`)
      emit('rejected', { event, ...refusal })
      return 'rejected'
    },
  })

  const identify = (contact?: Contact): void => {
    // Another person, or nobody: what has no contact yet must not become theirs.
    const isReset = !contact || (visitor.contact ?? contact).id !== contact.id
    if (!contact || !isSame(contact, visitor.contact)) decide(contact)
    const whom = visitor // whoever it is when the disk comes to it
    void holding.sweep((record) =>
      record.event.contact ? record : isReset ? 'reset' : { ...record, event: complete(record.event, whom) },
    )
  }

  const wake = (): Promise<number> => {
    const stored: Visitor = Object(page.read(CONTACT_KEY))
    if ('known' in stored) visitor = stored // another tab may have decided since
    return flusher.wake()
  }

  const setConsent = (given: Consent): void => {
    if (!CONSENT.test(given)) throw explain('consent', given, CONSENT)
    consent = given
    if ('known' in visitor) page.write(CONTACT_KEY, visitor) // said while nothing could be written
    const woken = wake()
    if (visitor.contact) identify(visitor.contact) // for what was tracked before it could be read
    if (given !== 'denied') return
    visitor = {}
    page.erase(CONTACT_KEY)
    void woken.then(() => holding.sweep((record) => (consent === given ? given : record)))
  }

  const stop = page.listen(flusher.leave, wake)

  safe(setConsent)(initial)

  return {
    identify: safe((given) => {
      const contact = makeContact(given, complain)
      if (consent === 'denied') return
      identify(contact)
    }),
    track: safe((type: string, fields?: Fields) => {
      const event = complete(makeEvent(makeId(), type, fields, complain), visitor)
      const { length } = JSON.stringify(event)
      if (length > MAX_EVENT_CHARS) throw explain('event.length', length, MAX_EVENT_CHARS)
      if (consent === 'denied') return
      flusher.add(event)
      return event.id
    }),
    flush: async () => {
      const stored = delivered
      const refused = rejected
      return { pending: await wake(), delivered: delivered - stored, rejected: rejected - refused }
    },
    reset: () => identify(),
    consent: safe(setConsent),
    on: (name, listener) => {
      const entry: [string, typeof listener] = [name, listener]
      listeners.add(entry)
      return () => listeners.delete(entry)
    },
    close: () => {
      stop()
      flusher.close()
    },
  }
}
