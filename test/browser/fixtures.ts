/** What every browser test starts from: an empty site and a visitor without a past. */
import { test as base, expect } from '@playwright/test'
import { engines } from '../support/browsers/find.mjs'
import { launch, type Browser, type Page } from '../support/browsers/index.ts'
import type { StoredEvent } from '../support/pristo-api.ts'
import { startSite, type Site } from '../support/site.ts'
import { html, LATER, TAG, WATCH } from './pages.ts'

export { expect }

interface Fixtures {
  /** Serves `/` and `/next` with the script tag, and `/later`, the same once every lease has run out. */
  site: Site
  /** Opens a path of the site in a new tab of the same visitor. */
  open(path?: string): Promise<Page>
}

export const test = base.extend<Fixtures, { engine: Browser }>({
  engine: [
    async ({}, use, { project }) => {
      const name = engines.find((engine) => engine === project.name)
      if (!name) throw new Error(`no engine called ${project.name}`)
      const browser = await launch(name)
      await use(browser)
      await browser.close()
    },
    { scope: 'worker' },
  ],
  site: async ({}, use) => {
    const site = await startSite()
    site.serve('/watch.js', WATCH)
    site.serve('/', html(TAG))
    site.serve('/next', html(TAG))
    site.serve('/later', html(LATER + TAG))
    site.serve('/blank', '<!doctype html><title>no snippet</title>')
    await use(site)
    await site.close()
  },
  open: async ({ engine, site }, use) => {
    const profile = await engine.newProfile()
    await use(async (path = '/') => {
      const page = await profile.newPage()
      await page.goto(site.url + path)
      return page
    })
    await profile.close()
  },
})

/** The contact of all tests. */
export const CONTACT = { id: 'u_42', email: 'a@b.co' }

/** Says who the visitor is. */
export const identify = (page: Page): Promise<void> => page.evaluate((contact) => window.pristo?.identify?.(contact), CONTACT)

/** Waits until a page that navigates by itself is there and loaded. */
export const arrival = (page: Page, path: string): Promise<void> => {
  const where = (): Promise<string> => page.evaluate(() => (document.readyState === 'complete' ? location.pathname : 'loading'))
  return expect.poll(() => where().catch(() => 'between two pages')).toBe(path)
}

/**
 * Waits until the visitor's device holds nothing more. After it, a duplicate would have arrived as well.
 * On `/later` that takes no lease's time.
 */
export const drain = async (page: Page): Promise<void> => {
  const pending = (): Promise<number | undefined> => page.evaluate(async () => (await window.pristo?.flush?.())?.pending)
  await expect.poll(pending, { message: 'events that still wait in the browser' }).toBe(0)
}

/** The field `n` of each event, in the order in which the API stored them. */
export const numbersOf = (events: StoredEvent[]): number[] => events.map(({ customFields }) => Number(customFields['n']))

/** 0, 1, … */
export const countTo = (length: number): number[] => Array.from({ length }, (_, n) => n)

/** Events that have arrived, by their field `n`, in the order of their making. */
export const sorted = (numbers: number[]): number[] => [...numbers].sort((a, b) => a - b)
