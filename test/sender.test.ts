import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { TrackedEvent } from '../src/event.ts'
import type { Page } from '../src/page.ts'
import { createSender, createTransport, parseRetryAfter } from '../src/sender.ts'
import { createDevice, createPage, makeMany, makeNth, NOON } from './support/fakes.ts'

beforeEach(() => void vi.useFakeTimers({ now: NOON }))
afterEach(() => void vi.useRealTimers())

const arrange = (answer: () => Response | Promise<Response> = () => Response.json({ v: 1, results: [] })) => {
  const requests: { address: string; init: RequestInit }[] = []
  const network: Page['fetch'] = async (address, init) => {
    requests.push({ address, init })
    return answer()
  }
  const page = createPage(createDevice(), network)
  const transport = createTransport(page)
  const sender = createSender(transport, '/pristo', page)
  return { requests, page, transport, send: (events: TrackedEvent[], keepalive = true) => sender(events, keepalive) }
}

describe('a parcel', () => {
  it('is one POST of JSON that outlives its page and asks for an ack', async () => {
    const { requests, send } = arrange()
    await send(makeMany(2))
    expect(requests).toMatchObject([
      { address: '/pristo', init: { method: 'POST', keepalive: true, headers: { 'Content-Type': 'application/json' } } },
    ])
    expect(JSON.parse(String(requests[0]?.init.body))).toEqual({ v: 1, sentAt: '2026-07-01T12:00:00.000Z', ack: true, events: makeMany(2) })
  })

  it('asks for no ack where nobody could read the cookie', async () => {
    const { requests, page, send } = arrange()
    page.hasCookies = false
    await send(makeMany(1))
    expect(JSON.parse(String(requests[0]?.init.body)).ack).toBe(false)
  })

  it('does not outlive its page where that was refused before', async () => {
    const { requests, send } = arrange()
    await send(makeMany(1), false)
    expect(requests[0]?.init.keepalive).toBe(false)
  })

  it('is on its way before send() returns', () => {
    const { requests, send } = arrange()
    void send(makeMany(1))
    expect(requests).toHaveLength(1)
  })
})

describe('an answer', () => {
  const results = [{ id: makeNth(1).id, outcome: 'stored' }]

  it('names what became of each event', async () => {
    expect(await arrange(() => Response.json({ v: 1, results })).send(makeMany(1))).toMatchObject({ http: 200, results })
  })

  it('counts with any status: 503 too may name outcomes', async () => {
    const { send } = arrange(() => Response.json({ v: 1, results }, { status: 503 }))
    expect(await send(makeMany(1))).toMatchObject({ http: 503, results })
  })

  it.each([
    ['HTML', () => new Response('<h1>Not found</h1>', { status: 404 }), 404],
    ['nothing', () => new Response(null, { status: 204 }), 204],
    ['null', () => Response.json(null), 200],
    ['a text', () => Response.json('stored'), 200],
    ['results that are no list', () => Response.json({ results: { length: 1 } }), 200],
    ['an error response, as a service worker may give', () => Response.error(), 0],
    ['a refusal of the whole request', () => Response.json({ v: 1, error: { code: 'forbidden', message: '' } }, { status: 403 }), 403],
  ])('of %s names no outcome', async (_, answer, http) => {
    const reply = await arrange(answer).send(makeMany(1))
    expect([reply?.http, reply?.results]).toEqual([http, undefined])
  })

  it('with holes in its results is read without them', async () => {
    expect((await arrange(() => Response.json({ results: [null, ...results, 0] })).send([]))?.results).toEqual(results)
  })

  it('does not come from a network that fails', async () => {
    expect(await arrange(() => Promise.reject(new TypeError('offline'))).send(makeMany(1))).toBeUndefined()
  })

  it('does not come from a fetch that a page has patched to throw', async () => {
    const transport = createTransport(createPage(createDevice(), () => expect.fail('patched')))
    const before = transport.room()
    expect([await createSender(transport, '/pristo', createPage())(makeMany(1), true), transport.room()]).toEqual([undefined, before])
  })

  it('is waited for 10 s and no longer', async () => {
    const controller = new AbortController()
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      setTimeout(() => controller.abort(), ms)
      return controller.signal
    })
    const { send, transport } = arrange(() => new Promise((_, reject) => controller.signal.addEventListener('abort', reject)))
    const replies: unknown[] = []
    void send(makeMany(1)).then((reply) => replies.push(reply))
    await vi.advanceTimersByTimeAsync(9_999)
    expect(replies).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect([replies, transport.room()]).toEqual([[undefined], 59_900])
  })
})

describe('Retry-After', () => {
  it.each([
    ['30', 30_000],
    ['0.5', 500],
    ['Wed, 01 Jul 2026 12:01:00 GMT', 60_000],
    ['7200', 3_600_000],
    ['Thu, 01 Jul 2027 12:00:00 GMT', 3_600_000],
    ['Infinity', 3_600_000],
    ['0', undefined],
    ['-5', undefined],
    ['Wed, 01 Jul 2026 11:00:00 GMT', undefined],
    ['soon', undefined],
    ['', undefined],
  ])('of "%s" is %s ms', (given, waitMs) => {
    expect(parseRetryAfter(given)).toBe(waitMs)
  })

  it('is read from the header, else from the body', async () => {
    const waitOf = async (headers: Record<string, string>, retryAfter?: unknown) =>
      (await arrange(() => Response.json({ retryAfter }, { status: 503, headers })).send([]))?.waitMs
    expect([await waitOf({ 'Retry-After': '2' }, 3), await waitOf({}, 3), await waitOf({}), await waitOf({}, 'soon')]).toEqual([
      2_000,
      3_000,
      undefined,
      undefined,
    ])
  })
})

describe('the room for bodies', () => {
  it.each([
    ['answered', () => Response.json({ results: [] })],
    ['refused', () => Promise.reject(new TypeError('offline'))],
  ])('is less by the bytes in flight and comes back when they are %s', async (_, answer) => {
    const { transport, requests } = arrange(answer)
    const before = transport.room()
    const sent = transport.post('/pristo', { text: 'שלום' }, true)
    const bytes = Buffer.byteLength(String(requests[0]?.init.body))
    expect([bytes, before - transport.room()]).toEqual([19, 19])
    await sent
    expect(transport.room()).toBe(before)
  })

  it.each([
    [65_536, true],
    [65_537, false],
  ])('of all browsers is 65 536 bytes in flight: a request that makes them %i goes with keepalive: %s', async (bytes, expected) => {
    const { transport, requests } = arrange(() => new Promise(() => {}))
    void transport.post('/pristo', 'x'.repeat(30_000 - 2), true)
    void transport.post('/pristo', 'x'.repeat(bytes - 30_000 - 2), true)
    expect(requests.map(({ init }) => init.keepalive)).toEqual([true, expected])
  })

  it('comes back only when the body was read', async () => {
    let end = (): void => {}
    const body = new ReadableStream({ start: (controller) => void (end = () => controller.close()) })
    const { transport } = arrange(() => new Response(body))
    const before = transport.room()
    const sent = transport.post('/pristo', {}, true)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(transport.room()).toBe(before - 2)
    end()
    await sent
    expect(transport.room()).toBe(before)
  })
})
