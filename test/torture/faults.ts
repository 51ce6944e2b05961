/**
 * What is done to a visitor, one entry each.
 * Invariant: a fault is made by the site, the API or the visitor, never inside the snippet, so that it is the same in every engine.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { Engine, Page } from '../support/browsers/index.ts'
import { openStandalone } from '../support/browsers/standalone.ts'
import { until } from '../support/browsers/until.ts'
import type { RelayFault } from '../support/site.ts'
import { TABS } from './pages.ts'
import { crash } from './renderers.ts'
import type { World } from './world.ts'

/** How often it is done, and with how many events each time. */
export interface Size {
  rounds: number
  events: number
}

export interface Fault {
  name: string
  /** Of `npm test`, and of the torture run: 1000 events or more. */
  short: Size
  full: Size
  /** Why an engine cannot be made to do it. */
  whyNot?: Partial<Record<Engine, string>>
  /** The one case in which events may be stored twice. */
  mayRepeat?: true
  /** One round; the world goes on from round to round. */
  drive(world: World, events: number, round: number): Promise<void>
}

const isEven = (round: number): boolean => round % 2 === 0

/** How long a visitor stays away, at the least, milliseconds. */
const AWAY_MS = 1_000

/** The relay fails; most events are tracked while the page lives, some as it goes. Afterwards all is well, and the visitor comes back. */
const whileRelay =
  (fault: RelayFault): Fault['drive'] =>
  async (world, events) => {
    const page = await world.open()
    world.site.relayFault(fault)
    await world.track(page, events - 10)
    await world.asked(1)
    await world.trackAndGo(page, 10, { to: '/blank' })
    await world.asked(0)
    world.site.relayFault(null)
    world.site.cut()
    await world.settle()
  }

/** So many events wait on the device, and no tab is open. */
const leaveBacklog = async (world: World, events: number): Promise<void> => {
  // Asked to wait, a tab sends nothing at its end.
  world.site.relayFault({ mode: 'status', status: 503, headers: { 'Retry-After': '1' } })
  const page = await world.open()
  await world.track(page, events)
  await world.asked(1)
  await world.close(page)
  world.site.relayFault(null)
}

/** Ten tabs that wait for a word, and how to say it. */
const openTabs = async (world: World): Promise<{ tabs: Page[]; go(): Promise<void> }> => {
  const tabs: Page[] = []
  for (let tab = 0; tab < TABS; tab++) tabs.push(await world.open(`/signal/${tab}`))
  const caller = await world.open('/blank')
  return {
    tabs,
    go: async () => {
      // The value differs from round to round, as a tab is only told of what changes.
      await caller.evaluate((address) => void (localStorage['go'] = address), `/tab/x?ahead=${world.later()}&tab=`)
      await world.close(caller)
    },
  }
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
]
