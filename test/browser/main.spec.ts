/** The main job: a tag on a page, an event in Pristo. */
import type { Page } from '../support/browsers/index.ts'
import { CONTACT, countTo, drain, expect, numbersOf, poll, test } from './fixtures.ts'
import { html, MODULE, STUB, TAG } from './pages.ts'

// RFC 9562 §5.7
const UUID_V7 = /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/

/** track, identify, track; returns what the two calls of track() returned. */
const trackAround = (page: Page): Promise<(string | undefined)[]> =>
  page.evaluate((contact) => {
    const before = window.pristo?.track?.('page_view', { n: 0 })
    window.pristo?.identify?.(contact)
    return [before, window.pristo?.track?.('purchase', { n: 1, amount: 49.9 })]
  }, CONTACT)

test('events tracked before and after identify() are stored with that contact, under the ids that track() gave', async ({ site, open }) => {
  const ids = await trackAround(await open())
  await poll(() => site.api.events().length).toBe(2)
  expect(site.api.events()).toMatchObject([
    { requestId: ids[0], type: 'page_view', contact: CONTACT, customFields: { n: '0' } },
    { requestId: ids[1], type: 'purchase', contact: CONTACT, customFields: { n: '1', amount: '49.9' } },
  ])
  for (const id of ids) expect(id).toMatch(UUID_V7)
  expect(site.api.contacts()).toEqual([CONTACT])
})

test('every contact field arrives, and event fields keep their names, whatever the bundle calls its own', async ({ site, open }) => {
  const contact = { ...CONTACT, phone: '+4930123456', language: 'de', name: 'Ada', lastName: 'Lovelace', customFields: { plan: 'pro' } }
  // The build shortens the names of members: these are ours and the site's at once.
  const fields = { name: 'a', page: 'b', fields: 'c', post: 'd', send: 'e', read: 'f', claim: 'g', q: 'h', v: 'i' }
  const page = await open()
  await page.evaluate(
    (given) => {
      window.pristo?.identify?.(given.contact)
      window.pristo?.track?.('purchase', given.fields)
    },
    { contact, fields },
  )
  await drain(page)
  expect(site.api.contacts()).toEqual([contact])
  expect(site.api.events()).toMatchObject([{ customFields: fields }])
})

/** Everything that a script of the page can read. */
const readAll = (page: Page): Promise<string> =>
  page.evaluate(async () => {
    const settle = <T>(request: IDBRequest<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result)
        request.onerror = () => reject(request.error)
      })
    const stored: unknown[] = []
    for (const { name = '' } of await indexedDB.databases()) {
      const database = await settle(indexedDB.open(name))
      for (const store of database.objectStoreNames) stored.push(await settle(database.transaction(store).objectStore(store).getAll()))
      database.close()
    }
    return [document.documentElement.outerHTML, document.cookie, JSON.stringify(localStorage), JSON.stringify(stored)].join('\n')
  })

test('the key goes to the API with every event, and to the browser with nothing', async ({ site, open }) => {
  site.relayFault({ mode: 'down' })
  const page = await open()
  const [id = ''] = await trackAround(page)
  // The witness can see: what waits is there to be read.
  await poll(() => readAll(page)).toContain(id)
  const waiting = await readAll(page)
  site.relayFault(null)
  await drain(page)
  expect(site.api.calls().map(({ headers }) => headers['x-api-key'])).toEqual([site.api.apiKey, site.api.apiKey])
  for (const seen of [waiting, await readAll(page), site.sent()]) expect(seen.toLowerCase()).not.toContain(site.api.apiKey)
})

test('calls that the inline stub queued are replayed once, in order', async ({ site, open }) => {
  const calls = `<script>pristo.track('page_view', { n: 0 }); pristo.identify(${JSON.stringify(CONTACT)}); pristo.track('signup', { n: 1 }); pristo.track('purchase', { n: 2 })</script>`
  site.serve('/', html(STUB + calls + TAG))
  const page = await open()
  await page.evaluate(() => window.pristo?.track?.('newsletter', { n: 3 }))
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(4))
  expect(await page.evaluate(() => window.complaints)).toEqual([])
})

test('the script loaded twice is harmless', async ({ site, open }) => {
  const calls = `<script>pristo.identify(${JSON.stringify(CONTACT)}); pristo.track('signup', { n: 0 })</script>`
  site.serve('/', html(STUB + calls + TAG + TAG))
  const page = await open()
  await page.evaluate(() => window.pristo?.track?.('purchase', { n: 1 }))
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(2))
  expect(await page.evaluate(() => window.complaints)).toEqual([])
})

test('the ES module does the same job', async ({ site, open }) => {
  site.serve('/', html(MODULE))
  const page = await open()
  const result = await page.evaluate(async (contact) => {
    const pristo = window.createPristo?.()
    pristo?.track('signup', { n: 0 })
    pristo?.identify(contact)
    pristo?.track('purchase', { n: 1 })
    return pristo?.flush()
  }, CONTACT)
  expect(result).toEqual({ delivered: 2, rejected: 0, pending: 0 })
  expect(site.api.events()).toMatchObject([
    { contact: CONTACT, customFields: { n: '0' } },
    { contact: CONTACT, customFields: { n: '1' } },
  ])
})

const endpoints = [
  { what: 'without data-endpoint sends to /pristo', tag: '<script async src="/pristo.js"></script>', path: '/pristo' },
  { what: 'with data-endpoint sends there', tag: '<script async src="/pristo.js" data-endpoint="/collect/here"></script>', path: '/collect/here' },
]

for (const { what, tag, path } of endpoints) {
  test(`a tag ${what}`, async ({ site, open }) => {
    site.serve('/', html(tag))
    const page = await open()
    await trackAround(page)
    await drain(page)
    expect(new Set(site.requests().map((request) => request.path))).toEqual(new Set([path]))
    expect(site.api.events().length).toBe(2)
    expect(await page.evaluate(() => window.complaints)).toEqual([])
  })
}

test('a strict content security policy is enough', async ({ site, open }) => {
  site.serve('/app.js', `pristo.identify(${JSON.stringify(CONTACT)}); pristo.track('signup', { n: 0 })`)
  site.serve('/', html('<script src="/pristo.js"></script><script src="/app.js"></script>'), {
    'Content-Security-Policy': "script-src 'self'; connect-src 'self'",
  })
  const page = await open()
  await drain(page)
  expect(numbersOf(site.api.events())).toEqual(countTo(1))
  expect(await page.evaluate(() => window.complaints)).toEqual([])
})
