/** What every browser test starts from: an empty site and a visitor without a past. */
import { test as base, expect } from '@playwright/test'
import { engines } from '../support/browsers/find.mjs'
import { launch, newHost, type Browser, type Page } from '../support/browsers/index.ts'
import type { StoredEvent } from '../support/pristo-api.ts'
import { startSite, type Site } from '../support/site.ts'
import type { FlushResult } from '../../src/index.ts'
import { html, LATER, TAG, WATCH, type Complaint } from './pages.ts'

export { expect }

interface Fixtures {
  /** Serves `/` and `/next` with the script tag, and `/later`, the same once every lease has run out. */
  site: Site
  /** Opens a path of the site in a new tab of the same visitor; `null`: an empty tab. */
  open(path?: string | null): Promise<Page>
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
    const site = await startSite(newHost())
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
      if (path !== null) await page.goto(site.url + path)
      return page
    })
    await profile.close()
  },
})

/** Between two looks, milliseconds: Playwright's own grow to a second, and over 600 tests that is minutes. */
const INTERVALS_MS = [25, 25, 50, 50, 100]

/** `expect.poll`, which looks more often. */
export const poll = <T>(look: () => T | Promise<T>, options: { message?: string; timeout?: number } = {}) => expect.poll(look, { intervals: INTERVALS_MS, ...options })

/** The contact of all tests. */
export const CONTACT = { id: 'u_42', email: 'a@b.co' }

/** Says who the visitor is. */
export const identify = (page: Page): Promise<void> => page.evaluate((contact) => window.pristo?.identify?.(contact), CONTACT)

/** Waits until a page that navigates by itself is there and loaded. */
export const arrival = (page: Page, path: string): Promise<void> => {
  const where = (): Promise<string> => page.evaluate(() => (document.readyState === 'complete' ? location.pathname : 'loading'))
  return poll(() => where().catch(() => 'between two pages')).toBe(path)
}

/**
 * Waits until the visitor's device holds nothing more. After it, a duplicate would have arrived as well.
 * On `/later` that takes no lease's time.
 */
export const drain = async (page: Page): Promise<void> => {
  const pending = (): Promise<number | undefined> => page.evaluate(async () => (await window.pristo?.flush?.())?.pending)
  await poll(pending, { message: 'events that still wait in the browser', timeout: 30_000 }).toBe(0)
}

/** The field `n` of each event, in the order in which the API stored them. */
export const numbersOf = (events: StoredEvent[]): number[] => events.map(({ customFields }) => Number(customFields['n']))

/** 0, 1, … */
export const countTo = (length: number): number[] => Array.from({ length }, (_, n) => n)

/** Events that have arrived, by their field `n`, in the order of their making. */
export const sorted = (numbers: number[]): number[] => [...numbers].sort((a, b) => a - b)

/** Tracks so many `page_view`s, whose field `n` counts from `from`. */
export const trackCount = (page: Page, count: number, from = 0): Promise<void> =>
  page.evaluate(
    ({ first, end }) => {
      for (let n = first; n < end; n++) window.pristo?.track?.('page_view', { n })
    },
    { first: from, end: from + count },
  )

/** Sends what can be sent now. */
export const flush = (page: Page): Promise<FlushResult | undefined> => page.evaluate(() => window.pristo?.flush?.())

/** The page has thrown nothing, and left no rejection unhandled. */
export const expectCalm = async (page: Page): Promise<void> => {
  const complaints: Complaint[] = await page.evaluate(() => window.complaints)
  expect(complaints.filter(({ kind }) => kind === 'uncaught' || kind === 'unhandled')).toEqual([])
}

/** A later visit, once every lease has run out, sends what is left; each of the first `count` events is then stored once. */
export const expectOnce = async (site: Site, page: Page, count: number): Promise<void> => {
  await page.goto(`${site.url}/later`)
  await drain(page)
  const arrived = (): number[] => sorted(numbersOf(site.api.events()))
  // The relay may still be busy with what the page before left behind, and a second time would come after that.
  await poll(arrived).toEqual(countTo(count))
  await poll(() => site.busy()).toBe(0)
  expect(arrived()).toEqual(countTo(count))
}

/** Everything in the origin's databases, as a page without the snippet sees it. */
export const recordsOnDisk = (page: Page): Promise<unknown[]> =>
  page.evaluate(async () => {
    const settle = <T>(request: IDBRequest<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result)
        request.onerror = () => reject(request.error)
      })
    const records: unknown[] = []
    // Opening one that is not there would make it.
    for (const { name = '' } of await indexedDB.databases()) {
      const database = await settle(indexedDB.open(name))
      for (const store of database.objectStoreNames) records.push(...(await settle(database.transaction(store).objectStore(store).getAll())))
      database.close()
    }
    return records
  })

/** The field `n` of each event on disk. */
export const numbersOnDisk = async (page: Page): Promise<number[]> =>
  (await recordsOnDisk(page)).flatMap((record) => {
    const { event } = Object(record)
    return event ? [Number(event.customFields.n)] : []
  })
