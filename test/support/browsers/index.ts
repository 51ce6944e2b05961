/** One driver for three engines. */
import type { Browser } from './browser.ts'
import { findBrowser, nameOf, type Engine } from './find.mjs'
import { startPlaywright } from './playwright.ts'
import { startWebKit } from './webkit.ts'

export type { Browser, Page, Profile } from './browser.ts'
export type { Engine } from './find.mjs'

/** Starts a browser. Rejects, and says what is missing, where this machine has none of that engine. */
export const launch = async (engine: Engine): Promise<Browser> => {
  const found = findBrowser(engine)
  if ('lacks' in found) throw new Error(`${nameOf(engine)} cannot be started: ${found.lacks}`)
  if (found.start.by === 'webdriver') return startWebKit(found.start)
  if (engine === 'webkit') throw new Error('Playwright cannot drive a stock WebKit')
  return startPlaywright(engine, found.start)
}
