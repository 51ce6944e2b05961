/** What the visitor agreed to: before that nothing is written or sent, after a refusal nothing is left. */
import type { Page } from '../support/browsers/index.ts'
import type { Site } from '../support/site.ts'
import { CONTACT, drain, expect, flush, poll, recordsOnDisk, test } from './fixtures.ts'
import { html, run, TAG } from './pages.ts'

const PENDING = '<script async src="/pristo.js" data-consent="pending"></script>'

/** Identifies and tracks; the id that track() gave. */
const shop = (page: Page): Promise<string | null> =>
  page.evaluate((contact) => {
    window.pristo?.identify?.(contact)
    return window.pristo?.track?.('purchase') ?? null
  }, CONTACT)

const decide = (page: Page, state: 'granted' | 'pending' | 'denied'): Promise<void> => page.evaluate((given) => window.pristo?.consent?.(given), state)

/** All that is on the device, as a page without the snippet sees it; the databases only where there is any. */
const traces = async (page: Page, site: Site) => {
  await page.goto(`${site.url}/blank`)
  const { cookies, keys, databases } = await page.evaluate(async () => ({
    cookies: document.cookie,
    keys: Object.keys(localStorage),
    databases: (await indexedDB.databases()).length,
  }))
  return { cookies, keys, databases, records: await recordsOnDisk(page) }
}

const NO_TRACE = { cookies: '', keys: [], databases: 0, records: [] }

test('before consent nothing is written to storage or cookies or sent, whatever the page does and even as it goes', async ({ site, open }) => {
  site.serve('/', html(PENDING))
  const page = await open()
  await shop(page)
  await flush(page)
  await page.evaluate(() => {
    window.pristo?.reset?.()
    document.dispatchEvent(new Event('visibilitychange'))
  })
  await shop(page)
  expect(await traces(page, site)).toEqual(NO_TRACE)
  expect([site.asked(), site.api.events()]).toEqual([0, []])
})

test('consent sends what was held, and is remembered: the next page asks no more', async ({ site, open }) => {
  site.serve('/', html(PENDING))
  const page = await open()
  const first = await shop(page)
  await decide(page, 'granted')
  await drain(page)
  await page.goto(`${site.url}/?again`)
  const second = await shop(page)
  await drain(page)
  expect(site.api.events().map(({ requestId }) => requestId)).toEqual([first, second])
})

test('a refusal erases all that was stored, cookies included, and is all that is left; the next page tracks nothing', async ({ site, open }) => {
  const page = await open()
  await shop(page)
  await drain(page)
  site.relayFault({ mode: 'down' })
  await shop(page)
  await flush(page)
  await page.evaluate(() => void (document.cookie = 'pristo_ack_123456789=123456789;Path=/'))
  await decide(page, 'denied')
  await flush(page)
  const left = { cookies: '', keys: ['pristo_consent'], records: [] }
  expect(await traces(page, site)).toMatchObject(left)
  site.relayFault(null)
  const asked = site.asked()
  await page.goto(`${site.url}/later`)
  expect([await shop(page), await flush(page)]).toEqual([null, { delivered: 0, rejected: 0, pending: 0 }])
  expect(await traces(page, site)).toMatchObject(left)
  expect([site.asked() - asked, site.api.events().length]).toEqual([0, 1])
})

test('a page to which the visitor comes back after refusing on the next one has heard of it', async ({ site, open }) => {
  const page = await open()
  await shop(page)
  await drain(page)
  await page.goto(`${site.url}/next`)
  await decide(page, 'denied')
  await page.back()
  await poll(() => page.evaluate(() => typeof window.pristo?.track)).toBe('function')
  expect(await shop(page)).toBe(null)
  await flush(page)
  expect(await traces(page, site)).toMatchObject({ keys: ['pristo_consent'], records: [] })
})

const signals = [
  { name: 'Global Privacy Control', word: 'gpc', set: run(() => void Object.defineProperty(navigator, 'globalPrivacyControl', { value: true })) },
  { name: 'Do Not Track', word: 'dnt', set: run(() => void Object.defineProperty(navigator, 'doNotTrack', { value: '1' })) },
]

for (const { name, word, set } of signals) {
  test(`${name} is a refusal where the tag respects it, until the visitor agrees here`, async ({ site, open }) => {
    site.serve('/', html(`${set}<script async src="/pristo.js" data-respect="${word}"></script>`))
    site.serve('/next', html(set + TAG))
    const page = await open()
    expect(await shop(page)).toBe(null)
    await flush(page) // the disk has heard of it: else the page leaves a note for the next one
    expect(await traces(page, site)).toMatchObject({ ...NO_TRACE, databases: expect.any(Number) })
    await page.goto(`${site.url}/`)
    await decide(page, 'granted')
    await page.goto(`${site.url}/?again`)
    const id = await shop(page)
    await drain(page)
    expect(site.api.events().map(({ requestId }) => requestId)).toEqual([id])
    expect(await page.evaluate(() => window.complaints)).toEqual([])
  })
}

test('a mistyped consent is told and holds nothing but memory', async ({ site, open }) => {
  site.serve('/', html('<script async src="/pristo.js" data-consent="yes"></script>'))
  const page = await open()
  await shop(page)
  await flush(page)
  const [complaint] = await page.evaluate(() => window.complaints)
  expect(complaint?.text).toMatch(/consent: got string yes; allowed: granted,pending,denied/)
  expect(await traces(page, site)).toEqual(NO_TRACE)
  expect(site.asked()).toBe(0)
})
