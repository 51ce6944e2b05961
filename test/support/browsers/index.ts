/** One driver for three engines. */
import type { Browser } from './browser.ts'
import { findBrowser, nameOf, type Engine } from './find.mjs'
import { startChromium, startFirefox } from './playwright.ts'
import { startWebKit } from './webkit.ts'

export { newHost, type Browser, type Page, type Profile } from './browser.ts'
export type { Engine } from './find.mjs'

/** Starts a browser. Rejects, and says what is missing, where this machine has none of that engine. */
export const launch = async (engine: Engine): Promise<Browser> => {
  const found = findBrowser(engine)
  if ('lacks' in found) throw new Error(`${nameOf(engine)} cannot be started: ${found.lacks}`)
  if (found.start.by === 'webdriver') return startWebKit(found.start)
  if (engine === 'webkit') throw new Error('Playwright cannot drive a stock WebKit')
  const { by: _, ...options } = found.start
  return engine === 'chromium' ? startChromium(options) : startFirefox(options)
}
