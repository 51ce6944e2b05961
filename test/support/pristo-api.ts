/**
 * A stand-in for the Pristo events API: a real HTTP server for tests and the demo.
 * Invariant: it accepts exactly what PRISTO-API.md documents, and where that page allows two readings it takes the
 * stricter one, so that nothing passes here that Pristo may refuse. It never deduplicates: two arrivals of one
 * `X-Request-Id` are two stored events, which makes it the witness of "once".
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { z } from 'zod'
import type { Contact } from '../../src/contract.ts'

/** An event that was stored, as it arrived. */
export interface StoredEvent {
  /** The `X-Request-Id` it came with. */
  requestId: string | undefined
  type: string
  occurredAt: string | undefined
  /** The contact as this event carried it; {@link PristoApi.contacts} has what all of them add up to. */
  contact: Contact
  /** Empty where the event carried none. */
  customFields: Record<string, string>
  /** Milliseconds since 1970, by this machine's clock. */
  receivedAt: number
}

/** A request that arrived; CORS preflights are answered but not listed. */
export interface Call {
  method: string
  path: string
  headers: Record<string, string>
  requestId: string | undefined
  /** The HTTP status of the answer; `hang` while there is none (yet), `reset` where the connection was cut instead. */
  status: number | 'reset' | 'hang'
  /** Parsed JSON, or the text where it is none. */
  body: unknown
  /** Milliseconds since 1970 at which the whole request was there. */
  at: number
  /** When its answer left, or its connection was cut; undefined while neither has happened. */
  endedAt?: number
}

/**
 * How requests are to fail. `status`, `redirect`, `retryAfter`, `hang` and `reset: 'before'` store nothing;
 * `delayMs` alone and `body` alone leave the request itself to succeed or be refused as usual.
 */
export interface Fault {
  /** Answers with this HTTP status. */
  status?: number
  /** Milliseconds before anything else happens; combines with every other fault. */
  delayMs?: number
  /** Never answers. */
  hang?: boolean
  /** Cuts the connection before, or after, the event is stored. */
  reset?: 'before' | 'after'
  /** Answers 307 (or `status`) with this `Location`. */
  redirect?: string
  /** The `Retry-After` header, verbatim; with 429 where no `status` is given. */
  retryAfter?: string
  /** The answer's body, verbatim, instead of the documented one. */
  body?: string
  /** How many requests it hits. Default: until {@link PristoApi.fail} or {@link PristoApi.clear} ends it. */
  times?: number
  /** Which requests it hits. Default: all. */
  when?: (call: Pick<Call, 'requestId' | 'body'>) => boolean
}

/** What each request meets, decided as it arrives; nothing is as if there were no fault. */
export type Weather = (call: Readonly<Call>) => Fault | undefined

/** A running stand-in. */
export interface PristoApi {
  /** The base URL, such as `http://127.0.0.1:40123`. */
  readonly url: string
  readonly apiKey: string
  readonly populationId: string
  /** What was stored, in the order of arrival. */
  events(): StoredEvent[]
  /** Each contact as all its events made it, in the order of their first event. */
  contacts(): Contact[]
  calls(): Call[]
  /** Replaces the fault, or the weather, of all further requests; `null` ends it. */
  fail(fault: Fault | Weather | null): void
  /** Forgets events, contacts, calls and the fault. */
  clear(): void
  /** Stops listening and destroys every open connection, hanging ones included. */
  close(): Promise<void>
}

/** What the imagined account in Pristo has defined. */
export interface PristoApiOptions {
  /** Default: a free one. */
  port?: number
  /** A UUID. Default: a fixed one. */
  apiKey?: string
  /** A UUID. Default: a fixed one. */
  populationId?: string
  /** Defined event types. Default: `signup`, `purchase`, `page_view`, `add_to_cart`, `newsletter`, `prices_seen`. */
  types?: string[]
  /** Custom fields defined on the population. Default: `plan`, `source`. */
  contactFields?: string[]
  /** Custom fields that events may have. Default: any. */
  eventFields?: string[]
}

interface Answer {
  status: number
  headers?: Record<string, string>
  body: string
}

const API_KEY = '6f1c9a52-3b7e-4d08-9a41-5e2d7c80b3f6'
const POPULATION_ID = 'b0d4e7a8-52c3-4f19-8e6b-91a7f3c2d505'
const PATH = '/v1/events/send/'
const MAX_VALUE_CHARS = 50

// What a browser in direct mode needs; 7200 s is the longest that Chromium remembers a preflight.
const CORS = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'Retry-After' }
const PREFLIGHT = {
  ...CORS,
  'access-control-allow-methods': 'POST',
  'access-control-allow-headers': 'content-type,x-api-key,x-request-id',
  'access-control-max-age': '7200',
}

// ICU also names codes that ISO 639-1 has withdrawn; without them it knows the 183 of the standard.
const WITHDRAWN = ['bh', 'in', 'iw', 'ji', 'jw', 'mo', 'sh']
const languages = new Intl.DisplayNames('en', { type: 'language', fallback: 'none' })

/** Whether `code` is one of the 183 two-letter codes of ISO 639-1. */
export const isIso6391 = (code: string): boolean => /^[a-z]{2}$/.test(code) && !WITHDRAWN.includes(code) && languages.of(code) !== undefined

// Node lets a client's keep-alive connection idle out at 5 s, and a request then crossing the FIN fails at random.
const NO_IDLE_TIMEOUT_MS = 0

/** Starts a stand-in on 127.0.0.1; rejects where the port is taken. Close it, or the process stays alive. */
export async function startPristoApi(options: PristoApiOptions = {}): Promise<PristoApi> {
  const { port = 0, apiKey = API_KEY, populationId = POPULATION_ID } = options
  const eventSchema = describeEvent(options)
  const contacts = new Map<string, Contact>()
  let events: StoredEvent[] = []
  let calls: Call[] = []
  let fault: Fault | Weather | null = null
  let hitsLeft = Infinity

  const takeFault = (call: Call): Fault => {
    if (typeof fault === 'function') return fault(call) ?? {}
    if (!fault || hitsLeft === 0 || fault.when?.(call) === false) return {}
    hitsLeft--
    return fault
  }

  const store = (call: Call): Answer => {
    const parsed = eventSchema.safeParse(call.body)
    if (!parsed.success) return refuse(400, 'validation_error', explain(parsed.error))
    const { type, occurredAt, contact, customFields = {} } = parsed.data
    if (!contacts.has(contact.id) && !contact.email && !contact.phone) {
      return refuse(400, 'validation_error', 'contact: a new contact needs phone or email')
    }
    contacts.set(contact.id, merge(contacts.get(contact.id), contact))
    events.push({ requestId: call.requestId, type, occurredAt, contact, customFields, receivedAt: Date.now() })
    return accept()
  }

  const handle = (call: Call): Answer => {
    if (!call.path.startsWith(PATH)) return refuse(404, 'not_found', `no such path: ${call.path}`)
    if (call.method !== 'POST') return refuse(405, 'method_not_allowed', 'only POST')
    if (!isSame(call.headers['x-api-key'], apiKey)) return refuse(401, 'unauthorized', 'missing or invalid API key')
    if (!isSame(call.path.slice(PATH.length), populationId)) return refuse(404, 'not_found', 'population not found')
    if (call.requestId !== undefined && !z.guid().safeParse(call.requestId).success) {
      return refuse(400, 'validation_error', 'X-Request-Id: not a UUID')
    }
    return store(call)
  }

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.method === 'OPTIONS') {
      response.writeHead(204, PREFLIGHT).end()
      return
    }
    const call = await readCall(request)
    calls.push(call)
    const { delayMs, hang, reset, ...scripted } = takeFault(call)
    // The server keeps the process alive, not this timer: close() must not have to wait for it.
    if (delayMs) await wait(delayMs, undefined, { ref: false })
    if (hang) return
    if (reset === 'after') handle(call)
    if (reset) {
      call.endedAt = Date.now()
      call.status = 'reset'
      request.socket.destroy()
      return
    }
    const { status, headers, body } = script(scripted) ?? handle(call)
    call.endedAt = Date.now()
    call.status = status
    response.writeHead(status, { 'content-type': 'application/json', ...CORS, ...headers }).end(scripted.body ?? body)
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      // A client that leaves while it sends is the world's business; anything else is a bug that a test must see.
      if (!request.destroyed) response.writeHead(500, CORS).end(String(error))
    })
  })
  server.keepAliveTimeout = NO_IDLE_TIMEOUT_MS
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The stand-in listens on no port')

  return {
    url: `http://127.0.0.1:${address.port}`,
    apiKey,
    populationId,
    events: () => [...events],
    contacts: () => [...contacts.values()],
    calls: () => calls.map((call) => ({ ...call })),
    fail(next) {
      fault = next
      hitsLeft = (typeof next === 'function' ? undefined : next?.times) ?? Infinity
    },
    clear() {
      contacts.clear()
      events = []
      calls = []
      fault = null
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

function describeEvent(options: PristoApiOptions) {
  const {
    types = ['signup', 'purchase', 'page_view', 'add_to_cart', 'newsletter', 'prices_seen'],
    contactFields = ['plan', 'source'],
    eventFields,
  } = options
  // "Characters" may be UTF-16 units or code points: units are the stricter reading.
  const value = z.string().max(MAX_VALUE_CHARS)
  const fields = (defined: string[] | undefined) =>
    z.record(
      z.string().refine((key) => !defined || defined.includes(key), 'unknown custom field'),
      value,
    )
  return z.strictObject({
    type: z.string().refine((type) => types.includes(type), 'unknown type'),
    occurredAt: z.iso.datetime('not an ISO 8601 date-time in UTC').exactOptional(),
    contact: z.strictObject({
      id: z.string().min(1),
      email: z.string().exactOptional(),
      phone: z.string().exactOptional(),
      language: z.string().refine(isIso6391, 'not an ISO 639-1 code').exactOptional(),
      name: z.string().exactOptional(),
      lastName: z.string().exactOptional(),
      customFields: fields(contactFields).exactOptional(),
    }),
    customFields: fields(eventFields).exactOptional(),
  })
}

async function readCall(request: IncomingMessage): Promise<Call> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const headers = flatten(request.headers)
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    headers,
    requestId: headers['x-request-id'],
    status: 'hang',
    body: parse(Buffer.concat(chunks).toString()),
    at: Date.now(),
  }
}

function script({ status, redirect, retryAfter }: Fault): Answer | undefined {
  const code = status ?? (redirect ? 307 : retryAfter ? 429 : undefined)
  if (code === undefined) return undefined
  return {
    ...refuse(code, `scripted_${code}`, 'the test said so'),
    headers: { ...(redirect && { location: redirect }), ...(retryAfter && { 'retry-after': retryAfter }) },
  }
}

// 16 random bytes in base64url look like the documented example, `6yC9g6vFzUmFBwjeeulYnQ`.
const accept = (): Answer => ({
  status: 201,
  body: JSON.stringify({
    ok: true,
    status: 201,
    statusText: 'Created',
    body: null,
    raw: randomBytes(16).toString('base64url'),
  }),
})

const refuse = (status: number, code: string, message: string): Answer => ({
  status,
  body: JSON.stringify({ error: { code, message } }),
})

const explain = (error: z.ZodError): string => error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`).join('; ')

// The API keeps what an event does not mention, and takes over what it does.
const merge = (known: Contact | undefined, sent: Contact): Contact => {
  const customFields = { ...known?.customFields, ...sent.customFields }
  return { ...known, ...sent, ...(Object.keys(customFields).length > 0 && { customFields }) }
}

const isSame = (given: string | undefined, uuid: string): boolean => given?.toLowerCase() === uuid.toLowerCase()

const flatten = (headers: IncomingMessage['headers']): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text // no JSON is a fact about the request, which validation then names
  }
}
