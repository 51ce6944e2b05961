/**
 * What can become of one event, and what an HTTP status says about it.
 * Invariant: only the API's own word about the event (`stored`, `rejected`) is final; everything else keeps the event.
 */
import type { PristoEvent, RejectCode, RetryCode } from '../contract.ts'

/** A {@link import('../contract.ts').Result} before it is given its event's id. */
export type Outcome =
  | { outcome: 'stored' }
  /** The spool has it: on the wire as good as stored. */
  | { outcome: 'accepted' }
  | { outcome: 'rejected'; code: RejectCode; status?: number; message?: string }
  | {
      outcome: 'retry'
      code: RetryCode
      /** Seconds that the API (or the open breaker) asks to wait; absent where it named none. */
      retryAfterS?: number
      /** A 404: the settings may be wrong, or the API does not know this one contact, whom anybody can make up (PRISTO-API.md). */
      isPerhapsContact?: true
    }

/** What is settled of one event; `event` where it was valid. */
export interface Settled {
  id: string
  event?: PristoEvent | undefined
  outcome: Outcome
}

/** The API stored the event. */
export const stored: Outcome = { outcome: 'stored' }

/** The spool has the event. */
export const accepted: Outcome = { outcome: 'accepted' }

/** The event is kept by the browser and comes again. */
export const retry = (code: RetryCode, retryAfterS?: number): Outcome =>
  retryAfterS === undefined ? { outcome: 'retry', code } : { outcome: 'retry', code, retryAfterS }

/** What the API asks for less with. */
const THROTTLED = new Set([408, 425, 429])

/** What the API answers where the relay's settings are wrong: a wrong key or population must never destroy events. */
const MISCONFIGURED = new Set([401, 403, 404])

/**
 * What a status of the API says about the event that it answers: stored, rejected, or the reason to keep it.
 * Anything that is no HTTP status (0 of an opaque redirect aside) counts as no answer.
 */
export const judgeStatus = (status: number): 'stored' | 'rejected' | RetryCode => {
  if (status >= 200 && status < 300) return 'stored'
  // A followed redirect would hand the key to another host. 0 is the status of an opaque redirect, as the fetch standard gives it for `redirect: 'manual'`.
  if (status === 0 || (status >= 300 && status < 400) || MISCONFIGURED.has(status)) return 'upstream_config'
  if (THROTTLED.has(status)) return 'throttled'
  return status >= 400 && status < 500 ? 'rejected' : 'unavailable'
}
