/**
 * One seed: a relay of some row, and requests one after the other, in virtual time.
 * Invariant: the same seed gives the same requests, the same answers of the API, and the same judgement.
 */
import { inspect } from 'node:util'
import fc from 'fast-check'
import { createMemoryStore } from '../../src/relay/dedupe.ts'
import { createRelay, type Relay } from '../../src/relay/index.ts'
import { KEY, NOW, uuid } from '../relay/harness.ts'
import { enter } from '../simulation/ambience.ts'
import { createRandom } from '../simulation/random.ts'
import { createTime, type Time } from '../simulation/time.ts'
import { judge, type Rules } from './judge.ts'
import { rows, type Row } from './relays.ts'
import { API, Broken, check, CLEAN, createWitness, judgeAnswer, judgeHooks, judgeSecrets, keysOf } from './rules.ts'
import { samples, type Sample } from './samples.ts'
import { createUpstream } from './upstream.ts'

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

/**
 * Shared by relays of many seeds, so that memory is that of a process that lives for long: full after a tenth of a run.
 * Each seed has a population of its own: no two share a key.
 */
const store = createMemoryStore(() => NOW, { maxKeys: 1_000 })

const ADDRESS = '203.0.113.7'

/** No answer takes longer: 10 s for the body, 5 for the session, 8 for the work, and its last second. */
const LONGEST_MS = 25_000

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
  let told = { events: new Array<string>(), requests: 0 }
  let rejection: unknown
  const exit = enter(time, (reason) => (rejection ??= reason ?? 'nothing'))
  const untap = tapConsole((line) => lines.push(line))

  const relay: Relay = createRelay({
    apiKey: KEY,
    populationId,
    identity: 'page',
    baseUrl: API,
    // Each row with it three times, and once with the relay's own.
    ...(Math.floor(seed / names.length) % 4 > 0 && { store }),
    now: () => Math.floor(time.now()),
    onError: (message) => void lines.push(message),
    onOutcome: (one) => {
      lines.push(JSON.stringify(one))
      told.events.push(one.outcome)
    },
    onDrop: (one) => void lines.push(JSON.stringify(one)),
    onRequest: (one) => {
      lines.push(JSON.stringify(one))
      told.requests++
    },
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
    told = { events: [], requests: 0 }
    const response = await hasAnswered(time, relay(requestOf(sample, headers), { address: ADDRESS }))
    const text = await response.text()
    log(() => `  ${response.status} ${text.slice(0, 500)}`)
    report.counts[response.status] = (report.counts[response.status] ?? 0) + 1
    judgeAnswer(sample, headers, response, text, { row, rules, witness })
    judgeHooks(row, text, told)
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

