// @ts-check
/** What is tracked offline: how soon it is all stored once the network is back, at what cost; and what a call costs the more is stored. */
import { setTimeout as wait } from 'node:timers/promises'
import { OURS } from '../peers.mjs'
import { interleave, median } from '../stats.mjs'
import { openTab } from '../tab.mjs'

/** @typedef {import('../main.mjs').Context} Context */
/** @typedef {import('../peers.mjs').Peer} Peer */
/** @typedef {import('../tab.mjs').Tab} Tab */
/** @typedef {import('../report.mjs').Table} Table */

export const title = 'Backlog'

const EVENTS = 1_000

/** A page tracks so many in one task. */
const A_TASK = 50

/** Events of a batch at most: as ours has it (`src/contract.ts`), and so the floor. */
const A_BATCH = 40

/** The way of each answer where the network is slow, and that of the API's where that is, milliseconds. */
const SLOW_MS = 100

/**
 * How long, milliseconds: a library may take to deliver the first event of a visit, its settings and its own waiting included; nothing
 * arrives until it is the next library's turn, while this one is watched on; nothing arrives until nothing more comes; and a page that does
 * not come to rest is waited for.
 */
const TIMES = { readyMs: 12_000, stalledMs: 3_000, overMs: 20_000, restMs: 5_000 }

/** Enough to see that it runs. */
const QUICK_TIMES = { readyMs: 4_000, stalledMs: 500, overMs: 1_000, restMs: 0 }

/** How often the server is asked what has arrived, milliseconds. It says itself when each did. */
const LOOK_MS = 250

/** Calls timed with so much stored. A thousand would be a store of their own. */
const CALLS = 100

const STORED = [0, 100, 1_000]

/** A round takes five minutes. */
const MAX_ROUNDS = 3

/** @param {Context} context */
const timesOf = ({ isQuick }) => (isQuick ? QUICK_TIMES : TIMES)

/**
 * One after another: they would take each other's time. All at once where it only has to run.
 * @param {Context} context
 * @param {readonly Peer[]} peers
 * @param {(peer: Peer) => Promise<unknown>} work
 */
const inTurns = async ({ isQuick }, peers, work) => {
  if (isQuick) await Promise.all(peers.map(work))
  else for (const peer of peers) await work(peer)
}

let runs = 0

/** How a new run's marks begin. */
const newMarks = () => `m${++runs}_`

const now = () => performance.timeOrigin + performance.now()

/**
 * Calls a function in the page: all that it needs it is given.
 * @template Given, Answer
 * @param {Tab} tab
 * @param {(given: Given) => Answer} work
 * @param {Given} given
 * @returns {Promise<Awaited<Answer>>}
 */
const callIn = ({ evaluate }, work, given) => evaluate(`(${work})(${JSON.stringify(given)})`)

/** The network is gone. @param {Tab} tab */
const disconnect = async ({ send }) => {
  await send('Network.enable') // without it only `navigator.onLine` changes (Chromium 156)
  await send('Network.emulateNetworkConditions', { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 })
}

/** The network is back, and DevTools, which listened to it, let go: that is 15 to 20 % of a fetch. @param {Tab} tab */
const reconnect = ({ send }) => send('Network.disable')

/**
 * A visitor whose page has all that its library wants at start, is quiet, and goes offline.
 * @param {Context} context
 * @param {Peer} peer
 */
const goOffline = async (context, peer) => {
  const { server, browser } = context
  const tab = await openTab(browser, `${server.origin}/page/${peer.id}`)
  const marks = newMarks()
  await tab.evaluate(`void track('${marks}0')`)
  const isReady = !!(await server.arrived({ marks, count: 1, withinMs: timesOf(context).readyMs }))
  await tab.settle(undefined, timesOf(context).restMs)
  await disconnect(tab)
  return { tab, isReady }
}

/** Tracks so many, some in each task. @param {Tab} tab @param {string} marks @param {number} count */
const collect = (tab, marks, count) =>
  callIn(
    tab,
    async (given) => {
      for (let n = 0; n < given.count; n++) {
        if (n % given.aTask === 0) await new Promise((resolve) => setTimeout(resolve))
        Object(window).track(given.marks + n)
      }
    },
    { marks, count, aTask: A_TASK },
  )

/**
 * How many events of a run have arrived, once all have or nothing more does for so long.
 * @param {Context} context
 * @param {string} marks
 * @param {number} count
 * @param {number} patienceMs
 */
const watch = async ({ server }, marks, count, patienceMs) => {
  let [delivered, changedAt] = [0, now()]
  for (;;) {
    // Asked now and then: whoever is told of every arrival has it counted anew for each, in the process that runs the relay.
    const seen = await server.arrived({ marks, count, withinMs: 0 })
    if (seen > delivered) [delivered, changedAt] = [seen, now()]
    if (delivered >= count || now() - changedAt > patienceMs) return delivered
    await wait(LOOK_MS)
  }
}

/**
 * When the last event of a run came for the first time (-Infinity of none), and how many came again.
 * @param {Context} context
 * @param {string} marks
 */
const lookBack = async ({ server }, marks) => {
  /** @type {Map<string, number>} */
  const firsts = new Map()
  const arrivals = (await server.arrivals()).filter(({ mark }) => mark.startsWith(marks))
  for (const { mark, at } of arrivals) if (!firsts.has(mark)) firsts.set(mark, at)
  return { lastAt: Math.max(...firsts.values()), twice: arrivals.length - firsts.size }
}

/** @typedef {{ isReady: boolean, delivered: number, twice: number, timeMs: number, requests: number, kilobytes: number, cpuMs: number }} Drain */

/**
 * One backlog, collected and drained.
 * @param {Context} context
 * @param {Peer} peer
 * @param {number} count
 * @returns {Promise<{ end: Promise<Drain>, free: Promise<unknown> }>} what comes of it; and when the next may have the machine: a library
 *   from which nothing comes leaves it idle, and is watched on
 */
const drain = async (context, peer, count) => {
  const times = timesOf(context)
  const { tab, isReady } = await goOffline(context, peer)
  const marks = newMarks()
  await collect(tab, marks, count)
  await tab.evaluate(`addEventListener('online', ({ timeStamp }) => (window.onlineAt = performance.timeOrigin + timeStamp))`)
  await tab.settle(undefined, timesOf(context).restMs)
  const asked = (await context.server.requests()).length
  await reconnect(tab)
  const finish = async () => {
    const delivered = await watch(context, marks, count, times.overMs)
    const { cpuMs } = await tab.settle(undefined, timesOf(context).restMs)
    const onlineAt = Number(await tab.evaluate('onlineAt'))
    await tab.end()
    const { lastAt, twice } = await lookBack(context, marks)
    const requests = (await context.server.requests()).slice(asked).filter(({ id }) => id === peer.id)
    const bytes = requests.reduce((sum, { bytes }) => sum + bytes, 0)
    return { isReady, delivered, twice, timeMs: lastAt - onlineAt, requests: requests.length, kilobytes: bytes / 1000, cpuMs }
  }
  const end = finish()
  const waitToBeFree = async () => {
    const delivered = await watch(context, marks, count, times.stalledMs)
    if (delivered >= count) await end
  }
  return { end, free: waitToBeFree() }
}

/**
 * The least that could bring as much to the same relay: the same batches, each as soon as the one before it was answered, by a page that
 * stores nothing.
 * @param {Context} context
 * @param {number} count
 */
const postBatches = async (context, count) => {
  const marks = newMarks()
  const tab = await openTab(context.browser, `${context.server.origin}/page/none`)
  const startedAt = await callIn(
    tab,
    async (given) => {
      const makeEvent = (/** @type {number} */ n) => ({
        id: `0${Date.now().toString(16).replace(/.{7}/, '$&-')}-7000-8000-${crypto.randomUUID().slice(-12)}`,
        type: 'purchase',
        occurredAt: new Date(),
        contact: { id: 'u_floor', email: 'floor@shop.example' },
        customFields: { mark: given.marks + n, amount: '49.90', sku: 'A1' },
      })
      const events = Array.from({ length: given.count }, (_, n) => makeEvent(n))
      const start = performance.timeOrigin + performance.now()
      while (events.length) {
        const body = JSON.stringify({ v: 1, sentAt: new Date(), events: events.splice(0, given.aBatch) })
        const answer = await fetch('/in/pristo', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })
        await answer.json()
      }
      return start
    },
    { marks, count, aBatch: A_BATCH },
  )
  const delivered = await watch(context, marks, count, timesOf(context).overMs)
  await tab.end()
  if (delivered !== count) throw new Error(`the floor delivered ${delivered} of ${count}`)
  return (await lookBack(context, marks)).lastAt - startedAt
}

/**
 * What a call costs with so much stored, microseconds: the call itself, and all that follows from it until the page is quiet.
 * @param {Context} context
 * @param {Peer} peer
 * @param {readonly number[]} stored
 * @returns {Promise<{ callUs: number, allUs: number }[]>}
 */
const timeCalls = async (context, peer, stored) => {
  const { tab } = await goOffline(context, peer)
  const figures = []
  let made = 0
  for (const count of stored) {
    if (count > made) await collect(tab, newMarks(), count - made)
    await tab.settle(undefined, timesOf(context).restMs)
    const times = await callIn(
      tab,
      async (given) => {
        const { track } = Object(window)
        const times = []
        for (let n = 0; n < given.calls; n++) {
          await new Promise((resolve) => setTimeout(resolve)) // as a page tracks: each in a task of its own
          const start = performance.now()
          track(given.marks + n)
          times.push(performance.now() - start)
        }
        return times
      },
      { marks: newMarks(), calls: CALLS },
    )
    const { cpuMs } = await tab.settle(undefined, timesOf(context).restMs)
    figures.push({ callUs: median(times) * 1000, allUs: (cpuMs / CALLS) * 1000 })
    made = Math.max(made, count) + CALLS
  }
  await tab.end()
  return figures
}

/** @type {Table['columns']} */
const DRAIN_COLUMNS = [
  { key: 'delivered', title: 'delivered', unit: 'events', digits: 0, better: 'more' },
  { key: 'twice', title: 'arrived once more', unit: 'events', digits: 0, better: 'less' },
  { key: 'timeMs', title: 'from `online` to the last one stored', unit: 'ms', digits: 0, better: 'less' },
  { key: 'requests', title: 'requests', unit: '', digits: 0, better: 'less' },
  { key: 'kilobytes', title: 'on the wire', unit: 'kB', digits: 0, better: 'less' },
  { key: 'cpuMs', title: 'main thread', unit: 'ms', digits: 0, better: 'less' },
]

/** @typedef {{ id: string, drain: Drain }} Drained */

/**
 * Every library's backlog, one after another; ours followed by the floor.
 * @param {Context} context
 * @param {{ peers: readonly Peer[], count: number, networkMs: number }} plan
 */
const drainAll = async (context, { peers, count, networkMs }) => {
  await context.server.clear()
  await context.server.weather({ networkMs })
  /** @type {number[]} */
  const floors = []
  /** @type {Promise<Drained>[]} */
  const drained = []
  await inTurns(context, peers, async (peer) => {
    const { end, free } = await drain(context, peer, count)
    drained.push(end.then((one) => ({ id: peer.id, drain: one })))
    await free
    if (peer.id === OURS) floors.push(await postBatches(context, count))
  })
  const all = await Promise.all(drained)
  await context.server.weather({ networkMs: 0 })
  return { drained: all, floors }
}

/**
 * Ours and the floor over an API that takes its time; at once, since both only wait for it.
 * @param {Context} context
 * @param {Peer} peer
 * @param {number} count
 */
const drainOverSlowApi = async (context, peer, count) => {
  await context.server.clear()
  await context.server.weather({ apiMs: SLOW_MS })
  const [{ end }, floorMs] = await Promise.all([drain(context, peer, count), postBatches(context, count)])
  const { timeMs } = await end
  await context.server.weather({ apiMs: 0 })
  return { timeMs, floorMs }
}

/**
 * @param {{ name: string, title: string, note: string, peers: readonly Peer[], count: number, drained: readonly Drained[] }} made
 * @returns {Table}
 */
const makeDrainTable = ({ name, title, note, peers, count, drained }) => ({
  name,
  title,
  notes: [
    note,
    `Each library alone; the page tracks ${A_TASK} in each task. Delivered is what has arrived when nothing more did for ${TIMES.overMs / 1000} s. Who did not deliver everything has no figures beside it: to lose is fast.`,
    'On the wire: heads and bodies of all requests since then, as HTTP/1.1 writes them. Main thread: processor time since then, until the page is quiet.',
  ],
  columns: DRAIN_COLUMNS,
  rows: peers.map(({ id }) => {
    const drains = drained.filter((one) => one.id === id && one.drain.isReady).map((one) => one.drain)
    const whole = drains.filter(({ delivered }) => delivered === count)
    const list = (/** @type {'delivered' | 'twice'} */ key) => drains.map((one) => one[key])
    const listWhole = (/** @type {'timeMs' | 'requests' | 'kilobytes' | 'cpuMs'} */ key) => whole.map((one) => one[key])
    const why = drains.length ? `${Math.max(...list('delivered'))} of ${count} delivered at most` : `no event had arrived ${TIMES.readyMs / 1000} s after the first call`
    return {
      id,
      values: {
        delivered: list('delivered'),
        twice: list('twice'),
        timeMs: listWhole('timeMs'),
        requests: listWhole('requests'),
        kilobytes: listWhole('kilobytes'),
        cpuMs: listWhole('cpuMs'),
      },
      ...(!whole.length && { why: Object.fromEntries(DRAIN_COLUMNS.map(({ key }) => [key, why])) }),
    }
  }),
  chart: { column: 'delivered' },
})

/** @typedef {{ timeMs: number, floorMs: number }} Race */

/** @typedef {{ id: string, figures: readonly { callUs: number, allUs: number }[] }} Timed */

/**
 * @param {Record<'here' | 'network' | 'api', readonly Race[]>} races
 * @param {number} count
 * @returns {Table}
 */
const makeFloorTable = (races, count) => {
  const titles = { here: 'no delay', network: `each answer ${SLOW_MS} ms later`, api: `the API ${SLOW_MS} ms slower` }
  const kinds = /** @type {const} */ (['here', 'network', 'api'])
  return {
    name: 'backlog-floor',
    title: `Backlog of ${count} events: ours and the fewest possible round trips`,
    notes: [
      `The floor is the same ${Math.ceil(count / A_BATCH)} batches to the same relay, each posted as soon as the one before it was answered, by a page that stores nothing. The bar is 1.5.`,
      `The API behind the relay takes one event a call, and one contact's in order: ${SLOW_MS} ms of it are ${(SLOW_MS * A_BATCH) / 1000} s a batch, for the floor too. That column is of one run, ours and the floor at once.`,
    ],
    columns: kinds.flatMap((kind) => [
      { key: `${kind}Ms`, title: `${titles[kind]}: ours`, unit: 'ms', digits: 0, better: /** @type {const} */ ('less') },
      { key: `${kind}FloorMs`, title: 'the floor', unit: 'ms', digits: 0, better: /** @type {const} */ ('less') },
      { key: `${kind}Ratio`, title: 'ours / the floor', unit: '×', digits: 2, better: /** @type {const} */ ('less') },
    ]),
    rows: [
      {
        id: OURS,
        values: Object.fromEntries(
          kinds.flatMap((kind) => [
            [`${kind}Ms`, races[kind].map(({ timeMs }) => timeMs)],
            [`${kind}FloorMs`, races[kind].map(({ floorMs }) => floorMs)],
            [`${kind}Ratio`, races[kind].map(({ timeMs, floorMs }) => timeMs / floorMs)],
          ]),
        ),
      },
    ],
  }
}

/**
 * @param {readonly Peer[]} peers
 * @param {readonly Timed[]} timed
 * @param {readonly number[]} stored
 * @returns {Table}
 */
const makeGrowthTable = (peers, timed, stored) => ({
  name: 'growth',
  title: 'What a call costs the more is stored',
  notes: [
    `Offline, in one page, ${CALLS} calls with so many events tracked before them, each in a task of its own: the call itself (median), and the main thread's processor time per call until the page is quiet again, with all that follows from it.`,
    'Who stores nothing has nothing to grow with. Who tries to send while offline is charged for what DevTools see of it, some 15 % of a request.',
  ],
  columns: [
    ...stored.map((count) => ({ key: `call${count}`, title: `the call, ${count} stored`, unit: 'µs', digits: 0, better: /** @type {const} */ ('less') })),
    ...stored.map((count) => ({ key: `all${count}`, title: `and what follows, ${count} stored`, unit: 'µs', digits: 0, better: /** @type {const} */ ('less') })),
  ],
  rows: peers.map(({ id }) => {
    const own = timed.filter((one) => one.id === id)
    const pick = (/** @type {'callUs' | 'allUs'} */ key, /** @type {number} */ nth) => own.flatMap(({ figures }) => figures[nth]?.[key] ?? [])
    return {
      id,
      values: Object.fromEntries(stored.flatMap((count, nth) => [[`call${count}`, pick('callUs', nth)], [`all${count}`, pick('allUs', nth)]])),
    }
  }),
  chart: { column: `all${stored.at(-1)}`, log: true },
})

/**
 * @param {Context} context
 * @returns {Promise<Table[]>}
 */
export const measure = async (context) => {
  const { peers, isQuick } = context
  const repeats = Math.min(context.repeats, MAX_ROUNDS)
  const count = isQuick ? A_BATCH / 4 : EVENTS
  const stored = isQuick ? STORED.slice(0, 2) : STORED
  /** @type {Drained[][]} */
  const drained = [[], []]
  /** @type {Record<'here' | 'network' | 'api', Race[]>} */
  const races = { here: [], network: [], api: [] }
  /** @type {Timed[]} */
  const timed = []
  for (let round = 0; round < repeats; round++) {
    const turn = interleave(peers, repeats).filter((one) => one.round === round).map(({ one }) => one)
    for (const [nth, networkMs] of [0, SLOW_MS].entries()) {
      const made = await drainAll(context, { peers: turn, count, networkMs })
      drained[nth]?.push(...made.drained)
      const own = made.drained.filter(({ id }) => id === OURS)
      races[nth ? 'network' : 'here'].push(...own.map(({ drain: { timeMs } }, run) => ({ timeMs, floorMs: made.floors[run] ?? NaN })))
    }
    await inTurns(context, turn, async (peer) => void timed.push({ id: peer.id, figures: await timeCalls(context, peer, stored) }))
  }
  const ours = peers.find(({ id }) => id === OURS)
  if (ours) races.api.push(await drainOverSlowApi(context, ours, count))
  const [here = [], network = []] = drained
  return [
    makeDrainTable({ name: 'backlog', title: `Backlog of ${count} events`, note: 'Collected offline, then the network comes back.', peers, count, drained: here }),
    makeDrainTable({
      name: 'backlog-slow',
      title: `Backlog of ${count} events, ${SLOW_MS} ms away`,
      note: `The same, and each answer of whoever keeps the events comes ${SLOW_MS} ms later; of ours, the relay's.`,
      peers,
      count,
      drained: network,
    }),
    makeFloorTable(races, count),
    makeGrowthTable(peers, timed, stored),
  ]
}
