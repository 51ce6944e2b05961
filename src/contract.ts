/**
 * What crosses the wire between the browser and the relay: shapes and limits.
 * The only room that both parts enter; it holds nothing that either could not do without.
 */

/** Who an event is about. The API upserts: details in an event overwrite what Pristo has. */
export interface Contact {
  /** The site's own identifier of the contact; any non-empty string. */
  id: string
  /** Pristo needs `email` or `phone` the first time it hears of a contact. */
  email?: string
  phone?: string
  /** ISO 639-1, such as `en`. */
  language?: string
  name?: string
  lastName?: string
  /** Fields defined on the population; values of at most 50 characters (the API's limit). */
  customFields?: Record<string, string>
}

/** One event, as the browser stores it and the relay receives it. */
export interface PristoEvent {
  /** UUIDv7, made by `track()`: storage key, order, `X-Request-Id` and deduplication key for life. */
  id: string
  /** A type that is defined in Pristo. */
  type: string
  /** RFC 3339, UTC. */
  occurredAt: string
  /** Of the moment in which it was tracked, with its details until Pristo has them. */
  contact: Contact
  /** Fields defined on the event's type, by their names. */
  customFields?: Record<string, string>
}

/** The body of one POST from the browser to the relay. */
export interface Batch {
  v: 1
  /** The browser's clock when the batch left, RFC 3339: the relay corrects a wrong clock by it. */
  sentAt: string
  /** Asks the relay to name the stored events in a cookie, for a page that may not live to read the answer. */
  ack?: boolean
  /** A short-lived JWT of the site's backend, where the relay verifies identities that way. */
  token?: string
  events: PristoEvent[]
}

/** What became of one event. `stored` and `rejected` are final; `retry` means: keep it and send it again. */
export type Result =
  | { id: string; outcome: 'stored' }
  | {
      id: string
      outcome: 'rejected'
      code: RejectCode
      /** The HTTP status of the Pristo API; absent where the relay itself refused. */
      status?: number
      message?: string
    }
  | { id: string; outcome: 'retry'; code: RetryCode }

/** Why an event will never be stored as it is. */
export type RejectCode =
  | 'invalid_event'
  | 'contact_mismatch'
  | 'too_large'
  | 'type_not_allowed' // the site's relay takes only types on its list
  | 'bot' // the User-Agent says that it is a program, and the site wants none

/** Why an event is not stored yet. */
export type RetryCode =
  | 'throttled' // the API asked for less: 408, 425, 429
  | 'unavailable' // no answer, or 5xx
  | 'upstream_config' // 401, 403, 404 or a redirect: the relay's settings are wrong, the event is not
  | 'blocked' // an earlier event of the same contact must go first
  | 'deadline' // the relay ran out of time before it came to this one
  | 'rate_limited' // too many batches of this contact
  | 'in_flight' // another request is delivering the same event right now

/** One result per event of the batch, in the order of the batch. */
export interface Answer {
  v: 1
  results: Result[]
  /** Seconds to wait before the events with `retry` are sent again. */
  retryAfter?: number
}

/** A refusal of the whole request: nothing in it was delivered. */
export interface Refusal {
  v: 1
  error: { code: string; message: string }
}

/** Events in one batch. Cloudflare's free plan allows 50 upstream calls a request; 40 leaves room for the rest. */
export const MAX_EVENTS = 40

/** UTF-8 bytes of one request that the relay accepts: the fetch standard's keepalive limit (64 KiB, "HTTP-network-or-cache fetch" step 8). */
export const MAX_BODY_BYTES = 65_536

/** Characters of a token: what the body's limit leaves beside the 60 000 bytes of events that a browser sends at most. A usual one has some 300. */
export const MAX_TOKEN_CHARS = 4_096

/** Characters in a custom field's value. Source: the Pristo events API. */
export const MAX_VALUE_CHARS = 50

/** Days that an event may wait in a browser, and an ack cookie for the browser to come back. */
export const MAX_AGE_DAYS = 7

/** An ack cookie is named by this prefix and the {@link ackMark} of its batch's first event. */
export const ACK_COOKIE = 'pristo_ack_'

/**
 * Hex digits that stand for an event in an ack cookie: the last 9 of its id, all random (36 bits).
 * 40 of them and the cookie's name take 382 bytes; in a full outbox of 1000, one cookie in 1.7 million names an event that it does not mean.
 */
export const ACK_MARK_CHARS = 9

/** The digits by which an ack cookie names the event; the cookie's value is those of its events, end to end. */
export const ackMark = (id: string): string => id.slice(-ACK_MARK_CHARS)
