// @ts-check
/**
 * Ours and the others in one run, in a real Chromium, against a local site that speaks each one's protocol: `npm run bench`.
 *
 *   --only a,b     measures (all)
 *   --peers a,b    libraries (all); ours is always among them
 *   --repeats N    of each measurement, all in turns (5)
 *   --quick        everything once and little of it, into a temporary folder: does it run?
 *   --out FOLDER   of the report (test/bench/report)
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startBrowser } from './browser.mjs'
import { makeBundles } from './bundles.mjs'
import { checkDelivery } from './delivery.mjs'
import { OURS, PEERS } from './peers.mjs'
import { renderTable } from './report.mjs'
import { startServer } from './server.mjs'

/**
 * @typedef {object} Context
 * @property {import('./server.mjs').Server} server
 * @property {import('./browser.mjs').Browser} browser
 * @property {readonly import('./peers.mjs').Peer[]} peers
 * @property {Record<string, import('./bundles.mjs').Bundle>} bundles by the peer's id
 * @property {number} repeats
 * @property {boolean} isQuick
 */

/** @typedef {{ title: string, measure: (context: Context) => Promise<import('./report.mjs').Table | import('./report.mjs').Table[]> }} Measure */

const root = fileURLToPath(new URL('../..', import.meta.url))

/** In the order of the report. */
const MEASURES = ['bytes', 'start', 'call', 'exit', 'backlog', 'page']

/** @param {string | undefined} list @param {readonly string[]} known @param {string} what */
const choose = (list, known, what) => {
  const chosen = list?.split(',') ?? known
  const strange = chosen.find((one) => !known.includes(one))
  if (strange !== undefined) throw new Error(`no ${what} is called ${strange}; there are ${known.join(', ')}`)
  return known.filter((one) => chosen.includes(one))
}

const main = async () => {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, peers: { type: 'string' }, repeats: { type: 'string' }, quick: { type: 'boolean', default: false }, out: { type: 'string' } },
  })
  const measures = choose(values.only, MEASURES, 'measure')
  const ids = [OURS, ...choose(values.peers, PEERS.map(({ id }) => id), 'library')]
  const peers = PEERS.filter(({ id }) => ids.includes(id))
  const folder = mkdtempSync(join(root, 'node_modules/.bench-')) // where the server's bundle finds what it imports
  const bundles = await makeBundles(peers, folder)
  const server = await startServer(folder)
  const browser = await startBrowser(server.origin)
  try {
    await checkDelivery({ server, browser, peers })
    for (const name of measures) {
      /** @type {Measure} */
      const { title, measure } = await import(`./measures/${name}.mjs`)
      console.log(`\n${title}`)
      const tables = await measure({ server, browser, peers, bundles, repeats: Number(values.repeats ?? (values.quick ? 1 : 5)), isQuick: values.quick })
      for (const table of [tables].flat()) console.log(renderTable(table, (id) => PEERS.find((peer) => peer.id === id)?.title ?? id))
    }
  } finally {
    await browser.close()
    await server.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
