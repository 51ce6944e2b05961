import { IDBFactory } from 'fake-indexeddb'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Batch } from '../src/contract.ts'
import { createPristo, type Options, type Payloads, type Pristo } from '../src/index.ts'
import { createOutbox } from '../src/outbox.ts'
import { ADA, NOON, peek, relayAnswer } from './support/fakes.ts'

const BOB = { id: 'u_2', email: 'bob@example.com' }

beforeEach(() => {
  vi.useFakeTimers({ now: NOON })
  vi.stubGlobal('indexedDB', new IDBFactory())
  localStorage.clear()
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** A page before a relay that stores everything, until `relay.answer` is another. Its storage is that of the test. */
const arrange = (options: Options = {}) => {
  const requests: { address: string; body: Batch }[] = []
  const relay = { answer: (body: unknown): Response | Promise<Response> => relayAnswer(body) }
  vi.stubGlobal('fetch', async (address: string, init: RequestInit) => {
    requests.push({ address, body: JSON.parse(String(init.body)) })
    return relay.answer(init.body)
  })
  const messages: string[] = []
  vi.spyOn(console, 'error').mockImplementation((message) => void messages.push(message))
  const pristo = createPristo(options)
  onTestFinished(pristo.close)
  const told: { [Name in keyof Payloads]: Payloads[Name][] } = { delivered: [], rejected: [], dropped: [], error: [] }
  pristo.on('delivered', (payload) => told.delivered.push(payload))
  pristo.on('rejected', (payload) => told.rejected.push(payload))
  pristo.on('dropped', (payload) => told.dropped.push(payload))
  pristo.on('error', (payload) => told.error.push(payload))
  const arrived = () => requests.flatMap(({ body }) => body.events)
  /** Type and contact of what arrived. */
  const seen = () => arrived().map(({ type, contact }) => [type, contact])
  return { ...pristo, requests, relay, messages, told, arrived, seen, flushed: () => passing(pristo.flush()) }
}

/** Lets the fake clock run until the work is done. */
const passing = async <T>(work: Promise<T>): Promise<T> => {
  await vi.advanceTimersByTimeAsync(50)
  return work
}

const onDisk = async () => (await passing(peek(createOutbox(indexedDB, () => true)))).map(({ event }) => event.type)

/** A call as untyped JavaScript makes it. */
const call = (pristo: Pick<Pristo, 'identify' | 'track' | 'consent'>, method: 'identify' | 'track' | 'consent', ...given: unknown[]): unknown =>
  Reflect.apply(pristo[method], undefined, given)

describe('an event', () => {
  it('arrives with its contact, under the id that track() gave back', async () => {
    const { identify, track, flushed, arrived, told } = arrange()
    identify(ADA)
    const id = track('purchase', { amount: 49.9, sku: 'A1' })
    expect(await flushed()).toEqual({ delivered: 1, rejected: 0, pending: 0 })
    const [event] = arrived()
    expect(event).toMatchObject({ id, type: 'purchase', contact: ADA, customFields: { amount: '49.9', sku: 'A1' } })
    expect([told.delivered, await onDisk()]).toEqual([[event], []])
  })

  it('is stored until it has arrived', async () => {
    const { identify, track, flushed, relay } = arrange()
    relay.answer = () => Promise.reject(new TypeError('offline'))
    identify(ADA)
    track('view')
    expect(await flushed()).toEqual({ delivered: 0, rejected: 0, pending: 1 })
    expect(await onDisk()).toEqual(['view'])
  })

  it('tracked before identify() waits for it, and goes before the ones after it', async () => {
    const { identify, track, flushed, seen } = arrange()
    track('before')
    expect([(await flushed()).pending, seen()]).toEqual([1, []])
    identify(ADA)
    track('after')
    await flushed()
    expect(seen()).toEqual([['before', ADA], ['after', ADA]])
  })

  it('carries the details until Pristo has them, from then on only the id, on later pages too', async () => {
    const first = arrange()
    first.identify(ADA)
    first.track('one')
    await first.flushed()
    first.track('two')
    await first.flushed()
    expect(first.seen()).toEqual([['one', ADA], ['two', { id: 'u_1' }]])
    first.close()
    const next = arrange()
    next.track('three')
    next.identify(ADA)
    next.track('four')
    next.identify({ ...ADA, email: 'new@example.com' })
    next.track('five')
    await next.flushed()
    expect(next.seen()).toEqual([['three', { id: 'u_1' }], ['four', { id: 'u_1' }], ['five', { ...ADA, email: 'new@example.com' }]])
  })

  it('that is refused is told with the reason, and is not tried again', async () => {
    const { identify, track, flushed, relay, told, messages } = arrange()
    relay.answer = (body) => relayAnswer(body, 'rejected')
    identify(ADA)
    const id = track('view')
    expect(await flushed()).toEqual({ delivered: 0, rejected: 1, pending: 0 })
    expect(told.rejected).toMatchObject([{ event: { id }, code: 'invalid_event', status: 400, message: 'unknown type' }])
    expect([messages, await onDisk()]).toEqual([[expect.stringContaining('unknown type')], []])
  })

  it('arrives where storage is denied', async () => {
    vi.stubGlobal('indexedDB', undefined)
    vi.stubGlobal('localStorage', undefined)
    const { identify, track, flushed, seen, messages } = arrange()
    track('before')
    identify(ADA)
    expect([(await flushed()).delivered, seen(), messages]).toEqual([1, [['before', ADA]], []])
  })

  it('that a page left behind arrives from the next one', async () => {
    const first = arrange()
    first.relay.answer = () => Promise.reject(new TypeError('offline'))
    first.identify(ADA)
    first.track('view')
    await first.flushed()
    first.close()
    const next = arrange()
    await vi.advanceTimersByTimeAsync(30_000)
    expect(next.seen()).toEqual([['view', ADA]])
  })
})

describe('a page that goes', () => {
  it.each(['pagehide', 'visibilitychange'])('sends before the handlers of %s are over', async (type) => {
    const { identify, track, seen } = arrange()
    identify(ADA)
    track('view')
    vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden')
    dispatchEvent(new Event(type))
    expect(seen()).toEqual([['view', ADA]])
    await vi.advanceTimersByTimeAsync(50)
  })

  it('sends at once what is tracked while it goes, although it still calls itself visible', async () => {
    const { identify, track, seen } = arrange()
    identify(ADA)
    dispatchEvent(new Event('pagehide'))
    track('late')
    await Promise.resolve()
    expect(seen()).toEqual([['late', ADA]])
    dispatchEvent(new Event('pageshow'))
    await vi.advanceTimersByTimeAsync(50)
  })

  it('without a network leaves its event to the next page', async () => {
    vi.stubGlobal('indexedDB', undefined) // the disk never answered
    const first = arrange()
    first.relay.answer = () => new Promise(() => {})
    first.identify(ADA)
    first.track('view')
    dispatchEvent(new Event('pagehide'))
    first.close()
    vi.stubGlobal('indexedDB', new IDBFactory())
    const next = arrange()
    await vi.advanceTimersByTimeAsync(30_000)
    expect(next.seen()).toEqual([['view', ADA]])
  })
})

describe('a mistake', () => {
  const cases: [title: string, given: Parameters<typeof call> extends [unknown, ...infer Rest] ? Rest : never, message: string][] = [
    ['identify() without a contact', ['identify'], 'contact.id: got undefined undefined; allowed: non-empty string'],
    ['identify() without an id', ['identify', { email: 'a@b.co' }], 'contact.id: got undefined undefined; allowed: non-empty string'],
    ['a number as id', ['identify', { id: 42 }], 'contact.id: got number 42; allowed: non-empty string'],
    ['an unknown contact field', ['identify', { ...ADA, mail: 'x' }], 'contact.mail: got string x; allowed: email,phone,language,name,lastName'],
    ['track() without a type', ['track'], 'type: got undefined undefined; allowed: non-empty string'],
    ['a field that is an object', ['track', 'view', { given: {} }], 'fields.given: got object ; allowed: string, number, boolean, Date; 50 characters'],
    ['51 characters', ['track', 'view', { given: 'x'.repeat(51) }], `fields.given: got string ${'x'.repeat(51)}; allowed: string, number, boolean, Date; 50 characters`],
    ['20 KB of fields', ['track', 'view', Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [at, 'x'.repeat(50)]))], 'event.length: got number 59055; allowed: 19900'],
    ['another consent', ['consent', 'yes'], 'consent: got string yes; allowed: /^(granted|pending|denied)$/'],
  ]

  it.each(cases)('%s is told by name, given and allowed, and costs no other event', async (_, given, message) => {
    const { flushed, messages, told, arrived, ...pristo } = arrange()
    pristo.identify(ADA)
    pristo.track('before')
    call(pristo, ...given)
    pristo.track('after')
    await flushed()
    expect(messages).toEqual([`[pristo] ${message}`])
    expect(told.error).toEqual([{ message: messages[0] }])
    expect(arrived().map(({ type }) => type).filter((type) => type !== 'view')).toEqual(['before', 'after'])
  })

  it('in the type or the size refuses the event: no id comes back', () => {
    const { messages: _, ...pristo } = arrange()
    expect([call(pristo, 'track'), call(pristo, 'track', 'view', { given: {} })]).toEqual([undefined, expect.any(String)])
  })

  it.each(['shop.example', 'ftp://shop.example/pristo', '', 'javascript:alert(1)'])('in the endpoint is told, and the default counts: "%s"', async (endpoint) => {
    const { identify, track, flushed, messages, requests } = arrange({ endpoint })
    identify(ADA)
    track('view')
    await flushed()
    expect(messages).toEqual([`[pristo] endpoint: got string ${endpoint}; allowed: path or URL`])
    expect(requests.map(({ address }) => address)).toEqual(['/pristo'])
  })

  it.each(['/p', 'https://shop.example/pristo', 'http://127.0.0.1:8080/pristo'])('is not in the endpoint "%s"', async (endpoint) => {
    const { identify, track, flushed, messages, requests } = arrange({ endpoint })
    identify(ADA)
    track('view')
    await flushed()
    expect([messages, requests.map(({ address }) => address)]).toEqual([[], [endpoint]])
  })

  it('in the consent of the set-up tracks nobody', async () => {
    const { identify, track, flushed, messages, requests } = arrange(JSON.parse('{"consent":"no"}'))
    identify(ADA)
    track('view')
    await flushed()
    expect([messages.length, requests, localStorage.length]).toEqual([1, [], 0])
  })
})

describe('another visitor', () => {
  it('does not get the events that had no contact at reset()', async () => {
    const { identify, track, reset, flushed, seen, told } = arrange()
    const id = track('nobodys')
    reset()
    await flushed()
    identify(BOB)
    track('bobs')
    await flushed()
    expect(seen()).toEqual([['bobs', BOB]])
    expect(told.dropped).toMatchObject([{ event: { id }, reason: 'reset' }])
  })

  it('leaves the one before what was theirs', async () => {
    const { identify, track, reset, flushed, seen } = arrange()
    identify(ADA)
    track('adas')
    identify(BOB)
    track('bobs')
    reset()
    track('nobodys')
    expect((await flushed()).pending).toBe(1)
    expect(seen()).toEqual([['adas', ADA], ['bobs', BOB]])
  })

  it('is forgotten by the next page after reset()', async () => {
    const first = arrange()
    first.identify(ADA)
    first.reset()
    first.close()
    const next = arrange()
    next.track('view')
    expect([(await next.flushed()).pending, next.seen()]).toEqual([1, []])
  })
})

describe('consent', () => {
  it('that is pending writes and sends nothing; granted then does both', async () => {
    const { identify, track, consent, flushed, requests, seen } = arrange({ consent: 'pending' })
    track('before')
    identify(ADA)
    track('after')
    dispatchEvent(new Event('pagehide'))
    dispatchEvent(new Event('pageshow'))
    expect((await flushed()).pending).toBe(2)
    await vi.advanceTimersByTimeAsync(60_000)
    expect([requests, localStorage.length, await passing(indexedDB.databases())]).toEqual([[], 0, []])
    consent('granted')
    await flushed()
    expect([seen(), localStorage.length]).toEqual([[['before', ADA], ['after', ADA]], 1])
  })

  it('that is granted keeps who was identified while it was pending, for the next page', async () => {
    const first = arrange({ consent: 'pending' })
    first.identify(ADA)
    first.consent('granted')
    first.close()
    const next = arrange()
    next.track('view')
    await next.flushed()
    expect(next.seen()).toEqual([['view', ADA]])
  })

  it('that is denied erases what waits and who it was, and tracks nothing', async () => {
    const { identify, track, consent, relay, flushed, told, requests } = arrange()
    relay.answer = () => Promise.reject(new TypeError('offline'))
    identify(ADA)
    track('view')
    await flushed()
    const before = requests.length
    consent('denied')
    await flushed()
    expect(told.dropped.map(({ event, reason }) => [event.type, reason])).toEqual([['view', 'denied']])
    expect([await onDisk(), localStorage.length]).toEqual([[], 0])
    identify(ADA)
    expect(track('more')).toBeUndefined()
    await vi.advanceTimersByTimeAsync(60_000)
    expect([requests.length, await onDisk(), localStorage.length]).toEqual([before, [], 0])
  })

  it('that is given after a denial begins anew', async () => {
    const { identify, track, consent, flushed, seen } = arrange({ consent: 'denied' })
    identify(ADA)
    track('unseen')
    consent('granted')
    identify(BOB)
    track('seen')
    await flushed()
    expect(seen()).toEqual([['seen', BOB]])
  })
})

describe('a listener', () => {
  it('that throws disturbs nobody', async () => {
    const { identify, track, on, flushed, told, messages } = arrange()
    const heard: string[] = []
    const mine = new Error('mine')
    on('delivered', () => { throw mine })
    on('delivered', ({ type }) => heard.push(type))
    identify(ADA)
    track('one')
    track('two')
    expect((await flushed()).delivered).toBe(2)
    expect([heard, told.delivered.length, messages]).toEqual([['one', 'two'], 2, [mine, mine]])
  })

  it('hears nothing once it is taken off; the same function twice is two listeners', async () => {
    const { identify, track, on, flushed } = arrange()
    const heard: string[] = []
    const listener = ({ type }: Payloads['delivered']): void => void heard.push(type)
    const off = on('delivered', listener)
    on('delivered', listener)
    off()
    off()
    identify(ADA)
    track('view')
    await flushed()
    expect(heard).toEqual(['view'])
  })
})

describe('flush()', () => {
  it('counts what happened since it was called, and no more', async () => {
    const { identify, track, flushed } = arrange()
    identify(ADA)
    track('one')
    track('two')
    expect([await flushed(), await flushed()]).toEqual([
      { delivered: 2, rejected: 0, pending: 0 },
      { delivered: 0, rejected: 0, pending: 0 },
    ])
  })
})

describe('a closed tracker', () => {
  it('has no timers and does not hear the page; what is stored stays stored', async () => {
    const { identify, track, close, flushed, requests } = arrange()
    await flushed() // what earlier pages left has been looked for
    identify(ADA)
    track('view')
    await vi.advanceTimersByTimeAsync(50)
    close()
    dispatchEvent(new Event('pagehide'))
    await vi.advanceTimersByTimeAsync(60_000)
    expect([requests, vi.getTimerCount(), await onDisk()]).toEqual([[], 0, ['view']])
  })
})

describe('direct mode', () => {
  it('says once that the key is in the page, and sends to the API', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const { identify, track, flush, requests, relay } = arrange({ direct: { populationId: 'population', apiKey: 'key' } })
    relay.answer = () => Response.json({ ok: true, status: 201 }, { status: 201 })
    identify(ADA)
    track('one')
    track('two')
    await import('../src/direct.ts')
    expect((await passing(flush())).delivered).toBe(2)
    expect(requests.map(({ address }) => address)).toEqual(Array(2).fill('https://api.pristo.io/v1/events/send/population'))
    expect(warn.mock.calls).toEqual([[expect.stringContaining('API key in this page')]])
  })
})
