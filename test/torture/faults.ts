/**
 * What is done to a visitor, one entry each.
 * Invariant: a fault is made by the site, the API or the visitor, never inside the snippet, so that it is the same in every engine.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { Engine } from '../support/browsers/index.ts'
import { until } from '../support/browsers/until.ts'
import { ACK_MS, alternate, crash, firstBatch, halfWay, hasAck, isEven, limiter, livingThrough, opened, openTabs, OUTAGE_MS, REACTION_MS, recover, RECOVERY_MS, resent, type Drive, whileRelay, whileStandalone } from './scenes.ts'

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
  drive: Drive
}

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
    full: { rounds: 20, events: 50 },
    whyNot: {
      firefox: 'Playwright loses the whole browser with one of its content processes (1.64.1, Firefox 153)',
      webkit: 'its driver ends the session with one of its web processes (WebKitGTK 2.50)',
    },
    drive: async (world, events, round) => {
      halfWay(world, round)
      const page = await world.open()
      // A browser that is just started takes its time to open its first database. Of what is tracked and killed before that, no
      // disk has heard (2 of 20 rounds, Chromium 156); this row is about what it has heard of in the task of `track()`.
      await opened(page)
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
    full: { rounds: 8, events: 125 },
    drive: alternate(whileRelay({ mode: 'status', status: 503 }), livingThrough({ mode: 'status', status: 503 })),
  },
  {
    name: 'relay hanging',
    full: { rounds: 4, events: 250 },
    drive: alternate(whileRelay({ mode: 'hang' }), livingThrough({ mode: 'hang' })),
  },
  {
    name: 'relay resetting before it stored',
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
      const { path } = await firstBatch(world, since)
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
