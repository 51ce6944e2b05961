// @ts-check
/** What `track()` costs the page that calls it: one call, a thousand in one task until all is quiet again, and what stays in memory. */
import { interleave, median, p99 } from '../stats.mjs'
import { openTab } from '../tab.mjs'

/** @typedef {import('../main.mjs').Context} Context */
/** @typedef {import('../peers.mjs').Peer} Peer */
/** @typedef {import('../report.mjs').Table} Table */
/** @typedef {import('../report.mjs').Row} Row */
/** @typedef {import('../tab.mjs').Tab} Tab */

/** Calls of one task: enough of them for a clock of 5 µs. */
const BLOCK = 20

/** So many calls, then nothing until they have arrived: no queue overflows, since what is dropped costs less than what is tracked. */
const PORTION = 500

/** Longest wait for a portion, milliseconds: who sends at intervals takes as long as those, and what a queue has no room for never comes. */
const PORTION_MS = 3_000

/** Calls in one task, as of a page that reports all it has. */
const BURST = 1_000

/** Nothing arrives for so long, milliseconds: nothing will any more. The longest interval of those measured is 5 s (Mixpanel). */
const SILENCE_MS = 8_000

/** Between calls that come alone, milliseconds: what the one began is over when the next one comes. */
const ALONE_MS = 50

/** Where it is only to be seen that all runs: so few calls, and no patience. */
const QUICK_CALLS = 40
const QUICK_QUIET_MS = 100
const QUICK_SILENCE_MS = 500

export const title = 'A call'

let runs = 0

/** What events of one sample begin with: what comes late from an earlier one is not theirs. */
const nextRun = () => `m${++runs}_`

/**
 * In the page. Keeps what it needs from before the first call on, so that it is no part of what a heap grew by.
 * @param {string} run
 * @param {number} count
 */
const prepare = (run, count) => `(() => {
  const marks = Array.from({ length: ${count} }, (_, nth) => '${run}' + nth)
  const times = new Float64Array(${count})
  const blocks = new Float64Array(${Math.ceil(count / BLOCK)})
  const tasks = new Float64Array(blocks.length)
  const longTasks = []
  const { port1, port2 } = new MessageChannel()
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
  new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) longTasks.push(duration) }).observe({ type: 'longtask' })
  // One look at the clock a call: each time is that between two looks, and a block's that between its first and its last.
  const callBlock = (from, to) => {
    const began = performance.now()
    let before = began
    for (let nth = from; nth < to; nth++) {
      track(marks[nth])
      const now = performance.now()
      times[nth] = now - before
      before = now
    }
    blocks[from / ${BLOCK}] = (before - began) / (to - from)
    // The next task comes when all promise jobs of this one are done.
    port1.onmessage = () => { tasks[from / ${BLOCK}] = (performance.now() - began) / (to - from) }
    port2.postMessage(0)
  }
  window.bench = {
    times, blocks, tasks, longTasks,
    callInBlocks: async (from, to) => {
      for (let nth = from; nth < to; nth += ${BLOCK}) {
        callBlock(nth, nth + ${BLOCK})
        await pause(4)
      }
    },
    callAlone: async () => {
      for (let nth = 0; nth < marks.length; nth++) {
        await pause(${ALONE_MS})
        const began = performance.now()
        track(marks[nth])
        times[nth] = performance.now() - began
      }
    },
    // In a task like those of a page, not in one of the debugger's; and nobody waits for it, or the clock on the wall would begin too late.
    callAtOnce: () => void setTimeout(() => {
      const began = performance.now()
      for (let nth = 0; nth < marks.length; nth++) track(marks[nth])
      bench.calledMs = performance.now() - began
    }),
    // Distinct events of this run, wherever a site can keep any.
    countOnDisk: async () => {
      const texts = Object.values(localStorage)
      const done = (request) => new Promise((resolve, reject) => { request.onsuccess = () => resolve(request.result); request.onerror = () => reject(request.error) })
      for (const { name } of await indexedDB.databases()) {
        const db = await done(indexedDB.open(name))
        for (const store of db.objectStoreNames) texts.push(JSON.stringify(await done(db.transaction(store).objectStore(store).getAll())))
        db.close()
      }
      return new Set(texts.join().match(/\\b${run}\\d+\\b/g)).size
    },
  }
})()`

/**
 * How many have arrived, until it is all of them or no more come.
 * @param {Context} context
 * @param {string} run
 * @param {number} count
 */
const watchArrivals = ({ server, isQuick }, run, count) => {
  const silenceMs = isQuick ? QUICK_SILENCE_MS : SILENCE_MS
  let [arrived, since] = [0, performance.now()]
  return async () => {
    const now = await server.arrived({ marks: run, count, withinMs: 0 })
    if (now > arrived) [arrived, since] = [now, performance.now()]
    return { isOver: arrived >= count || performance.now() - since > silenceMs, progress: arrived }
  }
}

/**
 * How many are on disk, until it is so many or changes no more.
 * @param {Tab} tab
 * @param {number} wanted
 */
const watchDisk = (tab, wanted) => {
  let stored = NaN
  return async () => {
    const before = stored
    stored = await tab.evaluate('bench.countOnDisk()')
    return { isOver: stored === wanted || stored === before, progress: stored }
  }
}

/** Whether an event outlives its page where nothing goes wrong. @param {Peer} peer */
const isKeeping = ({ stores }) => stores === 'IndexedDB' || stores === 'localStorage'

/** @typedef {(context: Context, peer: Peer) => Promise<Record<string, number>>} Sample values by column */

/** @param {Context} context @param {string} id */
const open = ({ browser, server, isQuick }, id) => openTab(browser, `${server.origin}/page/${id}`, isQuick ? QUICK_QUIET_MS : undefined)

/** @type {Sample} */
const callInBlocks = async (context, { id }) => {
  const count = context.isQuick ? QUICK_CALLS : 10_000
  const run = nextRun()
  const tab = await open(context, id)
  await tab.evaluate(prepare(run, count))
  const before = await tab.heapBytes()
  for (let from = 0; from < count; from += PORTION) {
    const to = Math.min(count, from + PORTION)
    await tab.evaluate(`bench.callInBlocks(${from}, ${to})`)
    await context.server.arrived({ marks: run, count: to, withinMs: context.isQuick ? QUICK_SILENCE_MS : PORTION_MS })
  }
  const arrivals = watchArrivals(context, run, count)
  await tab.settle(arrivals)
  const { progress: arrived } = await arrivals()
  const heap = (await tab.heapBytes()) - before
  /** @type {{ times: number[], blocks: number[], tasks: number[] }} */
  const { times, blocks, tasks } = await tab.evaluate('({ times: [...bench.times], blocks: [...bench.blocks], tasks: [...bench.tasks] })')
  await tab.end()
  return { median: median(blocks) * 1000, task: median(tasks) * 1000, p99: p99(times) * 1000, heap: heap / 1024, share: (arrived / count) * 100 }
}

/** @type {Sample} */
const callAlone = async (context, { id }) => {
  const tab = await open(context, id)
  await tab.evaluate(prepare(nextRun(), context.isQuick ? 5 : 100))
  await tab.evaluate('bench.callAlone()')
  /** @type {number[]} */
  const times = await tab.evaluate('[...bench.times]')
  await tab.end()
  return { alone: median(times) * 1000 }
}

/** @type {Sample} */
const deliverThousand = async (context, peer) => {
  const count = context.isQuick ? QUICK_CALLS : BURST
  const run = nextRun()
  const tab = await open(context, peer.id)
  await tab.evaluate(prepare(run, count))
  await tab.settle()
  const arrivals = watchArrivals(context, run, count)
  const disk = watchDisk(tab, 0)
  await tab.evaluate('bench.callAtOnce()')
  const { cpuMs, wallMs } = await tab.settle(async () => {
    const there = await arrivals()
    if (!there.isOver || !isKeeping(peer)) return there
    const kept = await disk()
    return { isOver: kept.isOver, progress: there.progress - kept.progress } // what is removed again
  })
  const { progress: arrived } = await arrivals()
  /** @type {{ calledMs: number, longTasks: number[] }} */
  const { calledMs, longTasks } = await tab.evaluate('({ calledMs: bench.calledMs, longTasks: bench.longTasks })')
  await tab.end()
  return {
    burst: (calledMs / count) * 1000,
    delivered: cpuMs,
    deliveredWall: wallMs,
    arrived,
    longTasks: longTasks.length,
    longest: Math.max(0, ...longTasks),
  }
}

/** @type {Sample} */
const storeThousand = async (context, peer) => {
  const count = context.isQuick ? QUICK_CALLS : BURST
  const run = nextRun()
  const tab = await open(context, peer.id)
  try {
    await context.server.weather({ refuse: true })
    await tab.seemOffline(true)
    await tab.evaluate(prepare(run, count))
    await tab.settle()
    const disk = watchDisk(tab, isKeeping(peer) ? count : 0)
    await tab.evaluate('bench.callAtOnce()')
    const { cpuMs, wallMs } = await tab.settle(disk)
    return { stored: cpuMs, storedWall: wallMs, onDisk: (await disk()).progress }
  } finally {
    await tab.end()
    await context.server.weather({ refuse: false })
  }
}

/**
 * Each one's samples of one kind, all in turns. What fails leaves its columns empty, and says why.
 * @param {Context} context
 * @param {{ sample: Sample, columns: string[], repeats: number }} kind
 * @param {Map<string, Row>} rows which get what came of it
 */
const collect = async (context, { sample, columns, repeats }, rows) => {
  for (const { one } of interleave(context.peers, repeats)) {
    await context.server.clear()
    const row = rows.get(one.id)
    if (!row) continue
    try {
      for (const [column, value] of Object.entries(await sample(context, one))) (row.values[column] ??= []).push(value)
    } catch (error) {
      console.error(`${one.title}: ${error}`)
      row.why = { ...row.why, ...Object.fromEntries(columns.map((column) => [column, String(error)])) }
    }
  }
}

/**
 * @param {Context} context
 * @returns {Promise<Table[]>}
 */
export const measure = async (context) => {
  const { repeats } = context
  const makeRows = () => new Map(context.peers.map(({ id }) => /** @type {[string, Row]} */ ([id, { id, values: {} }])))
  const [calls, thousands] = [makeRows(), makeRows()]
  // Who sends an event a request takes a minute for ten thousand.
  await collect(context, { sample: callInBlocks, columns: ['median', 'task', 'p99', 'heap', 'share'], repeats: Math.ceil(repeats / 2) }, calls)
  await collect(context, { sample: callAlone, columns: ['alone'], repeats }, calls)
  await collect(context, { sample: deliverThousand, columns: ['burst', 'delivered', 'deliveredWall', 'arrived', 'longTasks', 'longest'], repeats }, thousands)
  await collect(context, { sample: storeThousand, columns: ['stored', 'storedWall', 'onDisk'], repeats }, thousands)
  for (const { id, values } of thousands.values()) Object.assign(calls.get(id)?.values ?? {}, { burst: values['burst'] ?? [] })
  return [
    {
      name: 'call',
      title: 'One call of track()',
      notes: [
        `Time on the main thread until the call returns. 10 000 calls, ${BLOCK} in each task, from the page's first event on; after each ${PORTION} the page waits until they have arrived (at most ${PORTION_MS / 1000} s), so that no queue overflows: a call whose event is dropped costs less.`,
        'The page is cross-origin isolated: its clock has steps of 5 µs. The median is that of 500 tasks, of each the time from its first call to its last, divided (steps of 0.25 µs, one look at the clock included, 0.1 µs); the 99th percentile is that of single calls, in steps of 5 µs.',
        'With its promise jobs: the same until the next task begins. A call that returns at once and makes its event in a promise job keeps the page as busy as one that made it: input, timers and frames wait for both.',
        `Alone: the median of 100 calls, each in a task of its own ${ALONE_MS} ms after the one before, as of a visitor who clicks; the processor has forgotten the code meanwhile. In a burst: the mean of ${BURST} calls in one task.`,
        'Heap: what the page holds more than before its first event, after all 10 000 were called, what could be delivered was, and the garbage was collected. Arrived: the share of the 10 000 that reached the server; a low one makes the other numbers of its row cheaper than tracking is.',
      ],
      columns: [
        { key: 'median', title: 'median of 10 000', unit: 'µs', digits: 2, better: 'less' },
        { key: 'task', title: 'with its promise jobs', unit: 'µs', digits: 2, better: 'less' },
        { key: 'p99', title: '99th percentile', unit: 'µs', digits: 0, better: 'less' },
        { key: 'alone', title: 'alone', unit: 'µs', digits: 0, better: 'less' },
        { key: 'burst', title: 'in a burst', unit: 'µs', digits: 1, better: 'less' },
        { key: 'heap', title: 'heap after 10 000', unit: 'KiB', digits: 0, better: 'less' },
        { key: 'share', title: 'arrived', unit: '%', digits: 0, better: 'more' },
      ],
      rows: [...calls.values()],
      chart: { column: 'median', log: true },
    },
    {
      name: 'thousand',
      title: 'A thousand calls in one task, until the main thread is quiet',
      notes: [
        `Processor time of the page's main thread, garbage collection included, from the task with ${BURST} calls until it is quiet: no more than 1 ms of work in any 50 ms for half a second. The page is driven by the bare DevTools protocol with nothing switched on that listens; what its questions cost is measured and taken off.`,
        'On disk: the network refuses every connection and the browser says that it is offline, so that delivering is no part of it; it ends when it is quiet and, for who stores, every event is in `localStorage` or IndexedDB, or no more come to be. Column “on disk” counts those that are there then: who has none has lost them if the tab closes now.',
        `Delivered: the network is well; it ends when it is quiet, every event has arrived (ours: at the API behind the relay; or none has for ${SILENCE_MS / 1000} s) and what was stored is removed. The time that it takes is mostly that of each library's own interval.`,
        'Long tasks: those of over 50 ms of the delivered run, by a clock on the wall.',
      ],
      columns: [
        { key: 'stored', title: 'processor, on disk', unit: 'ms', digits: 0, better: 'less' },
        { key: 'storedWall', title: 'time, on disk', unit: 'ms', digits: 0, better: 'less' },
        { key: 'onDisk', title: 'on disk of 1 000', unit: 'events', digits: 0, better: 'more' },
        { key: 'delivered', title: 'processor, delivered', unit: 'ms', digits: 0, better: 'less' },
        { key: 'deliveredWall', title: 'time, delivered', unit: 'ms', digits: 0, better: 'less' },
        { key: 'arrived', title: 'delivered of 1 000', unit: 'events', digits: 0, better: 'more' },
        { key: 'longTasks', title: 'long tasks', unit: '', digits: 0, better: 'less' },
        { key: 'longest', title: 'longest', unit: 'ms', digits: 0, better: 'less' },
      ],
      rows: [...thousands.values()],
      chart: { column: 'stored', log: true },
    },
  ]
}
