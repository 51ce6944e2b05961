/**
 * One parcel → one POST to the relay → one outcome per event.
 * Invariant: the body of every answer is read, since only then does the browser give the keepalive budget back.
 */
import { MAX_BODY_BYTES, type Result } from './contract.ts'
import type { TrackedEvent } from './event.ts'
import { byteLength, FULL_BYTES, LONGEST_WAIT_MS, REQUEST_MS } from './holding.ts'
import type { Page } from './page.ts'

/** An answer, read to its end: of its JSON whatever there is, and beside it: */
export interface Reply {
  /** The HTTP status; 0 where a refused token is being replaced, which says nothing against the set-up. */
  http: number
  /** Milliseconds that the answer asks us to wait. */
  waitMs?: number | undefined
  /** What became of each event; an event that is absent keeps waiting. Absent where the answer names no outcomes. */
  results?: Result[] | undefined
  /** The body's JSON; an empty object where it is none. */
  fields?: Record<string, unknown>
}

/** The one way out. Counts what is in flight. */
export interface Transport {
  /** UTF-8 bytes of body that still survive the page's end. */
  room(): number
  /** `undefined` where nobody answered: offline, blocked, or too slow. */
  post(address: string, content: unknown, keepalive: boolean, headers?: Record<string, string>): Promise<Reply | undefined>
}

/**
 * Sends some events; `undefined` where nobody answered.
 * @param keepalive whether the request is to survive the page
 * @param token proves to a relay that wants proof who the visitor is
 */
export type Send = (events: TrackedEvent[], keepalive: boolean, token?: string) => Promise<Reply | undefined>

/** `Retry-After`: seconds or a date (RFC 9110 §10.2.3), as milliseconds from now; garbage and the past are `undefined`. */
export const parseRetryAfter = (given: string): number | undefined => {
  const waitMs = +given * 1000 || Date.parse(given) - Date.now()
  return waitMs > 0 ? Math.min(waitMs, LONGEST_WAIT_MS) : undefined
}

export const createTransport = (page: Page): Transport => {
  // Chromium also refuses a tenth keepalive request (https://github.com/whatwg/fetch/issues/679): what it carries stays stored.
  let room = FULL_BYTES

  return {
    room: () => room,
    post: async (address, content, keepalive, headers) => {
      const body = JSON.stringify(content)
      const size = byteLength(body)
      room -= size
      try {
        const answer = await page.fetch(address, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', ...headers },
          body,
          // Over the budget of all keepalive requests the browser refuses: a page that lives on needs none.
          keepalive: keepalive && room >= FULL_BYTES - MAX_BODY_BYTES,
          signal: AbortSignal.timeout?.(REQUEST_MS), // without it (Chrome 92 to 102, Safari 15) the browser's own limit counts
        })
        const fields = await answer.json().then(Object, Object) // no JSON, but read to the end
        return {
          fields,
          http: answer.status,
          results: fields.results?.filter?.(Boolean),
          waitMs: parseRetryAfter(answer.headers.get('Retry-After') ?? fields.retryAfter),
        }
      } catch {
        return // offline, blocked, over somebody's keepalive budget, timed out: to us nobody answered
      } finally {
        room += size
      }
    },
  }
}

/** Sends to a relay. Acks are for who can read them: in a worker the answer alone counts. */
export const createSender =
  ({ post }: Transport, address: string, page: Page): Send =>
  (events, keepalive, token) =>
    post(address, { v: 1, sentAt: new Date(), ack: page.hasCookies, token, events }, keepalive)
