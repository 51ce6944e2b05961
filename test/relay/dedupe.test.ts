// @vitest-environment node
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { DedupeStore } from '../../src/relay/index.ts'
import { createMemoryStore } from '../../src/relay/dedupe.ts'
import { CANARY_EMAIL, created, failed, makeEvent, never, NOW, outcomes, send, setUp, until } from './harness.ts'

describe('an event that comes again', () => {
  it('is stored without a second call, once it was stored', async () => {
    const { relay, api } = setUp()
    await send(relay, [makeEvent(1)])
    expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['stored'])
    expect(api.calls).toHaveLength(1)
  })

  it.each([400, 401, 429, 500])('is sent again, after %i', async (status) => {
    const { relay, api } = setUp((_, n) => (n ? created() : failed(status)))
    await send(relay, [makeEvent(1)])
    expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['stored'])
    expect(api.calls).toHaveLength(2)
  })

  it('50 times at once is one call; the others are in_flight', async () => {
    const { relay, api } = setUp(async () => {
      await new Promise((resolve) => setImmediate(resolve))
      return created()
    })
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(relay, [makeEvent(1)])))
    const all = answers.flatMap(outcomes)
    expect(api.calls).toHaveLength(1)
    expect(all.filter((outcome) => outcome === 'stored').length).toBeGreaterThan(0)
    expect(all.every((outcome) => outcome === 'stored' || outcome === 'in_flight')).toBe(true)
  })

  it('while in flight, holds back the rest of its contact', async () => {
    let finish = (): void => undefined
    const { relay, api } = setUp(() => new Promise((resolve) => (finish = () => resolve(created()))))
    const first = send(relay, [makeEvent(1)])
    await until(() => api.calls.length === 1)
    expect(outcomes(await send(relay, [makeEvent(1), makeEvent(2)]))).toEqual(['in_flight', 'blocked'])
    finish()
    expect(outcomes(await first)).toEqual(['stored'])
  })

  it("of another contact is another event: nobody suppresses a stranger's by its id", async () => {
    const { relay, api } = setUp()
    await send(relay, [makeEvent(1, { contact: { id: 'mallory' } })])
    await send(relay, [makeEvent(1, { contact: { id: 'u_42' } })])
    expect(api.calls.map(({ contactId }) => contactId)).toEqual(['mallory', 'u_42'])
  })
})

describe('the store', () => {
  afterEach(() => void vi.useRealTimers())

  it('sees hashes only, and relays that share it send an event once', async () => {
    const memory = createMemoryStore(() => NOW)
    const keys: string[] = []
    const store: DedupeStore = {
      claim: async (key) => (keys.push(key), memory.claim(key)),
      keep: async (key) => memory.keep(key),
      release: async (key) => memory.release(key),
    }
    const [a, b] = [setUp(created, { store }), setUp(created, { store })]
    const event = makeEvent(1, { contact: { id: CANARY_EMAIL } })
    await send(a.relay, [event])
    expect(outcomes(await send(b.relay, [event]))).toEqual(['stored'])
    expect(b.api.calls).toEqual([])
    expect(keys.join(' ')).toMatch(/^([\da-f]{64}) \1$/)
  })

  it.each(['claim', 'keep', 'release'] as const)('costs no event when %s throws', async (broken) => {
    const store = { ...createMemoryStore(() => NOW), [broken]: () => Promise.reject(new Error(`redis down ${CANARY_EMAIL}`)) }
    const { relay, logs } = setUp((_, n) => (n === 1 ? failed(500) : created()), { store })
    expect(outcomes(await send(relay, [makeEvent(1), makeEvent(2)]))).toEqual(['stored', 'unavailable'])
    expect(logs[0]).toBe(`[pristo] the deduplication store could not ${broken}; events are delivered without it`)
  })

  it('costs no event when it hangs for over a second', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let isAsked = false
    const store: DedupeStore = { ...createMemoryStore(() => NOW), claim: () => ((isAsked = true), never()) }
    const { relay, logs } = setUp(created, { store })
    const answer = send(relay, [makeEvent(1)])
    await until(() => isAsked)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(outcomes(await answer)).toEqual(['stored'])
    expect(logs[0]).toContain('took over 1000 ms to claim')
  })
})

describe('the store in memory', () => {
  const setUpStore = () => {
    const clock = { at: 0 }
    return { clock, store: createMemoryStore(() => clock.at, { maxKeys: 3, maxAgeMs: 1_000 }) }
  }

  it('gives a key to one caller, until it is released', () => {
    const { store } = setUpStore()
    expect([store.claim('a'), store.claim('a')]).toEqual(['new', 'busy'])
    void store.release('a')
    expect(store.claim('a')).toBe('new')
    void store.keep('a')
    expect(store.claim('a')).toBe('done')
  })

  it('forgets what was kept after its age, and a claim of a relay that died after 30 s', () => {
    const { clock, store } = setUpStore()
    void store.keep('a')
    clock.at = 999
    expect(store.claim('a')).toBe('done')
    clock.at = 1_000
    expect(store.claim('a')).toBe('new')
    clock.at += 29_999
    expect(store.claim('a')).toBe('busy')
    clock.at += 1
    expect(store.claim('a')).toBe('new')
  })

  it('never holds more than its limit: the oldest go first', () => {
    const { store } = setUpStore()
    for (const key of ['a', 'b', 'c', 'a', 'd']) void store.keep(key)
    expect(store.claim('a')).toBe('done')
    expect(store.claim('d')).toBe('done')
    expect(store.claim('b')).toBe('new')
  })
})
