/**
 * What every fault is made in: a site, an API and a visitor of its own; and the reckoning afterwards.
 * Invariant: the witness is the stand-in API. A page is asked only which calls of track() it was given no id for.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newHost, type Browser, type Engine, type Page, type Profile } from '../support/browsers/index.ts'
import { until } from '../support/browsers/until.ts'
import { startSite, type Site } from '../support/site.ts'
import { pages } from './pages.ts'

/** What became of a cell's events. */
export interface Reckoning {
  /** Those that `track()` returned an id for. */
  tracked: number
  stored: number
  lost: number
  /** Stored more often than once; each further time counts. */
  duplicates: number
  /** Refused by the API for what they are. */
  rejected: number
  /** From `occurredAt` to the first time it was stored, milliseconds. */
  worstDelayMs: number
}

export interface World {
  readonly engine: Engine
  readonly site: Site
  /** A new tab. */
  open(path?: string): Promise<Page>
  close(page: Page): Promise<void>
  /** Tracks so many events in one task, while the page lives. */
  track(page: Page, count: number): Promise<void>
  /** Tracks so many events, and goes to another page in the same task. Resolves when that is loaded. */
  trackAndGo(page: Page, count: number, where?: { to?: string; isLarge?: boolean }): Promise<void>
  /** The numbers of events that a page tracks by itself; they count as tracked. Returns the first. */
  take(count: number): number
  /** How far ahead, milliseconds, a clock must be so that no lease given so far still runs. */
  later(): number
  /** Waits until the API has each event that was tracked so far. */
  stored(limitMs?: number): Promise<void>
  /** Waits until the site has been asked so many times more than when this was called the last time. */
  asked(count: number): Promise<void>
  /** Closes all tabs, and comes back later until nothing waits on the device. The world ends with this in any case. */
  settle(): Promise<void>
  /** A folder that is gone with the world. */
  folder(): string
  /** What the table has no column for. */
  note(text: string): void
}

/** Where a world is, and who hears of it. */
export interface Options {
  engine: Engine
  browser: Browser
  /** How long nothing more must arrive at the end, milliseconds. */
  quietMs: number
  note(text: string): void
}

/** Longer than a lease (15 s) by a second. */
const LEASE_OVER_MS = 16_000

/** How long a visit may take to bring everything away, and all of them together, milliseconds: an open breaker takes 10 s. */
const VISIT_MS = 15_000
const SETTLE_MS = 90_000

/** Between two looks, milliseconds. */
const LOOK_MS = 100

/** Arranges a world, acts in it, and reckons; takes it down whatever happens. */
export const inWorld = async (options: Options, act: (world: World) => Promise<void>): Promise<Reckoning> => {
  const { engine, browser, quietMs, note } = options
  const site = await startSite(newHost())
  const folders: string[] = []
  const tracked = new Set<number>()
  const tabs = new Set<Page>()
  let profile: Promise<Profile> | undefined
  let next = 0
  let aheadMs = 0
  let asked = 0

  for (const [path, text] of Object.entries(pages)) site.serve(path, text)

  const take = (count: number, refused: number[] = []): number => {
    const first = next
    next += count
    for (let n = first; n < next; n++) if (!refused.includes(n)) tracked.add(n)
    return first
  }

  const numbers = (): number[] => site.api.events().map(({ customFields }) => Number(customFields['n']))

  const open = async (path = '/'): Promise<Page> => {
    const page = await (await (profile ??= browser.newProfile())).newPage()
    tabs.add(page)
    await page.goto(site.url + path)
    return page
  }

  const close = async (page: Page): Promise<void> => {
    tabs.delete(page)
    await page.close()
  }

  /** Whether nothing waits on the device. */
  const isEmpty = (page: Page): Promise<boolean> =>
    page.evaluate(async () => (await window.pristo?.flush?.())?.pending === 0)

  const later = (): number => (aheadMs += LEASE_OVER_MS)

  const idle = (): Promise<void> => until('the relay to end its work', () => site.busy() === 0, SETTLE_MS)

  /** A later visit: until nothing has waited, and nothing more arrived, for so long. Whether it came to that. */
  const visit = async (forMs: number): Promise<boolean> => {
    const page = await open(`/later?ahead=${later()}`)
    let count = -1
    let since = 0
    const isOver = async (): Promise<boolean> => {
      const isQuiet = (await isEmpty(page)) && count === numbers().length
      count = numbers().length
      if (!isQuiet) since = Date.now()
      return isQuiet && Date.now() - since >= forMs
    }
    const found = await until('the device to be empty', isOver, VISIT_MS).then(() => true, () => false)
    await close(page)
    await idle()
    return found
  }

  const settle = async (forMs = 0): Promise<void> => {
    for (const page of tabs) await close(page)
    await idle()
    const end = Date.now() + SETTLE_MS
    while (!(await visit(forMs))) if (Date.now() > end) return note(`after ${SETTLE_MS / 1000} s of visits events still waited on the device`)
  }

  const world: World = {
    engine,
    site,
    open,
    close,
    take,
    note,
    track: async (page, count) => {
      const first = next
      take(count, await page.evaluate(([from = 0, length = 0]) => window.trackFrom(from, length, false), [first, count]))
    },
    trackAndGo: async (page, count, { to = '/', isLarge = false } = {}) => {
      const address = `${to}${to.includes('?') ? '&' : '?'}visit=${next}`
      await page.evaluate(
        ({ from, length, isLarge, address }) =>
          // In a task of its own: an evaluation whose page goes has no answer. It goes only where each call had an id.
          void setTimeout(() => {
            if (!window.trackFrom(from, length, isLarge).length) location.href = address
          }),
        { from: next, length: count, isLarge, address },
      )
      await until(`the page ${address}`, () =>
        page.evaluate(() => document.readyState === 'complete' && location.pathname + location.search).then((here) => here === address, () => false),
      )
      take(count)
    },
    later,
    stored: (limitMs = 60_000) => until('every event to be stored', () => new Set(numbers()).size >= tracked.size, limitMs),
    asked: async (count) => {
      await until('the site to be asked', () => site.asked() >= asked + count)
      asked = site.asked()
    },
    settle: () => settle(),
    folder: () => {
      const folder = mkdtempSync(join(tmpdir(), 'pristo-torture-'))
      folders.push(folder)
      return folder
    },
  }

  try {
    await act(world)
    if (profile) await settle(quietMs)
    await idle()
    const lost = [...tracked].filter((n) => !numbers().includes(n))
    if (lost.length) note(`lost: ${lost.join(' ')}`)
    return reckon(site, tracked)
  } finally {
    await profile?.then((one) => one.close()).catch((error: unknown) => note(`its profile could not be closed: ${error}`))
    await site.close()
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: LOOK_MS })
  }
}

/** What the API says against the event itself; 4xx by a fault aside, of which none is among these. */
const REFUSALS = new Set<unknown>([400, 409, 413, 415, 422])

const reckon = ({ api }: Site, tracked: Set<number>): Reckoning => {
  const seen = new Set<number>()
  let duplicates = 0
  let worstDelayMs = 0
  for (const { customFields, occurredAt = '', receivedAt } of api.events()) {
    const n = Number(customFields['n'])
    if (!tracked.has(n)) throw new Error(`event ${n} was stored, but none such was tracked`)
    if (seen.has(n)) duplicates++
    else worstDelayMs = Math.max(worstDelayMs, receivedAt - Date.parse(occurredAt))
    seen.add(n)
  }
  return {
    tracked: tracked.size,
    stored: seen.size,
    lost: tracked.size - seen.size,
    duplicates,
    rejected: api.calls().filter(({ status }) => REFUSALS.has(status)).length,
    worstDelayMs,
  }
}
