// @ts-check
/**
 * Ours and the others in one run, in a real Chromium, against a local site that speaks each one's protocol: `npm run bench`.
 *
 *   --only a,b     measures (all)
 *   --peers a,b    libraries (all); ours is always among them
 *   --repeats N    of each measurement, all in turns (3); a whole run takes over an hour
 *   --quick        everything once and little of it, into a temporary folder: does it run?
 *   --out FOLDER   of the report (test/bench/report); the README's table follows only a whole run into that one
 *
 * The libraries are installed at the first run, beside this file and by a lock file of their own. Chromium as `npm test` finds it.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, tmpdir, totalmem, type as system } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startBrowser } from './browser.mjs'
import { makeBundles } from './bundles.mjs'
import { checkDelivery } from './delivery.mjs'
import { OURS, PEERS, versionOf } from './peers.mjs'
import { putHeadlines, renderFiles, renderTable, roundFigures } from './report.mjs'
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

/** In the order of the report. What the relay's process computes only Linux says. */
const MEASURES = ['bytes', 'start', 'call', 'exit', 'backlog', 'page', ...(process.platform === 'linux' ? ['relay', 'cold'] : [])]

/** @param {string | undefined} list @param {readonly string[]} known @param {string} what */
const choose = (list, known, what) => {
  const chosen = list?.split(',') ?? known
  const strange = chosen.find((one) => !known.includes(one))
  if (strange !== undefined) throw new Error(`no ${what} is called ${strange}; there are ${known.join(', ')}`)
  return known.filter((one) => chosen.includes(one))
}

/** Installs the libraries where what is installed is not what the lock file says. */
const provideLibraries = () => {
  const cwd = join(root, 'test/bench')
  const read = (/** @type {string} */ path) => (existsSync(join(cwd, path)) ? JSON.parse(readFileSync(join(cwd, path), 'utf8')).packages : {})
  const [wanted, installed] = [read('package-lock.json'), read('node_modules/.package-lock.json')]
  const isThere = Object.entries(wanted).every(([path, { version, optional }]) => path === '' || optional || installed[path]?.version === version)
  // Nothing of theirs runs at the install.
  if (!isThere) execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd, stdio: 'inherit', shell: process.platform === 'win32' })
}

/** @param {import('./browser.mjs').Browser} browser @param {number[]} load */
const describeMachine = (browser, load) => [
  `${cpus().length} × ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${system()} ${release()}`,
  `Chromium ${browser.version}, Node ${process.version}`,
  `load before it began (1, 5, 15 minutes): ${load.map((one) => one.toFixed(2)).join(', ')}`,
]

const main = async () => {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, peers: { type: 'string' }, repeats: { type: 'string' }, quick: { type: 'boolean', default: false }, out: { type: 'string' } },
  })
  const measures = choose(values.only, MEASURES, 'measure')
  const ids = [OURS, ...choose(values.peers, PEERS.map(({ id }) => id), 'library')]
  const peers = PEERS.filter(({ id }) => ids.includes(id))
  const repeats = Number(values.repeats ?? (values.quick ? 1 : 3))
  if (!Number.isInteger(repeats) || repeats < 1) throw new Error(`--repeats ${values.repeats}: allowed is a whole number from 1`)
  const isWhole = !values.only && !values.peers && !values.quick && !values.out
  const load = loadavg()
  provideLibraries()
  const folder = mkdtempSync(join(root, 'node_modules/.bench-')) // where the server's bundle finds what it imports
  const bundles = await makeBundles(peers, folder)
  const server = await startServer(folder)
  const browser = await startBrowser(server.origin)
  /** @type {import('./report.mjs').Table[]} */
  const tables = []
  try {
    await checkDelivery({ server, browser, peers })
    for (const name of measures) {
      /** @type {Measure} */
      const { title, measure } = await import(`./measures/${name}.mjs`)
      const beganAt = performance.now()
      await server.clear()
      const made = [await measure({ server, browser, peers, bundles, repeats, isQuick: values.quick })].flat()
      tables.push(...made)
      console.log(`\n# ${title}, ${((performance.now() - beganAt) / 1000).toFixed(0)} s`)
      for (const table of made) console.log(`\n${table.title}\n\n${renderTable(table, (id) => PEERS.find((peer) => peer.id === id)?.title ?? id)}`)
    }
    const figures = roundFigures({
      date: new Date().toISOString().slice(0, 10),
      command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' '),
      machine: describeMachine(browser, load),
      repeats,
      peers: peers.map((peer) => ({ id: peer.id, title: peer.title, version: versionOf(peer), stores: peer.stores })),
      tables,
    })
    const out = values.out ?? (values.quick ? mkdtempSync(join(tmpdir(), 'pristo-bench-')) : join(root, 'test/bench/report'))
    mkdirSync(out, { recursive: true })
    const files = renderFiles(figures)
    for (const [name, text] of Object.entries(files)) writeFileSync(join(out, name), text)
    const readme = join(root, 'README.md')
    if (isWhole) writeFileSync(readme, putHeadlines(readFileSync(readme, 'utf8'), figures))
    console.log(`\n${join(out, 'README.md')}`)
  } finally {
    await browser.close()
    await server.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
