// @ts-check
/** What a visitor feels of it: how long a click that tracks takes until the page shows its answer, with and without each script. */
import { interleave, median } from '../stats.mjs'
import { openTab } from '../tab.mjs'

/** @typedef {import('../main.mjs').Context} Context */
/** @typedef {import('../report.mjs').Row} Row */
/** @typedef {import('../report.mjs').Table} Table */

/** Clicks of one visit. Of fewer than 50 interactions the worst is what counts (https://web.dev/articles/inp). */
const CLICKS = 25

/** Between clicks, milliseconds: a hasty visitor; what one began is then under way when the next one comes. */
const BETWEEN_MS = 100

/** How many times slower than this machine; a middling phone is about 4 times slower than a desktop. */
const RATES = [1, 4]

/** The page without any script: what a click costs anyway. */
const NONE = { id: 'no script', path: '/page/none' }

export const title = 'The page'

let runs = 0

/**
 * In the page: a handler as shops have it, which tracks and changes what is seen, and three clocks beside it.
 * @param {string} run
 */
const prepare = (run) => `(() => {
  const list = document.body.appendChild(document.createElement('ul'))
  const interactions = {}
  const works = []
  const shown = []
  new PerformanceObserver((entries) => {
    for (const { interactionId, duration } of entries.getEntries())
      if (interactionId) interactions[interactionId] = Math.max(interactions[interactionId] ?? 0, duration)
  }).observe({ type: 'event', durationThreshold: 16 })
  document.getElementById('buy').addEventListener('click', ({ timeStamp }) => {
    const began = performance.now()
    window.track?.('${run}' + works.length)
    works.push(performance.now() - began)
    list.appendChild(document.createElement('li')).textContent = 'Bought ' + works.length
    // A task begun in the frame comes after it was painted.
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel()
      port1.onmessage = () => shown.push(performance.now() - timeStamp)
      port2.postMessage(0)
    })
  })
  const { x, y, width, height } = document.getElementById('buy').getBoundingClientRect()
  window.bench = { interactions, works, shown }
  return { x: x + width / 2, y: y + height / 2 }
})()`

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * One visit: clicks by the browser's own input, as from a mouse.
 * @param {Context} context
 * @param {string} path
 * @param {number} rate
 */
const click = async ({ browser, server, isQuick }, path, rate) => {
  const clicks = isQuick ? 2 : CLICKS
  const tab = await openTab(browser, server.origin + path, isQuick ? 100 : undefined)
  const place = await tab.evaluate(prepare(`m${++runs}_`))
  await tab.throttle(rate)
  const mouse = (/** @type {object} */ given) => tab.send('Input.dispatchMouseEvent', { ...place, button: 'left', clickCount: 1, ...given })
  await mouse({ type: 'mouseMoved', button: 'none', clickCount: 0 })
  for (let nth = 0; nth < clicks; nth++) {
    await pause(BETWEEN_MS)
    await mouse({ type: 'mousePressed' })
    await mouse({ type: 'mouseReleased' })
  }
  await tab.throttle(1)
  await tab.settle()
  /** @type {{ interactions: Record<string, number>, works: number[], shown: number[] }} */
  const { interactions, works, shown } = await tab.evaluate('bench')
  await tab.end()
  if (works.length !== clicks || shown.length !== clicks) throw new Error(`${path}: of ${clicks} clicks ${works.length} came, ${shown.length} were shown`)
  return { inp: Math.max(16, ...Object.values(interactions)), shown: median(shown), work: median(works), worst: Math.max(...works) }
}

/**
 * @param {Context} context
 * @returns {Promise<Table>}
 */
export const measure = async (context) => {
  const pages = [...context.peers.map(({ id }) => ({ id, path: `/page/${id}` })), NONE]
  /** @type {Map<string, Row>} */
  const rows = new Map(pages.map(({ id }) => [id, { id, values: {} }]))
  for (const { one } of interleave(pages, context.repeats)) {
    for (const rate of RATES) {
      await context.server.clear()
      const values = rows.get(one.id)?.values ?? {}
      for (const [name, value] of Object.entries(await click(context, one.path, rate))) (values[`${name}${rate}`] ??= []).push(value)
    }
  }
  return {
    name: 'page',
    title: 'Interaction to Next Paint of a click that tracks',
    notes: [
      `${CLICKS} clicks by the browser's own mouse, ${BETWEEN_MS} ms apart, on a button whose handler calls track() and then adds a line to the page; at the machine's full speed and with the processor ${RATES[1]} times slower. The page without any script does the same but for the call.`,
      'INP is the longest of the clicks, as the browser itself reports interactions (Event Timing): in steps of 8 ms, and 16 stands for anything up to that, of which the browser does not tell. Until shown: from the moment of the input to the first task after the frame that shows the answer, the median, by a clock of 5 µs; a frame comes each 16.7 ms, so that most of it is waiting for one. In track(): what the handler spends there, the median and the longest of the clicks.',
    ],
    columns: RATES.flatMap((rate) => [
      { key: `inp${rate}`, title: `INP, ${rate} ×`, unit: 'ms', digits: 0, better: /** @type {const} */ ('less') },
      { key: `shown${rate}`, title: `until shown, ${rate} ×`, unit: 'ms', digits: 1, better: /** @type {const} */ ('less') },
      { key: `work${rate}`, title: `in track(), ${rate} ×`, unit: 'ms', digits: 2, better: /** @type {const} */ ('less') },
      { key: `worst${rate}`, title: `longest, ${rate} ×`, unit: 'ms', digits: 2, better: /** @type {const} */ ('less') },
    ]),
    rows: [...rows.values()],
    chart: { column: 'work4', log: true },
  }
}
