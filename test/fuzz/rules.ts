/**
 * What must be true of every call and every answer, whatever was sent.
 *
 * - Of the API's calls: one URL, no redirect, the allowed headers only, and a valid event of a batch that was sent.
 * - Of the answers: none that the {@link judge} would not give; exactly one result per event, in order, with its id; nothing final that
 *   the API has not said; no 5xx of our own making; no cookie but an ack; CORS for listed origins only.
 * - No secret in any answer, header or log line, and no prototype changed.
 */
import { inspect, isDeepStrictEqual } from 'node:util'
import { KEY, OLD_KEY } from '../relay/harness.ts'
import { judge, mayRefuse, type Rules, type Validity } from './judge.ts'
import type { Row } from './relays.ts'
import type { Sample } from './samples.ts'
import type { Call, Meaning } from './upstream.ts'
import { SECRETS } from './values.ts'

export const API = 'https://api.pristo.test'
const HEADERS = ['accept', 'content-type', 'user-agent', 'x-api-key', 'x-request-id']

/** The cookie of an ack, as DESIGN.md has it; not a character more. */
const COOKIE = /^pristo_ack_[\da-f]{1,9}=[\da-f]{1,360}; Path=\/; SameSite=Lax; Max-Age=604800(; Secure)?$/i

/** A rule that does not hold, and of what. */
export class Broken extends Error {
  constructor(
    readonly rule: string,
    story: string,
  ) {
    super(story)
  }
}

export const check = (holds: boolean, rule: string, story: () => string): void => {
  if (!holds) throw new Broken(rule, story())
}

const BUILTINS = [Object.prototype, Array.prototype, String.prototype, Function.prototype, Promise.prototype, RegExp.prototype]
/** How many keys each builtin prototype has. */
export const keysOf = (): string => BUILTINS.map((one) => Reflect.ownKeys(one).length).join()
export const CLEAN = keysOf()

/** The id by which an event's result is found; one that cannot be a browser's is not repeated. */
const echoOf = (given: unknown): string | undefined => {
  const id: unknown = typeof given === 'object' && given !== null && Object.hasOwn(given, 'id') ? Reflect.get(given, 'id') : undefined
  return typeof id === 'string' && /^[\w-]{1,100}$/.test(id) ? id : undefined
}

const idOf = (given: unknown): string => String(Reflect.get(Object(given), 'id')).toLowerCase()

/** What the relay may have sent of an event: all but its id, its time in UTC. */
const isOf = (body: unknown, given: unknown, claimant: Row['claimant']): boolean => {
  const { occurredAt: _, id: __, ...event } = Object(given)
  const { occurredAt, ...sent } = Object(body)
  const isTime = typeof occurredAt === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(occurredAt)
  return isTime && isDeepStrictEqual(sent, typeof claimant === 'object' ? { ...event, contact: claimant } : event)
}

/** What one relay has done so far. */
export const createWitness = (row: Row, populationId: string) => {
  /** Events that may go out, by id. */
  const sendable = new Map<string, unknown[]>()
  const meanings = new Map<string, Set<Meaning>>()
  let broken: Broken | undefined

  const judgeCall = ({ url, init, headers, body }: Call): void => {
    check(url === `${API}/v1/events/send/${populationId}`, 'one URL', () => url)
    check(init.method === 'POST' && init.redirect === 'manual', 'no redirect is followed', () => `${init.method} ${init.redirect}`)
    check(isDeepStrictEqual(Object.keys(headers).sort(), HEADERS), 'allowed headers only', () => Object.keys(headers).join())
    check([KEY, OLD_KEY].includes(headers['x-api-key'] ?? ''), 'allowed headers only', () => 'another key')
    check(headers['user-agent'] === 'pristo-relay', 'allowed headers only', () => `User-Agent: ${headers['user-agent']}`)
    const events = sendable.get((headers['x-request-id'] ?? '').toLowerCase()) ?? []
    check(events.some((given) => isOf(body, given, row.claimant)), 'an event of the batch, and a valid one', () => `the API got ${inspect(body)}; of this id are ${inspect(events)}`)
  }

  return {
    /** The first broken rule of any call, once. */
    take: (): Broken | undefined => {
      const first = broken
      broken = undefined
      return first
    },
    expect: (given: unknown): void => {
      sendable.set(idOf(given), [...(sendable.get(idOf(given)) ?? []), given])
    },
    hear: (call: Call, meaning: Meaning): void => {
      const id = (call.headers['x-request-id'] ?? '').toLowerCase()
      meanings.set(id, (meanings.get(id) ?? new Set()).add(meaning))
      try {
        judgeCall(call)
      } catch (error) {
        if (error instanceof Broken) broken ??= error
        else throw error
      }
    },
    /** Whether the API has said this of the event. */
    said: (id: string, meaning: Meaning): boolean => meanings.get(id.toLowerCase())?.has(meaning) ?? false,
  }
}

export type Witness = ReturnType<typeof createWitness>

const judgeResult = (result: unknown, { given, validity }: { given: unknown; validity: Validity }, { row, witness }: { row: Row; witness: Witness }): void => {
  const { id, outcome, code, status, ...rest } = Object(result)
  const story = (): string => `${inspect(given)} got ${inspect(result)}`
  check(id === (echoOf(given) ?? ''), 'the ids, in order', story)
  check(Object.keys(rest).every((key) => key === 'message' && typeof rest.message === 'string'), 'outcomes and codes only', story)
  const isOwn = outcome === 'rejected' && code === 'invalid_event' && status === undefined
  if (validity === 'invalid') return check(isOwn, 'an invalid event is rejected', story)
  if (validity === 'valid') check(!isOwn, 'a valid event is not refused', story)
  if (isOwn) return
  if (outcome === 'rejected' && row.mayReject?.includes(code) && status === undefined) return
  if (row.claimant === 'unknown') return check(outcome === 'retry', 'without a session nothing is final', story)
  const isForeign = typeof row.claimant === 'object' && Reflect.get(Object(Reflect.get(Object(given), 'contact')), 'id') !== row.claimant.id
  if (isForeign) return check(outcome === 'rejected' && code === 'contact_mismatch', "nobody writes to another's contact", story)
  if (outcome === 'stored') check(witness.said(id, 'stored'), 'stored means that the API said so', story)
  else if (outcome === 'rejected') check(witness.said(id, 'rejected') && typeof status === 'number', 'rejected means that the API said so', story)
  else check(outcome === 'retry' && typeof code === 'string', 'every event has an outcome', story)
}

/** Every rule about an answer but the secrets. */
export const judgeAnswer = (sample: Sample, headers: Headers, response: Response, text: string, parts: { row: Row; rules: Rules; witness: Witness }): void => {
  const { status } = response
  const answer = Object(text ? JSON.parse(text) : {})
  const story = (): string => `${status} ${text.slice(0, 300)}`
  check(answer.error?.code !== 'internal' && (status < 500 || (status === 503 && Array.isArray(answer.results))), 'no 5xx of our own making', story)
  check(response.headers.get('Cache-Control') === 'no-store', 'nothing is cached', story)
  for (const cookie of response.headers.getSetCookie()) check(COOKIE.test(cookie), 'a cookie is an ack', () => cookie)
  const allowed = response.headers.get('Access-Control-Allow-Origin')
  check(allowed === null || parts.rules.allowedOrigins.includes(allowed), 'CORS for listed origins only', () => String(allowed))

  const verdict = judge(sample, headers, parts.rules)
  if (parts.row.mayAnswer?.includes(status) && !answer.results) return
  if (verdict.kind === 'refused') return check(verdict.statuses.includes(status) && !answer.results, `refused with ${verdict.statuses.join(' or ')}`, story)
  if (status === 400 && mayRefuse(sample)) return
  if (parts.row.claimant === 'nobody') return check(status === 401, 'nobody is logged in', story)
  const results: unknown[] = Array.isArray(answer.results) ? answer.results : []
  check(results.length === verdict.events.length, 'exactly one result per event', story)
  check(status === (results.every((result) => Object(result).outcome === 'retry') ? 503 : 200), '503 where all is to come again, else 200', story)
  for (const [nth, event] of verdict.events.entries()) judgeResult(results[nth], event, parts)
}

/** Every event of a batch that was answered is told of once, in order, and every request once. */
export const judgeHooks = (row: Row, text: string, told: { events: string[]; requests: number }): void => {
  if (row.options.onOutcome) return
  const { results = [] }: { results?: { outcome: string }[] } = Object(text ? JSON.parse(text) : {})
  const said = results.map(({ outcome }) => outcome)
  check(told.requests === 1 && isDeepStrictEqual(told.events, said), 'the hooks hear of everything once', () => `${inspect(told)} of ${inspect(said)}`)
}

/** `heard` is all that anyone but the API could see. */
export const judgeSecrets = (heard: string): void => {
  const small = heard.toLowerCase()
  const secret = SECRETS.find((one) => small.includes(one.toLowerCase()))
  check(secret === undefined, 'no secret in any answer, header or log line', () => `${secret} in ${heard.slice(0, 1_000)}`)
}
