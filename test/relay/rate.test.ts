// @vitest-environment node
import fc from 'fast-check'
import QuickLRU from 'quick-lru'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Limiter, RateLimit, RelayOptions, Verdict } from '../../src/relay/index.ts'
import { createMemoryLimiter } from '../../src/relay/limiter.ts'
import { createRateLimits, DEFAULT_RATES } from '../../src/relay/rate.ts'
import { CANARY_EMAIL, makeBatch, makeEvent, never, NOW, outcomes, POPULATION, request, send, setUp, until, type Heard, type Sent } from './harness.ts'

/** A relay whose clock the test moves, and requests of clients by address. */
const start = (rateLimit: RelayOptions['rateLimit'], options: Partial<RelayOptions> = {}) => {
  const clock = { at: NOW }
  const { relay, api, logs } = setUp(undefined, { ...(rateLimit !== undefined && { rateLimit }), now: () => clock.at, ...options })
  let n = 0
  const post = (address: string | undefined, contactId = 'u_42', sent: Sent = {}) =>
    send(relay, [makeEvent(++n, { contact: { id: contactId } })], {}, sent, { address })
  return { relay, api, logs, clock, post }
}

const of = (kind: keyof RateLimit, rule: RateLimit[typeof kind]): RateLimit => ({ address: false, contact: false, overall: false, [kind]: rule })

describe('a limit of requests', () => {
  it('refuses a client over it with 429 and Retry-After, and takes it again after that time', async () => {
    const { post, clock, api } = start(of('address', { requests: 2, perS: 60 }))
    expect([(await post('198.51.100.1')).status, (await post('198.51.100.1')).status]).toEqual([200, 200])
    const refused = await post('198.51.100.1')
    expect([refused.status, refused.error?.code, refused.headers.get('Retry-After')]).toEqual([429, 'rate_limited', '30'])
    expect((await post('198.51.100.2')).status).toBe(200)
    clock.at += 29_000
    expect((await post('198.51.100.1')).headers.get('Retry-After')).toBe('1')
    clock.at += 1_000
    expect((await post('198.51.100.1')).status).toBe(200)
    expect(api.calls.length).toBe(4)
  })

  it('reads nothing of what a refused client sends', async () => {
    const { relay } = start(of('address', { requests: 1, perS: 60 }))
    let isRead = false
    const body = new ReadableStream<Uint8Array>({ pull: () => void (isRead = true) }, { highWaterMark: 0 })
    const again = new Request('https://shop.example/pristo', { ...{ duplex: 'half' }, method: 'POST', body, headers: { 'Sec-Fetch-Site': 'same-origin', 'Content-Type': 'application/json' } })
    await relay(request(makeBatch([makeEvent(1)])), { address: '198.51.100.1' })
    expect((await relay(again, { address: '198.51.100.1' })).status).toBe(429)
    expect(isRead).toBe(false)
  })

  it('counts a whole /64 as one client, and an IPv4 client as one over both protocols', async () => {
    const { post } = start(of('address', { requests: 1, perS: 60 }))
    expect((await post('2001:db8::1')).status).toBe(200)
    expect((await post('2001:db8::ffff:2')).status).toBe(429)
    expect((await post('2001:db8:0:1::1')).status).toBe(200)
    expect((await post('198.51.100.1')).status).toBe(200)
    expect((await post('::ffff:198.51.100.1')).status).toBe(429)
  })

  it('is not got round by headers, and behind a proxy is kept for each client', async () => {
    const by = (forwarded: string) => ({ headers: { 'X-Forwarded-For': forwarded } })
    const bare = start(of('address', { requests: 1, perS: 60 }))
    expect((await bare.post('198.51.100.1', 'u_1', by('192.0.2.1'))).status).toBe(200)
    expect((await bare.post('198.51.100.1', 'u_1', by('192.0.2.2'))).status).toBe(429)
    const proxied = start(of('address', { requests: 1, perS: 60 }), { trustProxy: 1 })
    expect((await proxied.post('10.0.0.1', 'u_1', by('192.0.2.1'))).status).toBe(200)
    expect((await proxied.post('10.0.0.1', 'u_1', by('192.0.2.2'))).status).toBe(200)
    expect((await proxied.post('10.0.0.1', 'u_1', by('192.0.2.3, 192.0.2.2'))).status).toBe(429)
  })

  it('for everybody together holds where no address is known, and one client over its own limit does not use it up', async () => {
    const { post } = start({ address: { requests: 1, perS: 60 }, overall: { requests: 2, perS: 60 } })
    expect([(await post('198.51.100.1')).status, (await post('198.51.100.1')).status, (await post('198.51.100.1')).status]).toEqual([200, 429, 429])
    expect((await post(undefined)).status).toBe(200)
    expect((await post(undefined)).status).toBe(429)
  })

  it('lets a page of another origin read the refusal, and does not count foreign pages', async () => {
    const { post } = start(of('address', { requests: 1, perS: 60 }), { allowedOrigins: ['https://blog.example'] })
    const from = (origin: string) => post('198.51.100.1', 'u_1', { headers: { Origin: origin, 'Sec-Fetch-Site': 'cross-site' } })
    expect((await from('https://evil.example')).status).toBe(403)
    expect((await from('https://blog.example')).status).toBe(200)
    const refused = await from('https://blog.example')
    expect([refused.status, refused.headers.get('Access-Control-Allow-Origin')]).toEqual([429, 'https://blog.example'])
  })

  it('is off where it is false', async () => {
    const { request, contacts } = createRateLimits({ rateLimit: false, populationId: POPULATION, now: () => NOW, report: () => undefined })
    for (let n = 0; n <= DEFAULT_RATES.address.requests; n++) expect([await request('198.51.100.1'), (await contacts(['u_42'])).size]).toEqual([undefined, 0])
  })
})

describe('a limit of contacts', () => {
  it('keeps all events of a contact over it in the browser, and delivers its neighbours', async () => {
    const { relay, clock, api } = start(of('contact', { requests: 1, perS: 20 }))
    const batch = (n: number) => send(relay, ['a', 'b', 'a', 'b'].map((id, i) => makeEvent(n + i, { contact: { id } })))
    expect(outcomes(await batch(0))).toEqual(['stored', 'stored', 'stored', 'stored'])
    const later = await send(relay, [makeEvent(10, { contact: { id: 'a' } }), makeEvent(11, { contact: { id: 'c' } }), makeEvent(12, { contact: { id: 'a' } })])
    expect(outcomes(later)).toEqual(['rate_limited', 'stored', 'rate_limited'])
    expect([later.status, later.retryAfter]).toEqual([200, 20])
    clock.at += 20_000
    expect(outcomes(await batch(20))).toEqual(['stored', 'stored', 'stored', 'stored'])
    expect(api.calls.length).toBe(9)
  })

  it('answers 503 with Retry-After where nothing else was in the batch', async () => {
    const { post } = start(of('contact', { requests: 1, perS: 20 }))
    await post(undefined)
    const kept = await post(undefined)
    expect([kept.status, kept.headers.get('Retry-After'), ...outcomes(kept)]).toEqual([503, '20', 'rate_limited'])
  })

  it('counts only contacts that may be written to', async () => {
    const { relay } = start(of('contact', { requests: 1, perS: 20 }), { identity: { resolve: () => ({ id: 'u_42' }) } })
    expect((await send(relay, [makeEvent(1, { contact: { id: 'victim' } }), makeEvent(2, { type: '' })])).results).toMatchObject([{ code: 'contact_mismatch' }, { code: 'invalid_event' }])
    expect(outcomes(await send(relay, [makeEvent(3)]))).toEqual(['stored'])
    expect(outcomes(await send(relay, [makeEvent(4)]))).toEqual(['rate_limited'])
  })

  it('neither counts nor keeps what is rejected', async () => {
    const { relay } = start(of('contact', { requests: 1, perS: 20 }), { allowedTypes: ['purchase'] })
    expect(outcomes(await send(relay, [makeEvent(1, { type: 'other' })]))).toEqual(['rejected'])
    expect(outcomes(await send(relay, [makeEvent(2)]))).toEqual(['stored'])
    expect(outcomes(await send(relay, [makeEvent(3), makeEvent(4, { type: 'other' })]))).toEqual(['rate_limited', 'rejected'])
  })
})

describe('the default limits', () => {
  const limits = () => createRateLimits({ rateLimit: {}, populationId: POPULATION, now: () => NOW, report: () => undefined })

  it('let 100 people of one office come back at once, each with a full outbox, which is 25 batches', async () => {
    const { request, contacts } = limits()
    for (let n = 0; n < 100 * 25; n++) {
      expect(await request('198.51.100.1')).toBeUndefined()
      expect((await contacts([`u_${n % 100}`])).size).toBe(0)
    }
  })

  it('end a loop at 3 000 requests of an address, 600 batches of a contact and 300 000 requests of all within a moment', async () => {
    const { request, contacts } = limits()
    const passed = { address: 0, contact: 0, overall: 0 }
    for (let n = 0; n < 4_000; n++) passed.address += Number((await request('198.51.100.1')) === undefined)
    for (let n = 0; n < 700; n++) passed.contact += Number((await contacts(['u_42'])).size === 0)
    // By now 3 000 of them are spent.
    for (let n = 0; n < 298_000; n++) passed.overall += Number((await request(undefined)) === undefined)
    expect(passed).toEqual({ address: 3_000, contact: 600, overall: 297_000 })
  })
})

describe('a limiter in memory', () => {
  it('never lets more through in any stretch of time than the allowance and what came back, and never less than that', () => {
    const anyRate = fc.record({ requests: fc.integer({ min: 1, max: 20 }), perS: fc.integer({ min: 1, max: 100 }) })
    fc.assert(
      fc.property(anyRate, fc.array(fc.oneof(fc.constant(0), fc.nat(5_000)), { maxLength: 100 }), (rate, pauses) => {
        let at = NOW
        const limiter = createMemoryLimiter(rate, () => at)
        const passed: number[] = []
        for (const pauseMs of pauses) {
          at += pauseMs
          const isIn = (begin: number, count: number) => count <= rate.requests + ((at - begin) * rate.requests) / (rate.perS * 1000) + 1e-6
          const mayPass = [...passed, at].every((begin, i) => isIn(begin, passed.length - i + 1))
          const { success, reset } = limiter.limit({ key: 'a' })
          expect(success).toBe(mayPass)
          if (success) passed.push(at)
          else expect(reset).toBeGreaterThan(at)
        }
      }),
    )
  })

  it('holds 10 000 keys at the most: one that was silent while as many others came starts anew', () => {
    const limiter = createMemoryLimiter({ requests: 1, perS: 60 }, () => NOW)
    for (const round of [1, 2, 3]) {
      expect([round, limiter.limit({ key: 'silent' }).success]).toEqual([round, true])
      for (let n = 0; n < 10_000; n++) limiter.limit({ key: `${round} ${n}` })
    }
  })

  it('does not forget an abuser who goes on while 4 999 others come between each two requests', () => {
    const limiter = createMemoryLimiter({ requests: 1, perS: 60 }, () => NOW)
    limiter.limit({ key: 'abuser' })
    for (let n = 0; n < 50_000; n++) {
      limiter.limit({ key: `${n}` })
      if (n % 4_999 === 4_998) expect(limiter.limit({ key: 'abuser' }).success).toBe(false)
    }
  })

  it('holds no long text, and tells long ids apart', async () => {
    const limit = vi.spyOn(QuickLRU.prototype, 'set')
    const { contacts } = createRateLimits({ rateLimit: { contact: { requests: 1, perS: 60 } }, populationId: POPULATION, now: () => NOW, report: () => undefined })
    const ids = ['a', 'b'].map((end) => `${'x'.repeat(60_000)}${end}`)
    expect((await contacts(ids)).size).toBe(0)
    expect([...(await contacts(ids)).keys()]).toEqual(ids)
    expect(Math.max(...limit.mock.calls.map(([key]) => String(key).length))).toBe(64)
  })

  it('sets no timer', async () => {
    const timers = vi.spyOn(globalThis, 'setTimeout')
    const { request, contacts } = createRateLimits({ rateLimit: {}, populationId: POPULATION, now: () => NOW, report: () => undefined })
    await request('198.51.100.1')
    await contacts(['u_42'])
    expect(timers).not.toHaveBeenCalled()
  })

  it('is not stopped for long by a clock that was set back', () => {
    let at = NOW
    const limiter = createMemoryLimiter({ requests: 2, perS: 60 }, () => at)
    limiter.limit({ key: 'a' })
    limiter.limit({ key: 'a' })
    at -= 3_600_000
    expect(limiter.limit({ key: 'a' })).toEqual({ success: false, reset: at + 30_000 })
    at += 30_000
    expect(limiter.limit({ key: 'a' }).success).toBe(true)
  })
})

describe("the site's own limiter", () => {
  const log = (answer: (key: string) => Verdict | Promise<Verdict>) => {
    const keys: string[] = []
    const limiter: Limiter = {
      limit: ({ key }) => {
        keys.push(key)
        return answer(key)
      },
    }
    return { keys, limiter }
  }

  it('decides, at once or later, and may say when to come again', async () => {
    const at = async (verdict: Verdict | Promise<Verdict>) => (await start(of('address', log(() => verdict).limiter)).post('198.51.100.1')).headers.get('Retry-After')
    expect(await at({ success: true })).toBe(null)
    expect(await at({ success: false })).toBe('10')
    expect(await at(Promise.resolve({ success: false, reset: NOW + 5_500 }))).toBe('6')
    expect(await at({ success: false, reset: NOW - 5_000 })).toBe('1')
    expect(await at({ success: false, reset: Infinity })).toBe('3600')
    expect(await at({ success: false, reset: NaN })).toBe('10')
  })

  it('sees neither an address nor a contact, and the same key for the same client', async () => {
    const { keys, limiter } = log(() => ({ success: true }))
    const { post } = start({ address: limiter, contact: limiter, overall: limiter })
    await post('198.51.100.1', '198.51.100.1')
    await post('198.51.100.1', '198.51.100.1')
    await post('198.51.100.2', CANARY_EMAIL)
    expect(keys.every((key) => /^[\da-f]{64}$/.test(key))).toBe(true)
    const [address, overall, contact, ...rest] = keys
    expect(rest.slice(0, 3)).toEqual([address, overall, contact])
    expect(rest.slice(3).map((key) => [address, overall, contact].includes(key))).toEqual([false, true, false])
    expect(new Set([address, overall, contact]).size).toBe(3)
  })

  it('is called as a method of its own', async () => {
    class Binding {
      #limit = 0
      limit(_: { key: string }) {
        return Promise.resolve({ success: this.#limit > 0 })
      }
    }
    expect((await start(of('overall', new Binding())).post(undefined)).status).toBe(429)
  })

  it.each<[string, unknown, string]>([
    ['throws', () => { throw new Error('down') }, 'failed'],
    ['rejects', () => Promise.reject(new Error('down')), 'failed'],
    ['answers nothing', () => undefined, 'gave no { success } that is true or false'],
    ['answers nonsense', () => Promise.resolve({ success: 'no' }), 'gave no { success } that is true or false'],
  ])('that %s lets everything pass, and says so', async (_, limit, what) => {
    const limiter = { limit } as Limiter
    const { post, logs } = start({ address: limiter, contact: limiter, overall: limiter })
    expect(outcomes(await post('198.51.100.1'))).toEqual(['stored'])
    expect(logs).toEqual(['address', 'overall', 'contact'].map((kind) => `[pristo] rateLimit.${kind} ${what}; what it cannot answer passes (1 since the last such line)`))
  })

  it('that takes over 200 ms lets everything pass, and keeps nobody longer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const { keys, limiter } = log(() => never())
    const { post, logs } = start(of('overall', limiter))
    let heard: Heard | undefined
    void post(undefined).then((answer) => (heard = answer))
    await until(() => keys.length > 0)
    await vi.advanceTimersByTimeAsync(199)
    expect([heard, logs]).toEqual([undefined, []])
    await vi.advanceTimersByTimeAsync(1)
    await until(() => heard !== undefined)
    expect(heard && outcomes(heard)).toEqual(['stored'])
    expect(logs).toEqual(['[pristo] rateLimit.overall took over 200 ms; what it cannot answer passes (1 since the last such line)'])
  })

  it('that is down is reported once a minute, with how often', async () => {
    const { post, logs, clock } = start(of('overall', { limit: () => Promise.reject(new Error('down')) }))
    for (let n = 0; n < 8; n++) await post(undefined)
    expect(logs.length).toBe(1)
    clock.at += 60_000
    await post(undefined)
    expect(logs.slice(1)).toEqual(['[pristo] rateLimit.overall failed; what it cannot answer passes (8 since the last such line)'])
    clock.at -= 3_600_000
    await post(undefined)
    expect(logs.length).toBe(3)
  })
})
