/**
 * The page goes in the moment in which it tracks.
 * What an engine cannot show: Chromium, that a request was keepalive (on localhost any request survives the page);
 * Firefox and WebKit, the tenth keepalive request, which only Chromium refuses (their nine pass, and so do ours).
 */
import type { Page } from '../support/browsers/index.ts'
import type { Site } from '../support/site.ts'
import { arrival, countTo, drain, expect, expectCalm, expectOnce, identify, numbersOf, poll, sorted, test, trackCount } from './fixtures.ts'
import { html, run, TAG } from './pages.ts'

/** All arrive although no page has the snippet any more, and a later visit, which looks into the store, adds nothing. */
const expectArrivalOnce = async (site: Site, page: Page, count: number): Promise<void> => {
  await poll(() => sorted(numbersOf(site.api.events()))).toEqual(countTo(count))
  await expectOnce(site, page, count)
}

/** Tracks so many events of about 1 KB, and goes to the path in the same task. */
const trackAndGo = async (page: Page, count: number, path = '/blank'): Promise<void> => {
  await page.evaluate(
    (given) => {
      const fields = Object.fromEntries(Array.from({ length: 18 }, (_, i) => [`field_${i}`, 'x'.repeat(40)]))
      // In a task of its own: an evaluation whose page goes has no answer.
      setTimeout(() => {
        for (let n = 0; n < given.count; n++) window.pristo?.track?.('page_view', { ...fields, n })
        location.href = given.path
      })
    },
    { count, path },
  )
  await arrival(page, path)
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
  await expectArrivalOnce(site, page, 1)
})

test('an event tracked by the click on a link arrives once', async ({ site, open }) => {
  site.serve('/', html(`${TAG}<a href="/blank" onclick="pristo.track('add_to_cart', { n: 0 })">buy</a>`))
  const page = await open()
  await identify(page)
  await page.click('a')
  await arrival(page, '/blank')
  await expectArrivalOnce(site, page, 1)
})

test('of 50 events tracked as the tab closes, each arrives once', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await page.evaluate(() => {
    for (let n = 0; n < 50; n++) window.pristo?.track?.('page_view', { n })
  })
  await page.close()
  await expectArrivalOnce(site, await open('/blank'), 50)
})

test('of 200 events of 1 KB tracked in the task that navigates, each arrives once', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await trackAndGo(page, 200, '/later')
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

test('no handler listens to unload or beforeunload, which would cost the page the back/forward cache', async ({ site, open }) => {
  const record = (): void => {
    const types: string[] = []
    Object.assign(window, { types })
    const { addEventListener: listen } = EventTarget.prototype
    EventTarget.prototype.addEventListener = function (...given) {
      types.push(given[0])
      return listen.apply(this, given)
    }
  }
  site.serve('/', html(run(record) + TAG))
  const page = await open()
  await identify(page)
  await trackCount(page, 1)
  await drain(page)
  const types = await page.evaluate(() => Object(window).types)
  expect(types).toContain('pagehide')
  expect(types).not.toContain('unload')
  expect(types).not.toContain('beforeunload')
  expect(await page.evaluate(() => window.onunload ?? window.onbeforeunload)).toBe(null)
})

/** Other scripts' requests, whose answers never come: to a host of its own, since a browser opens few connections to one. */
const hog = (page: Page, site: Site, requests: { count: number; bytes: number }): Promise<void> => {
  site.relayFault({ mode: 'hang', when: ({ path }) => path === '/other' })
  return page.evaluate(
    ({ count, bytes, address }) => {
      for (let n = 0; n < count; n++) fetch(address, { method: 'POST', mode: 'no-cors', keepalive: true, body: 'x'.repeat(bytes) }).catch(() => 'refused')
    },
    { ...requests, address: `http://other.localhost:${new URL(site.url).port}/other` },
  )
}

const hogs = {
  'most of the keepalive budget': { count: 1, bytes: 60_000 },
  'all of the keepalive budget': { count: 1, bytes: 65_536 },
  'nine keepalive requests in flight': { count: 9, bytes: 10 },
}

for (const [what, requests] of Object.entries(hogs)) {
  test(`where another script holds ${what}, of 30 events of 1 KB tracked as the page goes each arrives once`, async ({ site, open }) => {
    const page = await open()
    await identify(page)
    await hog(page, site, requests)
    await trackAndGo(page, 30)
    await expectOnce(site, page, 30)
  })

  test(`where another script holds ${what}, events of a page that stays arrive`, async ({ site, open }) => {
    const page = await open()
    await identify(page)
    await hog(page, site, requests)
    await trackCount(page, 3)
    await drain(page)
    expect(numbersOf(site.api.events())).toEqual(countTo(3))
    await expectCalm(page)
  })
}

/** Bodies of the batches, UTF-8 bytes. */
const sizes = (site: Site): number[] => site.requests().map(({ body }) => Buffer.byteLength(body))

/** Twelve events whose JSON is a little under or over a twelfth of 60 000 bytes. */
const texts = {
  'just under 60 000 bytes': { text: 'x', fields: 94, batches: 1 },
  'just over 60 000 bytes': { text: 'x', fields: 95, batches: 2 },
  'under 60 000 characters, of three bytes each': { text: '\u20ac', fields: 80, batches: 3 },
  'under 60 000 characters, half of them surrogates of emoji': { text: '\u{1f600}', fields: 80, batches: 2 },
}

for (const [what, { text, fields, batches }] of Object.entries(texts)) {
  test(`twelve events of ${what} together leave in batches of at most 60 000 bytes, and arrive once`, async ({ site, open }) => {
    const page = await open()
    await identify(page)
    await page.evaluate(
      (given) => {
        const value = given.text.repeat(36 / given.text.length)
        const all = Object.fromEntries(Array.from({ length: given.fields }, (_, i) => [`field_${100 + i}`, value]))
        for (let n = 0; n < 12; n++) window.pristo?.track?.('page_view', { ...all, n })
      },
      { text, fields },
    )
    await drain(page)
    for (const size of sizes(site)) expect(size).toBeLessThanOrEqual(60_000)
    expect(sizes(site).length).toBe(batches)
    await expectOnce(site, page, 12)
  })
}

test('a spill of half a megabyte arrives once', async ({ site, open }) => {
  site.serve('/', html(run(() => void (IDBFactory.prototype.open = () => Object(new EventTarget()))) + TAG))
  site.relayFault({ mode: 'down' })
  const page = await open()
  await identify(page)
  await trackAndGo(page, 500)
  site.relayFault(null)
  await expectOnce(site, page, 500)
})

const faults = {
  full: () => {
    let junk = 'x'.repeat(2 ** 20)
    for (let n = 0; junk; n++) {
      try {
        localStorage[`junk_${n}`] = junk
      } catch {
        junk = junk.slice(Math.ceil(junk.length / 2))
      }
    }
  },
  denied: () => {
    const get = (): never => {
      throw new DOMException('denied', 'SecurityError')
    }
    Object.defineProperty(window, 'localStorage', { get })
  },
}

for (const [what, fault] of Object.entries(faults)) {
  test(`where localStorage is ${what}, of 30 events of 1 KB tracked in the task that navigates each arrives once`, async ({ site, open }) => {
    const page = await open()
    await identify(page)
    await page.evaluate(fault)
    await trackAndGo(page, 30)
    await expectOnce(site, page, 30)
  })
}

test('batches of 40 KB in a row all go out keepalive: what an answer was read for is free again', async ({ site, open }) => {
  const record = (): void => {
    const { fetch } = window
    const kept: unknown[] = []
    Object.assign(window, { kept })
    window.fetch = (address, init) => {
      kept.push(init?.keepalive)
      return fetch(address, init)
    }
  }
  site.serve('/', html(run(record) + TAG))
  const page = await open()
  await identify(page)
  await page.evaluate(async () => {
    const fields = Object.fromEntries(Array.from({ length: 80 }, (_, i) => [`field_${i}`, 'x'.repeat(40)]))
    for (let n = 0; n < 50; n++) {
      window.pristo?.track?.('page_view', { ...fields, n })
      if (n % 10 === 9) await window.pristo?.flush?.()
    }
  })
  await drain(page)
  expect(site.requests()).toHaveLength(5)
  expect(await page.evaluate(() => Object(window).kept)).toEqual(Array.from({ length: 5 }, () => true))
  expect(numbersOf(site.api.events())).toEqual(countTo(50))
})

test('a flush that the navigation follows in the same task costs nothing', async ({ site, open }) => {
  const page = await open()
  await identify(page)
  await page.evaluate(() => {
    setTimeout(() => {
      for (let n = 0; n < 5; n++) window.pristo?.track?.('page_view', { n })
      void window.pristo?.flush?.()
      location.href = '/blank'
    })
  })
  await arrival(page, '/blank')
  await expectOnce(site, page, 5)
})
