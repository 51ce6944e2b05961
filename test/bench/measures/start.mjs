// @ts-check
/** What the page pays before anybody tracks anything: the script is evaluated and sets itself up. */
import { EMPTY } from '../peers.mjs'
import { interleave, median } from '../stats.mjs'

export const title = 'Start'

/** How much slower than this machine: none; a phone of the middle; a slow one. */
const RATES = [1, 4, 20]

/** Compiled and run before `append` returns, as a script in the page's head would be. */
const INSERT = `{
  const script = document.createElement('script')
  script.textContent = window.code
  document.body.append(script)
}`

/**
 * @param {import('../main.mjs').Context} context
 * @param {string} id
 * @param {number} rate
 */
const sample = async ({ browser }, id, rate) => {
  const visit = await browser.visit(`/page/${id}?script=no`)
  await visit.evaluate(`fetch('/bundle/${id}.js').then((answer) => answer.ok ? answer.text() : '').then((text) => void (window.code = text))`)
  await visit.throttle(rate)
  const before = await visit.quiet()
  await visit.cdp.send('Runtime.evaluate', { expression: INSERT })
  const evaluated = (await visit.workedMs()) - before
  const quiet = (await visit.quiet()) - before
  await visit.end()
  return { evaluated, quiet }
}

/**
 * @param {import('../main.mjs').Context} context
 * @returns {Promise<import('../report.mjs').Table>}
 */
export const measure = async (context) => {
  const ids = [EMPTY, ...context.peers.map(({ id }) => id)]
  /** @type {Record<string, Record<string, number[]>>} */
  const measured = Object.fromEntries(ids.map((id) => [id, {}]))
  for (const { one: id } of interleave(ids, context.repeats)) {
    for (const rate of RATES) {
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
      'Processor time of the thread as Chromium counts it (`TaskDuration` in thread ticks), less what an empty script costs. Chromium’s throttling keeps the thread busy in between, which counts as its work: at 4 × and 20 × the numbers are milliseconds of such a phone.',
    ],
    columns: RATES.flatMap((rate) => [
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
