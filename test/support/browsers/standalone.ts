/**
 * A browser that nobody drives: it opens one address and does what the page says, as a visitor's does.
 * Its profile is on disk, and it can be killed. WebKit's driver has neither: its profiles are never on disk.
 */
import { chromium, firefox } from '@playwright/test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CHROMIUM_ARGS } from './playwright.ts'
import { findBrowser, nameOf, type Engine } from './find.mjs'
import { start, startDisplay, stop } from './process.ts'

export interface Standalone {
  /** SIGKILL for all of its processes. Resolves when they are gone. */
  kill(): Promise<void>
}

/** A new profile has nothing to tell, and one that was killed opens what it is asked to, not what was open. */
const FIREFOX_PREFERENCES = {
  'browser.aboutwelcome.enabled': false,
  'browser.sessionstore.resume_from_crash': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.startup.max_resumed_crashes': -1,
}

const writePreferences = (folder: string): void => {
  const lines = Object.entries(FIREFOX_PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`)
  writeFileSync(join(folder, 'user.js'), lines.join(''))
}

/**
 * Opens the address in a browser of its own.
 * @param folder its profile; made where it is missing
 */
export const openStandalone = async (engine: Engine, folder: string, address: string): Promise<Standalone> => {
  const found = findBrowser(engine)
  if ('lacks' in found) throw new Error(`${nameOf(engine)} cannot be started: ${found.lacks}`)
  mkdirSync(folder, { recursive: true })
  if (found.start.by === 'webdriver') {
    const { screen, env } = await startDisplay(found.start.display)
    const places = Object.fromEntries(['DATA', 'CACHE', 'CONFIG'].map((what) => [`XDG_${what}_HOME`, join(folder, what)]))
    const browser = start(found.start.binary, [address], { ...env, ...places })
    return { kill: () => stop(browser).then(() => stop(screen)) }
  }
  const { executablePath = (engine === 'chromium' ? chromium : firefox).executablePath() } = found.start
  if (engine === 'firefox') writePreferences(folder)
  const args =
    engine === 'chromium'
      ? ['--headless=new', `--user-data-dir=${folder}`, ...CHROMIUM_ARGS, '--disable-breakpad', '--hide-crash-restore-bubble', address]
      : ['--headless', '--new-instance', '--profile', folder, address]
  const browser = start(executablePath, args)
  return { kill: () => stop(browser) }
}
