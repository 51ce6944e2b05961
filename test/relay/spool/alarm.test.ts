// @vitest-environment node
// An object's alarms, in this process: what a clock that is ours shows.
import { expect, it, onTestFinished, vi } from 'vitest'
import { createSpoolObject, type ObjectStorage } from '../../../src/relay/spool/object.ts'
import { DatabaseSync } from '../../support/sqlite.ts'
import { KEY, makeEvent, POPULATION } from '../harness.ts'

/** Storage in memory, and the alarms that were set. */
const createStorage = () => {
  const database = new DatabaseSync(':memory:')
  onTestFinished(() => database.close())
  const alarms: number[] = []
  const storage: ObjectStorage = {
    sql: { exec: (query, ...bindings) => ({ toArray: () => database.prepare(query).all(...bindings) as Record<string, unknown>[] }) },
    transactionSync: (work) => work(),
    setAlarm: async (at) => void alarms.push(at),
    deleteAlarm: async () => undefined,
    sync: async () => undefined,
  }
  return { storage, alarms }
}

it('leaves the API alone for as long as it asks, from its answer on and not from the alarm', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => void vi.useRealTimers())
  const { storage, alarms } = createStorage()
  let answeredAt = 0
  const slow = async (): Promise<Response> => {
    answeredAt = Date.now() + 5_000
    vi.setSystemTime(answeredAt)
    return new Response(null, { status: 429, headers: { 'Retry-After': '30' } })
  }
  const SpoolObject = createSpoolObject(() => ({ apiKey: KEY, populationId: POPULATION, identity: 'page', fetch: slow }))
  const object = new SpoolObject({ storage }, {})
  const body = JSON.stringify({ verb: 'put', events: Array.from({ length: 12 }, (_, n) => makeEvent(n, { contact: { id: `c${n}` } })) })
  await object.fetch(new Request('https://spool/put', { method: 'POST', body }))
  await object.alarm()
  expect(alarms.at(-1)).toBeGreaterThanOrEqual(answeredAt + 29_000)
})

it.each([
  [{ maxBytes: Number.NaN }, '[pristo] maxBytes: got a number; allowed is a whole number of bytes from 1'],
  [{ perSecond: 0 }, '[pristo] perSecond: got a number; allowed is a number above 0'],
  [{ concurrency: 1.5 }, '[pristo] concurrency: got a number; allowed is a whole number from 1'],
])('says at once, and not at the first event, that it cannot work with %o', (how, message) => {
  expect(() => createSpoolObject(() => ({ apiKey: KEY, populationId: POPULATION, identity: 'page' }), how)).toThrow(new TypeError(message))
})
