/** Chromium and Firefox, through Playwright. */
import { chromium, firefox, type Page as PlaywrightPage } from '@playwright/test'
import { toExpression, type Browser, type Page } from './browser.ts'
import { CHROMIUM_ARGS, type Start } from './find.mjs'
import { until } from './until.ts'

// Playwright turns the back/forward cache off, which visitors have.
const CHROMIUM_NOT = ['--disable-back-forward-cache']

/**
 * What of Chromium no page is told of: pages of its own behind the address bar of each window, and a process kept ready for the next tab. Half of what
 * a visitor costs the processor (Chromium 156). The rest is Playwright's own list (1.64.1), which this replaces, where it matters here.
 */
const CHROMIUM_FEATURES_NOT = [
  ...['WebUIOmniboxPopup', 'WebUIOmniboxAimPopup', 'WebUIOmniboxFullPopup', 'SpareRendererForSitePerProcess'],
  ...['AvoidUnnecessaryBeforeUnloadCheckSync', 'DestroyProfileOnBrowserClose', 'DialMediaRouteProvider', 'GlobalMediaControls', 'HttpsUpgrades', 'LensOverlay'],
  ...['MediaRouter', 'PaintHolding', 'ThirdPartyStoragePartitioning', 'BlockOriginHeaderModificationOnRedirect', 'AvoidCorsURLLoaderRestartOnRedirect'],
  ...['Translate', 'OptimizationHints', 'NetworkTimeServiceQuerying', 'AimEnabled'],
]

type Options = Omit<Extract<Start, { by: 'playwright' }>, 'by'>

/** Starts it headless. Rejects where it cannot. */
export const startChromium = async (options: Options): Promise<Browser> => {
  const args = [...CHROMIUM_ARGS, `--disable-features=${CHROMIUM_FEATURES_NOT.join()}`]
  const browser = await chromium.launch({ ...options, args, ignoreDefaultArgs: CHROMIUM_NOT })
  return {
    newProfile: async () => {
      const context = await browser.newContext()
      return { newPage: async () => wrap(await context.newPage()), close: () => context.close() }
    },
    close: () => browser.close(),
  }
}

/** The same; visitors share a profile, and meet on no host. */
export const startFirefox = async (options: Options): Promise<Browser> => {
  const browser = await firefox.launch(options)
  const context = await browser.newContext()
  const anchor = await context.newPage()

  // Most of what a visitor costs the processor is a new window (Firefox 153): the first tab is one of the anchor's, where it is in front.
  const openTab = async (): Promise<PlaywrightPage> => {
    const [page] = await Promise.all([context.waitForEvent('page'), anchor.evaluate(() => void open('about:blank', '_blank', 'noopener'))])
    return page
  }

  return {
    newProfile: async () => {
      let first: Promise<PlaywrightPage> | undefined
      return {
        newPage: async () => {
          if (!first) return wrap(await (first = openTab()))
          await first // else it would take this page for its own
          return wrap(await context.newPage()) // in a window of its own: both are in front
        },
        close: async () => {
          await first?.catch(() => undefined) // it may still be opening
          const closed = await Promise.allSettled(context.pages().map((page) => page !== anchor && page.close()))
          for (const end of closed) if (end.status === 'rejected') throw end.reason
        },
      }
    },
    close: () => browser.close(),
  }
}

const wrap = (page: PlaywrightPage): Page => {
  // Asked of the page itself: Playwright does not hear of a page that comes back from the cache (Firefox 153, Playwright 1.64.1).
  const url = (): Promise<string> => page.evaluate('location.href')
  return {
    goto: async (address) => void (await page.goto(address)),
    evaluate: (work: string | ((argument: never) => unknown), argument?: unknown) => page.evaluate(toExpression(work, argument)),
    // What is said of the click is the test's own idea of it: no waiting until it makes sense.
    click: (selector, how) => page.click(selector, { ...how, force: !!how, modifiers: how?.key ? [how.key] : [] }),
    press: (key) => page.keyboard.press(key),
    back: async () => {
      const here = await url()
      // `goBack()` waits for a load that a kept page does not have (Playwright 1.64.1).
      await page.evaluate(() => void setTimeout(() => history.back()))
      // Between two pages there is none to ask.
      await until('the browser to go back', () => url().then((now) => now !== here, () => false))
    },
    reload: async () => void (await page.reload()),
    close: () => page.close(),
    url,
  }
}
