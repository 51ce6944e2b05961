/**
 * One event, tried once: not sent where it was stored before, and no error but an outcome.
 * Invariant: never rejects.
 */
import type { PristoEvent } from '../contract.ts'
import type { Breaker } from './breaker.ts'
import { createHashedStore, createMemoryStore, createOnce } from './dedupe.ts'
import type { Report } from './hooks.ts'
import { DEFAULT_LIMITS, type RelayOptions, type Settings } from './options.ts'
import { retry, type Outcome } from './outcome.ts'
import { createSend } from './upstream.ts'

/** `settings` are the checked `options`; `breaker` decides which calls go out. */
export const createAttempt = ({
  options,
  settings: { populationId, url, keys },
  breaker,
  report,
}: {
  options: RelayOptions
  settings: Settings
  breaker: Breaker
  report: Report
}): ((event: PristoEvent) => Promise<Outcome>) => {
  const { now = Date.now, store } = options
  const { callMs, storeMs } = { ...DEFAULT_LIMITS, ...options.limits }
  const once = createOnce({ store: store ? createHashedStore(store, populationId) : createMemoryStore(now), limitMs: storeMs, report })
  const send = createSend({ fetch: options.fetch ?? ((url, init) => fetch(url, init)), url, keys, callMs, breaker, now, report })
  return async (event) => {
    try {
      return await once({ eventId: event.id, contactId: event.contact.id }, () => send(event))
    } catch (cause) {
      report('a delivery failed unexpectedly; the event waits', cause)
      return retry('unavailable')
    }
  }
}
