/**
 * One seed: a relay of some row, and requests one after the other, in virtual time.
 * Invariant: the same seed gives the same requests, the same answers of the API, and the same judgement.
 */
import { isDeepStrictEqual, inspect } from 'node:util'
import fc from 'fast-check'
import { createMemoryStore } from '../../src/relay/dedupe.ts'
import { createRelay, type Relay } from '../../src/relay/index.ts'
import { KEY, NOW, OLD_KEY, uuid } from '../relay/harness.ts'
import { enter } from '../simulation/ambience.ts'
import { createRandom } from '../simulation/random.ts'
import { createTime, type Time } from '../simulation/time.ts'
import { judge, mayRefuse, type Rules, type Validity } from './judge.ts'
import { rows, type Row } from './relays.ts'
import { samples, type Sample } from './samples.ts'
import { createUpstream, type Call, type Meaning } from './upstream.ts'
import { SECRETS } from './values.ts'

/** Requests of one seed. */
export const PER_SEED = 100

/** One request that broke a rule. */
export interface Failure {
  seed: number
  /** Which request of the seed, from 0. */
  nth: number
  rule: string
  story: string
}

export interface Report {
  failures: Failure[]
  counts: Record<string, number>
  /** What happened, where it was asked for. */
  log: string[]
}

const API = 'https://api.pristo.test'
const HEADERS = ['accept', 'content-type', 'user-agent', 'x-api-key', 'x-request-id']

/** No answer takes longer: 10 s for the body, 5 for the session, 8 for the work, and its last second. */
const LONGEST_MS = 25_000

/** The cookie of an ack, as DESIGN.md has it; not a character more. */
const COOKIE = /^pristo_ack_[\da-f]{1,9}=[\da-f]{1,360}; Path=\/; SameSite=Lax; Max-Age=604800(; Secure)?$/i

/** Shared by the relays of all seeds, so that memory is that of a process that lives for long. Each seed has a population of its own: no two share a key. */
const store = createMemoryStore(() => NOW)

class Broken extends Error {
  constructor(
    readonly rule: string,
    story: string,
  ) {
    super(story)
  }
}

const check = (holds: boolean, rule: string, story: () => string): void => {
  if (!holds) throw new Broken(rule, story())
}

const BUILTINS = [Object.prototype, Array.prototype, String.prototype, Function.prototype, Promise.prototype, RegExp.prototype]
const keysOf = (): string => BUILTINS.map((one) => Reflect.ownKeys(one).length).join()
const CLEAN = keysOf()

const streamOf = ({ chunks, ending }: Sample): ReadableStream<Uint8Array> | null => {
  if (!chunks) return null
  const left = [...chunks]
  return new ReadableStream({
    pull: (controller) => {
      const chunk = left.shift()
      if (chunk) return controller.enqueue(chunk)
      if (ending === 'breaks') return controller.error(new Error('gone'))
      return ending === 'ends' ? controller.close() : new Promise<void>(() => undefined)
    },
  })
}

/** Only what the relay says it touches; a real `Request` refuses some of these methods and URLs, which other runtimes let through. */
const requestOf = (sample: Sample, headers: Headers): Request => {
  const { method, url } = sample
  const body = streamOf(sample)
  return Object.create(Request.prototype, { method: { value: method }, url: { value: url }, headers: { value: headers }, body: { value: body } })
}

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
const createWitness = (row: Row, populationId: string) => {
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

type Witness = ReturnType<typeof createWitness>

const judgeResult = (result: unknown, { given, validity }: { given: unknown; validity: Validity }, { row, witness }: { row: Row; witness: Witness }): void => {
  const { id, outcome, code, status, ...rest } = Object(result)
  const story = (): string => `${inspect(given)} got ${inspect(result)}`
  check(id === (echoOf(given) ?? ''), 'the ids, in order', story)
  check(Object.keys(rest).every((key) => key === 'message' && typeof rest.message === 'string'), 'outcomes and codes only', story)
  const isOwn = outcome === 'rejected' && code === 'invalid_event' && status === undefined
  if (validity === 'invalid') return check(isOwn, 'an invalid event is rejected', story)
  if (validity === 'valid') check(!isOwn, 'a valid event is not refused', story)
  if (isOwn) return
  if (row.claimant === 'unknown') return check(outcome === 'retry', 'without a session nothing is final', story)
  const isForeign = typeof row.claimant === 'object' && Reflect.get(Object(Reflect.get(Object(given), 'contact')), 'id') !== row.claimant.id
  if (isForeign) return check(outcome === 'rejected' && code === 'contact_mismatch', "nobody writes to another's contact", story)
  if (outcome === 'stored') check(witness.said(id, 'stored'), 'stored means that the API said so', story)
  else if (outcome === 'rejected') check(witness.said(id, 'rejected') && typeof status === 'number', 'rejected means that the API said so', story)
  else check(outcome === 'retry' && typeof code === 'string', 'every event has an outcome', story)
}

/** Every rule about an answer but the secrets. */
const judgeAnswer = (sample: Sample, headers: Headers, response: Response, text: string, parts: { row: Row; rules: Rules; witness: Witness }): void => {
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

const judgeSecrets = (heard: string): void => {
  const small = heard.toLowerCase()
  const secret = SECRETS.find((one) => small.includes(one.toLowerCase()))
  check(secret === undefined, 'no secret in any answer, header or log line', () => `${secret} in ${heard.slice(0, 1_000)}`)
}

const hasAnswered = async (time: Time, answer: Promise<Response>): Promise<Response> => {
  const late = new Promise<never>((_, reject) => time.after(LONGEST_MS, () => reject(new Broken('an answer in time', `none after ${LONGEST_MS} ms`))))
  late.catch(() => undefined)
  return Promise.race([answer, late])
}

const LEVELS = ['log', 'info', 'warn', 'error', 'debug'] as const

/** What is printed goes to `hear` until the function that comes back is called. */
const tapConsole = (hear: (line: string) => void): (() => void) => {
  const before = LEVELS.map((level) => console[level])
  for (const level of LEVELS) console[level] = (...given: unknown[]) => hear(given.map((one) => (typeof one === 'string' ? one : inspect(one))).join(' '))
  return () => LEVELS.forEach((level, nth) => Object.assign(console, { [level]: before[nth] }))
}

const tell = ({ what, method, url, headers, chunks }: Sample): string =>
  `${what}: ${method} ${url.slice(0, 200)} ${JSON.stringify(headers)} ${chunks ? Buffer.concat(chunks).toString('latin1').slice(0, 2_000) : 'no body'}`

/** Runs the requests of one seed. */
export const fuzz = async (seed: number, { isLogged = false }: { isLogged?: boolean } = {}): Promise<Report> => {
  const time = createTime(NOW)
  const random = createRandom(seed)
  const names = Object.keys(rows)
  const name = names[seed % names.length] ?? ''
  const row: Row = rows[name] ?? { options: {} }
  const rules: Rules = { allowedOrigins: [], allowNonBrowser: false, ...row.rules }
  const populationId = uuid(seed)
  const witness = createWitness(row, populationId)
  const report: Report = { failures: [], counts: {}, log: [`a relay ${name}`] }
  const log = (line: () => string): void => void (isLogged && report.log.push(`${((time.now() - NOW) / 1000).toFixed(3).padStart(9)} ${line()}`))
  const lines: string[] = []
  let rejection: unknown
  const exit = enter(time, (reason) => (rejection ??= reason ?? 'nothing'))
  const untap = tapConsole((line) => lines.push(line))

  const relay: Relay = createRelay({
    apiKey: KEY,
    populationId,
    identity: 'page',
    baseUrl: API,
    store,
    now: () => Math.floor(time.now()),
    onError: (message) => void lines.push(message),
    fetch: createUpstream({
      random: random.fork('api'),
      time,
      hear: (call, manner, meaning) => {
        log(() => `  the API, ${manner}: ${inspect(call.body, { breakLength: Infinity }).slice(0, 300)}`)
        witness.hear(call, meaning)
      },
    }),
    ...row.options,
  })

  const send = async (sample: Sample): Promise<void> => {
    const headers = new Headers(sample.headers)
    const verdict = judge(sample, headers, rules)
    if (verdict.kind === 'judged') for (const { given, validity } of verdict.events) if (validity !== 'invalid') witness.expect(given)
    const response = await hasAnswered(time, relay(requestOf(sample, headers)))
    const text = await response.text()
    log(() => `  ${response.status} ${text.slice(0, 500)}`)
    report.counts[response.status] = (report.counts[response.status] ?? 0) + 1
    judgeAnswer(sample, headers, response, text, { row, rules, witness })
    judgeSecrets([text, ...[...response.headers].flat(), ...lines.splice(0)].join('\n'))
    const call = witness.take()
    if (call) throw call
    check(rejection === undefined, 'no promise is left rejected', () => inspect(rejection))
    check(keysOf() === CLEAN, 'the prototypes are clean', keysOf)
  }

  const all = fc.sample(samples, { seed, numRuns: PER_SEED })
  let isOver = false
  const run = async (): Promise<void> => {
    for (const [nth, sample] of all.entries()) {
      await new Promise<void>((resolve) => time.after(sample.afterMs, resolve))
      log(() => `request ${nth}, ${tell(sample)}`)
      try {
        for (let times = 0; times < sample.times; times++) await send(sample)
      } catch (error) {
        rejection = undefined
        const rule = error instanceof Broken ? error.rule : 'nothing is thrown'
        report.failures.push({ seed, nth, rule, story: `${error instanceof Error ? error.message : String(error)}\n  ${tell(sample)}` })
      }
    }
  }
  const whole = run().finally(() => (isOver = true))
  // Time must go on while streams and hashes are at work.
  const tick = (): void => void (isOver || time.after(1_000, tick))
  tick()
  await time.run(() => isOver)
  await whole
  untap()
  exit()
  return report
}

