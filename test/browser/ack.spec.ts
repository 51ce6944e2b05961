/**
 * Answers that nobody read: the relay tells the next page by a cookie.
 * Another relay, which remembers nothing, stands in for one that shares no deduplication store: it would store twice.
 */
import type { Page } from '../support/browsers/index.ts'
import type { Site } from '../support/site.ts'
import { arrival, drain, expect, expectOnce, identify, numbersOf, poll, test, trackCount } from './fixtures.ts'
import { html, LATER, MODULE } from './pages.ts'

const cookies = (page: Page): Promise<string> => page.evaluate(() => document.cookie)

/** Waits until the relay has answered so many batches whose page was gone. */
const acknowledged = (page: Page, batches: number): Promise<void> =>
  poll(async () => (await cookies(page)).match(/pristo_ack_/g)?.length).toBe(batches)

/** Ways to be gone before the answer comes. */
const departures = {
  navigates: (page: Page, site: Site) => page.goto(`${site.url}/blank`),
  closes: (page: Page) => page.close(),
}

for (const [what, depart] of Object.entries(departures)) {
  test(`an event whose page ${what} before the answer is not sent again`, async ({ site, open }) => {
    const other = await open('/blank')
    const page = await open()
    await identify(page)
    site.relayFault({ mode: 'late-answer', delayMs: 500 })
    await trackCount(page, 1)
    await depart(page, site)
    await acknowledged(other, 1)
    site.relayFault(null)
    site.restartRelay()
    await expectOnce(site, other, 1)
    expect(site.requests()).toHaveLength(1)
    expect(await cookies(other)).toBe('')
  })
}

test('of 60 events that left in two batches as the tab closed, none is sent again', async ({ site, open }) => {
  const other = await open('/blank')
  const page = await open()
  await identify(page)
  site.relayFault({ mode: 'late-answer', delayMs: 2_000 }) // however slowly it closes, the tab reads neither answer
  await trackCount(page, 60)
  await page.close()
  await acknowledged(other, 2)
  site.relayFault(null)
  site.restartRelay()
  await expectOnce(site, other, 60)
  expect(site.requests()).toHaveLength(2)
  expect(await cookies(other)).toBe('')
})

test('of 200 events of 1 KB tracked in the task that navigates, those that left are not sent again, and the others are', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await page.evaluate(() => {
    const fields = Object.fromEntries(Array.from({ length: 18 }, (_, i) => [`field_${i}`, 'x'.repeat(40)]))
    setTimeout(() => {
      for (let n = 0; n < 200; n++) window.pristo?.track?.('page_view', { ...fields, n })
      location.href = '/blank'
    })
  })
  await arrival(page, '/blank')
  await poll(() => cookies(page)).toContain('pristo_ack_')
  await acknowledged(page, site.requests().length)
  site.restartRelay()
  await expectOnce(site, page, 200)
})

test('a page that lives to read the answer leaves no cookie', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await trackCount(page, 3)
  await drain(page)
  expect(site.sent()).toContain('pristo_ack_')
  expect(await cookies(page)).toBe('')
})

test('cookies of others stay', async ({ site, open }) => {
  const page = await open()
  await page.evaluate(() => {
    document.cookie = 'session=s; path=/'
    document.cookie = 'not_pristo_ack_1=1; path=/'
  })
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  await page.goto(`${site.url}/later`)
  await drain(page)
  expect((await cookies(page)).split('; ').sort()).toEqual(['not_pristo_ack_1=1', 'session=s'])
})

test('a denial erases the cookies', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  site.relayFault({ mode: 'late-answer', delayMs: 500 })
  await trackCount(page, 1)
  await page.goto(`${site.url}/blank`)
  await acknowledged(page, 1)
  await page.goto(`${site.url}/`)
  await page.evaluate(() => window.pristo?.consent?.('denied'))
  await poll(() => cookies(page)).toBe('')
})

test('before consent the cookies are neither read nor erased; with it they count', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  site.relayFault({ mode: 'late-answer', delayMs: 500 }) // a page that lives to read its answer clears the cookie
  await trackCount(page, 1)
  await page.goto(`${site.url}/blank`)
  await acknowledged(page, 1)
  site.relayFault(null)
  site.restartRelay()
  site.serve('/', html(LATER + MODULE))
  await page.goto(`${site.url}/`)
  const pending = await page.evaluate(async () => {
    const pristo = window.createPristo?.({ consent: 'pending' })
    await pristo?.flush()
    const seen = document.cookie
    pristo?.consent('granted')
    return { seen, after: await pristo?.flush() }
  })
  expect(pending.seen).toContain('pristo_ack_')
  expect(pending.after).toMatchObject({ pending: 0 })
  expect(numbersOf(site.api.events())).toEqual([0])
  expect(site.requests()).toHaveLength(1)
})

test('an event that was rejected while nobody listened is sent again, and the next page hears why', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await page.evaluate(() => {
    window.pristo?.track?.('page_view', { n: 0 })
    window.pristo?.track?.('no_such_type', { n: 1 })
  })
  await page.goto(`${site.url}/blank`)
  await acknowledged(page, 1)
  site.restartRelay()
  site.serve('/', html(LATER + MODULE))
  await page.goto(`${site.url}/`)
  const told = await page.evaluate(async () => {
    const pristo = window.createPristo?.()
    const types: string[] = []
    pristo?.on('rejected', ({ event }) => types.push(event.type))
    return { result: await pristo?.flush(), types }
  })
  expect(told).toEqual({ result: { delivered: 1, rejected: 1, pending: 0 }, types: ['no_such_type'] })
  expect(numbersOf(site.api.events())).toEqual([0])
})
