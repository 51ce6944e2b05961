// @vitest-environment node
// In workerd.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { PristoEvent } from '../../../src/contract.ts'
import { tag } from '../../../src/relay/tag.ts'
import { LEASE_MS, MAX_BYTES, type Claim, type DeadEvent, type Spool, type Stats } from '../../../src/relay/spool/spool.ts'
import { canMount, growDisk, mountDisk, sealDisk } from '../../support/disk.ts'
import { startPristoApi, type Fault, type PristoApi } from '../../support/pristo-api.ts'
import { BINDING, CLASS, SECRET, startSpoolWorkerd, type SpoolWorker, type SpoolWorkerOptions } from '../../support/worker-spool.ts'
import { startWorkerd, type Workerd } from '../../support/workerd.ts'
import { makeEvent, read, uuid } from '../harness.ts'
import { runObjectChaos } from '../../torture/spool/object.ts'
import { describeSpool } from './conformance.ts'

/** An object that is the storage of a spool and nothing else: each request is one call of one method. */
const BARE = `
  import { createStorageSpool } from './src/relay/spool/storage.ts'
  export class Bare {
    constructor(context) { this.context = context }
    async fetch(request) {
      const { verb, given, at, maxBytes } = await request.json()
      if (verb === 'close') this.context.abort()
      const spool = createStorageSpool({ storage: this.context.storage, now: () => at, maxBytes })
      return Response.json({ value: spool[verb](...given) })
    }
  }
  export default {
    async fetch(request, { BARE }) {
      try {
        return await BARE.get(BARE.idFromName(new URL(request.url).pathname)).fetch(request)
      } catch (error) {
        return Response.json({ error: String(error) })
      }
    }
  }`

let bare: Workerd
beforeAll(async () => {
  bare = await startWorkerd(BARE, tag, { durableObjects: { BARE: { className: 'Bare', useSQLite: true } } })
}, 60_000)
afterAll(() => bare?.close())

let opened = 0

/** JSON leaves out what is undefined. */
const NEVER: Pick<Stats, 'oldestAt' | 'dueAt'> = { oldestAt: undefined, dueAt: undefined }

describeSpool('a Durable Object', async (now) => {
  const name = `spool-${opened++}`
  return {
    open: async ({ maxBytes = MAX_BYTES } = {}): Promise<Spool> => {
      const call = async <T>(verb: string, ...given: unknown[]): Promise<T> => {
        const response = await fetch(`${bare.directUrl}/${name}`, { method: 'POST', body: JSON.stringify({ verb, given, at: now(), maxBytes }) })
        const { value, error }: { value: T; error?: string } = await response.json()
        if (error !== undefined) throw new Error(error)
        return value
      }
      return {
        put: (events) => call('put', events),
        claim: (most) => call<Claim[]>('claim', most),
        settle: (claim) => call('settle', claim),
        retry: (claim, delayMs) => call('retry', claim, delayMs),
        bury: (claim, reason) => call('bury', claim, reason),
        stats: async () => ({ ...NEVER, ...(await call<Stats>('stats')) }),
        dead: {
          list: (most) => call<DeadEvent[]>('list', most),
          replay: (which) => call('replay', which),
          drop: (which) => call('drop', which),
        },
        // The object ends, as when Cloudflare moves it: the next call finds another one over the same storage.
        close: () => call<void>('close').catch(() => undefined),
      }
    },
    remove: async () => undefined, // the next test has an object of another name
  }
})

/** An API, and a Worker over a folder of its own; `startAgain` gives another one over the same. */
const setUp = async (atEnd: (work: () => Promise<void>) => void, { diskBytes, ...options }: Pick<SpoolWorkerOptions, 'code' | 'env'> & { diskBytes?: number } = {}) => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-objects-'))
  const unmount = diskBytes === undefined ? undefined : mountDisk(folder, diskBytes)
  const api = await startPristoApi()
  const workers: SpoolWorker[] = []
  atEnd(async () => {
    for (const worker of workers) await worker.close()
    await api.close()
    unmount?.()
    rmSync(folder, { recursive: true })
  })
  const startAgain = async (changed: Pick<SpoolWorkerOptions, 'env'> = {}) => {
    const worker = await startSpoolWorkerd({ api, folder, ...options, ...changed })
    workers.push(worker)
    return { ...worker, send: async (...events: PristoEvent[]) => read(await worker.post(events)) }
  }
  return { api, folder, startAgain, worker: await startAgain() }
}

/** Each test has its own, so that those that wait do so together. */
const it = test.extend<{ setUp: (options?: Parameters<typeof setUp>[1]) => ReturnType<typeof setUp> }>({
  setUp: async ({ onTestFinished }, use) => use((options) => setUp(onTestFinished, options)),
})

/** A lease has to run out in some, and a call in others. */
const slow = { concurrent: true, timeout: 90_000 }

const of = (contact: string, ...numbers: number[]): PristoEvent[] => numbers.map((n) => makeEvent(n, { contact: { id: contact, email: `${contact}@b.co` } }))

/** The ids that the API has stored of a contact, in the order in which they came. */
const storedOf = (api: PristoApi, contact: string) => api.events().flatMap((event) => (event.contact.id === contact ? [event.requestId] : []))

const ids = (...numbers: number[]): string[] => numbers.map(uuid)

/** Waits for a fact. (`expect.poll` knows no tests side by side.) */
const eventually = (fact: () => void | Promise<void>, timeout = 20_000): Promise<void> => vi.waitFor(fact, { timeout, interval: 50 })

/** With nothing left in the spool nothing more will arrive. */
const empty = async (worker: { operate(): Promise<{ stats: Stats }> }): Promise<void> =>
  eventually(async () => expect((await worker.operate()).stats.events).toBe(0))

describe('the template in workerd', slow, () => {
  it('answers 202, and the API has each event once, one contact in order', async ({ setUp }) => {
    const { api, worker } = await setUp()
    const contacts = Array.from({ length: 12 }, (_, n) => `c${n}`)
    for (let round = 0; round < 3; round++) {
      const batch = contacts.flatMap((contact, n) => of(contact, round * 100 + n * 2, round * 100 + n * 2 + 1))
      const answer = await worker.send(...batch)
      expect([answer.status, answer.results]).toEqual([202, batch.map(({ id }) => ({ id, outcome: 'stored' }))])
    }
    await empty(worker)
    contacts.forEach((contact, n) => expect(storedOf(api, contact)).toEqual(ids(...[0, 100, 200].flatMap((round) => [round + n * 2, round + n * 2 + 1]))))
    expect(api.events()).toHaveLength(72)
  })

  it('takes an event that comes again no second time', async ({ setUp }) => {
    const { api, worker } = await setUp()
    for (let n = 0; n < 3; n++) expect((await worker.send(...of('a', 1))).status).toBe(202)
    await eventually(() => expect(storedOf(api, 'a')).toEqual(ids(1)))
    await empty(worker)
    expect((await worker.send(...of('a', 1, 2))).status).toBe(202)
    await empty(worker)
    expect(storedOf(api, 'a')).toEqual(ids(1, 2))
  })

  it('delivers more than one alarm may call', async ({ setUp }) => {
    const { api, worker } = await setUp()
    const numbers = Array.from({ length: 100 }, (_, n) => n)
    for (let from = 0; from < 100; from += 25) await worker.send(...of('a', ...numbers.slice(from, from + 25)))
    await eventually(() => expect(api.events().length).toBe(100))
    expect(storedOf(api, 'a')).toEqual(ids(...numbers))
  })

  it.for<[string, Fault, string[]]>([
    ['answers 500', { status: 500 }, ids(1, 2)],
    ['cuts each connection', { reset: 'before' }, ids(1, 2)],
    ['cuts a connection after it stored the event', { reset: 'after', times: 1 }, ids(1, 1, 2)],
    ['does not answer', { hang: true, times: 1 }, ids(1, 2)],
    ['asks to wait', { retryAfter: '2', times: 1 }, ids(1, 2)],
  ])('answers 202 while the API %s, and delivers when that is over', async ([, fault, arrived], { setUp }) => {
    const { api, worker } = await setUp()
    api.fail(fault)
    expect((await worker.send(...of('a', 1, 2))).status).toBe(202)
    await eventually(() => expect(api.calls().length).toBeGreaterThan(0))
    if (!fault.times) api.fail(null)
    await eventually(() => expect(storedOf(api, 'a')).toEqual(arrived))
    await empty(worker)
  })

  it('holds a contact back behind an event that is tried again, and nobody else', async ({ setUp }) => {
    const { api, worker } = await setUp()
    api.fail({ status: 503, when: ({ requestId }) => requestId === uuid(1) })
    await worker.send(...of('a', 1, 2), ...of('b', 3, 4))
    await eventually(() => expect(api.calls().filter(({ requestId }) => requestId === uuid(1)).length).toBeGreaterThan(1))
    expect([storedOf(api, 'a'), storedOf(api, 'b')]).toEqual([[], ids(3, 4)])
    api.fail(null)
    await eventually(() => expect(storedOf(api, 'a')).toEqual(ids(1, 2)))
  })

  it('buries what the API rejects, for the operator to see, to send once more or to drop', async ({ setUp }) => {
    const { api, worker } = await setUp()
    api.fail({ status: 400, when: ({ requestId }) => requestId !== uuid(2) })
    await worker.send(...of('a', 1, 2), ...of('b', 3))
    await empty(worker)
    expect(storedOf(api, 'a')).toEqual(ids(2))
    const { stats, dead } = await worker.operate()
    expect(stats).toMatchObject({ events: 0, dead: 2, maxBytes: MAX_BYTES })
    expect(dead.map(({ event, reason }) => [event.id, reason]).sort()).toEqual(ids(1, 3).map((id) => [id, { code: 'invalid_event', status: 400, message: 'the test said so' }]))
    api.fail({ status: 400, when: ({ requestId }) => requestId === uuid(3) })
    expect(await worker.operate('replay')).toEqual({ replay: 2 })
    await eventually(() => expect(storedOf(api, 'a')).toEqual(ids(2, 1)))
    await eventually(async () => expect((await worker.operate()).stats).toMatchObject({ events: 0, dead: 1 }))
    expect(await worker.operate('drop')).toEqual({ drop: 1 })
    expect((await worker.operate()).stats).toMatchObject({ events: 0, dead: 0, bytes: 0 })
  })

  it('shows its figures to nobody without the secret, and to nobody where there is none', async ({ setUp }) => {
    const { worker, startAgain } = await setUp()
    const statusOf = async (from: Workerd, headers: Record<string, string>): Promise<number> => (await fetch(`${from.directUrl}/pristo/spool`, { headers })).status
    for (const Authorization of ['', 'Bearer ', `Bearer ${SECRET}x`, SECRET]) expect(await statusOf(worker, { Authorization })).toBe(404)
    expect(await statusOf(worker, {})).toBe(404)
    const open = await startAgain({ env: { SPOOL_SECRET: '' } })
    for (const Authorization of ['Bearer ', 'Bearer', 'Bearer undefined', 'Bearer null']) expect(await statusOf(open, { Authorization })).toBe(404)
  })

  it('logs a line of figures at the cron trigger', async ({ setUp }) => {
    const { worker } = await setUp()
    expect((await fetch(`${worker.url}/cdn-cgi/handler/scheduled`)).status).toBe(200)
    await eventually(() => expect(worker.logs()).toContain('{"spool":{"events":0,"contacts":0,"dead":0,"bytes":0,'))
  })
})

/** Of nothing that is on its way: a lease is longer. */
const isSoon = (at = Infinity): boolean => at - Date.now() < LEASE_MS / 2

describe('what waits when the Worker ends', slow, () => {
  it('is delivered by the next one, without any request', async ({ setUp }) => {
    const { api, worker, startAgain } = await setUp()
    api.fail({ status: 500 })
    expect((await worker.send(...of('a', 1, 2))).status).toBe(202)
    await eventually(() => expect(api.calls().length).toBeGreaterThan(1))
    await eventually(async () => expect(isSoon((await worker.operate()).stats.dueAt)).toBe(true))
    await worker.close()
    api.fail(null)
    await startAgain()
    await eventually(() => expect(storedOf(api, 'a')).toEqual(ids(1, 2)))
  })

  it('is delivered after its lease, where the end came in the middle of a call', async ({ setUp }) => {
    const { api, worker, startAgain } = await setUp()
    api.fail({ hang: true })
    await worker.send(...of('a', 1, 2))
    await eventually(() => expect(api.calls().length).toBe(1))
    await worker.close()
    api.fail(null)
    await startAgain()
    await eventually(() => expect(storedOf(api, 'a')).toEqual(ids(1, 2)), LEASE_MS + 15_000)
  })
})

/**
 * The template's parts, and what a test has to do or to see inside: shards that fail, objects that keep little, settings that are wrong, when an
 * object's alarm is, how many calls one alarm made, and a clock that is wrong. Relay and objects are in one process, and share its variables.
 */
const trialsOf = ({ maxBytes = 100_000, shards = 4 } = {}): string => `
  import { optionsFromEnv } from 'pristo/relay/env'
  import { createRelay } from 'pristo/relay'
  import { createSpoolObject, objectSpool } from 'pristo/relay/object'
  const broken = new Set()
  const rightNow = Date.now
  let wrongMs = 0
  Date.now = () => rightNow() + wrongMs
  let calls = 0
  let mostCalls = 0
  let crashes = 0
  let object
  const callApi = (...given) => {
    calls++
    if (crashes-- > 0) object.abort('as if it had used up its memory')
    return fetch(...given)
  }
  const optionsOf = (env) => optionsFromEnv(env, { identity: 'page', fetch: callApi })
  const settings = (env) => {
    if (env.WRONG) throw new TypeError('[pristo] PRISTO_API_KEY: got nothing')
    return optionsOf(env)
  }
  export class ${CLASS} extends createSpoolObject(settings, { maxBytes: ${maxBytes} }) {
    constructor(context, env) {
      super(context, env)
      this.context = object = context
    }
    async fetch(request) {
      if (request.url.endsWith('/alarm')) return Response.json(await this.context.storage.getAlarm())
      if (request.url.endsWith('/lose')) return Response.json((await this.context.storage.deleteAlarm()) ?? null)
      if (broken.has(this.context.id.name)) throw new Error('this shard fails')
      return super.fetch(request)
    }
    async alarm() {
      calls = 0
      await super.alarm()
      mostCalls = Math.max(mostCalls, calls)
    }
  }
  export default {
    async fetch(request, env) {
      const spool = objectSpool(env.${BINDING}, { shards: ${shards} })
      const { pathname, searchParams } = new URL(request.url)
      if (pathname === '/break') return Response.json([...broken.add(searchParams.get('shard'))])
      if (pathname === '/mend') return Response.json(broken.clear() ?? null)
      if (pathname === '/calls') return Response.json(mostCalls)
      if (pathname === '/crash') return Response.json((crashes = 1))
      if (pathname === '/clock') return Response.json((wrongMs = Number(searchParams.get('wrongMs'))))
      if (pathname === '/alarm' || pathname === '/lose') return env.${BINDING}.get(env.${BINDING}.idFromName('0')).fetch(request)
      if (pathname === '/pristo/spool') return Response.json({ stats: await spool.stats() })
      return createRelay({ ...optionsOf(env), spool })(request)
    }
  }`

const TRIALS = trialsOf()

/** All in one object. */
const ONE = trialsOf({ shards: 1 })

/** Milliseconds until the alarm of the one object. */
const alarmIn = async ({ ask }: SpoolWorker): Promise<number> => Number(await (await ask('/alarm')).json()) - Date.now()

/** One contact of each of the four shards, by trying. */
const CONTACTS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']

/** What the Worker says where an object ends instead of answering. */
const FAILED = '[pristo] the spool cannot be reached: its object failed; events wait in the browsers'

describe('a spool of several objects', slow, () => {
  it('answers 503 where one of them fails, says why, and loses nothing when the batch comes again', async ({ setUp }) => {
    const { api, worker } = await setUp({ code: TRIALS })
    const batch = CONTACTS.flatMap((contact, n) => of(contact, n))
    await worker.ask('/break?shard=2')
    const refused = await worker.send(...batch)
    expect([refused.status, refused.headers.get('Retry-After'), new Set(refused.results.map(({ outcome }) => outcome))]).toEqual([503, '60', new Set(['retry'])])
    expect(worker.logs()).toContain(FAILED)
    await worker.ask('/mend')
    expect((await worker.send(...batch)).status).toBe(202)
    await empty(worker)
    expect(api.events().map(({ requestId }) => requestId).sort()).toEqual(batch.map(({ id }) => id))
  })

  it('answers 503 where one of them is full, and goes on where it is not any more', async ({ setUp }) => {
    const { api, worker } = await setUp({ code: trialsOf({ maxBytes: 2_000 }) })
    api.fail({ hang: true })
    const numbers = Array.from({ length: 40 }, (_, n) => n)
    expect((await worker.send(...of('a', ...numbers))).status).toBe(503)
    expect(worker.logs()).toContain('[pristo] the spool is full; events wait in the browsers')
    expect((await worker.send(...of('a', 1))).status).toBe(202)
    expect((await worker.operate()).stats).toMatchObject({ events: 1, maxBytes: 8_000 })
  })

  it.runIf(canMount)('answers 503 where the disk is full, says why, and has all that it accepted once there is room', async ({ setUp }) => {
    const { api, folder, worker, startAgain } = await setUp({ code: trialsOf({ shards: 1, maxBytes: 2 ** 30 }), diskBytes: 3 * 2 ** 20 })
    api.fail({ status: 500 })
    const customFields = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`field_${n}`, 'x'.repeat(50)]))
    const accepted: string[] = []
    let status = 202
    for (let n = 0; status === 202; n++) {
      const event = makeEvent(n, { contact: { id: `c${n}`, email: 'a@b.co' }, customFields })
      ;({ status } = await worker.send(event))
      if (status === 202) accepted.push(event.id)
    }
    expect([status, accepted.length > 10]).toEqual([503, true])
    expect(worker.logs()).toContain(FAILED)
    await worker.close()
    growDisk(folder, 64 * 2 ** 20)
    api.fail(null)
    const again = await startAgain()
    await again.operate()
    await eventually(() => expect(new Set(api.events().map(({ requestId }) => requestId))).toEqual(new Set(accepted)), 60_000)
  })

  it.runIf(canMount)('answers 503 where the disk is read-only, and says why', async ({ setUp }) => {
    const { folder, worker, startAgain } = await setUp({ code: ONE, diskBytes: 16 * 2 ** 20 })
    expect((await worker.send(...of('a', 1))).status).toBe(202)
    await worker.close()
    sealDisk(folder)
    const sealed = await startAgain()
    expect((await sealed.send(...of('a', 2))).status).toBe(503)
    expect(sealed.logs()).toContain('[pristo] the spool failed: attempt to write a readonly database: SQLITE_READONLY; events wait in the browsers')
  })

  it('answers 503 where its file is no database any more, and says why', async ({ setUp }) => {
    const { folder, worker, startAgain } = await setUp({ code: ONE })
    expect((await worker.send(...of('a', 1))).status).toBe(202)
    await worker.close()
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /[\da-f]{64}\.sqlite$/.test(name)) // the objects'; others are the platform's
    for (const path of files.map((name) => join(folder, name))) {
      rmSync(`${path}-wal`, { force: true })
      writeFileSync(path, readFileSync(path).fill('?'))
    }
    const damaged = await startAgain()
    expect((await damaged.send(...of('a', 2))).status).toBe(503)
    expect(damaged.logs()).toContain(FAILED)
  })

  it('keeps what it has while the settings are wrong, says so, and delivers once they are right and somebody looks', async ({ setUp }) => {
    const { api, worker, startAgain } = await setUp({ code: ONE, env: { WRONG: 'yes' } })
    expect((await worker.send(...of('a', 1))).status).toBe(202)
    await eventually(() => expect(worker.logs()).toContain('[pristo] the spool failed: PRISTO_API_KEY: got nothing; it tries again in 60 s'))
    expect(await alarmIn(worker)).toBeGreaterThan(50_000)
    await worker.close()
    const mended = await startAgain({ env: {} })
    expect((await mended.operate()).stats.events).toBe(1)
    await eventually(() => expect(storedOf(api, 'a')).toEqual(ids(1)))
  })
})

describe('an object', slow, () => {
  it('has an alarm while it delivers, for the case that it ends in the middle of that, and none when nothing waits', async ({ setUp }) => {
    const { api, worker } = await setUp({ code: ONE })
    api.fail({ hang: true, times: 1 })
    await worker.send(...of('a', 1))
    await eventually(() => expect(api.calls()).toHaveLength(1))
    const waitMs = await alarmIn(worker)
    expect([waitMs > 0, waitMs <= LEASE_MS]).toEqual([true, true])
    await eventually(() => expect(storedOf(api, 'a')).toEqual(ids(1)))
    await eventually(async () => expect(await (await worker.ask('/alarm')).json()).toBe(null))
  })

  it('has that alarm on the disk before it does anything that could end it, since the platform lets go of an alarm that ends so six times', async ({ setUp }) => {
    const { api, worker } = await setUp({ code: ONE })
    await worker.ask('/crash')
    await worker.send(...of('a', 1))
    await eventually(async () => expect(await alarmIn(worker)).toBeGreaterThan(LEASE_MS / 3))
    expect(api.calls()).toEqual([])
    await eventually(() => expect(storedOf(api, 'a')).toEqual(ids(1)), LEASE_MS + 15_000)
  })

  it('calls the API no more often in one alarm than a free plan allows', async ({ setUp }) => {
    const { api, worker } = await setUp({ code: ONE })
    const numbers = Array.from({ length: 40 }, (_, n) => n)
    for (const contact of ['a', 'b', 'c']) await worker.send(...of(contact, ...numbers))
    await eventually(() => expect(api.events()).toHaveLength(120))
    await eventually(async () => expect(await alarmIn(worker)).toBeLessThan(0)) // `null` is 0: nothing waits
    const most = Number(await (await worker.ask('/calls')).json())
    expect([most >= 40, most <= 50]).toEqual([true, true])
  })

  it('sets an alarm that got lost anew, once somebody asks or puts a minute later', async ({ setUp }) => {
    const { api, worker } = await setUp({ code: ONE })
    api.fail({ retryAfter: '600' })
    await worker.send(...of('a', 1))
    await eventually(async () => expect(await alarmIn(worker)).toBeGreaterThan(500_000))
    await worker.ask('/lose')
    await worker.ask('/clock?wrongMs=599000')
    await worker.operate()
    expect(await alarmIn(worker)).toBeLessThan(0) // none: it may still come
    await worker.ask('/clock?wrongMs=661000')
    await worker.operate()
    expect(await alarmIn(worker)).toBeGreaterThan(600_000) // now, by that clock
  })

  it('delivers what a clock that was wrong by days has put off', async ({ setUp }) => {
    const { api, worker } = await setUp({ code: ONE })
    await worker.ask(`/clock?wrongMs=${10 * 86_400_000}`)
    await worker.send(...of('a', 1))
    await eventually(async () => expect(await alarmIn(worker)).toBeGreaterThan(9 * 86_400_000))
    await worker.ask('/clock?wrongMs=0')
    await worker.operate()
    await eventually(() => expect(storedOf(api, 'a')).toEqual(ids(1)))
  })

  it('has no alarm before the API may be asked again, whatever is put meanwhile', async ({ setUp }) => {
    const { api, worker } = await setUp({ code: ONE })
    api.fail({ retryAfter: '600' })
    await worker.send(...of('a', 1))
    await eventually(async () => expect(await alarmIn(worker)).toBeGreaterThan(500_000))
    for (const [n, contact] of ['b', 'c', 'd'].entries()) await worker.send(...of(contact, n + 2))
    expect([(await alarmIn(worker)) > 500_000, api.calls().length]).toEqual([true, 1])
  })
})

test('loses nothing, disorders nothing and repeats only what must be, while Workers are killed and the API fails at random', async () => {
  const { sent, lost, duplicated, duplicatedAllowed, disordered } = await runObjectChaos({ events: 150, kills: 3 })
  expect({ sent, lost, disordered, unexplained: duplicated - duplicatedAllowed }).toEqual({ sent: 150, lost: 0, disordered: 0, unexplained: 0 })
}, 180_000)
