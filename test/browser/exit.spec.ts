/** The page goes in the moment in which it tracks. */
import type { Page } from '../support/browsers/index.ts'
import type { Site } from '../support/site.ts'
import { arrival, countTo, drain, expect, identify, numbersOf, sorted, test } from './fixtures.ts'
import { html, TAG } from './pages.ts'

/** All arrive although no page has the snippet any more, and a later visit, which looks into the store, adds nothing. */
const expectOnce = async (site: Site, page: Page, count: number): Promise<void> => {
  const numbers = (): number[] => sorted(numbersOf(site.api.events()))
  await expect.poll(numbers).toEqual(countTo(count))
  await page.goto(`${site.url}/later`)
  await drain(page)
  expect(numbers()).toEqual(countTo(count))
}

test('an event tracked in the task that navigates arrives once', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await page.evaluate(() => {
    // In a task of its own: an evaluation whose page goes has no answer.
    setTimeout(() => {
      window.pristo?.track?.('purchase', { n: 0 })
      location.href = '/blank'
    })
  })
  await arrival(page, '/blank')
  await expectOnce(site, page, 1)
})

test('an event tracked by the click on a link arrives once', async ({ site, open }) => {
  site.serve('/', html(`${TAG}<a href="/blank" onclick="pristo.track('add_to_cart', { n: 0 })">buy</a>`))
  const page = await open()
  await identify(page)
  await page.click('a')
  await arrival(page, '/blank')
  await expectOnce(site, page, 1)
})

test('of 50 events tracked as the tab closes, each arrives once', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await page.evaluate(() => {
    for (let n = 0; n < 50; n++) window.pristo?.track?.('page_view', { n })
  })
  await page.close()
  await expectOnce(site, await open('/blank'), 50)
})

test('of 200 events of 1 KB tracked in the task that navigates, each arrives once', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await page.evaluate(() => {
    const fields = Object.fromEntries(Array.from({ length: 18 }, (_, i) => [`field_${i}`, 'x'.repeat(40)]))
    setTimeout(() => {
      for (let n = 0; n < 200; n++) window.pristo?.track?.('page_view', { ...fields, n })
      location.href = '/later'
    })
  })
  await arrival(page, '/later')
  await drain(page)
  expect(sorted(numbersOf(site.api.events()))).toEqual(countTo(200))
})

test('what neither left nor was stored before the page went arrives once from the spill', async ({ site, open }) => {
  // WebKit's has done so (WebKit bug 226547).
  site.serve('/', html(`<script>IDBFactory.prototype.open = () => new EventTarget()</script>${TAG}`))
  site.relayFault({ mode: 'down' })
  const page = await open()
  await identify(page)
  await page.evaluate(() => {
    setTimeout(() => {
      for (let n = 0; n < 3; n++) window.pristo?.track?.('page_view', { n })
      location.href = '/blank'
    })
  })
  await arrival(page, '/blank')
  site.relayFault(null)
  await page.goto(`${site.url}/later`)
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(3))
})

test('hiding sends once, though two events tell of it; coming back sends nothing again', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await page.evaluate(() => {
    const turn = (state: string): void => {
      Object.defineProperty(document, 'visibilityState', { value: state, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    }
    window.pristo?.track?.('page_view', { n: 0 })
    turn('hidden')
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))
    dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))
    turn('visible')
  })
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual([0])
  expect(site.requests().length).toBe(1)
})

test('a page that comes back from the back/forward cache tracks on', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await page.evaluate(() => void Object.assign(window, { wasHere: true }))
  await page.goto(`${site.url}/next`)
  await page.back()
  await arrival(page, '/')
  expect(await page.evaluate(() => 'wasHere' in window)).toBe(true)
  await page.evaluate(() => void window.pristo?.track?.('page_view', { n: 0 }))
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual([0])
})
