/** The README's consent recipes, as printed, with what the platforms document of themselves in the platforms' place. */
import { readFileSync } from 'node:fs'
import type { Page } from '../support/browsers/index.ts'
import { drain, expect, expectCalm, flush, identify, poll, recordsOnDisk, test } from './fixtures.ts'
import { html } from './pages.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** A page with a recipe, what comes before and after it of the platform, and the tag. The visitor has not decided yet. */
const shop = (recipe: string, platform = '', before = ''): string =>
  html(`<script>window.pristo = { q: [['consent', 'pending']] }; ${before}</script>
    ${readme.split(`\`\`\`html ${recipe}\n`)[1]?.split('```')[0] ?? ''}
    <script>${platform}</script>
    <script async src="/pristo.js" data-endpoint="/pristo" data-consent="pending"></script>`)

/** As Google's documentation has it (developers.google.com/tag-platform/security/guides/consent). */
const GTAG = 'window.dataLayer = window.dataLayer || []; function gtag() { dataLayer.push(arguments) }'

/** Says something by `gtag()`. */
const gtag = (page: Page, ...given: unknown[]): Promise<void> => page.evaluate((given) => Reflect.get(window, 'gtag')(...given), given)

/** As cookiebot.com/en/developer has it: an object of what was chosen, and an event of that choice. */
const choose = (page: Page, name: string, statistics: boolean): Promise<void> =>
  page.evaluate(
    ({ name, statistics }) => {
      Reflect.set(window, 'Cookiebot', { consent: { necessary: true, preferences: false, statistics, marketing: false }, hasResponse: true })
      dispatchEvent(new Event(name))
    },
    { name, statistics },
  )

/** Tracks one event once the tag is there; the page then holds it, or what a denial leaves of it. */
const track = async (page: Page): Promise<void> => {
  await poll(() => page.evaluate(() => typeof window.pristo?.flush)).toBe('function')
  await identify(page)
  await page.evaluate(() => window.pristo?.track?.('page_view'))
}

const GRANTED = { ad_storage: 'denied', ad_user_data: 'denied', ad_personalization: 'denied', analytics_storage: 'granted' }

test.describe('Google Consent Mode', () => {
  test('a default sends and stores nothing; an update that grants analytics does', async ({ site, open }) => {
    site.serve('/shop', shop('consent-mode', `${GTAG}; gtag('consent', 'default', ${JSON.stringify(GRANTED)})`))
    const page = await open('/shop')
    await track(page)
    expect(await flush(page)).toEqual({ delivered: 0, rejected: 0, pending: 1 })
    expect(site.asked()).toBe(0)
    await gtag(page, 'consent', 'update', GRANTED)
    await drain(page)
    expect(site.api.events()).toMatchObject([{ type: 'page_view' }])
  })

  // Google: "any value other than granted will be treated as denied".
  for (const analytics_storage of ['denied', 'no']) {
    test(`an update that says ${analytics_storage} to analytics erases what was held`, async ({ site, open }) => {
      site.serve('/shop', shop('consent-mode', GTAG))
      const page = await open('/shop')
      await track(page)
      await gtag(page, 'consent', 'update', { ...GRANTED, analytics_storage })
      expect(await flush(page)).toEqual({ delivered: 0, rejected: 0, pending: 0 })
      expect(await recordsOnDisk(page)).toEqual([])
      await gtag(page, 'consent', 'update', { ad_storage: 'granted' }) // says nothing of analytics
      await track(page)
      expect(await flush(page)).toEqual({ delivered: 0, rejected: 0, pending: 0 })
      expect(site.asked()).toBe(0)
    })
  }

  test('an update before the tag is there is heard, also behind another patch of push, and push goes on as it was', async ({ site, open }) => {
    const manager = `dataLayer.push = (push => (...given) => push.apply(dataLayer, given))(dataLayer.push)
      window.pushed = dataLayer.push({ event: 'gtm.js' }, null, 'text', ['consent', 'update'])
      gtag('consent', 'update', ${JSON.stringify(GRANTED)})`
    site.serve('/shop', shop('consent-mode', `${GTAG}; ${manager}`))
    const page = await open('/shop')
    await track(page)
    await drain(page)
    expect(site.api.events()).toMatchObject([{ type: 'page_view' }])
    expect(await page.evaluate(() => Reflect.get(window, 'pushed'))).toBe(4)
    await expectCalm(page)
  })
})

test('Google Consent Mode: an update that was said before the recipe is heard', async ({ site, open }) => {
  site.serve('/shop', shop('consent-mode', '', `${GTAG}; gtag('js', new Date()); gtag('consent', 'update', ${JSON.stringify(GRANTED)})`))
  const page = await open('/shop')
  await track(page)
  await drain(page)
  expect(site.api.events()).toMatchObject([{ type: 'page_view' }])
})

test.describe('Cookiebot', () => {
  test('nothing is sent before the visitor accepts statistics, and then what was held is', async ({ site, open }) => {
    site.serve('/shop', shop('cookiebot'))
    const page = await open('/shop')
    await track(page)
    expect(await flush(page)).toEqual({ delivered: 0, rejected: 0, pending: 1 })
    expect(site.asked()).toBe(0)
    await choose(page, 'CookiebotOnAccept', true)
    await drain(page)
    expect(site.api.events()).toMatchObject([{ type: 'page_view' }])
  })

  for (const [name, what] of [
    ['CookiebotOnDecline', 'who declines'],
    ['CookiebotOnAccept', 'who accepts all but statistics'],
  ] as const) {
    test(`a visitor ${what} is not tracked`, async ({ site, open }) => {
      site.serve('/shop', shop('cookiebot'))
      const page = await open('/shop')
      await track(page)
      await choose(page, name, false)
      expect(await flush(page)).toEqual({ delivered: 0, rejected: 0, pending: 0 })
      expect(await recordsOnDisk(page)).toEqual([])
      expect(site.asked()).toBe(0)
    })
  }
})
