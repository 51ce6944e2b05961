/**
 * What is done to a visitor, one entry each.
 * Invariant: a fault is made by the site, the API or the visitor, never inside the snippet, so that it is the same in every engine.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { Engine, Page } from '../support/browsers/index.ts'
import { openStandalone, type Standalone } from '../support/browsers/standalone.ts'
import { until } from '../support/browsers/until.ts'
import type { RelayFault, RelayRequest } from '../support/site.ts'
import { TABS } from './pages.ts'
import type { World } from './world.ts'

/** How often it is done, and with how many events each time. */
export interface Size {
  rounds: number
  events: number
}

export interface Fault {
  name: string
  /** For `npm test`; absent where it adds nothing there that is worth its time. */
  short?: Size
  /** 1000 events or more. */
  full: Size
  /** Why an engine cannot be made to do it. */
  whyNot?: Partial<Record<Engine, string>>
  /** The one case in which events may be stored twice. */
  mayRepeat?: true
  /** One round; the world goes on from round to round. */
  drive(world: World, events: number, round: number): Promise<void>
}

const isEven = (round: number): boolean => round % 2 === 0

/** From `track()` to the end of the whole browser: a visitor's quickest reaction, milliseconds. */
const REACTION_MS = 1_000

/** How long the API fails, milliseconds. */
const OUTAGE_MS = 5_000

/** How long a living page may take to bring everything away after a fault, milliseconds: its backoff has grown by then. */
const RECOVERY_MS = 60_000

/** The relay fails; most events are tracked while the page lives, some as it goes. Afterwards all is well, and the visitor comes back. */
const whileRelay =
  (fault: RelayFault): Fault['drive'] =>
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
const livingThrough =
  (fault: RelayFault): Fault['drive'] =>
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
const alternate =
  (...ways: Fault['drive'][]): Fault['drive'] =>
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
const openTabs = async (world: World, events: number): Promise<{ tabs: Page[]; since: number }> => {
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
const resent = (world: World, since: number): number => {
  const ids = world.site.requests().slice(since).flatMap(({ body }) => idsIn(body))
  return ids.length - new Set(ids).size
}

const idsIn = (body: string): string[] => Array.from(body.matchAll(/"id":"([\da-f-]{36})"/g), ([, id = '']) => id)

/** Waits until the site was told something by a page that nobody drives. */
const told = (world: World, what: string): Promise<void> =>
  until(`a page to tell ${what}`, () => world.site.visits().includes(`/told?${what}`), RECOVERY_MS).catch((error: Error) => {
    throw new Error(`${error.message}; asked for last: ${world.site.visits().slice(-5).join(' ')}`)
  })

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

/** A page that drives itself, and what it tells when it has done so. */
interface Script {
  path: string
  word: string
}

const track = (world: World, count: number): Script => {
  const first = world.take(count)
  return { path: `/drive?first=${first}&count=${count}`, word: `tracked=${first}&refused=0` }
}

const drain = (world: World): Script => {
  const ahead = world.later()
  return { path: `/drain?ahead=${ahead}`, word: `empty=${ahead}` }
}

/** Something happens to a browser that has just tracked; it is killed, and two later visits start it again. */
const whileStandalone =
  (act: (browser: Standalone, world: World) => unknown): Fault['drive'] =>
  async (world, events, round) => {
    const folder = world.folder()
    halfWay(world, round)
    await openAndKill(world, folder, track(world, events), (browser) => act(browser, world))
    recover(world)
    await openAndKill(world, folder, drain(world))
    // It would send again what the first has left.
    await openAndKill(world, folder, drain(world))
  }

/** By turns the device has the only copy, and a batch is under way. */
const halfWay = ({ site }: World, round: number): void => {
  if (isEven(round)) site.relayFault({ mode: 'down' })
  else site.api.fail({ delayMs: 20 })
}

const recover = ({ site }: World): void => {
  site.relayFault(null)
  site.api.fail(null)
}

/** Kills the page's renderer, and nothing else. */
const crash = (page: Page): Promise<unknown> => page.goto('chrome://crash').catch(() => undefined) // which is how a page ends that crashes

/** The first batch with an event in it that has come since that many requests. */
const first = async (world: World, since: number): Promise<RelayRequest> => {
  const find = (): RelayRequest | undefined => world.site.requests().slice(since).find(({ path }) => path.startsWith('/pristo/tab/'))
  await until('a batch of one of the tabs', () => find() !== undefined)
  return find() as RelayRequest
}

/** A burst that the API takes: more in one second it answers with 429. */
const BURST = 60

const limiter = (): (() => boolean) => {
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
const ACK_MS = 2_000

/** Whether the page has an ack cookie by now: told once the answer of a page that is gone has come. */
const hasAck = (page: Page): Promise<boolean> => page.evaluate(() => document.cookie.includes('pristo_ack_'))

export const faults: readonly Fault[] = [
  {
    name: 'navigation in the task of track()',
    short: { rounds: 2, events: 25 },
    full: { rounds: 20, events: 50 },
    drive: async (world, events) => {
      const page = await world.open()
      await world.trackAndGo(page, events, { to: '/next' })
      await world.close(page)
    },
  },
  {
    name: 'tab closed after 50',
    short: { rounds: 1, events: 50 },
    full: { rounds: 20, events: 50 },
    drive: async (world, events) => {
      const page = await world.open()
      await world.track(page, events)
      await world.close(page)
    },
  },
  {
    name: '200 × 1 KB and gone',
    short: { rounds: 1, events: 200 },
    full: { rounds: 5, events: 200 },
    drive: async (world, events) => {
      const page = await world.open()
      await world.trackAndGo(page, events, { isLarge: true })
      await world.settle()
    },
  },
  {
    name: 'SIGKILL of the browser 1 s after track()',
    short: { rounds: 1, events: 50 },
    full: { rounds: 3, events: 340 },
    drive: whileStandalone(() => wait(REACTION_MS)),
  },
  {
    name: 'renderer crash, and on in the same browser',
    short: { rounds: 1, events: 50 },
    full: { rounds: 20, events: 50 },
    whyNot: {
      firefox: 'Playwright loses the whole browser with one of its content processes (1.64.1, Firefox 153)',
      webkit: 'its driver ends the session with one of its web processes (WebKitGTK 2.50)',
    },
    drive: async (world, events, round) => {
      halfWay(world, round)
      const page = await world.open()
      await world.track(page, events)
      await crash(page)
      recover(world)
      await world.settle()
    },
  },
  {
    name: 'SIGKILL of all renderers 1 s after track()',
    full: { rounds: 3, events: 340 },
    drive: whileStandalone(async (browser, { site }) => {
      await wait(REACTION_MS)
      browser.crash()
      // The browser itself lives on, and hears what is answered.
      await until('the relay to answer', () => site.busy() === 0)
    }),
  },
  {
    name: 'offline for three page loads',
    short: { rounds: 1, events: 51 },
    full: { rounds: 7, events: 150 },
    drive: async (world, events) => {
      world.site.relayFault({ mode: 'down' })
      const page = await world.open()
      for (let load = 0; load < 3; load++) await world.trackAndGo(page, events / 3, { to: '/next' })
      world.site.relayFault(null)
      await world.settle()
    },
  },
  {
    name: 'relay refusing (503)',
    short: { rounds: 1, events: 50 },
    full: { rounds: 8, events: 125 },
    drive: alternate(whileRelay({ mode: 'status', status: 503 }), livingThrough({ mode: 'status', status: 503 })),
  },
  {
    name: 'relay hanging',
    short: { rounds: 1, events: 50 },
    full: { rounds: 4, events: 250 },
    drive: alternate(whileRelay({ mode: 'hang' }), livingThrough({ mode: 'hang' })),
  },
  {
    name: 'relay resetting before it stored',
    short: { rounds: 1, events: 50 },
    full: { rounds: 8, events: 125 },
    drive: alternate(whileRelay({ mode: 'down' }), livingThrough({ mode: 'down' })),
  },
  {
    name: 'relay resetting after it stored',
    short: { rounds: 1, events: 50 },
    full: { rounds: 8, events: 125 },
    drive: alternate(whileRelay({ mode: 'drop-answer' }), livingThrough({ mode: 'drop-answer' })),
  },
  {
    name: 'answered after the page was gone, then another relay',
    short: { rounds: 2, events: 20 },
    full: { rounds: 20, events: 50 },
    drive: async (world, events, round) => {
      const other = await world.open('/blank')
      const page = await world.open()
      world.site.relayFault({ mode: 'late-answer', delayMs: 500 })
      if (isEven(round)) await world.trackAndGo(page, events, { to: '/blank' })
      else {
        await world.track(page, events)
        await world.close(page)
      }
      await world.stored()
      await until('the relay to answer', () => world.site.busy() === 0)
      const acked = await until('an ack cookie', () => hasAck(other), ACK_MS).then(() => true, () => false)
      if (!acked) world.note('no ack cookie')
      world.site.relayFault(null)
      world.site.restartRelay()
      await world.settle()
    },
  },
  {
    name: 'API 500 for 5 s',
    short: { rounds: 1, events: 60 },
    full: { rounds: 3, events: 351 },
    drive: async (world, events) => {
      world.site.api.fail({ status: 500 })
      const outage = wait(OUTAGE_MS)
      const page = await world.open()
      await world.track(page, events / 3)
      await world.trackAndGo(page, events / 3)
      await outage
      world.site.api.fail(null)
      await world.track(page, events / 3)
      await world.settle()
    },
  },
  {
    name: '429 storm with Retry-After',
    short: { rounds: 1, events: 100 },
    full: { rounds: 2, events: 500 },
    drive: async (world, events) => {
      world.site.api.fail({ retryAfter: '1', when: limiter() })
      const page = await world.open()
      await world.track(page, events)
      await world.stored(RECOVERY_MS)
      world.site.api.fail(null)
      await world.close(page)
    },
  },
  {
    name: 'API resetting before it stored',
    full: { rounds: 8, events: 125 },
    drive: async (world, events) => {
      world.site.api.fail({ reset: 'before', times: 2 })
      await world.asked(0)
      const page = await world.open()
      await world.track(page, events)
      await world.asked(1)
      await world.trackAndGo(page, 5)
      await world.settle()
    },
  },
  {
    name: 'ten tabs over one backlog',
    short: { rounds: 1, events: 100 },
    full: { rounds: 3, events: 350 },
    drive: async (world, events) => {
      const { tabs, since } = await openTabs(world, events)
      await world.stored(RECOVERY_MS)
      for (const tab of tabs) await world.close(tab)
      world.note(`${resent(world, since)} ids reached the relay twice`)
    },
  },
  {
    name: 'ten tabs over one backlog, one killed mid-batch',
    full: { rounds: 3, events: 350 },
    drive: async (world, events) => {
      world.site.api.fail({ delayMs: 10 })
      const { tabs, since } = await openTabs(world, events)
      const { path } = await first(world, since)
      const victim = tabs[Number(path.split('/').at(-1))]
      if (!victim) throw new Error(`no tab sends to ${path}`)
      if (world.engine === 'chromium') await crash(victim)
      await world.close(victim)
      if (world.site.busy() === 0) world.note('the batch was over before the tab was')
      world.site.api.fail(null)
      await world.stored(RECOVERY_MS)
      for (const tab of tabs) if (tab !== victim) await world.close(tab)
      world.note(`${resent(world, since)} ids reached the relay twice`)
    },
  },
  {
    name: 'storage denied',
    short: { rounds: 1, events: 50 },
    full: { rounds: 17, events: 60 },
    drive: async (world, events) => {
      const page = await world.open('/denied')
      await world.track(page, events - 10)
      await world.stored()
      await world.trackAndGo(page, 10, { to: '/blank' })
      await world.stored()
      await world.close(page)
    },
  },
  {
    name: 'back/forward cache',
    short: { rounds: 1, events: 45 },
    full: { rounds: 17, events: 60 },
    drive: async (world, events) => {
      const page = await world.open()
      await page.evaluate(() => void Object.assign(window, { wasHere: true }))
      await world.trackAndGo(page, events / 3, { to: '/next' })
      await world.track(page, events / 3)
      await page.back()
      await until('the first page', () => page.evaluate(() => location.pathname === '/' && 'trackFrom' in window))
      // No browser promises to keep one; that nothing of ours prevents it is a test of test/browser.
      if (!(await page.evaluate(() => 'wasHere' in window))) world.note('the page was loaded anew, not kept')
      await world.track(page, events / 3)
      await world.close(page)
    },
  },
  {
    name: 'another script holds the keepalive budget',
    short: { rounds: 1, events: 50 },
    full: { rounds: 20, events: 50 },
    drive: async (world, events) => {
      world.site.hold('/hog')
      const page = await world.open('/hogged')
      await world.trackAndGo(page, events, { to: '/next' })
      await world.close(page)
      world.site.cut()
    },
  },
  {
    name: 'gone while the API is down, back later',
    short: { rounds: 1, events: 50 },
    full: { rounds: 8, events: 125 },
    drive: async (world, events, round) => {
      world.site.api.fail({ status: 500 })
      const page = await world.open()
      await world.track(page, events - 10)
      await world.trackAndGo(page, 10, { to: isEven(round) ? '/blank' : '/next' })
      await world.close(page)
      world.site.api.fail(null)
      await world.settle()
    },
  },
  {
    name: "API stored, and its answer to the relay was lost",
    mayRepeat: true,
    short: { rounds: 1, events: 50 },
    full: { rounds: 8, events: 125 },
    drive: async (world, events, round) => {
      world.site.api.fail({ reset: 'after', times: 2 })
      await world.asked(0)
      const page = await world.open()
      await world.track(page, events)
      await world.asked(1)
      if (isEven(round)) return world.settle()
      await world.stored(RECOVERY_MS)
      await world.close(page)
    },
  },
]
