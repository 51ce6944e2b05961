/**
 * What several faults have in common, in the words of their table.
 */
import type { Page } from '../support/browsers/index.ts'
import { openStandalone, type Standalone } from '../support/browsers/standalone.ts'
import { until } from '../support/browsers/until.ts'
import type { RelayFault, RelayRequest } from '../support/site.ts'
import { TABS } from './pages.ts'
import type { World } from './world.ts'

/** One round of a fault; the world goes on from round to round. */
export type Drive = (world: World, events: number, round: number) => Promise<void>

export const isEven = (round: number): boolean => round % 2 === 0

/** From `track()` to the end of the whole browser: a visitor's quickest reaction, milliseconds. */
export const REACTION_MS = 1_000

/** How long the API fails, milliseconds. */
export const OUTAGE_MS = 5_000

/** How long a living page may take to bring everything away after a fault, milliseconds: its backoff has grown by then. */
export const RECOVERY_MS = 60_000

/** The relay fails; most events are tracked while the page lives, some as it goes. Afterwards all is well, and the visitor comes back. */
export const whileRelay =
  (fault: RelayFault): Drive =>
  async (world, events) => {
    const page = await world.open()
    world.site.relayFault(fault)
    await world.asked(0)
    await world.track(page, events - 10)
    await world.asked(1)
    await world.trackAndGo(page, 10, { to: '/blank' })
    world.site.relayFault(null)
    world.site.cut()
    await world.settle()
  }

/** The relay fails, and the page lives on until all is well again. */
export const livingThrough =
  (fault: RelayFault): Drive =>
  async (world, events) => {
    const page = await world.open()
    world.site.relayFault(fault)
    await world.asked(0)
    await world.track(page, events)
    await world.asked(1)
    world.site.relayFault(null)
    await world.stored(RECOVERY_MS)
    await world.close(page)
  }

/** By turns, round by round. */
export const alternate =
  (...ways: Drive[]): Drive =>
  async (world, events, round) =>
    ways[round % ways.length]?.(world, events, round)

/** So many events wait on the device, and no tab is open. */
const leaveBacklog = async (world: World, events: number): Promise<void> => {
  // Asked to wait, a tab sends nothing at its end.
  world.site.relayFault({ mode: 'status', status: 503, headers: { 'Retry-After': '1' } })
  const page = await world.open()
  await world.asked(0)
  await world.track(page, events)
  await world.asked(1)
  await world.close(page)
  world.site.relayFault(null)
}

/** Until ten tabs have heard at what moment they are to go, milliseconds: WebKit's hear it one after the other. */
const HEARING_MS = 1_000

/** Ten tabs over one backlog, at one moment; `since` is how many requests there were before. */
export const openTabs = async (world: World, events: number): Promise<{ tabs: Page[]; since: number }> => {
  await leaveBacklog(world, events)
  const since = world.site.requests().length
  const tabs: Page[] = []
  for (let tab = 0; tab < TABS; tab++) tabs.push(await world.open('/blank'))
  const at = Date.now() + HEARING_MS
  const query = `?ahead=${world.later()}`
  const send = (page: Page, tab: number): Promise<void> =>
    page.evaluate(({ at, address }) => void setTimeout(() => (location.href = address), at - Date.now()), { at, address: `/tab/${tab}${query}` })
  await Promise.all(tabs.map(send))
  return { tabs, since }
}

/** How many ids reached the relay more than once since that many requests. */
export const resent = (world: World, since: number): number => {
  const ids = world.site.requests().slice(since).flatMap(({ body }) => idsIn(body))
  return ids.length - new Set(ids).size
}

const idsIn = (body: string): string[] => Array.from(body.matchAll(/"id":"([\da-f-]{36})"/g), ([, id = '']) => id)

/** Waits until the site was told something by a page that nobody drives. */
const told = (world: World, what: string): Promise<void> =>
  until(`a page to tell ${what}`, () => world.site.visits().includes(`/told?${what}`), RECOVERY_MS).catch((error: Error) => {
    throw new Error(`${error.message}; asked for last: ${world.site.visits().slice(-5).join(' ')}`)
  })

/** A page that drives itself, and what it tells when it has done so. */
interface Script {
  path: string
  word: string
}

/** Opens a page in a browser that nobody drives, waits until it tells something, does something to it, and kills the browser. */
const openAndKill = async (world: World, folder: string, { path, word }: Script, act: (browser: Standalone) => unknown = () => undefined): Promise<void> => {
  const browser = await openStandalone(world.engine, folder, world.site.url + path)
  try {
    await told(world, word)
    await act(browser)
  } finally {
    await browser.kill()
  }
}

const trackingPage = (world: World, count: number): Script => {
  const first = world.take(count)
  return { path: `/drive?first=${first}&count=${count}`, word: `tracked=${first}&refused=0` }
}

const drainingPage = (world: World): Script => {
  const ahead = world.later()
  return { path: `/drain?ahead=${ahead}`, word: `empty=${ahead}` }
}

/** Something happens to a browser that has just tracked; it is killed, and two later visits start it again. */
export const whileStandalone =
  (act: (browser: Standalone, world: World) => unknown): Drive =>
  async (world, events, round) => {
    const folder = world.folder()
    halfWay(world, round)
    await openAndKill(world, folder, trackingPage(world, events), (browser) => act(browser, world))
    recover(world)
    await openAndKill(world, folder, drainingPage(world))
    // It would send again what the first has left.
    await openAndKill(world, folder, drainingPage(world))
  }

/** By turns the device has the only copy, and a batch is under way. */
export const halfWay = ({ site }: World, round: number): void => {
  if (isEven(round)) site.relayFault({ mode: 'down' })
  else site.api.fail({ delayMs: 20 })
}

export const recover = ({ site }: World): void => {
  site.relayFault(null)
  site.api.fail(null)
}

/** Until the snippet has looked at its database: from then on that is open. */
export const opened = (page: Page): Promise<unknown> => page.evaluate(() => window.pristo?.flush?.())

/** Kills the page's renderer, and nothing else. */
export const crash = (page: Page): Promise<unknown> => page.goto('chrome://crash').catch(() => undefined) // which is how a page ends that crashes

/** The first batch with an event in it that has come since that many requests. */
export const firstBatch = async (world: World, since: number): Promise<RelayRequest> => {
  const find = (): RelayRequest | undefined => world.site.requests().slice(since).find(({ path }) => path.startsWith('/pristo/tab/'))
  await until('a batch of one of the tabs', () => find() !== undefined)
  return find() as RelayRequest
}

/** A burst that the API takes: more in one second it answers with 429. */
const BURST = 60

export const limiter = (): (() => boolean) => {
  let second = 0
  let count = 0
  return () => {
    const now = Math.floor(Date.now() / 1000)
    if (now !== second) count = 0
    second = now
    return ++count > BURST
  }
}

/** How long the cookie of an answer that has left may take, milliseconds. */
export const ACK_MS = 2_000

/** Whether the page has an ack cookie by now: told once the answer of a page that is gone has come. */
export const hasAck = (page: Page): Promise<boolean> => page.evaluate(() => document.cookie.includes('pristo_ack_'))
