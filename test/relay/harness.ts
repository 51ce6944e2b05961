/** What the relay's tests share: a scripted Pristo API that logs what reached it, and batches as the browser sends them. */
import {
  createRelay,
  type Answer,
  type PristoEvent,
  type Refusal,
  type Relay,
  type RelayContext,
  type RelayOptions,
  type Result,
} from '../../src/relay/index.ts'

export const KEY = '5ec2e700-cafe-4bad-8eef-00000ca7a217'
export const OLD_KEY = '01d01d00-cafe-4bad-8eef-00000ca7a217'
export const POPULATION = '9090a7e0-1111-4222-8333-444455556666'
export const CANARY_EMAIL = 'canary.bird@example.org'
export const NOW = Date.parse('2026-11-23T12:00:00.000Z')

/** One call as the API saw it. */
export interface Call {
  url: string
  headers: Record<string, string>
  /** The event's id. */
  id: string
  contactId: string
  body: Record<string, unknown>
}

/** What the API does with the n-th call (from 0): an answer, or a rejection in place of one. */
export type Script = (call: Call, n: number) => Response | Promise<Response>

export const uuid = (n: number): string => `0190a000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`

export const created = (): Response =>
  Response.json({ ok: true, status: 201, statusText: 'Created', body: null, raw: '6yC9g6vFzUmFBwjeeulYnQ' }, { status: 201 })

export const failed = (status: number, message = 'no', headers: Record<string, string> = {}): Response =>
  Response.json({ error: { code: 'code', message } }, { status, headers })

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

export const createApi = (script: Script = created) => {
  const calls: Call[] = []
  const fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const headers = Object.fromEntries(new Headers(init.headers))
    const body: unknown = JSON.parse(String(init.body))
    if (!isRecord(body)) throw new Error('the body is no object')
    const contact = isRecord(body.contact) ? body.contact : {}
    const call = { url, headers, id: headers['x-request-id'] ?? '', contactId: String(contact.id), body }
    calls.push(call)
    return script(call, calls.length - 1)
  }
  return { fetch, calls, ids: () => calls.map(({ id }) => id) }
}

export const makeEvent = (n: number, over: Partial<PristoEvent> = {}): PristoEvent => ({
  id: uuid(n),
  type: 'purchase',
  occurredAt: new Date(NOW - 1000).toISOString(),
  contact: { id: 'u_42', email: CANARY_EMAIL },
  ...over,
})

export const makeBatch = (events: unknown[], over: Record<string, unknown> = {}): unknown => ({
  v: 1,
  sentAt: new Date(NOW).toISOString(),
  events,
  ...over,
})

/** A relay at a time that stands still, over a scripted API, with everything that it logs. */
export const setUp = (script?: Script, options: Partial<RelayOptions> = {}) => {
  const api = createApi(script)
  const logs: string[] = []
  const relay = createRelay({
    apiKey: KEY,
    populationId: POPULATION,
    identity: 'page',
    baseUrl: 'https://api.pristo.test',
    fetch: api.fetch,
    now: () => NOW,
    onError: (message) => logs.push(message),
    ...options,
  })
  return { relay, api, logs }
}

const SITE = 'https://shop.example'

export interface Sent {
  headers?: Record<string, string>
  url?: string
  method?: string
}

/** A POST as Chromium sends it from a page of the relay's own origin. */
export const request = (body: unknown, { headers = {}, url = `${SITE}/pristo`, method = 'POST' }: Sent = {}): Request =>
  new Request(url, {
    method,
    headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin', Origin: SITE, ...headers },
    ...(method === 'POST' && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })

export interface Heard {
  status: number
  headers: Headers
  text: string
  results: Result[]
  error: Refusal['error'] | undefined
  retryAfter: number | undefined
}

export const read = async (response: Response): Promise<Heard> => {
  const text = await response.text()
  const body: Partial<Answer & Refusal> = text ? JSON.parse(text) : {}
  return { status: response.status, headers: response.headers, text, results: body.results ?? [], error: body.error, retryAfter: body.retryAfter }
}

/** Sends events as one batch and reads the answer. */
export const send = async (relay: Relay, events: unknown[], over: Record<string, unknown> = {}, sent: Sent = {}, context?: RelayContext): Promise<Heard> =>
  read(await relay(request(makeBatch(events, over), sent), context))

/** `stored`, `rejected`, or the reason of a retry, in order. */
export const outcomes = ({ results }: Heard): string[] => results.map((result) => (result.outcome === 'retry' ? result.code : result.outcome))

/** Waits for a fact without touching the (possibly fake) timers. */
export const until = async (fact: () => boolean): Promise<void> => {
  while (!fact()) await new Promise<void>((resolve) => setImmediate(resolve))
}

export const never = <T>(): Promise<T> => new Promise<T>(() => undefined)
