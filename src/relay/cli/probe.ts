/**
 * Asks the Pristo API whether it takes a key, with an event that it can never store: an empty one.
 * Invariant: never throws; the key goes to the one URL given, follows no redirect, and is in no answer.
 */
import { readText } from '../bytes.ts'
import { isRecord, parseJson } from '../json.ts'
import { makeCall, type Fetch } from '../upstream.ts'

/** What the API says of a key, and of itself. */
export type Verdict =
  /** It judged the event, so it had taken the key. */
  | { kind: 'accepted' }
  | { kind: 'key_refused'; status: number }
  | { kind: 'no_population' }
  /** Something answers there, but not as the API does. */
  | { kind: 'not_the_api'; status: number }
  | { kind: 'redirected' }
  /** 429 or 5xx: it cannot say now. */
  | { kind: 'busy'; status: number }
  /** `why` is the system's code, such as `ECONNREFUSED`. */
  | { kind: 'no_answer'; why: string }

/** A verdict, and the API's clock in milliseconds where it showed one (to the second). */
export interface Answer {
  verdict: Verdict
  dateMs: number | undefined
}

/** As long as a call of the relay itself. */
const LIMIT_MS = 10_000

/** An error of the API has a few hundred bytes. */
const MAX_BYTES = 65_536

/** PRISTO-API.md: 400 the event is invalid, 401 the key, 404 the population; the envelope's own status counts before that of HTTP. */
const judge = (http: number, body: unknown): Verdict => {
  const status = http < 300 && isRecord(body) && typeof body.ok === 'boolean' && typeof body.status === 'number' ? body.status : http
  if (status === 0 || (status >= 300 && status < 400)) return { kind: 'redirected' }
  if (status === 401 || status === 403) return { kind: 'key_refused', status }
  if (status === 429 || status >= 500) return { kind: 'busy', status }
  if (!isRecord(body)) return { kind: 'not_the_api', status }
  if (status === 404) return { kind: 'no_population' }
  return status === 400 || status === 422 ? { kind: 'accepted' } : { kind: 'not_the_api', status }
}

/** What the system says of a connection: undici hides it in the cause, or in the first of several. */
const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return 'unknown'
  if (error.name === 'TimeoutError') return 'timeout'
  const cause = error.cause instanceof AggregateError ? error.cause.errors[0] : error.cause
  return isRecord(cause) && typeof cause.code === 'string' ? cause.code : 'unknown'
}

/** `url` is complete, with the population. */
export const probe = async ({ fetch, url, key }: { fetch: Fetch; url: string; key: string }): Promise<Answer> => {
  try {
    const response = await fetch(url, makeCall({ key, id: crypto.randomUUID(), body: '{}', signal: AbortSignal.timeout(LIMIT_MS) }))
    const body = await readText(response.body, { maxBytes: MAX_BYTES, limitMs: LIMIT_MS })
    const dateMs = Date.parse(response.headers.get('Date') ?? '')
    return {
      verdict: judge(response.status, body.kind === 'text' ? parseJson(body.text) : undefined),
      dateMs: Number.isNaN(dateMs) ? undefined : dateMs,
    }
  } catch (error) {
    return { verdict: { kind: 'no_answer', why: reasonOf(error) }, dateMs: undefined }
  }
}
