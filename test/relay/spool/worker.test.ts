// @vitest-environment node
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import type { PristoEvent } from '../../../src/contract.ts'
import type { EventDrop, EventOutcome } from '../../../src/relay/index.ts'
import { retry, stored } from '../../../src/relay/outcome.ts'
import { openSqliteSpool } from '../../../src/relay/spool/sqlite.ts'
import { SpoolError, type Claim, type Spool } from '../../../src/relay/spool/spool.ts'
import { startSpoolWorker, type WorkerOptions } from '../../../src/relay/spool/start.ts'
import { backoffMs, createWorker } from '../../../src/relay/spool/worker.ts'
import { createApi, created, failed, KEY, POPULATION, uuid, type Script } from '../harness.ts'
import { eventOf } from './conformance.ts'

// The file is real, and so is the turn of the event loop in which it commits; the rest of the time is ours.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] }))
afterEach(() => void vi.useRealTimers())

/** Lets time pass, in steps in which what is due can be done. */
const pass = async (ms: number, stepMs = Math.min(ms, 100)): Promise<void> => {
  for (let at = 0; at < ms; at += stepMs) {
    await vi.advanceTimersByTimeAsync(stepMs)
    for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
}

const setUp = async (events: PristoEvent[], script?: Script, how: WorkerOptions & { wrap?: (spool: Spool) => Spool } = {}) => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-worker-'))
  const spool = await openSqliteSpool(join(folder, 'spool.db'))
  if (events.length) await spool.put(events)
  const { wrap = (given: Spool) => given, ...options } = how
  const api = createApi(script)
  const at: number[] = []
  const startedAt = Date.now()
  const fetch: typeof api.fetch = (url, init) => {
    at.push(Date.now() - startedAt)
    return api.fetch(url, init)
  }
  const heard: EventOutcome[] = []
  const drops: EventDrop[] = []
  const logs: string[] = []
  const worker = startSpoolWorker(
    {
      ...{ apiKey: KEY, populationId: POPULATION, identity: 'page', baseUrl: 'https://api.pristo.test', spool: wrap(spool), fetch },
      onOutcome: (outcome) => heard.push(outcome),
      onDrop: (drop) => drops.push(drop),
      onError: (message) => logs.push(message),
    },
    options,
  )
  onTestFinished(async () => {
    await worker.stop()
    await spool.close()
    rmSync(folder, { recursive: true })
  })
  return { spool, worker, api, at, heard, drops, logs, ids: api.ids }
}

const of = (contact: string, ...numbers: number[]): PristoEvent[] => numbers.map((n) => eventOf(n, contact))

it('delivers what waits, one contact in order, and tells the hooks', async () => {
  const { spool, ids, heard } = await setUp([...of('a', 1, 2, 3), ...of('b', 4)])
  await pass(100)
  expect(ids().filter((id) => id !== uuid(4))).toEqual([uuid(1), uuid(2), uuid(3)])
  expect(ids()).toContain(uuid(4))
  expect(await spool.stats()).toMatchObject({ events: 0, dead: 0 })
  expect(heard).toHaveLength(4)
  expect(heard).toContainEqual({ id: uuid(1), type: 'purchase', outcome: 'stored' })
})

it('finds within a second what is put later, also by another relay', async () => {
  const { spool, ids } = await setUp([])
  await pass(500)
  await spool.put(of('a', 1))
  await pass(1_000)
  expect(ids()).toEqual([uuid(1)])
})

it('tries an event again, later and later, and lets nothing of its contact pass it', async () => {
  const { spool, ids, at } = await setUp([...of('a', 1, 2), ...of('b', 3)], ({ id }, n) => (id === uuid(1) && n < 5 ? failed(500) : created()))
  await pass(40_000)
  expect(ids().filter((id) => id !== uuid(3))).toEqual([...Array(ids().length - 2).fill(uuid(1)), uuid(2)])
  const waits = at.flatMap((time, n) => (ids()[n] === uuid(1) ? [time] : [])).map((time, n, all) => time - (all[n - 1] ?? 0)).slice(1)
  waits.forEach((wait, n) => expect(wait, `wait ${n}`).toBeGreaterThanOrEqual(500 * 2 ** n))
  expect((await spool.stats()).events).toBe(0)
})

it('buries what the API rejects, with its reason, and goes on', async () => {
  const { spool, ids, drops } = await setUp(of('a', 1, 2), ({ id }) => (id === uuid(1) ? failed(400, 'unknown type') : created()))
  await pass(200)
  expect(ids()).toEqual([uuid(1), uuid(2)])
  const reason = { code: 'invalid_event', status: 400, message: 'unknown type' }
  expect(await spool.dead.list(5)).toMatchObject([{ event: { id: uuid(1) }, reason }])
  expect(drops).toEqual([{ id: uuid(1), type: 'purchase', ...reason }])
})

it('waits with everything for as long as the API asks', async () => {
  const { ids, at } = await setUp([...of('a', 1), ...of('b', 2)], (_, n) => (n === 0 ? failed(429, 'less', { 'Retry-After': '30' }) : created()), { concurrency: 1 })
  await pass(29_900)
  expect(ids()).toHaveLength(1)
  await pass(3_000)
  expect(ids()).toHaveLength(3)
  expect(Math.min(...at.slice(1))).toBeGreaterThanOrEqual(30_000)
})

it('leaves an API alone that fails for all, and lets one event find out whether it still does', async () => {
  const contacts = Array.from({ length: 40 }, (_, n) => eventOf(n, `c${n}`))
  let isDown = true
  const { ids, at, spool } = await setUp(contacts, () => (isDown ? failed(500) : created()), { concurrency: 5 })
  await pass(9_000)
  const before = ids().length
  expect(before).toBeLessThan(10) // five failures, and what four others had on their way
  await pass(20_000)
  expect(at.slice(before).map((time) => Math.round(time / 10_000))).toEqual([1, 2])
  isDown = false
  await pass(20_000)
  expect((await spool.stats()).events).toBe(0)
  expect(new Set(ids()).size).toBe(40)
})

it('lets nobody hold others up with contacts that the API does not know', async () => {
  const strangers = Array.from({ length: 40 }, (_, n) => eventOf(n, `nobody${n}`))
  const { ids, spool } = await setUp([...strangers, ...of('z', 99)], ({ id }) => (id === uuid(99) ? created() : failed(404)))
  await pass(1_000)
  expect(ids()).toContain(uuid(99))
  expect((await spool.stats()).events).toBe(40)
})

it('buries an event that has failed for three days, but tries it once more first', async () => {
  const { spool, ids, drops } = await setUp(of('a', 1, 2), ({ id }) => (id === uuid(1) ? failed(500) : created()))
  await pass(50)
  expect(drops).toEqual([])
  vi.setSystemTime(Date.now() + 3 * 86_400_000)
  await pass(2_000)
  expect(drops).toEqual([{ id: uuid(1), type: 'purchase', code: 'expired', message: 'unavailable' }])
  expect(await spool.dead.list(5)).toMatchObject([{ event: { id: uuid(1) }, reason: { code: 'expired' } }])
  expect(ids().at(-1)).toBe(uuid(2))
})

it('delivers an event that is older than three days where the API takes it', async () => {
  const { spool, ids } = await setUp([])
  await spool.put(of('a', 1))
  vi.setSystemTime(Date.now() + 4 * 86_400_000)
  await pass(2_000)
  expect([ids(), (await spool.stats()).dead]).toEqual([[uuid(1)], 0])
})

it('keeps to a rate', async () => {
  const { at } = await setUp(Array.from({ length: 30 }, (_, n) => eventOf(n, `c${n}`)), undefined, { perSecond: 10 })
  await pass(2_000, 10)
  expect(at.length).toBeGreaterThan(15)
  at.forEach((time, n) => expect(time, `call ${n}`).toBeGreaterThanOrEqual(n * 100 - 60))
})

it('goes on at once after a clock that was set back, at a rate or without', async () => {
  for (const how of [{}, { perSecond: 100 }]) {
    const { spool, ids } = await setUp(of('a', 1), undefined, how)
    await pass(2_000)
    vi.setSystemTime(Date.now() - 3_600_000)
    await spool.put(of('b', 2))
    await pass(3_000)
    expect(ids()).toEqual([uuid(1), uuid(2)])
  }
})

it('has no more contacts on their way than it was told', async () => {
  let underWay = 0
  let most = 0
  const slow: Script = async () => {
    most = Math.max(most, ++underWay)
    await new Promise((resolve) => setTimeout(resolve, 50))
    underWay--
    return created()
  }
  await setUp(Array.from({ length: 30 }, (_, n) => eventOf(n, `c${n}`)), slow, { concurrency: 3 })
  await pass(2_000)
  expect(most).toBe(3)
})

it('ends what is on its way when it stops, and claims nothing more', async () => {
  let answer: (() => void) | undefined
  const { spool, worker, ids } = await setUp([...of('a', 1, 2), ...of('b', 3)], () => new Promise<Response>((resolve) => (answer = () => resolve(created()))), { concurrency: 1 })
  await pass(100)
  const stopped = worker.stop()
  answer?.()
  await stopped
  expect(ids()).toHaveLength(1)
  expect((await spool.stats()).events).toBe(2)
})

it('says once that the spool fails, and goes on when it works again', async () => {
  let isBroken = true
  const { ids, logs } = await setUp(of('a', 1), undefined, {
    wrap: (spool) => ({ ...spool, claim: (most) => (isBroken ? Promise.reject(new Error('disk')) : spool.claim(most)) }),
  })
  await pass(5_000)
  expect(logs).toEqual(['[pristo] the spool fails; what it holds waits in it'])
  isBroken = false
  await pass(2_000)
  expect(ids()).toEqual([uuid(1)])
})

it('tells a spool that failed again what became of an event, so that nobody sends it a second time', async () => {
  let isBroken = false
  const { spool, api } = await setUp(of('a', 1), () => ((isBroken = true), created()), {
    wrap: (spool) => ({ ...spool, settle: (claim) => (isBroken ? Promise.reject(new Error('disk')) : spool.settle(claim)) }),
  })
  await pass(3_000)
  expect((await spool.stats()).events).toBe(1)
  isBroken = false
  await pass(300)
  expect((await spool.stats()).events).toBe(0)
  expect(api.calls).toHaveLength(1)
})

it('does not end before the spool has heard what became of an event', async () => {
  let isBroken = false
  const { spool, worker } = await setUp(of('a', 1), () => ((isBroken = true), created()), {
    wrap: (spool) => ({ ...spool, settle: (claim) => (isBroken ? Promise.reject(new Error('disk')) : spool.settle(claim)) }),
  })
  await pass(1_000)
  const stopped = worker.stop()
  await pass(1_000)
  isBroken = false
  await pass(300)
  await stopped
  expect((await spool.stats()).events).toBe(0)
})

it.each<[WorkerOptions, string]>([
  [{ perSecond: 0 }, 'perSecond: got a number; allowed is a number above 0'],
  [{ perSecond: NaN }, 'perSecond: got a number; allowed is a number above 0'],
  [{ concurrency: 0 }, 'concurrency: got a number; allowed is a whole number from 1'],
  [{ concurrency: 1.5 }, 'concurrency: got a number; allowed is a whole number from 1'],
])('refuses to start with what it cannot use: %j', async (how, line) => {
  const spool: Parameters<typeof startSpoolWorker>[0]['spool'] = { put: async () => 'accepted', claim: async () => [], settle: async () => true, retry: async () => true, bury: async () => true }
  expect(() => startSpoolWorker({ apiKey: KEY, populationId: POPULATION, identity: 'page', spool }, how)).toThrow(`[pristo] ${line}`)
})

it('says why the spool fails, where the spool knows it', async () => {
  const { logs } = await setUp(of('a', 1), undefined, {
    wrap: (spool) => ({ ...spool, claim: () => Promise.reject(new SpoolError('cannot write: the disk is full')) }),
  })
  await pass(100)
  expect(logs).toEqual(['[pristo] the spool cannot write: the disk is full; what it holds waits in it'])
})

it.each([
  ['nothing is due', undefined, [0]],
  ['the API wants to be left alone', retry('unavailable', 30), [30_000]],
])('tells, once all its runs have nothing to do, that %s', async (_, outcome, expected) => {
  const claims: Claim[] = outcome ? [{ event: eventOf(1, 'a'), acceptedAt: Date.now(), attempts: 0, seq: 1, fence: 1 }] : []
  const end = async (): Promise<boolean> => true
  const rests: number[] = []
  const start = createWorker({
    spool: { claim: async () => claims.splice(0, 1), settle: end, retry: end, bury: end },
    deliver: async () => outcome ?? stored,
    ...{ onTried: () => undefined, report: () => undefined, concurrency: 3, now: Date.now, random: () => 1 },
  })
  const worker = start((waitMs) => rests.push(Math.round(waitMs / 1_000) * 1_000))
  onTestFinished(() => worker.stop())
  await pass(100)
  expect(rests).toEqual(expected)
})

it('doubles the wait, to ten minutes at most, by chance down to half of it, and never below what the API asked for', () => {
  expect([0, 1, 2, 9, 10, 1_000].map((attempts) => backoffMs(attempts, 1))).toEqual([1_000, 2_000, 4_000, 512_000, 600_000, 600_000])
  expect([backoffMs(2, 0), backoffMs(2, 0.5), backoffMs(2, 0, 60)]).toEqual([2_000, 3_000, 60_000])
})
