/**
 * One event → one call of the Pristo API → one outcome.
 * Invariant: never throws, never takes longer than `callMs`; the key goes to the one URL fixed at construction,
 * and nothing of the visitor's request goes with it.
 */
import type { PristoEvent } from '../contract.ts'
import type { Breaker } from './breaker.ts'
import { readText } from './bytes.ts'
import { isRecord, parseJson } from './json.ts'
import { judgeStatus, retry, stored, type Outcome } from './outcome.ts'
import { personalValues, redact } from './redact.ts'
import { within } from './time.ts'

/** A call of the API, as `fetch` takes it. */
export interface Call {
  method: 'POST'
  headers: Record<string, string>
  body: string
  redirect: 'manual'
  signal: AbortSignal
}

/** The part of a `Response` that the relay needs; its body is read once, by `text` or as `body`. */
export interface Reply {
  status: number
  headers: Pick<Headers, 'get' | 'has'>
  body: ReadableStream<Uint8Array> | null
  /** The whole body as UTF-8; rejects where it breaks off. */
  text(): Promise<string>
}

/** The part of `fetch` that the relay needs. Must follow no redirect, since that would hand the key to another host. */
export type Fetch = (url: string, init: Call) => Promise<Reply>

/** Sends one event; every failure is an outcome. */
export type Send = (event: PristoEvent) => Promise<Outcome>

/** A sound answer has a few hundred bytes. Every body is read (up to here), so that its connection can be used again. */
const MAX_ANSWER_BYTES = 65_536

/** Enough for a sentence; the browser prints it. */
const MAX_MESSAGE_CHARS = 200

/** What is longer is no sentence (it may list thousands of fields), and would take long to search for what it repeats of the event. */
const MAX_SEARCHED_CHARS = 2_000

/** Bounds of `Retry-After`: 1 s to 1 h, as in the browser. */
const MAX_RETRY_AFTER_S = 3600

/** What the API said, as far as it matters here. */
interface Said {
  status: number
  /** Undefined where the body could not be read to its end. */
  text: string | undefined
  /** Seconds that it asks to wait; looked up only where somebody will. */
  retryAfterS(): number | undefined
}

/** `Retry-After` in whole seconds (RFC 9110 §10.2.3: seconds or an HTTP date), undefined where it is absent or garbage. */
export const parseRetryAfter = (value: string | null, nowMs: number): number | undefined => {
  if (value === null) return undefined
  const seconds = /^\d+$/.test(value.trim())
    ? Number(value)
    : /GMT$/.test(value.trim()) // an HTTP date always ends so; without the check Date.parse reads '-5' as a year
      ? Math.ceil((Date.parse(value) - nowMs) / 1000)
      : NaN
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 1), MAX_RETRY_AFTER_S)
}

/** The envelope's own status where the body has one: the HTTP status and the envelope can disagree (PRISTO-API.md). */
const judgeEnvelope = (text: string): { status: number; verdict: ReturnType<typeof judgeStatus> } | undefined => {
  const body = parseJson(text)
  if (!isRecord(body) || typeof body.ok !== 'boolean' || typeof body.status !== 'number') return undefined
  const verdict = judgeStatus(body.status)
  return { status: body.status, verdict: verdict === 'stored' && !body.ok ? 'unavailable' : verdict }
}

/** What the API says against the event, without what it repeats of the key or the event. */
const messageOf = (text: string | undefined, secrets: readonly string[]): string | undefined => {
  const body = parseJson(text ?? '')
  const error = isRecord(body) ? body.error : undefined
  const message = isRecord(error) ? error.message : undefined
  if (typeof message !== 'string' || message.length > MAX_SEARCHED_CHARS) return undefined
  return redact(message, secrets).slice(0, MAX_MESSAGE_CHARS)
}

/**
 * The answer's body; empty where it is over the limit, undefined where it breaks off. HTTP itself holds a body to its length, unless it is packed:
 * then the runtime may read it at once, which costs workerd half of what a reader in JavaScript does (measured 2026-11).
 */
const textOf = async (response: Reply): Promise<string | undefined> => {
  const length = response.headers.get('Content-Length')
  const isShort = length !== null && Number(length) <= MAX_ANSWER_BYTES && !response.headers.has('Content-Encoding')
  if (isShort) return response.text().catch(() => undefined)
  const body = await readText(response.body, { maxBytes: MAX_ANSWER_BYTES })
  return 'text' in body ? body.text : body.kind === 'too_large' ? '' : undefined // no UTF-8 is an answer as well
}

/** A call of the API, whose `X-Request-Id` is `id`: nothing of the visitor's request goes with it. */
export const makeCall = ({ key, id, body, signal }: { key: string; id: string; body: string; signal: AbortSignal }): Call => ({
  method: 'POST',
  headers: {
    'Content-Type': 'application/json',
    Accept: 'application/json',
    'User-Agent': 'pristo-relay',
    'X-API-Key': key,
    'X-Request-Id': id,
  },
  body,
  redirect: 'manual', // undici (Node 20) followed a 307 to another host and took X-API-Key along (measured 2026-11)
  signal,
})

/** `url` is complete; `keys` come newest first; `callMs` bounds one event's calls together, with all keys. */
export const createSend = ({
  fetch,
  url,
  keys,
  callMs,
  breaker,
  now,
  report,
}: {
  fetch: Fetch
  url: string
  keys: readonly string[]
  callMs: number
  breaker: Breaker
  now: () => number
  report: (message: string) => void
}): Send => {
  let isMisconfigured = false

  const call = async (event: PristoEvent, key: string, signal: AbortSignal): Promise<Said> => {
    const { type, occurredAt, contact, customFields } = event
    const body = JSON.stringify({ type, occurredAt, contact, ...(customFields && { customFields }) })
    const response = await fetch(url, makeCall({ key, id: event.id, body, signal }))
    return {
      status: response.status,
      text: await textOf(response),
      retryAfterS: () => parseRetryAfter(response.headers.get('Retry-After'), now()),
    }
  }

  /** Newest key first; only a refused key is followed by the next. */
  const callWithKeys = async (event: PristoEvent, signal: AbortSignal): Promise<Said | undefined> => {
    let reply: Said | undefined
    for (const key of keys) {
      reply = await call(event, key, signal)
      if (reply.status !== 401 && reply.status !== 403) break
    }
    return reply
  }

  /** Says a wrong setting once, not at every event. */
  const watchSettings = (verdict: ReturnType<typeof judgeStatus>, status: number): void => {
    const isWrong = verdict === 'upstream_config'
    if (isWrong && !isMisconfigured) {
      report(`the Pristo API answered ${status}: check apiKey, populationId and baseUrl; until then events wait`)
    }
    if (isWrong || verdict === 'stored') isMisconfigured = isWrong
  }

  const judge = (event: PristoEvent, { status, text, retryAfterS }: Said): Outcome => {
    const http = { status, verdict: judgeStatus(status) }
    // A 2xx that broke off may have said `ok: false`: at least once means to ask again.
    if (http.verdict === 'stored' && text === undefined) return retry('unavailable')
    const { status: said, verdict } = (http.verdict === 'stored' && judgeEnvelope(text ?? '')) || http
    watchSettings(verdict, said)
    if (verdict === 'stored') return stored
    if (verdict !== 'rejected') {
      const kept = retry(verdict, retryAfterS())
      return said === 404 && kept.outcome === 'retry' ? { ...kept, isPerhapsContact: true } : kept
    }
    const message = messageOf(text, [...keys, ...personalValues(event)])
    return { outcome: 'rejected', code: 'invalid_event', status: said, ...(message !== undefined && { message }) }
  }

  const attempt = async (event: PristoEvent): Promise<Outcome> => {
    const abort = new AbortController()
    try {
      const reply = await within(callWithKeys(event, abort.signal), callMs)
      if (!reply) abort.abort() // only then: each makes an error with its stack, a tenth of a delivery on Node 20
      return reply ? judge(event, reply) : retry('unavailable')
    } catch {
      return retry('unavailable') // no connection, reset: fetch tells them apart by text only, and its text may name the URL
    }
  }

  return async (event) => {
    if (!breaker.enter()) return retry('unavailable', breaker.waitS())
    const outcome = await attempt(event)
    if (outcome.outcome === 'retry' && outcome.code === 'unavailable') breaker.fail()
    else breaker.succeed()
    return outcome
  }
}
