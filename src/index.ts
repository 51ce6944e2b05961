/**
 * The ES module face, for pages and workers. Importing has no side effects; on a server every method is a no-op.
 * @module pristo
 */
import { start } from './debug.ts'
import type { Direct } from './direct.ts'
import { explain, type Fields } from './event.ts'
import { isBrowser, type Page } from './page.ts'
import { createSender, type Send, type Transport } from './sender.ts'
import type { EventMap, Options, Pristo } from './pristo.ts'

/** Where there is no browser every method is a no-op. */
const NO_PAGE: Pristo = {
  identify() {},
  track: () => undefined,
  flush: async () => ({ delivered: 0, rejected: 0, pending: 0 }),
  reset() {},
  consent() {},
  on: () => () => {},
  close() {},
}

const createSend =
  (direct: Direct | undefined) =>
  (transport: Transport, address: string, page: Page): Send => {
    if (!direct) return createSender(transport, address, page)
    if (!direct.populationId || !direct.apiKey) {
      console.error(`[pristo] ${explain('direct', direct, 'populationId and apiKey, UUIDs')}`)
      return createSender(transport, address, page)
    }
    console.warn('[pristo] direct mode: anyone can read the API key in this page. For trials only: use a relay.')
    const load = (): Promise<Send | undefined> =>
      import('./direct.ts').then(
        ({ createDirectSender }) => createDirectSender(transport, page, direct),
        () => undefined, // offline, or not served: like nobody answering; whether a second import() asks again is the engine's choice
      )
    let loading = load()
    return async (events, keepalive) => {
      const send = await loading
      if (send) return send(events, keepalive)
      loading = load()
      return
    }
  }

/**
 * Starts tracking on this page: opens the outbox, and sends what earlier pages left. Bad options are reported on the
 * console and replaced by their defaults; nothing is thrown.
 * @typeParam Events the site's event types and their fields: `{ purchase: { amount: string } }`
 */
export const createPristo = <Events extends EventMap<Events> = Record<string, Fields>>(options: Options = {}): Pristo<Events> =>
  // Types are the caller's word: any event will do at run time.
  (isBrowser() ? start(Object(options), createSend(Object(options).direct)) : NO_PAGE) as Pristo<Events>

export type { Contact, PristoEvent } from './contract.ts'
export type { Consent, ConsentOptions } from './consent.ts'
export type { Direct } from './direct.ts'
export type { BeforeSend } from './hook.ts'
export type { ContactInput, Fields, FieldValue, TrackedEvent } from './event.ts'
export type { DropReason } from './holding.ts'
export type { EventMap, FieldsOf, FlushResult, Options, Payloads, Pristo } from './pristo.ts'
