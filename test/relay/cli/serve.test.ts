// @vitest-environment node
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { startPristoApi, type PristoApi } from '../../support/pristo-api.ts'
import { CANARY_EMAIL, KEY, makeBatch, makeEvent, uuid } from '../harness.ts'
import { buildCommand, type Run } from './process.ts'

const PHONE = '+4915700112233'
const person = { id: 'canary-contact', email: CANARY_EMAIL, phone: PHONE, name: 'Canaria' }

let api: PristoApi
let command: Awaited<ReturnType<typeof buildCommand>>
/** One process for all tests but those of its end. */
let relay: Service

interface Service {
  run: Run
  url: string
  admin: string
}

const serve = async (baseUrl = api.url, over: Record<string, string> = {}): Promise<Service> => {
  const env = { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: api.populationId, PRISTO_BASE_URL: baseUrl, PORT: '0', ...over }
  const run = command.run(['serve', '--admin-port', '0', '--log-level=debug'], env)
  const { url, admin } = await run.line(({ message }) => message === 'listening')
  return { run, url: String(url), admin: String(admin) }
}

beforeAll(async () => {
  ;[api, command] = await Promise.all([startPristoApi({ apiKey: KEY }), buildCommand()])
  relay = await serve()
})
beforeEach(() => api.clear())
afterAll(async () => {
  command.remove()
  await api.close()
})

const post = (url: string, events: unknown[], headers: Record<string, string> = {}) =>
  fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin', ...headers },
    body: JSON.stringify(makeBatch(events)),
  })

const ask = async (path: string, at = relay.admin) => {
  const response = await fetch(new URL(path, at))
  return { status: response.status, text: await response.text() }
}

/** The value of a series, such as `a_total{b="c"}`; 0 where there is none yet. */
const read = async (series: string): Promise<number> => {
  const { text } = await ask('/metrics')
  const line = text.split('\n').find((line) => line.startsWith(`${series} `))
  return Number(line?.slice(series.length + 1) ?? 0)
}

const REQUEST = { message: 'request', level: 'info' }

describe('pristo-relay serve', () => {
  it('delivers events and serves the tag', async () => {
    expect((await post(relay.url, [makeEvent(1)])).status).toBe(200)
    expect(api.events().map(({ requestId }) => requestId)).toEqual([uuid(1)])
    const tag = await fetch(new URL('/pristo.js', relay.url))
    expect([tag.status, tag.headers.get('Content-Type')]).toEqual([200, 'text/javascript; charset=utf-8'])
  })

  it('says on its admin port that it lives and is ready, and shows nothing of that on the public one', async () => {
    expect(await ask('/healthz')).toEqual({ status: 200, text: '{"alive":true}' })
    expect(await ask('/readyz')).toEqual({ status: 200, text: '{"ready":true}' })
    expect((await ask('/metrics')).status).toBe(200)
    for (const path of ['/healthz', '/readyz', '/metrics']) expect((await ask(path, relay.url)).status).toBe(404)
    expect((await ask('/pristo')).status).toBe(404)
    expect((await fetch(new URL('/healthz', relay.admin), { method: 'POST' })).status).toBe(405)
  })

  it('is not ready while the last word of the API was a wrong setting, until an event is stored', async () => {
    const errors = await read('pristo_relay_errors_total')
    api.fail({ status: 401 })
    expect((await post(relay.url, [makeEvent(10)])).status).toBe(503)
    expect(await read('pristo_relay_errors_total')).toBe(errors + 1)
    expect(await relay.run.line(({ level }) => level === 'error')).toMatchObject({
      message: expect.stringMatching(/^the Pristo API answered 401: check apiKey/),
    })
    // It has asked the API meanwhile, in its own time.
    await vi.waitFor(async () => expect(JSON.parse((await ask('/readyz')).text)).toMatchObject({ ready: false, reason: 'upstream_config' }))
    expect((await ask('/readyz')).status).toBe(503)
    expect(await read('pristo_relay_ready')).toBe(0)
    expect((await ask('/healthz')).status).toBe(200)
    api.fail({ status: 500, times: 1 })
    await post(relay.url, [makeEvent(10)])
    expect((await ask('/readyz')).status).toBe(503)
    api.fail(null)
    await post(relay.url, [makeEvent(10)])
    expect((await ask('/readyz')).status).toBe(200)
    expect(await read('pristo_relay_ready')).toBe(1)
  })

  it('counts requests, events, drops and calls of the API', async () => {
    const series = [
      'pristo_relay_requests_total{status="200",code="none"}',
      'pristo_relay_requests_total{status="403",code="origin"}',
      'pristo_relay_requests_total{status="404",code="not_found"}',
      'pristo_relay_request_duration_seconds_count{status="200"}',
      'pristo_relay_events_total{outcome="stored",code="none"}',
      'pristo_relay_events_total{outcome="rejected",code="invalid_event"}',
      'pristo_relay_events_total{outcome="retry",code="unavailable"}',
      'pristo_relay_events_dropped_total{code="invalid_event"}',
      'pristo_relay_api_call_duration_seconds_count{status="201"}',
      'pristo_relay_api_call_duration_seconds_count{status="none"}',
    ]
    const before = await Promise.all(series.map(read))
    await post(relay.url, [makeEvent(20), makeEvent(21, { type: 'no_such_type', contact: { id: 'other', email: 'a@b.co' } }), { id: uuid(22) }])
    await post(relay.url, [makeEvent(23)], { 'Sec-Fetch-Site': 'cross-site' })
    await ask('/wrong/path', relay.url)
    api.fail({ reset: 'before' })
    await post(relay.url, [makeEvent(24)])
    const after = await Promise.all(series.map(read))
    expect(series.map((name, place) => [name, (after[place] ?? 0) - (before[place] ?? 0)])).toEqual(
      series.map((name) => [name, /invalid_event/.test(name) ? 2 : 1]),
    )
    expect(await read(`pristo_relay_build_info{version="1.2.3",node="${process.version}"}`)).toBe(1)
    expect(await read('process_resident_memory_bytes')).toBeGreaterThan(1_000_000)
    const names = [...(await ask('/metrics')).text.matchAll(/^# TYPE pristo_relay(_\w+)/gm)].map(([, name]) => name)
    const readme = readFileSync('README.md', 'utf8')
    expect(names.filter((name) => !readme.includes(`${name}\``))).toEqual([])
  })

  it('counts what is in flight', async () => {
    api.fail({ delayMs: 60_000 })
    const answer = post(relay.url, [makeEvent(30)]).catch(() => undefined)
    while ((await read('pristo_relay_requests_in_flight')) !== 1);
    await api.close()
    await answer
    expect(await read('pristo_relay_requests_in_flight')).toBe(0)
    api = await startPristoApi({ apiKey: KEY, port: Number(new URL(api.url).port) })
  })

  it('has no more series after events with a hundred types, ids and contacts', async () => {
    const names = async () =>
      (await ask('/metrics')).text
        .split('\n')
        .filter((line) => line.startsWith('pristo_'))
        .map((line) => line.replace(/ \S+$/, ''))
    const some = (from: number) =>
      Array.from({ length: 35 }, (_, n) => makeEvent(from + n, { type: `type_${from + n}`, contact: { id: `c_${from + n}`, email: 'a@b.co' } }))
    await post(relay.url, [...some(100), { id: 'no id', type: 'x' }])
    const before = await names()
    await post(relay.url, [...some(200), { id: 'another', type: 'y' }])
    await post(relay.url, some(300))
    expect(await names()).toEqual(before)
  })

  it('logs one JSON line per request, with what it came to', async () => {
    await post(relay.url, [makeEvent(40), makeEvent(41)])
    await post(relay.url, [makeEvent(42)], { 'Content-Type': 'text/css' })
    const stored = await relay.run.line(({ events }) => events === 2)
    expect(stored).toMatchObject({ ...REQUEST, status: 200, ms: expect.any(Number) })
    expect(new Date(String(stored.time)).toISOString()).toBe(stored.time)
    expect(await relay.run.line(({ status }) => status === 415)).toMatchObject({ ...REQUEST, code: 'content_type', events: 0 })
    expect(await relay.run.line(({ id }) => id === uuid(41))).toMatchObject({ level: 'debug', message: 'event', outcome: 'stored', type: 'purchase' })
  })

  it('logs every event that is given up, with its reason', async () => {
    await post(relay.url, [makeEvent(50, { type: 'unheard_of' }), { ...makeEvent(51), occurredAt: 'yesterday' }])
    const isDrop = (of: string) => relay.run.line(({ id, level }) => id === of && level === 'warn')
    expect(await isDrop(uuid(50))).toMatchObject({ message: 'event dropped', code: 'invalid_event', status: 400, type: 'unheard_of' })
    expect(await isDrop(uuid(51))).toMatchObject({
      reason: 'event.occurredAt: got a string of 9 characters; allowed is an RFC 3339 date-time, such as 2026-01-31T12:00:00.000Z',
    })
  })

  it('shows no key and nothing of a visitor in any log line, metric or answer', async () => {
    const answers: string[] = []
    const echo = JSON.stringify({ error: { code: 'x', message: `${KEY} ${Object.values(person).join(' ')} note-canary` } })
    const said = { contact: person, customFields: { note: 'note-canary' } }
    const events = [
      makeEvent(60, said),
      { ...makeEvent(61, said), id: CANARY_EMAIL },
      { ...makeEvent(62, said), type: CANARY_EMAIL },
      { ...makeEvent(63, said), occurredAt: CANARY_EMAIL },
    ]
    for (const fault of [null, { status: 400, body: echo }, { status: 401, body: echo }, { status: 500, body: echo }]) {
      api.fail(fault)
      const response = await post(relay.url, events, { Cookie: 'sid=canary-cookie' })
      answers.push(JSON.stringify([...response.headers]))
      await response.text() // it repeats ids, and what the API says of the event, to the page that sent them
    }
    await ask(`/${CANARY_EMAIL}?key=${KEY}`, relay.url)
    await relay.run.line(({ status, code }) => status === 404 && code === 'not_found')
    for (const path of ['/healthz', '/readyz', '/metrics', `/${KEY}`]) answers.push((await ask(path)).text)
    const seen = [relay.run.said(), ...answers].join('\n').toLowerCase()
    expect(seen).toContain('event dropped')
    for (const secret of [KEY, ...Object.values(person), 'note-canary', 'canary-cookie']) expect(seen).not.toContain(secret.toLowerCase())
  })
})

describe('the end of pristo-relay serve', () => {
  it('a signal fails readiness, closes the door, finishes what is in flight and exits with 0', async () => {
    const slow = createServer().listen(0, '127.0.0.1')
    await once(slow, 'listening')
    const address = slow.address()
    const { run, url, admin } = await serve(`http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`)
    const answer = post(url, [makeEvent(70)])
    const [, held]: ServerResponse[] = await once(slow, 'request')
    run.kill('SIGTERM')
    expect(await run.line(({ message }) => message === 'stopping')).toMatchObject({ signal: 'SIGTERM' })
    const { status, text } = await ask('/readyz', admin)
    expect([status, JSON.parse(text)]).toMatchObject([503, { reason: 'stopping' }])
    expect((await ask('/healthz', admin)).status).toBe(200)
    await expect(fetch(url)).rejects.toThrow()
    held?.writeHead(201).end('{}')
    const response = await answer
    expect([response.status, response.headers.get('Connection')]).toEqual([200, 'close'])
    expect(await run.ended).toMatchObject({ code: 0, err: '' })
    expect(run.lines().at(-1)).toMatchObject({ message: 'stopped' })
    slow.close()
  })

  it('is in order from the moment at which it says that it listens', async () => {
    const { run } = await serve()
    run.kill('SIGTERM')
    expect((await run.ended).code).toBe(0)
  })

  it('a log that nobody reads any more ends nothing', async () => {
    const { run, url } = await serve()
    run.deafen()
    for (let n = 90; n < 93; n++) expect((await post(url, [makeEvent(n)])).status).toBe(200)
    run.kill('SIGTERM')
    expect(await run.ended).toMatchObject({ code: 0, err: '' })
  })

  it('a second signal ends it at once, with the code of that signal', async () => {
    const { run, url } = await serve()
    api.fail({ hang: true })
    const answer = expect(post(url, [makeEvent(80)])).rejects.toThrow()
    while (!api.calls().length) await new Promise((resolve) => setImmediate(resolve))
    run.kill('SIGINT')
    await run.line(({ message }) => message === 'stopping')
    run.kill('SIGINT')
    expect((await run.ended).code).toBe(130)
    await answer
  })

  it('a port that is taken, or a setting that cannot be used, ends the start with one line', async () => {
    const env = { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: api.populationId, PORT: '0', PRISTO_ADMIN_PORT: '0' }
    const { port } = new URL(relay.url)
    const [taken, adminTaken, wrong] = await Promise.all([
      command.run(['serve'], { ...env, PORT: port }).ended,
      command.run(['serve', '--admin-port', port], env).ended,
      command.run(['serve'], { ...env, PRISTO_API_KEY: 'sk_live_canary' }).ended,
    ])
    expect(taken).toEqual({ code: 1, out: '', err: '[pristo] PORT: this one is taken; allowed is a free one, or 0 for any\n' })
    expect(adminTaken).toEqual({ code: 1, out: '', err: '[pristo] PRISTO_ADMIN_PORT: this one is taken; allowed is a free one, or 0 for any\n' })
    expect(wrong).toEqual({
      code: 1,
      out: '',
      err: '[pristo] PRISTO_API_KEY: got a string of 14 characters; allowed is a UUID, or several separated by commas, newest first\n',
    })
  })
})

describe('pristo-relay', () => {
  it('says its version, whether a relay lives, and what it does not understand', async () => {
    const { port } = new URL(relay.admin)
    const ends = await Promise.all(
      [['--version'], ['health', '--admin-port', port], ['health', '--admin-port=1'], ['server'], ['check', '--fix'], ['sign'], []].map(
        (words) => command.run(words).ended,
      ),
    )
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 1, 2, 2, 2, 2])
    expect(ends.map(({ out }) => out)).toEqual(['1.2.3\n', 'alive\n', '', '', '', '', ''])
    expect(ends.map(({ err }) => err)).toEqual([
      '',
      '',
      '[pristo] http://127.0.0.1:1/healthz: no answer; a relay that is alive answers 200\n',
      '[pristo] command: got server; allowed are serve, check, sign, health, spool stats, spool dead, spool replay, spool drop, --help and --version\n',
      '[pristo] flag: got --fix; allowed for check are --help\n',
      "[pristo] --contact: got nothing; allowed is the contact's id\n",
      expect.stringContaining('pristo-relay <command>'),
    ])
  })
})

describe('pristo-relay serve with a spool', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-serve-spool-'))
  const env = { PRISTO_SPOOL: `sqlite:${join(folder, 'spool.db')}` }
  afterAll(() => rmSync(folder, { recursive: true }))
  const stats = async () => JSON.parse((await command.run(['spool', 'stats', '--format', 'json'], env).ended).out)

  it('answers 202 while the API is down, keeps the events over its own end, and delivers them in order once it is back', async () => {
    api.fail({ status: 503 })
    const first = await serve(api.url, env)
    const answer = await post(first.url, [makeEvent(1), makeEvent(2)])
    expect([answer.status, (await answer.json()).results.map(({ outcome }: { outcome: string }) => outcome)]).toEqual([202, ['stored', 'stored']])
    await vi.waitFor(() => expect(api.calls().length).toBeGreaterThan(0), { timeout: 5_000 })
    const metrics = (await ask('/metrics', first.admin)).text
    for (const line of ['pristo_relay_spool_events 2', 'pristo_relay_spool_contacts 1', 'pristo_relay_spool_dead_events 0', 'pristo_relay_events_total{outcome="accepted",code="none"} 2'])
      expect(metrics.split('\n')).toContain(line)
    expect(metrics).toMatch(/^pristo_relay_spool_oldest_event_age_seconds [\d.]+$/m)
    first.run.kill('SIGTERM')
    expect((await first.run.ended).code).toBe(0)
    expect(await stats()).toMatchObject({ events: 2, dead: 0 })
    api.clear()
    const second = await serve(api.url, env)
    await vi.waitFor(() => expect(api.events().map(({ requestId }) => requestId)).toEqual([uuid(1), uuid(2)]), { timeout: 20_000 })
    await vi.waitFor(async () => expect(await stats()).toMatchObject({ events: 0, dead: 0 }), { timeout: 5_000 })
    expect(second.run.said()).not.toContain(CANARY_EMAIL)
    second.run.kill('SIGTERM')
    await second.run.ended
  }, 40_000)

  it('is not ready once its oldest event is too old', async () => {
    api.fail({ status: 503 })
    const { run, url, admin } = await serve(api.url, { ...env, PRISTO_SPOOL_MAX_AGE: '1' })
    await post(url, [makeEvent(3)])
    await vi.waitFor(async () => expect(await ask('/readyz', admin)).toMatchObject({ status: 503, text: expect.stringContaining('spool_old') }), { timeout: 20_000 })
    run.kill('SIGTERM')
    await run.ended
  }, 30_000)

  it.each([
    [{ PRISTO_SPOOL: 'spool.db' }, '[pristo] PRISTO_SPOOL: got a string of 8 characters; allowed is sqlite:PATH, redis://HOST:PORT/DB or rediss://…'],
    [{ PRISTO_SPOOL: 'sqlite:/nowhere/spool.db' }, '[pristo] the spool cannot open its file: the folder must exist and be writable'],
  ])('ends with one line where the spool cannot be used: %j', async (wrong, line) => {
    const { code, err } = await command.run(['serve', '--admin-port', '0'], { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: api.populationId, PORT: '0', ...wrong }).ended
    expect([code, err.trim()]).toEqual([1, line])
  })

  it('tells every warning of Node but that its SQLite is experimental, as 22 says', async () => {
    const warn = "setTimeout(()=>{process.emitWarning('SQLite_is_new','ExperimentalWarning');process.emitWarning('Fetch_is_new','ExperimentalWarning');process.emitWarning('SQLite_is_old')},1000)"
    const { run } = await serve(api.url, { ...env, NODE_OPTIONS: `--import=data:text/javascript,${warn}` })
    await vi.waitFor(() => expect(run.said()).toContain('SQLite_is_old'), { timeout: 10_000 })
    run.kill('SIGTERM')
    const { err } = await run.ended
    expect(err.match(/\w+_is_\w+/g)).toEqual(['Fetch_is_new', 'SQLite_is_old'])
  }, 20_000)

  it('makes no spool where another setting cannot be used', async () => {
    const path = join(folder, 'none.db')
    const wrong = { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: api.populationId, PORT: '0', PRISTO_BASE_URL: 'https://api.pristo.test/?a', PRISTO_SPOOL: `sqlite:${path}` }
    const { code, err } = await command.run(['serve', '--admin-port', '0'], wrong).ended
    expect([code, err.trim()]).toEqual([1, '[pristo] baseUrl: got a string of 26 characters; allowed is an http or https URL without user, query and fragment'])
    expect(existsSync(path)).toBe(false)
  })
})
