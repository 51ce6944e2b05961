/**
 * The relay: a page's batch in, one outcome per event out. Read this file first; every step of the work has a room of its own, and only this one wires them.
 * Invariant: nothing is thrown, every event of a well-formed batch has exactly one result, and no key, cookie or contact data leaves but to the Pristo API.
 * @module pristo/relay
 */
import type { PristoEvent, RejectCode } from '../contract.ts'
import { createAccept } from './accept.ts'
import { ackCookie } from './ack.ts'
import { clientAddress } from './address.ts'
import { answerSettled, noContent, refuse, saidIn } from './answer.ts'
import { createAttempt } from './attempt.ts'
import { readBatch } from './batch.ts'
import { createBreaker } from './breaker.ts'
import { correctTime } from './clock.ts'
import { createDeliver } from './deliver.ts'
import { createFilter } from './filter.ts'
import { callSafely, createHooks, createReport } from './hooks.ts'
import { assignContact, createIdentify, type Claimant } from './identity.ts'
import { checkOptions, DEFAULT_LIMITS, type RelayOptions } from './options.ts'
import { corsHeaders, createOriginRule, isContentTypeAllowed, PREFLIGHT_HEADERS } from './origin.ts'
import { retry, type Outcome, type Settled } from './outcome.ts'
import { createRateLimits } from './rate.ts'
import { parseContact, parseEvent } from './schema.ts'
import { createScript, isScriptRequest } from './script.ts'

export type { Answer, Batch, Contact, PristoEvent, Refusal, RejectCode, Result, RetryCode } from '../contract.ts'
export type { Claim, DedupeStore } from './dedupe.ts'
export type { Bots } from './filter.ts'
export type { EventDrop, EventOutcome, Hooks, RequestAnswer } from './hooks.ts'
export type { IdentityKeys, Jwk } from './keys.ts'
export type { Limiter, Rate, Verdict } from './limiter.ts'
export type { RateLimit } from './rate.ts'
export type { Identity, Limits, RelayOptions, Session } from './options.ts'
export type { Claim as SpoolClaim, DeadEvent, DeadEvents, Reason, Selection, Spool, Stats as SpoolStats } from './spool/spool.ts'
export type { Tag } from './tag.ts'
export type { Call, Fetch, Reply } from './upstream.ts'

/** What the runtime lends for one request; a Cloudflare `ExecutionContext` is one. */
export interface RelayContext {
  /** Keeps the runtime alive for deliveries that outlast the client or the answer. */
  waitUntil?(promise: Promise<unknown>): void
  /** The client's IP address, or its nearest proxy's, as the platform itself says it: never from a header that a client can send. */
  address?: string | undefined
}

/** A standard request handler for any path. Never rejects. */
export type Relay = (request: Request, context?: RelayContext) => Promise<Response>

/** A slow upload must not leave a batch without any time: it would come back for ever. */
const MIN_WORK_MS = 1_000

/** Ids of events that are not valid are echoed so that the browser can find them. Anybody's id is shorter, and an email or a header line is none. */
const ECHO = /^[\w-]{1,100}$/

/** An event on its way through the relay: settled already where it has an outcome, or to be delivered. One that is not valid is no event. */
type Judged = { id: string; event?: PristoEvent; outcome: Outcome } | { id: string; event: PristoEvent; outcome?: undefined }

const rejected = (code: RejectCode, message: string): Outcome => ({ outcome: 'rejected', code, message })

const idOf = (event: unknown): string => {
  const id: unknown = typeof event === 'object' && event !== null ? Reflect.get(event, 'id') : undefined
  return typeof id === 'string' && ECHO.test(id) ? id : ''
}

/**
 * Builds a relay. Throws a TypeError of one line that names the option, what was given (never a key) and what is allowed.
 *
 * Of the request it touches `method`, `url`, `headers` and `body` only: rebuilding a request breaks under adapters,
 * and `signal` fires in some runtimes after a success.
 */
export const createRelay = (options: RelayOptions): Relay => {
  const settings = checkOptions(options)
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const now = options.now ?? Date.now
  const report = createReport(options.onError)

  const script = options.tag && createScript(options.tag)
  const judgeOrigin = createOriginRule(settings)
  const filter = createFilter(settings)
  const rates = createRateLimits({ ...settings, now, report })
  const hooks = createHooks({ hooks: options, report })
  const identify = createIdentify({ identity: settings.identity, limitMs: limits.resolveMs, now, parseContact, report })
  const deliver = createDeliver(createAttempt({ options, settings, breaker: createBreaker(now), report }))
  const accept = options.spool && createAccept({ spool: options.spool, report })

  /** Keeps back what comes from contacts over their limit; none of a contact's events goes without the others. */
  const holdBack = async (judged: Judged[]): Promise<Judged[]> => {
    const waits = await rates.contacts(judged.flatMap(({ event, outcome }) => (event && !outcome ? [event.contact.id] : [])))
    return judged.map((item) => {
      const waitS = item.event && waits.get(item.event.contact.id)
      return item.outcome || waitS === undefined ? item : { ...item, outcome: retry('rate_limited', waitS) }
    })
  }

  /** What is left of the time for an answer. */
  const workMs = (arrivedAt: number): number => Math.max(limits.deadlineMs - (now() - arrivedAt), MIN_WORK_MS)

  /** Delivers until the deadline; what is then still on its way goes on under `waitUntil`. */
  const deliverInTime = async (events: PristoEvent[], arrivedAt: number, context: RelayContext): Promise<Outcome[]> => {
    const deadline = new AbortController()
    const timer = setTimeout(() => deadline.abort(), workMs(arrivedAt))
    const delivery = deliver(events, deadline.signal)
    callSafely(
      () => context.waitUntil?.(delivery.settled),
      (cause) => report('waitUntil failed; what outlasts the answer may be lost with it, and comes again', cause),
    )
    const outcomes = await delivery.outcomes
    clearTimeout(timer)
    return outcomes
  }

  const handleBatch = async (request: Request, arrivedAt: number, context: RelayContext): Promise<Response> => {
    const batch = await readBatch(request, limits.bodyMs)
    if (batch instanceof Response) return batch

    const { isBot, judge } = filter(request)
    const claimant: Claimant = isBot ? { kind: 'unknown' } : await identify(request, batch.token) // who a bot is nobody has to ask
    if (claimant.kind === 'refused') return refuse(401, claimant.code, claimant.message)
    const judged = batch.events.map((given): Judged => {
      const event = parseEvent(given)
      if (!event.ok) return { id: idOf(given), outcome: rejected('invalid_event', event.reason) }
      const { id } = event.value
      const settle = (outcome: Outcome): Judged => ({ id, event: event.value, outcome })
      const unwanted = judge(event.value.type)
      if (unwanted) return settle(unwanted)
      if (claimant.kind === 'unknown') return settle(retry('unavailable'))
      const owned = assignContact(event.value, claimant)
      if (!owned) return settle(rejected('contact_mismatch', 'event.contact.id: not the contact of the session or token'))
      return { id, event: { ...owned, occurredAt: correctTime(owned.occurredAt, batch.sentAt, arrivedAt) } }
    })

    const admitted = await holdBack(judged)
    const events = admitted.flatMap(({ event, outcome }) => (event && !outcome ? [event] : []))
    const outcomes = (await (accept ? accept(events, workMs(arrivedAt)) : deliverInTime(events, arrivedAt, context))).values()
    const settled = admitted.map((item): Settled => ({ ...item, outcome: item.outcome ?? outcomes.next().value ?? retry('deadline') }))
    hooks.events(settled)
    return answerSettled(settled, batch.ack ? ackCookie(request, settled) : undefined)
  }

  const handle = async (request: Request, arrivedAt: number, context: RelayContext): Promise<Response> => {
    if (script && isScriptRequest(request)) return script(request)
    const sender = judgeOrigin(request)
    const cors = corsHeaders(sender)
    const respond = (response: Response): Response => {
      for (const [name, value] of Object.entries(cors)) response.headers.set(name, value)
      return response
    }
    if (request.method === 'OPTIONS') return respond(noContent(sender.kind === 'allowed' ? PREFLIGHT_HEADERS : { Allow: 'POST' }))
    if (request.method !== 'POST') return respond(refuse(405, 'method', 'only POST is allowed', { Allow: 'POST' }))
    if (sender.kind === 'foreign') return refuse(403, 'origin', 'this origin is not allowed; see the relay option allowedOrigins')
    const waitS = await rates.request(clientAddress(request.headers, context.address, settings.trustProxy))
    if (waitS !== undefined) return respond(refuse(429, 'rate_limited', 'too many requests', { 'Retry-After': String(waitS) }))
    if (!isContentTypeAllowed(request, sender)) return respond(refuse(415, 'content_type', 'only application/json is allowed'))
    return respond(await handleBatch(request, arrivedAt, context))
  }

  const answered = (response: Response, ms: number): Response => {
    hooks.request({ status: response.status, ...saidIn(response), ms: Math.max(0, ms) })
    return response
  }

  return async (request, context = {}) => {
    try {
      const arrivedAt = now()
      const response = await handle(request, arrivedAt, context)
      return answered(response, now() - arrivedAt)
    } catch (cause) {
      report('a request failed unexpectedly; its events wait in the browser', cause)
      return answered(refuse(500, 'internal', 'the relay failed'), 0)
    }
  }
}
