// @vitest-environment node
// Every way in which something can fail, and where a secret could then come out. Whatever fails anew belongs into one of these tables.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createRelay, type DedupeStore, type RelayOptions } from '../../src/relay/index.ts'
import { CANARY_EMAIL, created, createApi, failed, KEY, makeBatch, makeEvent, never, NOW, OLD_KEY, POPULATION, read, request, type Script, type Sent } from './harness.ts'
import { AUDIENCE, BY, claimsOf, KEYS, makeToken, secretsOf } from './tokens.ts'

const COOKIE = 'session=canary-cookie'
const PHONE = '+4915700canary'
const TOKEN = makeToken(claimsOf({ contact: { id: 'u_42', email: CANARY_EMAIL, phone: PHONE } }), BY.es)
const SECRETS = [KEY, OLD_KEY, PHONE, COOKIE, 'u_42', ...secretsOf(TOKEN)]
const person = { id: 'u_42', email: CANARY_EMAIL, phone: PHONE }
/** All that the API, or a site's own code, could repeat. Cookie and token never get to the API. */
const echo = `${[KEY, CANARY_EMAIL, PHONE, 'u_42'].join(' ')} ${KEY.toUpperCase()}`
const all = SECRETS.join(' ')

const event = (n: number) => makeEvent(n, { contact: person })
/** Names nobody, so that what is in the wrong place is known from nowhere else. */
const bare = makeEvent(1, { contact: { id: 'u_42' } })
const sound = makeBatch([event(1), event(2)], { ack: true, token: TOKEN })
const batchOf = (one: unknown): unknown => makeBatch([one], { token: TOKEN })
const fail = (): never => {
  throw new Error(all)
}

/** One way to fail: what is sent, what the API and the site's code do, and the status that shows that it did happen. */
interface Case {
  status: number
  script?: Script
  body?: unknown
  sent?: Sent
  options?: Partial<RelayOptions>
}

const statuses = [200, 201, 202, 300, 301, 302, 307, 308, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 418, 422, 425, 429, 431, 451, 500, 501, 502, 503, 504, 599]
const isFinal = (status: number): boolean => status < 300 || (status >= 400 && status < 500 && ![401, 403, 404, 408, 425, 429].includes(status))

const upstream: Record<string, Case> = {
  ...Object.fromEntries(
    statuses.map((status): [string, Case] => [
      `the API answers ${status} and repeats everything`,
      { status: isFinal(status) ? 200 : 503, script: () => failed(status, echo, { 'X-Echo': KEY, 'Set-Cookie': `k=${KEY}`, 'Retry-After': KEY, Location: `https://x.test/?k=${KEY}` }) },
    ]),
  ),
  'an envelope repeats everything': { status: 200, script: () => Response.json({ ok: false, status: 400, raw: echo, error: { code: echo, message: echo } }, { status: 201 }) },
  'the API repeats an email that somebody took for a type': { status: 200, script: () => failed(400, `unknown type: ${CANARY_EMAIL}`), body: batchOf({ ...bare, type: CANARY_EMAIL }) },
  'the API repeats a phone that somebody took for a type': { status: 200, script: () => failed(400, `unknown type: ${PHONE}`), body: batchOf({ ...bare, type: PHONE }) },
  'the API repeats a field': { status: 200, script: () => failed(400, `field: ${PHONE}`), body: batchOf({ ...bare, customFields: { a: PHONE } }) },
  "the API repeats a field's name": { status: 200, script: () => failed(400, `unknown field: ${PHONE}`), body: batchOf({ ...bare, customFields: { [PHONE]: 'a' } }) },
  "the API repeats a contact's field": { status: 200, script: () => failed(400, `field: ${PHONE}`), body: batchOf({ ...bare, contact: { id: 'u_42', customFields: { a: PHONE } } }) },
  'the API repeats a phone that stood for a language': { status: 200, script: () => failed(400, `language: ${PHONE}`), body: batchOf({ ...bare, contact: { id: 'u_42', language: PHONE } }) },
  'the API repeats a name as JSON': { status: 200, script: () => failed(400, JSON.stringify(`\n${PHONE}`)), body: batchOf({ ...bare, contact: { id: 'u_42', name: `\n${PHONE}` } }) },
  'the API repeats an email, in other words': { status: 200, script: () => failed(400, `<mailto:${CANARY_EMAIL}\\n>`), body: batchOf(bare) },
  'fetch fails with everything in its error': { status: 503, script: () => Promise.reject(new TypeError(`fetch failed: ${echo}`, { cause: new Error(echo) })) },
  'fetch throws a text': { status: 503, script: () => Promise.reject(echo) },
  'the answer breaks off': { status: 503, script: () => new Response(new ReadableStream({ pull: (controller) => controller.error(new Error(echo)) }), { status: 201 }) },
  'the API hangs': { status: 503, script: () => never(), options: { limits: { callMs: 5 } } },
  'five failures open the breaker': { status: 503, script: () => failed(500, echo), body: makeBatch([1, 2, 3, 4, 5, 6, 7].map((n) => makeEvent(n, { contact: { ...person, id: `u_42${n}` } }))) },
  'both keys are refused': { status: 503, script: () => failed(401, `${echo} ${OLD_KEY}`), options: { apiKey: [KEY, OLD_KEY] } },
}

const typed = (type: string): Sent => ({ headers: { 'Content-Type': type } })

const refusals: Record<string, Case> = {
  'a body that is no JSON': { status: 400, body: `{"${all}` },
  'a body that is not there': { status: 400, body: '' },
  'a body over the limit': { status: 413, body: `${all}${'x'.repeat(70_000)}` },
  'a body of which a header says that it is over the limit': { status: 413, sent: { headers: { 'Content-Length': '99999999' } } },
  'a batch with a key too many': { status: 400, body: { ...Object(sound), [CANARY_EMAIL]: all, [TOKEN]: all } },
  'a batch with everything in the wrong places': { status: 400, body: { v: all, sentAt: all, ack: all, token: [TOKEN], events: all } },
  'a token that is an object': { status: 400, body: { ...Object(sound), token: { jwt: TOKEN } } },
  '41 events': { status: 413, body: makeBatch(Array.from({ length: 41 }, (_, n) => event(n))) },
  'another method': { status: 405, sent: { method: 'PUT', url: `https://shop.example/${CANARY_EMAIL}` } },
  'a preflight': { status: 204, sent: { method: 'OPTIONS', headers: { Origin: `https://${OLD_KEY}.example` } } },
  'another origin': { status: 403, sent: { headers: { 'Sec-Fetch-Site': 'cross-site', Origin: `https://${OLD_KEY}.example`, Referer: CANARY_EMAIL } } },
  'another content type': { status: 415, sent: typed(`text/html; name="${CANARY_EMAIL}"`) },
}

const events: Record<string, unknown> = {
  'an email as its time': { ...event(1), occurredAt: CANARY_EMAIL },
  'an email as its id': { ...event(1), id: CANARY_EMAIL },
  'a phone as its id': { ...event(1), id: PHONE },
  'a header line as its id': { ...event(1), id: `a\r\nSet-Cookie: ${COOKIE}` },
  'an email as a key of its contact': { ...event(1), contact: { ...person, [CANARY_EMAIL]: CANARY_EMAIL } },
  'a contact that is a text': { ...event(1), contact: all },
  'a key too many': { ...event(1), [all]: all },
  'a value too long': { ...event(1), customFields: { [CANARY_EMAIL]: `${CANARY_EMAIL}${'x'.repeat(50)}` } },
  'a value that is an object': { ...event(1), customFields: { a: { b: all } } },
}

const now = (): number => NOW
const offCurve = { es: { ...KEYS.es, y: KEYS.ed.x ?? '' } }

const storeThat = (broken: Partial<DedupeStore>): DedupeStore => ({ claim: () => 'new', keep: () => undefined, release: () => undefined, ...broken })

/** The site's own code. */
const hooks: Record<string, Case> = {
  'the session throws': { status: 503, options: { identity: { resolve: fail } } },
  'the session rejects': { status: 503, options: { identity: { resolve: () => Promise.reject(new Error(all)) } } },
  'the session hangs': { status: 503, options: { identity: { resolve: never }, limits: { resolveMs: 5 } } },
  'the session gives what is no contact': { status: 503, options: { identity: { resolve: () => JSON.parse(JSON.stringify({ id: 'u_42', [all]: all, email: [CANARY_EMAIL] })) } } },
  'nobody is logged in': { status: 401, options: { identity: { resolve: () => null } } },
  'somebody else is logged in': { status: 200, options: { identity: { resolve: () => ({ id: 'other', email: CANARY_EMAIL }) } } },
  'a token is sound': { status: 200, script: () => failed(400, echo), options: { now, identity: { keys: KEYS, audience: AUDIENCE } } },
  'a token is for another audience': { status: 401, options: { now, identity: { keys: KEYS, audience: 'a' } } },
  'a token is signed by nobody': { status: 401, body: makeBatch([event(1)], { token: `${TOKEN}A` }), options: { now, identity: { keys: KEYS, audience: AUDIENCE } } },
  'a token has a key that is none': { status: 503, options: { now, identity: { keys: offCurve, audience: AUDIENCE } } },
  'the store cannot claim': { status: 200, options: { store: storeThat({ claim: fail }) } },
  'the store cannot keep': { status: 200, options: { store: storeThat({ keep: fail }) } },
  'the store cannot release': { status: 503, script: () => failed(500, echo), options: { store: storeThat({ release: fail }) } },
  'the store hangs': { status: 200, options: { store: storeThat({ claim: never }), limits: { storeMs: 5 } } },
  'a limiter rejects and another throws': { status: 200, options: { rateLimit: { contact: { limit: () => Promise.reject(new Error(all)) }, overall: { limit: fail } } } },
  'every hook fails': { status: 200, script: () => failed(400, echo), options: { onOutcome: fail, onDrop: () => Promise.reject(new Error(all)), onRequest: fail } },
  'onError rejects': { status: 503, script: () => failed(401, echo), options: { onError: () => Promise.reject(new Error(all)) } },
  'onError throws': { status: 503, script: () => failed(401, echo), options: { onError: fail } },
  'the clock throws': { status: 500, options: { now: fail } },
}

const show = (arg: unknown): string => (arg instanceof Error ? `${arg.stack} ${String(arg.cause)}` : JSON.stringify(arg))

/** Everything that anyone but the API could see of one request: the answer's body and headers, the lines of onError, and the console. */
describe('no key, contact, token or cookie in any answer or log line', () => {
  const seen: string[] = []
  beforeEach(() => {
    seen.length = 0
    for (const level of ['log', 'info', 'warn', 'error', 'debug'] as const) {
      vi.spyOn(console, level).mockImplementation((...args: unknown[]) => void seen.push(...args.map(show)))
    }
  })
  afterEach(() => void vi.restoreAllMocks())

  const isSecretIn = (text: string): string[] => SECRETS.filter((secret) => text.toLowerCase().includes(secret.toLowerCase()))

  const cases = Object.entries({
    ...upstream,
    ...refusals,
    ...Object.fromEntries(Object.entries(events).map(([what, one]): [string, Case] => [`an event with ${what}`, { status: 200, body: batchOf(one) }])),
    ...hooks,
  })

  it.each(cases)('where %s', async (_, { status, script = created, body = sound, sent = {}, options = {} }) => {
    const relay = createRelay({ apiKey: KEY, populationId: POPULATION, identity: 'page', fetch: createApi(script).fetch, ...options })
    const heard = await read(await relay(request(body, { ...sent, headers: { Cookie: COOKIE, Authorization: `Bearer ${TOKEN}`, ...sent.headers } })))
    expect(heard.status).toBe(status)
    seen.push(heard.text, ...[...heard.headers].flat())
    expect(isSecretIn(seen.join('\n'))).toEqual([])
    expect(heard.headers.get('Cache-Control')).toBe('no-store')
  })

  it.each(cases.filter(([, { options }]) => !options?.onError))('onError hears none where %s', async (_, { script = created, body = sound, sent = {}, options = {} }) => {
    const lines: string[] = []
    const relay = createRelay({ apiKey: KEY, populationId: POPULATION, identity: 'page', fetch: createApi(script).fetch, onError: (line) => lines.push(line), ...options })
    await relay(request(body, { ...sent, headers: { Cookie: COOKIE, ...sent.headers } }))
    expect(isSecretIn(lines.join('\n'))).toEqual([])
    expect(seen).toEqual([])
  })

  it('where a setting is wrong', () => {
    const settings = { apiKey: KEY, populationId: POPULATION, identity: 'page' as const }
    const wrong: object[] = [{ apiKey: `${KEY}x` }, { apiKey: [KEY, all] }, { populationId: all }, { identity: all }, { baseUrl: `https://user:${KEY}@api.test` }, { allowedOrigins: [`https://${all}`] }, { allowNonBrowser: all }]
    for (const one of wrong) {
      const start = () => createRelay({ ...settings, ...one })
      expect(start).toThrow(/^\[pristo\] /)
      try {
        start()
      } catch (error) {
        expect(isSecretIn(show(error))).toEqual([])
      }
    }
  })
})
