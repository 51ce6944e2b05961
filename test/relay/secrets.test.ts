// @vitest-environment node
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createRelay, type RelayOptions } from '../../src/relay/index.ts'
import { CANARY_EMAIL, createApi, failed, KEY, makeBatch, makeEvent, NOW, POPULATION, read, request, type Script } from './harness.ts'
import { AUDIENCE, BY, claimsOf, KEYS, makeToken, secretsOf } from './tokens.ts'

const COOKIE = 'session=canary-cookie'
const person = { id: 'u_42', email: CANARY_EMAIL, phone: '+4915700canary' }
const TOKEN = makeToken(claimsOf({ contact: person }), BY.es)
/** All that the API itself has heard: cookies and tokens never get there. */
const HEARD = [KEY, CANARY_EMAIL, person.phone, person.id]
const SECRETS = [...HEARD, COOKIE, ...secretsOf(TOKEN)]
const echo = `${HEARD.join(' ')} ${KEY.toUpperCase()}`

const show = (arg: unknown): string => (arg instanceof Error ? `${arg.stack} ${String(arg.cause)}` : JSON.stringify(arg))

/** Everything that anyone but the API could see of one request: the answer's body and headers, and the console. */
describe('no key, contact or cookie in any answer or log line', () => {
  const seen: string[] = []
  beforeEach(() => {
    seen.length = 0
    for (const level of ['log', 'info', 'warn', 'error', 'debug'] as const) {
      vi.spyOn(console, level).mockImplementation((...args: unknown[]) => void seen.push(...args.map(show)))
    }
  })
  afterEach(() => void vi.restoreAllMocks())

  const event = (n: number) => makeEvent(n, { contact: person })
  const misplaced = [
    { ...event(1), occurredAt: CANARY_EMAIL },
    { ...event(2), contact: { ...person, [CANARY_EMAIL]: CANARY_EMAIL } },
    { ...event(3), customFields: { a: `${CANARY_EMAIL}${'x'.repeat(50)}` } },
  ]
  const now = () => NOW
  const offCurve = { es: { ...KEYS.es, y: KEYS.ed.x ?? '' } }
  const cases: [string, Script, unknown, Partial<RelayOptions>?][] = [
    ['an API that repeats everything in its error', () => failed(400, echo), makeBatch([event(1)])],
    ['an API that repeats everything in its headers', () => failed(500, echo, { 'X-Echo': KEY, 'Set-Cookie': `k=${KEY}`, 'Retry-After': KEY }), makeBatch([event(1)])],
    ['an envelope that repeats everything', () => Response.json({ ok: false, status: 400, raw: echo, error: { message: echo } }, { status: 201 }), makeBatch([event(1)])],
    ['a wrong key', () => failed(401, echo), makeBatch([event(1)])],
    ['a redirect that names the key', () => new Response(null, { status: 307, headers: { Location: `https://x.test/?k=${KEY}` } }), makeBatch([event(1)])],
    ['a fetch that fails with everything in its error', () => Promise.reject(new Error(echo)), makeBatch([event(1)])],
    ['an event with the email in the wrong places', () => failed(500), makeBatch(misplaced)],
    ['a batch with the email in the wrong places', () => failed(500), { ...Object(makeBatch([])), [CANARY_EMAIL]: CANARY_EMAIL }],
    ['a body that is no JSON', () => failed(500), `{"${CANARY_EMAIL} ${KEY}`],
    ['a session that fails', () => failed(500), makeBatch([event(1)]), { identity: { resolve: () => Promise.reject(new Error(echo)) } }],
    ['a store that fails', () => failed(500), makeBatch([event(1)]), { store: { claim: () => { throw new Error(echo) }, keep: () => undefined, release: () => { throw new Error(echo) } } }],
    ['a token', () => failed(400, echo), makeBatch([event(1)], { token: TOKEN }), { now, identity: { keys: KEYS, audience: AUDIENCE } }],
    ['a token for another audience', () => failed(400, echo), makeBatch([event(1)], { token: TOKEN }), { now, identity: { keys: KEYS, audience: 'a' } }],
    ['a token that nobody signed', () => failed(400, echo), makeBatch([event(1)], { token: `${TOKEN}A` }), { now, identity: { keys: KEYS, audience: AUDIENCE } }],
    ['a token with a key that is none', () => failed(400, echo), makeBatch([event(1)], { token: TOKEN }), { now, identity: { keys: offCurve, audience: AUDIENCE } }],
    ['a token where none is asked for', () => failed(400, echo), makeBatch([event(1)], { token: TOKEN })],
    ['a token as the name of a field', () => failed(400, echo), { ...Object(makeBatch([event(1)])), [TOKEN]: TOKEN }],
    ['limiters that fail', () => failed(500), makeBatch([event(1)]), { rateLimit: { contact: { limit: () => Promise.reject(new Error(echo)) }, overall: { limit: () => { throw new Error(echo) } } } }],
    ['hooks that fail', () => failed(400, echo), makeBatch([event(1)]), { onOutcome: () => { throw new Error(echo) }, onDrop: () => Promise.reject(new Error(echo)), onRequest: () => { throw new Error(echo) } }],
    ['an onError that rejects', () => failed(401), makeBatch([event(1)]), { onError: () => Promise.reject(new Error(echo)) }],
    ['an onError that fails', () => failed(401), makeBatch([event(1)]), { onError: () => { throw new Error(echo) } }],
    ['a clock that fails', () => failed(401), makeBatch([event(1)]), { now: () => { throw new Error(echo) } }],
  ]

  it.each(cases)('%s', async (_, script, body, options = {}) => {
    const { fetch } = createApi(script)
    const relay = createRelay({ apiKey: KEY, populationId: POPULATION, identity: 'page', fetch, ...options })
    const { text, headers } = await read(await relay(request(body, { headers: { Cookie: COOKIE } })))
    seen.push(text, ...[...headers].flat())
    for (const secret of SECRETS) expect(seen.join('\n').toLowerCase()).not.toContain(secret.toLowerCase())
    expect(headers.get('Cache-Control')).toBe('no-store')
  })
})
