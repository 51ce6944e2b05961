import { IDBDatabase, IDBFactory } from 'fake-indexeddb'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { ackMark, type Batch, type PristoEvent } from '../src/contract.ts'
import { createPristo, type Options, type Payloads, type Pristo } from '../src/index.ts'
import { createOutbox } from '../src/outbox.ts'
import { ADA, NOON, peek, readAll, relayAnswer } from './support/fakes.ts'

const BOB = { id: 'u_2', email: 'bob@example.com' }

beforeEach(() => {
  vi.useFakeTimers({ now: NOON })
  vi.stubGlobal('indexedDB', new IDBFactory())
  vi.stubGlobal('Request', class { get keepalive() { return true } }) // happy-dom's knows none: a page out of sight would send beacons
  localStorage.clear()
  for (const [name] of document.cookie.matchAll(/[^=; ]+(?==)/g)) document.cookie = `${name}=;Path=/;Expires=${new Date(0).toUTCString()}`
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

/** A relay's answer that is decided event by event. */
const answerEach = (body: unknown, isStored: (event: PristoEvent) => boolean, status: number | undefined = 400): Response => {
  const { events }: Batch = JSON.parse(String(body))
  const refusal = { outcome: 'rejected', code: 'invalid_event', message: 'contact has no email', ...(status && { status }) }
  return Response.json({ v: 1, results: events.map((event) => ({ id: event.id, ...(isStored(event) ? { outcome: 'stored' } : refusal) })) })
}

const hasEmail = ({ contact }: PristoEvent): boolean => !!contact.email

const nobody = () => Promise.reject(new TypeError('offline'))

const onDisk = async () => (await passing(peek(createOutbox(() => indexedDB, () => true)))).map(({ event }) => event.type)

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

  it('keeps the queue going behind a contact that no batch can hold', async () => {
    const { identify, track, flushed, relay, seen, told } = arrange()
    // As browsers and our relay do: 64 KiB with keepalive, or at all.
    relay.answer = (body) => (String(body).length > 65_536 ? new Response('', { status: 413 }) : relayAnswer(body))
    identify({ ...ADA, customFields: Object.fromEntries(Array.from({ length: 1_500 }, (_, at) => [`field${at}`, 'x'.repeat(50)])) })
    track('huge')
    track('huge too')
    identify(BOB)
    track('bobs')
    expect(await flushed()).toEqual({ delivered: 1, rejected: 2, pending: 0 })
    expect([seen().at(-1), told.rejected.map(({ code, parked }) => [code, parked])]).toEqual([['bobs', BOB], [['too_large', false], ['too_large', false]]])
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

describe('an event that is refused for want of an email or a phone', () => {
  /** Refused and told. */
  const park = async () => {
    const page = arrange()
    page.relay.answer = (body) => answerEach(body, hasEmail)
    page.identify({ id: 'u_1' })
    const id = page.track('view')
    return { ...page, id, result: await page.flushed() }
  }

  it('is told once as parked, counts as pending, and is not sent again', async () => {
    const { id, result, told, flushed, requests } = await park()
    await vi.advanceTimersByTimeAsync(60_000)
    expect([result, await flushed(), requests.length]).toEqual([
      { delivered: 0, rejected: 0, pending: 1 },
      { delivered: 0, rejected: 0, pending: 1 },
      1,
    ])
    expect(told.rejected).toMatchObject([{ event: { id }, parked: true, status: 400, message: 'contact has no email' }])
  })

  it('holds up none of those behind it', async () => {
    const { identify, track, flushed, seen } = await park()
    identify(BOB)
    track('bobs')
    expect(await flushed()).toEqual({ delivered: 1, rejected: 0, pending: 1 })
    expect(seen()).toEqual([['view', { id: 'u_1' }], ['bobs', BOB]])
  })

  it('is sent again once the same contact has one, and then arrives', async () => {
    const { id, identify, flushed, arrived, told } = await park()
    identify(ADA)
    expect(await flushed()).toEqual({ delivered: 1, rejected: 0, pending: 0 })
    expect([arrived().at(-1), told.rejected.length, told.delivered.length, await onDisk()]).toEqual([expect.objectContaining({ id, contact: ADA }), 1, 1, []])
  })

  it('is sent again so by a later page', async () => {
    const { close } = await park()
    close()
    const next = arrange()
    next.identify(ADA)
    await next.flushed()
    expect(next.seen()).toEqual([['view', ADA]])
  })

  it.each([
    ['another contact has one', BOB],
    ['the same contact still has none', { id: 'u_1', name: 'Ada' }],
  ])('stays where %s', async (_, contact) => {
    const { identify, flushed, requests } = await park()
    identify(contact)
    expect([await flushed(), requests.length, await onDisk()]).toEqual([{ delivered: 0, rejected: 0, pending: 1 }, 1, ['view']])
  })

  it('by the relay itself is refused for good: no email would help', async () => {
    const { identify, track, flushed, relay, told } = arrange()
    relay.answer = (body) => answerEach(body, hasEmail, 0)
    identify({ id: 'u_1' })
    track('view')
    expect(await flushed()).toEqual({ delivered: 0, rejected: 1, pending: 0 })
    expect(told.rejected.map(({ parked }) => parked)).toEqual([false])
  })
})

describe('an event with only an id that is refused', () => {
  /** Pristo is said to know Ada. */
  const know = async () => {
    const page = arrange()
    page.identify(ADA)
    page.track('one')
    await page.flushed()
    return page
  }

  it('is sent once more with the details, and nobody is told', async () => {
    const { track, flushed, relay, seen, told, messages } = await know()
    relay.answer = (body) => answerEach(body, hasEmail)
    track('two')
    expect(await flushed()).toEqual({ delivered: 1, rejected: 0, pending: 0 })
    expect([seen().slice(1), told.rejected, messages]).toEqual([[['two', { id: 'u_1' }], ['two', ADA]], [], []])
  })

  it('is told if that is refused as well', async () => {
    const { track, flushed, relay, seen, told } = await know()
    relay.answer = (body) => relayAnswer(body, 'rejected')
    track('two')
    expect(await flushed()).toEqual({ delivered: 0, rejected: 1, pending: 0 })
    expect([seen().slice(1), told.rejected.map(({ event, parked }) => [event.type, event.contact, parked])]).toEqual([
      [['two', { id: 'u_1' }], ['two', ADA]],
      [['two', ADA, false]],
    ])
  })

  it('waits for its contact where another one has taken over since', async () => {
    const { track, identify, flushed, relay, told, seen } = await know()
    relay.answer = (body) => answerEach(body, hasEmail)
    track('two')
    identify(BOB)
    expect([(await flushed()).pending, told.rejected.map(({ parked }) => parked)]).toEqual([1, [true]])
    identify(ADA)
    expect([(await flushed()).delivered, seen().at(-1)]).toEqual([1, ['two', ADA]])
  })
})

describe('an answer that nobody saw', () => {
  it('costs nothing: the next page reads the ack cookie and does not send again', async () => {
    const first = arrange()
    await first.flushed() // what earlier pages left has been looked for
    first.identify(ADA)
    const id = first.track('view') ?? ''
    await vi.advanceTimersByTimeAsync(50)
    first.relay.answer = () => {
      document.cookie = `pristo_ack_${ackMark(id)}=${ackMark(id)};Path=/`
      return new Promise(() => {})
    }
    dispatchEvent(new Event('pagehide'))
    first.close()
    dispatchEvent(new Event('pageshow'))
    const next = arrange()
    await vi.advanceTimersByTimeAsync(30_000)
    expect([first.seen(), next.seen(), next.told.delivered.map((event) => event.id)]).toEqual([[['view', ADA]], [], [id]])
    expect([document.cookie, await onDisk()]).toEqual(['', []])
  })

  it('tells the next page that Pristo has the details', async () => {
    const first = arrange()
    first.relay.answer = nobody
    first.identify(ADA)
    const id = first.track('one') ?? ''
    await first.flushed()
    first.close()
    document.cookie = `pristo_ack_x=${ackMark(id)};Path=/`
    const next = arrange()
    await next.flushed()
    next.track('two')
    await next.flushed()
    expect(next.seen()).toEqual([['two', { id: 'u_1' }]])
  })
})

describe('a page that goes', () => {
  it('stays gone when visibilitychange follows pagehide, as it does in browsers: no transaction begins', async () => {
    const { identify, track } = arrange()
    identify(ADA)
    await vi.advanceTimersByTimeAsync(50)
    const begin = vi.spyOn(IDBDatabase.prototype, 'transaction')
    dispatchEvent(new Event('pagehide'))
    vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden')
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))
    track('late')
    await vi.advanceTimersByTimeAsync(50)
    expect(begin).not.toHaveBeenCalled()
    dispatchEvent(new Event('pageshow'))
  })

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

  it('aborts the transaction that is open and begins none until it is seen again', async () => {
    const begun = vi.spyOn(IDBDatabase.prototype, 'transaction')
    const { identify, track, flush, flushed } = arrange()
    await flushed()
    void flush()
    for (let turn = 0; turn < 20; turn++) await Promise.resolve() // it has begun, and nobody has answered
    const aborted = vi.fn()
    const [open] = begun.mock.results.slice(-1)
    open?.value.addEventListener('abort', aborted)
    const before = begun.mock.calls.length
    dispatchEvent(new Event('pagehide'))
    identify(ADA)
    track('late')
    await vi.advanceTimersByTimeAsync(10_000)
    expect([aborted.mock.calls.length, begun.mock.calls.length - before]).toEqual([1, 0])
    dispatchEvent(new Event('pageshow'))
    await vi.advanceTimersByTimeAsync(50)
    expect(begun.mock.calls.length).toBeGreaterThan(before)
  })

  /** A browser that knows no keepalive (Firefox before 133) hides so often for so long; its beacons arrive. Then 5 events are tracked. */
  const hideOften = async (times: number, awayMs: number) => {
    vi.stubGlobal('Request', class {})
    const beacons = vi.fn()
    vi.stubGlobal('navigator', { onLine: true, sendBeacon: beacons })
    const { identify, track, flushed, requests } = arrange()
    await flushed()
    identify(ADA)
    const visibility = vi.spyOn(document, 'visibilityState', 'get')
    for (let nth = 0; nth < times; nth++) {
      const id = track('view') ?? ''
      visibility.mockReturnValue('hidden')
      document.dispatchEvent(new Event('visibilitychange'))
      document.cookie = `pristo_ack_${ackMark(id)}=${ackMark(id)};Path=/`
      await vi.advanceTimersByTimeAsync(awayMs)
      visibility.mockReturnValue('visible')
      document.dispatchEvent(new Event('visibilitychange'))
      await vi.advanceTimersByTimeAsync(11_000)
    }
    for (let nth = 0; nth < 5; nth++) track('seen')
    await vi.advanceTimersByTimeAsync(3_000)
    return [beacons.mock.calls.length, requests.map(({ body }) => body.events.map(({ type }) => type))]
  }

  const five = Array<string>(5).fill('seen')

  it('by a beacon that arrives does not send again, and sends as usual when it is seen again', async () => {
    expect([await hideOften(1, 11_000), await hideOften(1, 5_000)]).toEqual([[1, [five]], [1, [five]]])
  })

  it.each([11_000, 5_000])('by three beacons that arrive does so too, though nobody answers a beacon: seen after %i ms', async (awayMs) => {
    expect(await hideOften(3, awayMs)).toEqual([3, [five]])
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

describe('a network that never answers', () => {
  it('is tried at once when the browser says that it is back', async () => {
    const { identify, track, relay, seen, requests } = arrange()
    relay.answer = nobody
    identify(ADA)
    track('one')
    track('two')
    await vi.advanceTimersByTimeAsync(60_000)
    expect(requests.length).toBe(3)
    relay.answer = (body) => relayAnswer(body)
    dispatchEvent(new Event('online'))
    await vi.advanceTimersByTimeAsync(50)
    expect([seen().slice(6), requests.length]).toEqual([[['one', ADA], ['two', ADA]], 5])
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
    ['20 KB of fields', ['track', 'view', Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [at, 'x'.repeat(50)]))], 'event.length: got number 59006; allowed: 19900'],
    ['a key of 20 KB', ['track', 'view', { ['k'.repeat(20_000)]: 'x' }], 'event.length: got number 20123; allowed: 19900'],
    ['a type of 20 KB', ['track', 'v'.repeat(20_000)], 'event.length: got number 20113; allowed: 19900'],
    ['another consent', ['consent', 'yes'], 'consent: got string yes; allowed: granted,pending,denied'],
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

  const throwOutOfTrack = async (thrown: unknown) => {
    const { flushed, messages, arrived, ...pristo } = arrange()
    pristo.identify(ADA)
    const id = call(pristo, 'track', 'view', { get given() { throw thrown } })
    pristo.track('after')
    await flushed()
    return [id, messages.length, arrived().map(({ type }) => type)]
  }

  it('that throws an error out of a getter does not throw out of track(), and costs no other event', async () => {
    expect(await throwOutOfTrack(new Error('mine'))).toEqual([undefined, 1, ['after']])
  })

  it.each([
    ['a Symbol', Symbol('mine')],
    ['an object without a text', Object.create(null)],
  ])('that throws %s out of a getter does not throw out of track()', async (_, thrown) => {
    expect(await throwOutOfTrack(thrown)).toEqual([undefined, 1, ['after']])
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
  it('does not take what the one before did unnamed, though both are named in one task', async () => {
    const { identify, track, reset, flushed, seen } = arrange()
    track('before')
    identify(ADA)
    reset()
    identify(BOB)
    await flushed()
    expect(seen()).toEqual([['before', ADA]])
  })

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

  it('has at once what waited for a contact, and is told at once of what a reset() drops: no timer is needed', async () => {
    const { identify, track, reset, flushed, told } = arrange()
    track('nobodys')
    await flushed()
    reset()
    await vi.advanceTimersByTimeAsync(50)
    expect(told.dropped.map(({ event }) => event.type)).toEqual(['nobodys'])
    track('bobs')
    await flushed()
    identify(BOB)
    await vi.advanceTimersByTimeAsync(50)
    expect((await passing(peek(createOutbox(() => indexedDB, () => true)))).map(({ event }) => event.contact)).toEqual([BOB])
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

  it.each(['page', 'tab'])('does not get what had no contact at a reset() on another %s', async (where) => {
    const first = arrange()
    first.relay.answer = nobody
    first.track('nobodys')
    await first.flushed()
    if (where === 'page') first.close()
    const second = arrange()
    second.reset()
    if (where === 'page') second.close()
    const third = where === 'page' ? arrange() : first
    third.identify(BOB)
    third.track('bobs')
    await third.flushed()
    await vi.advanceTimersByTimeAsync(30_000)
    expect([...first.seen(), ...second.seen(), ...(third === first ? [] : third.seen())]).toEqual([['bobs', BOB]])
    expect([...second.told.dropped, ...third.told.dropped][0]).toMatchObject({ event: { type: 'nobodys' }, reason: 'reset' })
  })

  it('is the one that another tab has identified, at the next call', async () => {
    const [a, b] = [arrange(), arrange()]
    a.identify(ADA)
    b.track('one')
    a.reset()
    b.track('two')
    expect([(await b.flushed()).pending, b.seen()]).toEqual([1, [['one', ADA]]])
  })

  it('of a tab that hears of a logout late gets what was tracked after it', async () => {
    vi.stubGlobal('localStorage', undefined) // the mirror alone tells
    const [a, b] = [arrange(), arrange()]
    await a.flushed()
    b.reset()
    await b.flushed()
    a.track('later')
    await a.flushed()
    a.identify(BOB)
    await a.flushed()
    expect([b.seen(), a.told.dropped]).toEqual([[['later', BOB]], []])
  })

  it('is known though localStorage lost them, as a killed browser does', async () => {
    const first = arrange()
    first.identify(ADA)
    await first.flushed()
    first.close()
    localStorage.clear()
    const next = arrange()
    next.track('view')
    await next.flushed()
    expect(next.seen()).toEqual([['view', ADA]])
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
    expect([seen(), Object.keys(localStorage).sort()]).toEqual([[['before', ADA], ['after', ADA]], ['pristo_consent', 'pristo_contact']])
  })

  it('that is granted keeps who was identified while it was pending, for the next page', async () => {
    const first = arrange({ consent: 'pending' })
    first.identify(ADA)
    first.consent('granted')
    expect(localStorage['pristo_contact']).toContain('u_1') // in the same task: the next page reads it at its start
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
    expect([await onDisk(), Object.keys(localStorage)]).toEqual([[], ['pristo_consent']])
    identify(ADA)
    expect(track('more')).toBeUndefined()
    await vi.advanceTimersByTimeAsync(60_000)
    expect([requests.length, await onDisk(), Object.keys(localStorage)]).toEqual([before, [], ['pristo_consent']])
  })

  it('that is denied erases at once, though a request is under way, and whatever its answer is', async () => {
    const { identify, track, consent, relay, flush, told } = arrange()
    let land = (): void => {}
    relay.answer = (body) => new Promise((resolve) => void (land = () => resolve(relayAnswer(body))))
    identify(ADA)
    track('view')
    void flush()
    await vi.advanceTimersByTimeAsync(50)
    document.cookie = 'pristo_ack_x=000000001;Path=/'
    consent('denied')
    await vi.advanceTimersByTimeAsync(50)
    expect(told.dropped.map(({ event, reason }) => [event.type, reason])).toEqual([['view', 'denied']])
    expect([await passing(readAll(createOutbox(() => indexedDB, () => true))), Object.keys(localStorage), document.cookie]).toEqual([[], ['pristo_consent'], ''])
    land()
    await vi.advanceTimersByTimeAsync(50)
    expect([told.delivered, told.dropped.length, Object.keys(localStorage), await onDisk()]).toEqual([[], 1, ['pristo_consent'], []])
  })

  it('that is denied clears the cookies where there is no disk, too', async () => {
    vi.stubGlobal('indexedDB', undefined)
    const { consent, flushed } = arrange()
    document.cookie = 'pristo_ack_x=000000001;Path=/'
    consent('denied')
    await flushed()
    expect(document.cookie).toBe('')
  })

  it('that is pending does not keep a reset() from being the last word on who was here', async () => {
    const first = arrange()
    first.identify(ADA)
    first.close()
    await vi.advanceTimersByTimeAsync(1_000)
    const next = arrange({ consent: 'pending' })
    next.track('before')
    next.reset()
    next.consent('granted')
    next.track('after')
    expect([(await next.flushed()).pending, next.seen(), next.told.dropped.map(({ event }) => event.type)]).toEqual([1, [], ['before']])
  })

  it('that goes back to pending is read up to that moment: whoever another tab logged out is not here any more', async () => {
    const { identify, track, consent, flushed, requests } = arrange()
    const other = arrange()
    identify(ADA)
    other.reset()
    consent('pending')
    track('view')
    consent('granted')
    expect([await flushed(), requests]).toEqual([expect.objectContaining({ pending: 1 }), []])
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
  it('that tracks what it is told of, and makes the same mistake again, is told once', async () => {
    const { track, on, told, messages } = arrange()
    on('error', ({ message }) => track('oops', { message }))
    track('view', { given: 'x'.repeat(60) })
    expect([told.error.length, messages.length]).toEqual([1, 2])
  })

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

  it('may call reset() and track() when it hears of a delivery: nothing comes back', async () => {
    const { identify, track, reset, on, flushed, seen, told } = arrange()
    const off = on('delivered', () => {
      off()
      reset()
      track('nobodys')
      identify(BOB)
      track('bobs')
    })
    identify(ADA)
    track('adas')
    await flushed()
    await flushed()
    expect(seen()).toEqual([['adas', ADA], ['nobodys', BOB], ['bobs', BOB]])
    expect([told.delivered.map(({ type }) => type), await onDisk()]).toEqual([['adas', 'nobodys', 'bobs'], []])
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

describe('a relay that wants proof of who the visitor is', () => {
  const refused = (): Response => Response.json({ v: 1, error: { code: 'token_expired', message: 'expired' } }, { status: 401 })

  it('gets it on asking, and the events with it, in order, without a word on the console', async () => {
    const getToken = vi.fn(async () => 'fresh')
    const { relay, requests, identify, track, messages, told } = arrange({ token: 'stale', getToken })
    relay.answer = (body) => (JSON.parse(String(body)).token === 'fresh' ? relayAnswer(body) : refused())
    identify(ADA)
    track('one')
    track('two')
    await vi.advanceTimersByTimeAsync(2_100)
    expect(told.delivered.map(({ type }) => type)).toEqual(['one', 'two'])
    expect(requests.map(({ body }) => body.token)).toEqual(['stale', 'fresh'])
    expect([getToken.mock.calls.length, messages]).toEqual([1, []])
  })

  it('and hears what cannot even be made a text of tells the site, and the page nothing', async () => {
    const { relay, identify, track, messages } = arrange({ getToken: () => Promise.reject(Object.create(null)) })
    relay.answer = refused
    identify(ADA)
    track('one')
    await vi.advanceTimersByTimeAsync(2_100) // an unhandled rejection would end the run
    expect(messages[0]).toBe('[pristo] object')
  })

  it('and never gets it is told of once, and costs no event', async () => {
    const { relay, identify, track, messages, told, flushed } = arrange({ getToken: () => undefined })
    relay.answer = refused
    identify(ADA)
    track('one')
    await vi.advanceTimersByTimeAsync(600_000)
    expect(messages).toEqual([expect.stringContaining('endpoint: got number 401')])
    expect([told.dropped, told.rejected, (await flushed()).pending]).toEqual([[], [], 1])
    relay.answer = relayAnswer
    expect(await flushed()).toMatchObject({ delivered: 1, pending: 0 })
  })
})
