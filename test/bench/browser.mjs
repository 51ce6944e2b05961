// @ts-check
/**
 * The visitor's browser: a real Chromium, each sample in a fresh profile, and what the browser itself counts of a page's work.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { chromium } from '@playwright/test'
import { CHROMIUM_ARGS, findBrowser } from '../support/browsers/find.mjs'

/** @typedef {import('@playwright/test').Page} Page */

/**
 * @typedef {object} Visit
 * @property {Page} page Playwright's
 * @property {(work: string) => Promise<any>} evaluate an expression in the page
 * @property {(atMostMs?: number) => Promise<void>} quiet waits until the main thread has hardly worked for a quarter of a second
 * @property {(path: string) => Promise<Visit>} open another page of the same visitor, in a tab of its own
 * @property {() => Promise<void>} close the tab
 * @property {() => Promise<void>} end the visitor: all tabs, and what they stored
 */

/** @typedef {Awaited<ReturnType<typeof startBrowser>>} Browser */

/** A thread that works less than this in `QUIET_FOR_MS`, on a machine at full speed, is quiet: a question alone costs 0.3 ms. */
const QUIET_MS = 1.5

const QUIET_FOR_MS = 250

/** A library that never rests is cut off here. */
const QUIET_WITHIN_MS = 15_000

/**
 * No visitor's browser says that it is headless or driven: some libraries refuse to track those (PostHog, Plausible).
 * And nothing but this machine answers, or a library would be measured by the way to its vendor.
 */
const ARGS = [...CHROMIUM_ARGS, '--disable-blink-features=AutomationControlled', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']

/** @param {string} origin of the site */
export const startBrowser = async (origin) => {
  const found = findBrowser('chromium')
  if ('lacks' in found || found.start.by !== 'playwright') throw new Error(`no Chromium to measure in: ${'lacks' in found ? found.lacks : ''}`)
  const { by: _, ...start } = found.start
  const browser = await chromium.launch({ ...start, args: ARGS })
  const userAgent = `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${browser.version().split('.')[0]}.0.0.0 Safari/537.36`

  /** @param {import('@playwright/test').BrowserContext} context @param {string} path @returns {Promise<Visit>} */
  const openIn = async (context, path) => {
    const page = await context.newPage()
    const cdp = await context.newCDPSession(page)
    await cdp.send('Performance.enable', { timeDomain: 'threadTicks' })
    const workedMs = async () => ((await cdp.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration')?.value ?? NaN) * 1000

    const quiet = async (atMostMs = QUIET_WITHIN_MS) => {
      const end = performance.now() + atMostMs
      let before = await workedMs()
      for (;;) {
        await wait(QUIET_FOR_MS)
        const now = await workedMs()
        if (now - before < QUIET_MS || performance.now() > end) return
        before = now
      }
    }
    await page.goto(origin + path)
    return {
      page,
      evaluate: (work) => page.evaluate(work),
      quiet,
      open: (next) => openIn(context, next),
      close: () => page.close(),
      end: () => context.close(),
    }
  }

  return {
    version: browser.version(),
    /** A new visitor opens a page. @param {string} path such as `/page/pristo` */
    visit: async (path) => openIn(await browser.newContext({ userAgent, viewport: { width: 800, height: 600 } }), path),
    /** Speaks to the browser itself, for a page that nobody drives (`tab.mjs`). */
    session: () => browser.newBrowserCDPSession(),
    userAgent,
    close: () => browser.close(),
  }
}
