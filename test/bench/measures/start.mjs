// @ts-check
/** What the page pays before anybody tracks anything: the script is evaluated and sets itself up. */
import { setTimeout as wait } from 'node:timers/promises'
import { EMPTY } from '../peers.mjs'
import { interleave, median } from '../stats.mjs'
import { openTab } from '../tab.mjs'

export const title = 'Start'

/** How much slower than this machine: none; a phone of the middle; a slow one. */
const RATES = [1, 4, 20]
const SLOWEST = 20

/** Compiled and run before `append` returns, as a script in the page's head would be. */
const INSERT = `void (() => {
  const script = document.createElement('script')
  script.textContent = window.code
  document.body.append(script)
})()`

/** Quiet: the thread works less than this in a quarter of a second, on a machine at full speed. A question costs 0.3 ms. */
const QUIET_MS = 1.5

const QUIET_FOR_MS = 250

/** A library that never rests is cut off here, milliseconds. */
const QUIET_WITHIN_MS = 15_000

/** What the main thread has done once it is quiet, milliseconds. @param {import('../tab.mjs').Tab} tab @param {number} rate */
const workedWhenQuiet = async (tab, rate) => {
  const end = performance.now() + QUIET_WITHIN_MS
  for (let before = await tab.workedMs(); ; ) {
    await wait(QUIET_FOR_MS)
    const now = await tab.workedMs()
    if (now - before < QUIET_MS * rate || performance.now() > end) return now
    before = now
  }
}

/**
 * @param {import('../main.mjs').Context} context
 * @param {string} id
 * @param {number} rate
 */
const sample = async ({ browser, server }, id, rate) => {
  const tab = await openTab(browser, `${server.origin}/page/${id}?script=no`, 0)
  try {
    await tab.evaluate(`fetch('/bundle/${id}.js').then((answer) => answer.ok ? answer.text() : '').then((text) => void (window.code = text))`)
    await tab.throttle(rate)
    const before = await workedWhenQuiet(tab, rate)
    await tab.evaluate(INSERT)
    const evaluated = (await tab.workedMs()) - before
    return { evaluated, quiet: (await workedWhenQuiet(tab, rate)) - before }
  } finally {
    await tab.end()
  }
}

/**
 * @param {import('../main.mjs').Context} context
 * @returns {Promise<import('../report.mjs').Table>}
 */
export const measure = async (context) => {
  const rates = context.isQuick ? [4] : RATES
  const ids = [EMPTY, ...context.peers.map(({ id }) => id)]
  /** @type {Record<string, Record<string, number[]>>} */
  const measured = Object.fromEntries(ids.map((id) => [id, {}]))
  const turns = [...ids, EMPTY] // twice a round, as it is taken off everybody's
  for (const { one: id, round } of interleave(turns, context.repeats)) {
    for (const rate of rates) {
      if (rate === SLOWEST && round * 2 > context.repeats) continue // three of five: they take as long as all others
      const { evaluated, quiet } = await sample(context, id, rate)
      for (const [kind, value] of Object.entries({ evaluated, quiet })) ((measured[id] ??= {})[kind + rate] ??= []).push(value)
    }
  }
  // What the browser itself does about an empty script and our questions is nobody's.
  const own = (/** @type {string} */ key) => median(measured[EMPTY]?.[key] ?? [])
  return {
    name: 'start',
    title: 'Start: processor time of the main thread',
    notes: [
      'The bundle is one classic script, inserted into a page that is otherwise quiet; compiling it counts, downloading it does not. “Evaluated” is until the script has run to its end, “until quiet” adds what it does on its own afterwards: answers to what it asked its server, timers, storage, until the thread hardly works for a quarter of a second.',
      'Processor time of the thread as Chromium counts it (`TaskDuration` in thread ticks), less what an empty script costs. Chromium’s throttling keeps the thread busy in between, which counts as its work: at 4 × and 20 × the numbers are milliseconds of such a phone. There, and only there, it counts as work too when the script waits for another process, as for its first look into `localStorage` (found by measuring: a first write takes 5 ms and 1.4 of processor at full speed, 19 and 19 at 4 ×).',
    ],
    columns: rates.flatMap((rate) => [
      { key: `evaluated${rate}`, title: `evaluated, ${rate} ×`, unit: 'ms', digits: 1, better: /** @type {const} */ ('less') },
      { key: `quiet${rate}`, title: `until quiet, ${rate} ×`, unit: 'ms', digits: 1, better: /** @type {const} */ ('less') },
    ]),
    rows: context.peers.map(({ id }) => ({
      id,
      values: Object.fromEntries(Object.entries(measured[id] ?? {}).map(([key, list]) => [key, list.map((value) => Math.max(0, value - own(key)))])),
    })),
    chart: { column: 'quiet4', log: true },
  }
}
