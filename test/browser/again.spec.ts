/**
 * Trying again: when, how much of it, how often, and when no more.
 * WebKit's driver has no offline switch: the server cuts connections, and `navigator.onLine` and the events are the page's own, in all three.
 */
import type { Page } from '../support/browsers/index.ts'
import type { RelayRequest, Site } from '../support/site.ts'
import { CONTACT, countTo, drain, expect, expectCalm, expectOnce, flush, identify, numbersOf, poll, sorted, test, trackCount } from './fixtures.ts'
import { clock, html, MODULE, run, TAG } from './pages.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** The field `n` of each event of a request. */
const numbersIn = ({ body }: RelayRequest): number[] => numbersOf(JSON.parse(body).events)

/** A page whose tracker tells `window.told` what it drops and rejects, from the first moment on. */
const TELLING = `<script type="module">
  import { createPristo } from '/pristo.mjs'
  window.told = { dropped: [], rejected: [] }
  window.pristo = createPristo()
  for (const name of Object.keys(told)) pristo.on(name, ({ event, reason, code }) => told[name].push([+event.customFields.n, reason ?? code]))
</script>`

const toldOf = (page: Page): Promise<{ dropped: [number, string][]; rejected: [number, string][] }> => page.evaluate(() => Reflect.get(window, 'told'))

// --- What an answer says of the whole request ---

const HTML = { 'Content-Type': 'text/html' }

/** None of these speaks of one of the batch's events. */
const answers: { status: number; headers?: Record<string, string>; body?: string }[] = [
  ...[400, 401, 403, 404, 405, 408, 415, 429, 500, 503, 204].map((status) => ({ status })),
  { status: 502, headers: HTML, body: '<h1>Bad gateway</h1>' },
  { status: 200, headers: HTML, body: '<h1>Log in to this wifi</h1>' },
  { status: 302, headers: { Location: '/blank' } },
  ...['null', '[]', '"ok"', '{"results":"all"}', '{"results":[null,{},{"id":"x","outcome":"stored"}]}'].map((body) => ({ status: 200, body })),
]

test('whatever else the endpoint answers costs no event, is asked for once a try, and is told of once', async ({ site, open }) => {
  const page = await open()
  site.relayFault({ mode: 'down' }) // a slow machine's first batch must not leave before the first answer is set
  await identify(page)
  await trackCount(page, 2)
  for (const answer of answers) {
    const before = site.requests().length
    site.relayFault({ mode: 'status', ...answer })
    expect(await flush(page), JSON.stringify(answer)).toEqual({ delivered: 0, rejected: 0, pending: 2 })
    // A redirect is followed, as a GET. A timer may have come in between.
    expect(site.requests().length - before, JSON.stringify(answer)).toBeLessThanOrEqual(2)
  }
  expect((await page.evaluate(() => window.complaints)).map(({ kind }) => kind)).toEqual(['error'])
  site.relayFault(null)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual([0, 1])
})

test('an outcome of the future keeps the event', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  site.relayFault({ mode: 'down' })
  const id = await page.evaluate(() => window.pristo?.track?.('page_view', { n: 0 }))
  site.relayFault({ mode: 'status', status: 200, body: JSON.stringify({ v: 1, results: [{ id, outcome: 'teleported' }] }) })
  expect(await flush(page)).toEqual({ delivered: 0, rejected: 0, pending: 1 })
  expect(site.requests()).toHaveLength(1)
  site.relayFault(null)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual([0])
})

test('what the API says of the set-up, the load or itself costs no event', async ({ site, open }) => {
  const page = await open()
  site.api.fail({ status: 500 })
  await identify(page)
  await trackCount(page, 2)
  for (const status of [401, 403, 404, 408, 425, 429, 500, 503]) {
    site.api.fail({ status })
    expect(await flush(page), String(status)).toEqual({ delivered: 0, rejected: 0, pending: 2 })
  }
  site.api.fail(null)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual([0, 1])
})

test('an event that the API refuses is told as rejected and not sent again, and the next one arrives', async ({ site, open }) => {
  site.serve('/', html(TELLING))
  const page = await open()
  await identify(page)
  const refusals = [400, 409, 413, 415, 422]
  for (const [n, status] of refusals.entries()) {
    site.api.fail({ status, times: 1 })
    await trackCount(page, 1, n)
    expect(await flush(page), String(status)).toEqual({ delivered: 0, rejected: 1, pending: 0 })
  }
  await trackCount(page, 1, refusals.length)
  await drain(page)
  expect((await toldOf(page)).rejected).toEqual(refusals.map((_, n) => [n, 'invalid_event']))
  await page.goto(`${site.url}/later`)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual([refusals.length])
})

test('where the API is reset after it stored, the event is stored once more at most, and is not lost', async ({ site, open }) => {
  site.api.fail({ reset: 'after', times: 1 })
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  expect(new Set(numbersOf(site.api.events()))).toEqual(new Set([0]))
})

// --- Retry-After ---

/** Made as the answer leaves. */
const waits: { what: string; value: () => string; obeyed: boolean }[] = [
  { what: 'seconds', value: () => '120', obeyed: true },
  { what: 'a date', value: () => new Date(Date.now() + 2 * MINUTE_MS).toUTCString(), obeyed: true },
  { what: 'a year', value: () => '31536000', obeyed: true },
  { what: 'a negative number', value: () => '-5', obeyed: false },
  { what: 'a date gone by', value: () => new Date(Date.now() - HOUR_MS).toUTCString(), obeyed: false },
  { what: 'garbage', value: () => 'soon', obeyed: false },
]

for (const { what, value } of waits.filter(({ obeyed }) => obeyed)) {
  test(`a Retry-After of ${what} is obeyed by flush(), by a page that goes and by the next page, and for an hour at most`, async ({ site, open }) => {
    site.relayFault({ mode: 'status', status: 429, headers: { 'Retry-After': value() } })
    const page = await open()
    await identify(page)
    await trackCount(page, 1)
    expect(await flush(page)).toMatchObject({ pending: 1 })
    site.relayFault(null)
    expect(await flush(page)).toMatchObject({ pending: 1 })
    await page.goto(`${site.url}/later`)
    expect(await flush(page)).toMatchObject({ pending: 1 })
    expect(site.requests()).toHaveLength(1)

    site.serve('/later', html(clock(HOUR_MS + MINUTE_MS) + TAG))
    await expectOnce(site, page, 1)
  })
}

for (const { what, value } of waits.filter(({ obeyed }) => !obeyed)) {
  test(`a Retry-After of ${what} holds up nothing`, async ({ site, open }) => {
    site.relayFault({ mode: 'status', status: 429, headers: { 'Retry-After': value() } })
    const page = await open()
    await identify(page)
    await trackCount(page, 1)
    expect(await flush(page)).toMatchObject({ pending: 1 })
    site.relayFault(null)
    expect(await flush(page)).toEqual({ delivered: 1, rejected: 0, pending: 0 })
  })
}

// --- 413 ---

test('413 halves the batch down to the event that is too large, which is rejected; the others arrive once', async ({ site, open }) => {
  site.serve('/', html(TELLING))
  site.relayFault({ mode: 'status', status: 413, when: (request) => numbersIn(request).includes(5) })
  const page = await open()
  await identify(page)
  await trackCount(page, 8)
  await drain(page)
  expect(sorted(numbersOf(site.api.events()))).toEqual([0, 1, 2, 3, 4, 6, 7])
  expect((await toldOf(page)).rejected).toEqual([[5, 'too_large']])
  const refused = site.requests().map(numbersIn).filter((numbers) => numbers.includes(5))
  expect(refused.filter(({ length }) => length === 1)).toEqual([[5]])
  expect(refused.length).toBeLessThanOrEqual(8)
})

test('413 for more than a proxy takes: smaller batches arrive, each event once', async ({ site, open }) => {
  site.relayFault({ mode: 'status', status: 413, when: (request) => numbersIn(request).length > 3 })
  const page = await open()
  await identify(page)
  await trackCount(page, 40)
  await drain(page)
  expect(sorted(numbersOf(site.api.events()))).toEqual(countTo(40))
  await expectCalm(page)
})

// --- Limits of what waits ---

test('of 1005 events that wait, the 5 oldest are dropped and told', async ({ site, open }) => {
  site.serve('/', html(TELLING))
  const page = await open()
  await trackCount(page, 1005)
  expect(await flush(page)).toMatchObject({ pending: 1000 })
  expect((await toldOf(page)).dropped).toEqual(countTo(5).map((n) => [n, 'full']))
})

test('where the queue gets full while a request is in flight, what that delivers makes room, and nothing is dropped', async ({ site, open }) => {
  site.serve('/', html(TELLING))
  site.relayFault({ mode: 'late-answer', delayMs: 1_000 })
  const page = await open()
  await identify(page)
  await trackCount(page, 20)
  await poll(() => site.requests().length).toBe(1)
  site.relayFault({ mode: 'down' })
  await trackCount(page, 1000, 20)
  await poll(async () => (await flush(page))?.pending).toBe(1000)
  expect(numbersOf(site.api.events())).toEqual(countTo(20))
  expect((await toldOf(page)).dropped.map(([n]) => n)).toEqual([])
})

test('a rejected event at the head of a full batch holds up none of the others', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await page.evaluate(() => void window.pristo?.track?.('no_such_type', { n: -1 }))
  await trackCount(page, 60)
  await drain(page)
  expect(sorted(numbersOf(site.api.events()))).toEqual(countTo(60))
})

test('an event older than 7 days is dropped and told, and a younger one arrives', async ({ site, open }) => {
  // Asked to wait, a page sends nothing at its end.
  site.relayFault({ mode: 'status', status: 503, headers: { 'Retry-After': '60' } })
  site.serve('/', html(clock(-7 * DAY_MS - MINUTE_MS) + TAG))
  site.serve('/next', html(clock(-7 * DAY_MS + HOUR_MS) + TAG))
  const page = await open('/')
  await identify(page)
  await trackCount(page, 1)
  await flush(page)
  await page.goto(`${site.url}/next`)
  await trackCount(page, 1, 1)
  await flush(page)
  await page.goto(`${site.url}/blank`)
  site.relayFault(null)
  site.serve('/later', html(TELLING))
  await page.goto(`${site.url}/later`)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual([1])
  expect((await toldOf(page)).dropped).toEqual([[0, 'expired']])
})

// --- The clock ---

for (const [what, aheadMs] of Object.entries({ 'an hour forward': HOUR_MS, 'an hour back': -HOUR_MS, 'a day back': -DAY_MS })) {
  test(`with the clock set ${what} between two pages, events of both arrive once`, async ({ site, open }) => {
    site.relayFault({ mode: 'down' })
    const page = await open()
    await identify(page)
    await trackCount(page, 2)
    await flush(page)
    site.serve('/next', html(clock(aheadMs) + TAG))
    await page.goto(`${site.url}/next`)
    await trackCount(page, 2, 2)
    site.relayFault(null)
    await drain(page)
    await expectOnce(site, page, 4)
  })

  test(`with the clock set ${what} while a page lives, its events arrive once`, async ({ site, open }) => {
    site.relayFault({ mode: 'down' })
    const page = await open()
    await identify(page)
    await trackCount(page, 2)
    await flush(page)
    await page.evaluate((ms) => {
      const { now } = Date
      Date.now = () => now() + ms
    }, aheadMs)
    await trackCount(page, 2, 2)
    site.relayFault(null)
    await drain(page)
    await expectOnce(site, page, 4)
  })
}

// --- When not to try; that the next probe comes 5 minutes later is a matter of the unit tests' clock ---

/** Three requests that nobody answers; after them nothing but a probe leaves. */
const breakThrough = async (site: Site, page: Page): Promise<void> => {
  site.relayFault({ mode: 'cut' })
  await identify(page)
  await trackCount(page, 5)
  for (let n = 0; n < 4; n++) await flush(page)
  // A timer may have come in between.
  for (const request of site.requests().slice(3)) expect(numbersIn(request)).toEqual([0])
}

/** What lifts the ban at once. */
const lifts: Record<string, (page: Page, site: Site) => Promise<void>> = {
  'the network comes back': (page) => page.evaluate(() => void dispatchEvent(new Event('online'))),
  'the page is seen again': (page) =>
    page.evaluate(() => {
      for (const state of ['hidden', 'visible']) {
        Object.defineProperty(document, 'visibilityState', { value: state, configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))
      }
    }),
  'the next page opens': (page, site) => page.goto(`${site.url}/later`),
}

for (const [what, lift] of Object.entries(lifts)) {
  test(`after three requests without an answer, all events leave at once when ${what} and there is an answer`, async ({ site, open }) => {
    const page = await open()
    await breakThrough(site, page)
    site.relayFault(null)
    await lift(page, site)
    await poll(() => sorted(numbersOf(site.api.events()))).toEqual(countTo(5))
    await expectOnce(site, page, 5)
  })
}

test('requests that nobody answers while the browser knows that it is offline do not count', async ({ site, open }) => {
  site.serve('/', html(run(() => Object.defineProperty(Navigator.prototype, 'onLine', { get: () => false })) + TAG))
  site.relayFault({ mode: 'cut' })
  const page = await open()
  await identify(page)
  await trackCount(page, 5)
  for (let n = 0; n < 5; n++) await flush(page)
  for (const request of site.requests()) expect(numbersIn(request)).toEqual(countTo(5))
})

test('a page that goes while nobody answers leaves its events to the next one, which tries at once', async ({ site, open }) => {
  const page = await open()
  await breakThrough(site, page)
  await page.goto(`${site.url}/blank`)
  site.relayFault(null)
  await expectOnce(site, page, 5)
})

// --- fetch, as others patched it ---

interface Patch {
  what: string
  patch: () => void
  /** Whether events arrive although it stays. */
  arrives: boolean
}

const patches: Patch[] = [
  {
    what: 'throws',
    arrives: false,
    patch: () => {
      const { fetch } = window
      window.fetch = () => {
        throw new TypeError('patched')
      }
      addEventListener('mend', () => Object.assign(window, { fetch }))
    },
  },
  {
    what: 'rejects',
    arrives: false,
    patch: () => {
      const { fetch } = window
      window.fetch = () => Promise.reject(new TypeError('patched'))
      addEventListener('mend', () => Object.assign(window, { fetch }))
    },
  },
  {
    what: 'returns nothing',
    arrives: false,
    patch: () => {
      const { fetch } = window
      window.fetch = () => Object(undefined)
      addEventListener('mend', () => Object.assign(window, { fetch }))
    },
  },
  {
    what: 'rejects whatever is keepalive',
    arrives: true,
    patch: () => {
      const { fetch } = window
      window.fetch = (address, init) => (init?.keepalive ? Promise.reject(new TypeError('over the budget')) : fetch(address, init))
    },
  },
]

for (const { what, patch, arrives } of patches) {
  test(`with a fetch that ${what}, events ${arrives ? 'arrive' : 'wait until it is mended'}, and nothing is thrown`, async ({ site, open }) => {
    site.serve('/', html(run(patch) + TAG))
    const page = await open()
    await identify(page)
    await trackCount(page, 3)
    if (!arrives) {
      expect(await flush(page)).toMatchObject({ delivered: 0, pending: 3 })
      await page.evaluate(() => void dispatchEvent(new Event('mend')))
    }
    await drain(page)
    expect(numbersOf(site.api.events())).toEqual(countTo(3))
    await expectCalm(page)
  })
}

test('a listener that throws costs neither the event nor the other listeners', async ({ site, open }) => {
  site.serve('/', html(MODULE))
  const page = await open()
  const heard = await page.evaluate(async (contact) => {
    const pristo = window.createPristo?.()
    const types: string[] = []
    pristo?.on('delivered', () => {
      throw new Error('a bug of the site')
    })
    pristo?.on('delivered', ({ type }) => types.push(type))
    pristo?.identify(contact)
    pristo?.track('signup')
    await pristo?.flush()
    return types
  }, CONTACT)
  expect(heard).toEqual(['signup'])
  await expectCalm(page)
})
