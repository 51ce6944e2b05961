/** The network, the relay or an answer is gone, and comes back. */
import type { Page } from '../support/browsers/index.ts'
import type { Site } from '../support/site.ts'
import { countTo, drain, expect, expectOnce, identify, numbersOf, poll, test } from './fixtures.ts'
import { html, LATER, TAG } from './pages.ts'

const trackThree = (page: Page): Promise<unknown> =>
  page.evaluate(() => {
    for (const n of [0, 1, 2]) window.pristo?.track?.('add_to_cart', { n })
    return window.pristo?.flush?.()
  })

/** A reload once every lease has run out: until then nobody but the last page could send what it held. */
const reloadLater = (site: Site, page: Page): Promise<void> => {
  site.serve('/', html(LATER + TAG))
  return page.reload()
}

test('events tracked offline arrive once, in order, after a reload', async ({ site, open }) => {
  site.relayFault({ mode: 'down' })
  const page = await open()
  await identify(page)
  expect(await trackThree(page)).toEqual({ delivered: 0, rejected: 0, pending: 3 })
  await reloadLater(site, page)
  site.relayFault(null)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(3))
})

test('events tracked offline arrive when the network is back, without a reload', async ({ site, open }) => {
  site.relayFault({ mode: 'down' })
  const page = await open()
  await identify(page)
  await trackThree(page)
  site.relayFault(null)
  await page.evaluate(() => void dispatchEvent(new Event('online')))
  await poll(() => numbersOf(site.api.events())).toEqual(countTo(3))
  await expectOnce(site, page, 3)
})

test('events arrive once when a proxy answers 503 for a while', async ({ site, open }) => {
  site.relayFault({ mode: 'status', status: 503 })
  const page = await open()
  await identify(page)
  expect(await trackThree(page)).toEqual({ delivered: 0, rejected: 0, pending: 3 })
  site.relayFault(null)
  await poll(() => numbersOf(site.api.events())).toEqual(countTo(3))
  await expectOnce(site, page, 3)
})

test('an event whose answer was lost is stored once', async ({ site, open }) => {
  site.relayFault({ mode: 'drop-answer' })
  const page = await open()
  await identify(page)
  expect(await trackThree(page)).toEqual({ delivered: 0, rejected: 0, pending: 3 })
  expect(numbersOf(site.api.events())).toEqual(countTo(3))
  await reloadLater(site, page)
  site.relayFault(null)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(3))
})

/** Ways to be gone before the answer comes. */
const departures = {
  'navigates away': async (page: Page, origin: string) => page.goto(`${origin}/blank`),
  'is closed': async (page: Page) => page.close(),
}

for (const [what, depart] of Object.entries(departures)) {
  test(`an answer that arrives after the page ${what} costs nothing: the event is stored once`, async ({ site, open }) => {
    const other = await open('/blank')
    const page = await open()
    await identify(page)
    site.relayFault({ mode: 'late-answer', delayMs: 1_000 })
    await page.evaluate(() => void window.pristo?.track?.('purchase', { n: 0 }))
    await depart(page, site.url)
    await poll(() => numbersOf(site.api.events())).toEqual([0])

    // The next page has the ack already, or asks again, and the relay remembers.
    site.relayFault(null)
    await other.goto(`${site.url}/later`)
    await drain(other)
    expect(numbersOf(site.api.events())).toEqual([0])
    expect(site.requests().length).toBeLessThanOrEqual(2)
  })
}
