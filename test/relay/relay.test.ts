// @vitest-environment node
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createRelay, type PristoEvent } from '../../src/relay/index.ts'
import { created, failed, KEY, makeBatch, makeEvent, never, NOW, outcomes, POPULATION, read, request, send, setUp, until, uuid } from './harness.ts'

const of = (contactId: string, n: number): PristoEvent => makeEvent(n, { contact: { id: contactId, email: 'a@b.co' } })

describe('the way of an event', () => {
  it('one event is one call of the API: its id is the X-Request-Id, nothing of the visitor goes along', async () => {
    const { relay, api } = setUp()
    const headers = { Cookie: 'session=1', 'X-Forwarded-For': '1.2.3.4', 'User-Agent': 'Browser' }
    const heard = await send(relay, [makeEvent(1, { customFields: { amount: '49.90' } })], {}, { headers })
    expect(heard.status).toBe(200)
    expect(heard.text).toBe(JSON.stringify({ v: 1, results: [{ id: uuid(1), outcome: 'stored' }] }))
    expect(api.calls[0]?.url).toBe(`https://api.pristo.test/v1/events/send/${POPULATION}`)
    expect(api.calls[0]?.headers).toEqual({
      'content-type': 'application/json',
      accept: 'application/json',
      'user-agent': 'pristo-relay',
      'x-api-key': KEY,
      'x-request-id': uuid(1),
    })
    const { id: _, ...body } = makeEvent(1, { customFields: { amount: '49.90' } })
    expect(api.calls[0]?.body).toEqual(body)
  })

  it('one bad event does not sink its neighbours, and the results are in order', async () => {
    const { relay, api } = setUp()
    const heard = await send(relay, [makeEvent(1), { ...makeEvent(2), type: '' }, null, makeEvent(4)])
    expect(heard.status).toBe(200)
    expect(heard.results).toEqual([
      { id: uuid(1), outcome: 'stored' },
      { id: uuid(2), outcome: 'rejected', code: 'invalid_event', message: 'event.type: got an empty string; allowed is a non-empty string' },
      { id: '', outcome: 'rejected', code: 'invalid_event', message: expect.stringContaining('event: got null') },
      { id: uuid(4), outcome: 'stored' },
    ])
    expect(api.ids()).toEqual([uuid(1), uuid(4)])
  })

  it('an id that is no UUID is echoed; one of 101 characters, or that may be an email, is not', async () => {
    const ids = ['abc', 'x'.repeat(101), 7, 'a@b.co']
    const heard = await send(setUp().relay, ids.map((id) => ({ ...makeEvent(1), id })))
    expect(heard.results.map(({ id, outcome }) => [id, outcome])).toEqual(['abc', '', '', ''].map((id) => [id, 'rejected']))
  })

  it('the same id twice in a batch is one call and two equal results', async () => {
    const { relay, api } = setUp()
    const heard = await send(relay, [makeEvent(0xa), makeEvent(2), { ...makeEvent(0xa), id: uuid(0xa).toUpperCase() }])
    expect(outcomes(heard)).toEqual(['stored', 'stored', 'stored'])
    expect(api.ids()).toEqual([uuid(0xa), uuid(2)])
  })

  it('a retry holds back the rest of its contact and nobody else', async () => {
    const { relay, api } = setUp(({ id }) => (id === uuid(1) ? failed(500) : created()))
    const heard = await send(relay, [of('a', 1), of('b', 2), of('a', 3), of('b', 4)])
    expect(outcomes(heard)).toEqual(['unavailable', 'stored', 'blocked', 'stored'])
    expect(api.ids()).not.toContain(uuid(3))
  })

  it('a rejected event holds nothing back', async () => {
    const { relay } = setUp(({ id }) => (id === uuid(1) ? failed(400) : created()))
    expect(outcomes(await send(relay, [makeEvent(1), makeEvent(2)]))).toEqual(['rejected', 'stored'])
  })

  it('six contacts are served side by side, a contact one event after the other', async () => {
    let open = 0
    let most = 0
    const busy = new Set<string>()
    const { relay } = setUp(async ({ contactId }) => {
      expect(busy.has(contactId)).toBe(false)
      busy.add(contactId)
      most = Math.max(most, ++open)
      await until(() => most >= 6)
      open--
      busy.delete(contactId)
      return created()
    })
    const heard = await send(relay, Array.from({ length: 40 }, (_, n) => of(`c${n % 20}`, n)))
    expect(outcomes(heard)).toEqual(Array(40).fill('stored'))
    expect(most).toBe(6)
  })

  it('503 with the same body, and Retry-After, when everything is to be sent again', async () => {
    const { relay } = setUp((_, n) => failed(429, 'slow down', { 'Retry-After': n ? '7' : '30' }))
    const heard = await send(relay, [of('a', 1), of('b', 2)])
    expect(heard.status).toBe(503)
    expect(outcomes(heard)).toEqual(['throttled', 'throttled'])
    expect(heard.retryAfter).toBe(30)
    expect(heard.headers.get('Retry-After')).toBe('30')
  })

  it('a storm of 429 costs one call per contact', async () => {
    const { relay, api } = setUp(() => failed(429))
    await send(relay, Array.from({ length: 40 }, (_, n) => of(`c${n % 4}`, n)))
    expect(api.calls).toHaveLength(4)
  })
})

describe('the clock', () => {
  const occurred = async (occurredAt: string, sentAt: string): Promise<unknown> => {
    const { relay, api } = setUp()
    await send(relay, [makeEvent(1, { occurredAt })], { sentAt })
    return api.calls[0]?.body.occurredAt
  }

  it('an hour fast or slow is corrected by the difference', async () => {
    expect(await occurred('2026-11-23T12:59:00Z', '2026-11-23T13:00:00Z')).toBe('2026-11-23T11:59:00.000Z')
    expect(await occurred('2026-11-23T10:59:00Z', '2026-11-23T11:00:00Z')).toBe('2026-11-23T11:59:00.000Z')
  })

  it('a minute of difference is left alone', async () => {
    expect(await occurred('2026-11-23T11:58:00Z', '2026-11-23T11:59:00Z')).toBe('2026-11-23T11:58:00.000Z')
  })

  it('nothing happens in the future, nor before 1970, and offsets become UTC', async () => {
    expect(await occurred('2027-01-01T00:00:00Z', '2026-11-23T12:00:00Z')).toBe('2026-11-23T12:00:00.000Z')
    expect(await occurred('0001-01-01T00:00:00Z', '9999-01-01T00:00:00Z')).toBe('1970-01-01T00:00:00.000Z')
    expect(await occurred('2026-11-23T13:00:00+02:00', '2026-11-23T14:00:00+02:00')).toBe('2026-11-23T11:00:00.000Z')
  })
})

describe('the ack cookie', () => {
  it('names the stored events of a batch that asked, under the mark of its first', async () => {
    const { relay } = setUp(({ id }) => (id === uuid(2) ? failed(400) : created()))
    const heard = await send(relay, [makeEvent(1), makeEvent(2), makeEvent(3)], { ack: true })
    expect(heard.headers.get('Set-Cookie')).toBe('pristo_ack_000000001=000000001000000003; Path=/; SameSite=Lax; Max-Age=604800; Secure')
  })

  it('is not set where the batch did not ask, or nothing was stored', async () => {
    const { relay } = setUp(({ id }) => (id === uuid(1) ? created() : failed(500)))
    expect((await send(relay, [makeEvent(1)])).headers.get('Set-Cookie')).toBeNull()
    expect((await send(relay, [makeEvent(2)], { ack: true })).headers.get('Set-Cookie')).toBeNull()
  })

  it('an id that is no UUID never enters the header', async () => {
    const heard = await send(setUp().relay, [{ ...makeEvent(1), id: 'x; Domain=evil.test' }, makeEvent(2)], { ack: true })
    expect(heard.headers.get('Set-Cookie')).toMatch(/^pristo_ack_000000002=000000002; Path/)
  })

  it("is Secure by the page's scheme, whatever the relay's own URL says", async () => {
    const { relay } = setUp()
    const isSecure = async (n: number, origin: string, url: string) =>
      /; Secure/.test((await send(relay, [makeEvent(n)], { ack: true }, { headers: { Origin: origin }, url })).headers.get('Set-Cookie') ?? '')
    expect(await isSecure(1, 'https://shop.example', 'http://shop.example/pristo')).toBe(true)
    expect(await isSecure(2, 'http://localhost:8080', 'http://localhost:8080/pristo')).toBe(false)
    expect(await isSecure(3, 'null', 'https://shop.example/pristo')).toBe(true)
  })

  it('40 events fit in 400 bytes', async () => {
    const { relay } = setUp()
    const heard = await send(relay, Array.from({ length: 40 }, (_, n) => makeEvent(n)), { ack: true })
    expect(heard.headers.get('Set-Cookie')?.split(';')[0]?.length).toBeLessThanOrEqual(400)
  })
})

describe('time', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  it('after 8 s the answer leaves: begun is in_flight, behind it is blocked, the rest is deadline, and nothing further begins', async () => {
    const open: (() => void)[] = []
    const { relay, api } = setUp(({ contactId }) =>
      contactId === 'quick' ? created() : new Promise((resolve) => open.push(() => resolve(created()))),
    )
    const waiting: Promise<unknown>[] = []
    const events = [of('quick', 1), ...[2, 3, 4, 5, 6, 7].map((n) => of(`slow${n}`, n)), of('slow2', 8), of('late', 9)]
    const answer = send(relay, events, { ack: true }, {}, { waitUntil: (promise) => void waiting.push(promise) })
    await until(() => api.calls.length === 7)
    await vi.advanceTimersByTimeAsync(8_000)
    const heard = await answer
    expect(outcomes(heard)).toEqual(['stored', ...Array(6).fill('in_flight'), 'blocked', 'deadline'])
    expect(waiting).toHaveLength(1)
    let isSettled = false
    const settled = Promise.all(waiting).then(() => (isSettled = true))
    await new Promise<void>((resolve) => setImmediate(resolve))
    expect(isSettled).toBe(false)
    for (const finish of open) finish()
    await settled
    expect(api.calls).toHaveLength(7)
    // What was on its way has been remembered: it is not sent again.
    expect(outcomes(await send(relay, [of('slow2', 2)]))).toEqual(['stored'])
    expect(api.calls).toHaveLength(7)
  })

  it('a call that hangs ends after 10 s as unavailable', async () => {
    const { relay, api } = setUp(() => never(), { limits: { deadlineMs: 60_000 } })
    const answer = send(relay, [makeEvent(1)])
    await until(() => api.calls.length === 1)
    await vi.advanceTimersByTimeAsync(9_999)
    expect(api.calls).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(outcomes(await answer)).toEqual(['unavailable'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('no timer outlives its request', async () => {
    await send(setUp().relay, [makeEvent(1)])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('an upload takes its time from the 8 s', async () => {
    let at = NOW
    const { relay, api } = setUp(() => never(), { now: () => at })
    const bytes = new TextEncoder().encode(JSON.stringify(makeBatch([makeEvent(1)])))
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
      at += 5_000
      controller.enqueue(bytes)
      controller.close()
    }
    const body = new ReadableStream({ pull }, { highWaterMark: 0 })
    const headers = { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin' }
    const answer = relay(new Request('https://shop.example/pristo', Object.assign({ method: 'POST', headers, body }, { duplex: 'half' })))
    await until(() => api.calls.length === 1)
    await vi.advanceTimersByTimeAsync(3_000)
    expect(outcomes(await read(await answer))).toEqual(['in_flight'])
  })

  it('an upload that took all the time still gets a second of work', async () => {
    let at = NOW
    let finish = (): void => undefined
    const script = () => new Promise<Response>((resolve) => (finish = () => resolve(created())))
    const { relay, api } = setUp(script, { now: () => (at += 9_000) })
    const answer = send(relay, [makeEvent(1)])
    await until(() => api.calls.length === 1)
    await vi.advanceTimersByTimeAsync(999)
    finish()
    expect(outcomes(await answer)).toEqual(['stored'])
  })
})

describe('any runtime', () => {
  it('touches method, url, headers and body of a request, and nothing else', async () => {
    const { relay } = setUp()
    const { method, url, headers, body } = request(makeBatch([makeEvent(1)]))
    const bare = new Proxy(request('{}'), {
      get: (_, name) => {
        const parts: Record<PropertyKey, unknown> = { method, url, headers, body }
        if (name in parts) return parts[name]
        throw new Error(`touched ${String(name)}`)
      },
    })
    expect((await read(await relay(bare))).results).toEqual([{ id: uuid(1), outcome: 'stored' }])
  })

  it('a client that is gone mid-batch stops nothing', async () => {
    const gone = new AbortController()
    const signals: (AbortSignal | null | undefined)[] = []
    const { api } = setUp()
    const relay = createRelay({
      apiKey: KEY,
      populationId: POPULATION,
      identity: 'page',
      now: () => NOW,
      fetch: async (url, init) => {
        gone.abort()
        signals.push(init.signal)
        expect(init.signal?.aborted).toBe(false)
        return api.fetch(url, init)
      },
    })
    const original = request(makeBatch([makeEvent(1), makeEvent(2)]))
    const leaving = new Request(original, { signal: gone.signal })
    expect(outcomes(await read(await relay(leaving)))).toEqual(['stored', 'stored'])
    expect(api.ids()).toEqual([uuid(1), uuid(2)])
  })

  it('waitUntil is called as a method: a Cloudflare context works', async () => {
    const { relay } = setUp()
    class Context {
      #promises: Promise<unknown>[] = []
      waitUntil(promise: Promise<unknown>) {
        this.#promises.push(promise)
      }
    }
    expect(outcomes(await send(relay, [makeEvent(1)], {}, {}, new Context()))).toEqual(['stored'])
  })

  it('a waitUntil that throws, as that of Next does outside of a request, keeps nobody from the answer', async () => {
    const { relay, logs } = setUp()
    const context = {
      waitUntil: () => {
        throw new Error('called outside a request scope')
      },
    }
    expect(outcomes(await send(relay, [makeEvent(1)], {}, {}, context))).toEqual(['stored'])
    expect(logs).toEqual([expect.stringContaining('waitUntil failed')])
  })
})
