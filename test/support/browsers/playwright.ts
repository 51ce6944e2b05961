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

/** Starts it headless. Rejects where it cannot. */
export const startPlaywright = async (engine: 'chromium' | 'firefox', { by: _, ...options }: Extract<Start, { by: 'playwright' }>): Promise<Browser> => {
  const browser =
    engine === 'chromium'
      ? await chromium.launch({ ...options, args: [...CHROMIUM_ARGS, `--disable-features=${CHROMIUM_FEATURES_NOT.join()}`], ignoreDefaultArgs: CHROMIUM_NOT })
      : await firefox.launch(options)
  return {
    newProfile: async () => {
      const context = await browser.newContext()
      return { newPage: async () => wrap(await context.newPage()), close: () => context.close() }
    },
    newHost: () => '127.0.0.1', // a profile forgets everything
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
