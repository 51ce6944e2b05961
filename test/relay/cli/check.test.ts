// @vitest-environment node
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { createCheck } from '../../../src/relay/cli/check.ts'
import { openSpool } from '../../../src/relay/spool.ts'
import { startPristoApi, type PristoApi } from '../../support/pristo-api.ts'
import { KEY, makeEvent, OLD_KEY, POPULATION } from '../harness.ts'
import { runIn } from './terminal.ts'

let api: PristoApi
let sound: Record<string, string>
beforeAll(async () => {
  api = await startPristoApi({ apiKey: KEY })
  sound = { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: api.populationId, PRISTO_BASE_URL: api.url }
})
beforeEach(() => api.clear())
afterAll(() => api.close())

/** Lines by level, without what is told about every sound start here. */
const check = async (env: Record<string, string> = {}, fetched: typeof fetch = fetch) => {
  const { code, out, err } = await runIn(createCheck(fetched, openSpool), { ...sound, ...env })
  expect(err).toEqual([])
  for (const secret of [KEY, OLD_KEY, 'sk_live_canary']) expect(out.join('\n')).not.toContain(secret)
  const of = (level: string) => out.filter((line) => line.startsWith(`${level} `)).map((line) => line.slice(9))
  return { code, ok: of('ok'), warnings: of('warning').filter((line) => !/^identity: page|^PRISTO_TRUST_PROXY: 0/.test(line)), errors: of('error'), out }
}

describe('pristo-relay check', () => {
  it('finds a sound configuration sound, and stores nothing', async () => {
    const { code, out } = await check()
    expect([code, out]).toEqual([
      0,
      [
        'ok       settings: all can be used',
        expect.stringContaining('warning  identity: page – anybody can write to any contact'),
        'warning  PRISTO_TRUST_PROXY: 0 – behind a proxy all visitors share the limit of one address; say how many proxies there are',
        'ok       PRISTO_API_KEY: the key is taken by the API',
        "ok       clock: within a minute of the API's",
      ],
    ])
    expect(api.calls()).toMatchObject([{ method: 'POST', body: {}, status: 400 }])
    expect(api.events()).toEqual([])
  })

  it('looks into the spool, and makes none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pristo-check-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const env = { PRISTO_SPOOL: `sqlite:${join(folder, 'spool.db')}` }
    expect((await check(env)).ok).toContain('PRISTO_SPOOL: there is none yet, the first start makes it')
    const spool = await openSpool(env.PRISTO_SPOOL)
    await spool.put([makeEvent(1), makeEvent(2)])
    for (const claim of await spool.claim(1)) await spool.bury(claim, { code: 'expired' })
    expect(await check(env)).toMatchObject({
      code: 0,
      ok: expect.arrayContaining(['PRISTO_SPOOL: 1 events wait']),
      warnings: ['PRISTO_SPOOL: 1 events are buried – see why: pristo-relay spool dead'],
    })
    await spool.close()
    expect(await check({ PRISTO_SPOOL: 'sqlite:/nowhere/spool.db' })).toMatchObject({ code: 1, errors: ['PRISTO_SPOOL: the spool cannot open its file: the folder must exist and be writable'] })
    expect(await check({ PRISTO_SPOOL: `sqlite:${folder}` })).toMatchObject({ code: 1, errors: ['PRISTO_SPOOL: the spool cannot open its file: it is a folder'] })
    expect(await check({ PRISTO_SPOOL: 'spool.db' })).toMatchObject({ code: 1, errors: ['PRISTO_SPOOL: got a string of 8 characters; allowed is sqlite:PATH, redis://HOST:PORT/DB or rediss://…'] })
  })

  it('leaves no spool open that does not answer: the command would never end', async () => {
    let isClosed = false
    const folder = mkdtempSync(join(tmpdir(), 'pristo-check-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const open: typeof openSpool = async (...asked) => {
      const spool = await openSpool(...asked)
      return { ...spool, stats: () => Promise.reject(new Error('[pristo] the spool fails')), close: () => ((isClosed = true), spool.close()) }
    }
    const place = `sqlite:${join(folder, 'spool.db')}`
    await (await openSpool(place)).close()
    const { out } = await runIn(createCheck(fetch, open), { ...sound, PRISTO_SPOOL: place })
    expect(out).toContain('error    PRISTO_SPOOL: the spool fails')
    expect(isClosed).toBe(true)
  })

  it('names every setting that cannot be used, not the first alone, and then asks nobody', async () => {
    const { code, out } = await check({
      PRISTO_API_KEY: 'sk_live_canary',
      PRISTO_POPULATION_ID: '',
      PORT: 'http',
      PRISTO_ADMIN_PORT: '70000',
      PRISTO_LOG_FORMAT: 'xml',
      PRISTO_LOG_LEVEL: 'all',
      PRISTO_BOTS: 'maybe',
      PRISTO_BASE_URL: 'https://user@x.test',
    })
    expect(code).toBe(1)
    expect(out).toEqual([
      'error    PRISTO_API_KEY: got a string of 14 characters; allowed is a UUID, or several separated by commas, newest first',
      'error    PRISTO_POPULATION_ID: got an empty string; allowed is a UUID',
      'error    baseUrl: got a string of 19 characters; allowed is an http or https URL without user, query and fragment',
      'error    PRISTO_BOTS: got a string of 5 characters; allowed is deliver or drop',
      'error    PORT: got a string of 4 characters; allowed is a number from 0 to 65535',
      'error    PRISTO_ADMIN_PORT: got a string of 5 characters; allowed is a number from 0 to 65535',
      'error    PRISTO_LOG_FORMAT: got a string of 3 characters; allowed is text, json',
      'error    PRISTO_LOG_LEVEL: got a string of 3 characters; allowed is debug, info, warn, error',
    ])
    expect(api.calls()).toEqual([])
  })

  it('finds two servers at one place', async () => {
    const { code, errors } = await check({ PORT: '9464' })
    expect([code, errors]).toEqual([1, ['PRISTO_ADMIN_PORT: the same as PORT – name another one, which the public does not reach']])
    expect((await check({ PORT: '0', PRISTO_ADMIN_PORT: '0' })).code).toBe(0)
  })

  it('tries each key of a rotation: one that is refused beside one that is taken is a warning', async () => {
    const { code, ok, warnings } = await check({ PRISTO_API_KEY: `${OLD_KEY},${KEY}` })
    expect([code, ok[1], warnings]).toEqual([
      0,
      'PRISTO_API_KEY: the second key is taken by the API',
      ['PRISTO_API_KEY: the first key is refused by the API (401) – events go with another one; remove it'],
    ])
    expect(api.calls().map(({ headers }) => headers['x-api-key'])).toEqual([OLD_KEY, KEY])
  })

  it.each<[string, Record<string, string>, Parameters<PristoApi['fail']>[0], RegExp]>([
    ['a key that is refused', { PRISTO_API_KEY: OLD_KEY }, null, /^PRISTO_API_KEY: the key is refused by the API \(401\) – compare it with Pristo/],
    ['a population that the API does not know', { PRISTO_POPULATION_ID: POPULATION }, null, /^PRISTO_POPULATION_ID: the API does not know it/],
    ['a redirect', {}, { redirect: 'http://127.0.0.1:9/' }, /^PRISTO_BASE_URL: the address redirects/],
    ['a page in place of the API', {}, { status: 404, body: '<html>' }, /^PRISTO_BASE_URL: what answers there \(404\) is not the Pristo API/],
    ['something that takes anything', {}, { status: 200, body: '{}' }, /^PRISTO_BASE_URL: what answers there \(200\) is not/],
    ['an API that is down', {}, { status: 503 }, /^the API: answers 503/],
    [
      'an envelope that says otherwise than HTTP',
      {},
      { status: 201, body: '{"ok":false,"status":401,"statusText":"","body":null,"raw":""}' },
      /is refused by the API \(401\)/,
    ],
    ['nobody there', { PRISTO_BASE_URL: 'http://127.0.0.1:9' }, null, /^PRISTO_BASE_URL: no answer \(\w+\) – look at/],
    ['a connection that breaks off', {}, { reset: 'before' }, /^PRISTO_BASE_URL: no answer \(UND_ERR_SOCKET\)/],
  ])('says what is wrong, and what to do: %s', async (_, env, fault, line) => {
    api.fail(fault)
    const { code, errors } = await check(env)
    expect([code, errors]).toEqual([1, [expect.stringMatching(line)]])
  })

  it("names the system's reason where the API has two addresses and neither answers, once for all keys", async () => {
    const refused = Object.assign(new Error(`connect ${KEY}`), { code: 'ECONNREFUSED' })
    const { errors } = await check({ PRISTO_API_KEY: `${KEY},${OLD_KEY}` }, () =>
      Promise.reject(new TypeError('fetch failed', { cause: new AggregateError([refused, refused]) })),
    )
    expect(errors).toEqual([expect.stringMatching(/^PRISTO_BASE_URL: no answer \(ECONNREFUSED\) – /)])
  })

  it('takes an envelope that refuses the event for a key that was taken', async () => {
    api.fail({ status: 201, body: '{"ok":false,"status":400,"statusText":"","body":null,"raw":""}' })
    expect((await check()).code).toBe(0)
  })

  it('never hands the key to the host that it is redirected to', async () => {
    let isAsked = false
    const other = createServer((_, response) => ((isAsked = true), response.end()))
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void other.close())
    const address = other.address()
    api.fail({ redirect: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/` })
    await check()
    expect(isAsked).toBe(false)
  })

  it('tells wrong keys of identities, and has no doubt about right ones', async () => {
    const token = (keys: string) => ({ PRISTO_IDENTITY: 'token', PRISTO_IDENTITY_KEYS: keys })
    const { code, errors } = await check(token('{"main":"sk_live_canary"}'))
    expect([code, errors]).toEqual([1, [expect.stringMatching(/^PRISTO_IDENTITY_KEYS\[0\]: got a string of 14 characters; allowed is a secret of at least 32 bytes/)]])
    expect((await check(token(`{"main":"${'s'.repeat(32)}"}`))).out.filter((line) => line.includes('identity'))).toEqual([])
  })

  it('warns of what works and may not be meant', async () => {
    const { code, warnings } = await check({
      NODE_ENV: 'production',
      PRISTO_ALLOWED_ORIGINS: 'https://a.example,http://b.example,http://localhost:3000',
      PRISTO_API_KEY: `${KEY},${KEY}`,
      PRISTO_ALLOWED_ORIGIN: 'https://typo.example',
    })
    expect(code).toBe(0)
    expect(warnings).toEqual([
      'PRISTO_BASE_URL: http – the key travels in the clear; use https',
      'PRISTO_ALLOWED_ORIGINS: http://b.example – in production pages are https; name them so',
      'PRISTO_ALLOWED_ORIGINS: http://localhost:3000 – in production pages are https; name them so',
      'PRISTO_API_KEY: the same key twice – name each once',
      'PRISTO_ALLOWED_ORIGIN: no such variable – compare the names in: pristo-relay serve --help',
    ])
    expect((await check({ PRISTO_ALLOWED_ORIGINS: 'http://localhost:3000' })).warnings).toEqual([])
  })

  it("warns of a clock that is off the API's by more than a minute", async () => {
    const at =
      (offMs: number): typeof fetch =>
      async (...given) => {
        const response = await fetch(...given)
        return new Response(await response.text(), { status: response.status, headers: { Date: new Date(Date.now() + offMs).toUTCString() } })
      }
    expect((await check({}, at(-90_000))).warnings).toEqual([expect.stringMatching(/^clock: (89|9\d) s ahead of the API's – /)])
    expect((await check({}, at(90_000))).warnings).toEqual([expect.stringMatching(/^clock: (8\d|90) s behind the API's – /)])
    expect((await check({}, at(-50_000))).warnings).toEqual([])
  })
})
