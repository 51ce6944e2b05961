/**
 * `createPristo()`: the wiring. Read it first.
 *
 * track() → event → holding (memory, IndexedDB) → flusher → sender ═ POST ═▶ relay
 *
 * Invariant: no method throws, rejects or blocks, whatever it is given.
 */
import { checkConsent, firstConsent, recallConsent, rememberConsent, type Consent, type ConsentOptions } from './consent.ts'
import { createIdentity, isReachable } from './contact.ts'
import { MAX_VALUE_CHARS, type Contact } from './contract.ts'
import type { Direct } from './direct.ts'
import { explain, makeContact, makeEvent, makeId, type ContactInput, type Fields, type FieldValue, type TrackedEvent } from './event.ts'
import { createFlusher, type Refusal } from './flusher.ts'
import { ask, type BeforeSend } from './hook.ts'
import { createHolding, LEASE_MS, type DropReason } from './holding.ts'
import { createOutbox } from './outbox.ts'
import { openPage, type Page } from './page.ts'
import { createTransport, type Send, type Transport } from './sender.ts'
import { withToken, type Tokens } from './token.ts'

/** How a page is set up. All of it is optional. */
export interface Options extends Tokens, ConsentOptions {
  /** The relay: a path of the site's own origin, or an http(s) URL. @default '/pristo' */
  endpoint?: string | undefined
  /** Sends straight to the API, with the key in the page: for trials and trusted pages. */
  direct?: Direct | undefined
  /** Sees each event before it is stored, and may change or drop it. */
  beforeSend?: BeforeSend | undefined
  /** Whether the console tells of each event and batch; `localStorage.pristo_debug = 1` does the same in one browser. @default false */
  debug?: boolean | undefined
}

/** What can be listened to, and what a listener is given. */
export interface Payloads {
  /** Stored by Pristo. */
  delivered: TrackedEvent
  /** Refused, and why; `parked`: it waits for an `identify()` of its contact with an email or a phone. */
  rejected: { event: TrackedEvent; parked: boolean } & Refusal
  /** Given up undelivered. */
  dropped: { event: TrackedEvent; reason: DropReason }
  /** A wrong call or set-up: what was given and what is allowed. */
  error: { message: string }
}

/** Names of fields; of a union's events, each one's. */
type NamesIn<Type> = Type extends unknown ? keyof Type : never

/**
 * The arguments of `track()` after the type: fields may be left out where none is required. An event without any takes none
 * (to TypeScript anything is a `{}`, a mistyped field too).
 */
export type FieldsOf<Type> = {} extends Type ? [fields?: [NamesIn<Type>] extends [never] ? Record<string, never> : Type] : [fields: Type]

/** An event's fields, each of a type that a field may have; one by one where the event is a union. */
type Checked<Type> = Type extends object ? Partial<Record<keyof Type, FieldValue>> : never

/** Event types and their fields: `{ purchase: { amount: string } }`, written as a type or an interface, or inferred from a schema. */
export type EventMap<Events> = { [Type in keyof Events]: Checked<Events[Type]> }

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
  /**
   * `granted`: store and send. `denied`: erase everything and track nothing. Later pages remember both.
   * `pending`: hold in memory, and forget what was decided.
   */
  consent(state: Consent): void
  /** Listens until the returned function is called. */
  on<Name extends keyof Payloads>(name: Name, listener: (payload: Payloads[Name]) => void): () => void
  /** Stops timers and listeners. What is stored stays stored. */
  close(): void
}

/** What a `flush()` came to. */
export interface FlushResult {
  /** Heard to be stored since the call, by an answer or an ack that an earlier page left. */
  delivered: number
  /** Refused for good since the call. */
  rejected: number
  /** Still waiting on this device: for a contact, its email or phone, a retry, or another tab. */
  pending: number
}

/**
 * Characters of an event's JSON: 3 bytes of UTF-8 each at most, so that one alone fits into a batch. Its contact comes on
 * top: with one of thousands of characters the relay answers 413, and the event is rejected as `too_large`.
 */
const MAX_EVENT_CHARS = 19_900

/** Whether the event is no longer than allowed even if JSON had to escape its every character, by six. Spares nearly all of them the JSON itself. */
const isShort = ({ type, customFields = {} }: TrackedEvent): boolean => {
  let chars = type.length + 20 // its names, id and time have nothing to escape
  for (const key in customFields) chars += key.length + MAX_VALUE_CHARS + 1
  return chars * 6 < MAX_EVENT_CHARS
}

/**
 * Starts tracking on this page; only where there is a `document`.
 * @param createSend makes the way out, to the relay at this address or elsewhere
 */
export const startPristo = (
  { endpoint = '/pristo', consent: initial, respect, beforeSend, ...tokens }: Options,
  createSend: (transport: Transport, address: string, page: Page) => Send,
): Pristo => {
  const mayStore = (): boolean => consent !== 'pending'
  const page = openPage(mayStore)
  const listeners = new Set<[name: string, listener: (payload: never) => void]>()
  let delivered = 0
  let rejected = 0
  let isTelling = false
  let consent: Consent = 'pending' // a mistyped one tracks nobody

  const emit = <Name extends keyof Payloads>(wanted: Name, payload: Payloads[Name]): void =>
    listeners.forEach(([name, listener]) => {
      try {
        if (name === wanted) listener(payload as never)
      } catch (error) {
        console.error(error)
      }
    })

  const complain = (problem: unknown, about = ''): void => {
    // Ours are texts. What a getter of the site throws, or its promise rejects with, may refuse to become one.
    const message = `[pristo] ${about}${typeof problem === 'string' || problem instanceof Error ? problem : typeof problem}`
    console.error(message)
    if (isTelling) return // a listener that makes the mistake of which it is told
    isTelling = true
    emit('error', { message })
    isTelling = false
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

  // Another tab, which has not heard of the denial, may go on naming the visitor: it is not this page that writes it down.
  const identity = createIdentity({ ...page, write: (key, value) => consent !== 'denied' && page.write(key, value) })
  const outbox = createOutbox(page.idb, () => mayStore() && !page.isGone())

  const holding = createHolding({
    outbox,
    page,
    identity,
    onGone: (event, reason) => {
      if (reason === 'stored') {
        delivered++
        identity.confirm(event.contact)
        emit('delivered', event)
      } else if (reason === 'rejected') rejected++
      else emit('dropped', { event, reason })
    },
  })

  const transport = createTransport(page)

  if (typeof endpoint !== 'string' || !/^(https?:\/)?\/./.test(endpoint)) {
    complain(explain('endpoint', endpoint, 'path or URL'))
    endpoint = '/pristo'
  }

  const flusher = createFlusher({
    holding,
    send: withToken(createSend(transport, endpoint, page), tokens, { who: () => identity.current().epoch, again: () => void flusher.wake(), complain }),
    room: transport.room,
    page,
    maySend: () => consent === 'granted',
    complain,
    refuse: (event, refusal) => {
      // Only the API misses a contact's email and phone; the relay's own refusals have no status.
      const parked = !!refusal.status && !isReachable(event.contact)
      if (parked && identity.canMend(event.contact)) return { due: 0, parked } // once more, with the details
      complain(`${event.type} rejected: ${JSON.stringify(refusal)}`)
      emit('rejected', { event, ...refusal, parked })
      return parked ? { due: 0, parked } : 'rejected'
    },
  })

  const apply = (given: Consent): void => {
    identity.current() // a page that may read no more knows what was decided until now
    consent = given
    if (given === 'denied') identity.forget()
    else identity.save() // what was said while nothing could be written
    if (given === 'denied') void holding.sync(0).catch(complain) // at once, and not after a request that is under way
    void flusher.wake()
  }

  const decide = (contact?: Contact): void => {
    identity.decide(contact)
    void holding.sync(0).catch(complain)
  }

  const leave = (): void => {
    flusher.leave()
    if (page.isGone()) outbox.leave()
  }

  const stop = page.listen(leave, () => {
    // In another tab, or on a page after this one, from which the visitor came back.
    if (consent !== 'denied' && recallConsent(page) === 'denied') apply('denied')
    void flusher.wake()
  })

  // What is mistyped leaves it pending.
  safe(() => apply(firstConsent(page, { consent: initial, respect }, complain)))()

  return {
    identify: safe((given) => {
      const contact = makeContact(given, complain)
      if (consent !== 'denied') decide(contact)
    }),
    track: safe((type: string, fields?: Fields) => {
      const made = makeEvent(makeId(), type, fields, complain)
      const event = consent === 'denied' ? null : ask(beforeSend, made, complain)
      if (!event || consent === 'denied') return // the hook may have asked the visitor
      const length = isShort(event) ? 0 : JSON.stringify(event).length
      if (length > MAX_EVENT_CHARS) throw explain('event.length', length, MAX_EVENT_CHARS)
      const now = Date.now()
      const epoch = Math.max(now, identity.current().rev, identity.deniedAt)
      const record = identity.complete({ event, due: now + LEASE_MS, epoch })
      if (typeof record !== 'string') flusher.add(record)
      return event.id
    }),
    flush: async () => {
      const stored = delivered
      const refused = rejected
      return { pending: await flusher.wake(), delivered: delivered - stored, rejected: rejected - refused }
    },
    reset: () => {
      if (consent !== 'denied') decide()
    },
    consent: safe((given) => {
      apply(checkConsent(given))
      rememberConsent(page, given)
    }),
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
