// @ts-check
/**
 * What a Worker costs before it is warm: from a fresh isolate (and from a fresh workerd) to the first answer, which says that one event is stored.
 *
 * Code in workerd cannot tell how long its own evaluation took: its clocks stand still meanwhile. So an isolate is loaded into a running workerd by
 * another Worker (its `worker_loader` binding) and asked for nothing: the CPU that the process took, less that for an empty script, is the script's start.
 */
import { Agent, get } from 'node:http'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { interleave, median, spread } from '../stats.mjs'
import { checkStored, COMPATIBILITY_DATE, compile, cpuUsOf, makeBody, post, startUpstream, startWorkerd, VARIANTS } from '../targets.mjs'

/** @typedef {import('../targets.mjs').Target} Target */

export const title = 'The relay: cold start on workerd'

const EMPTY = 'export default { fetch: () => new Response() }'

/** Loads the script that a request names into an isolate that the request names: a new name is a new isolate. */
const LOADER = `export default {
  fetch: (request, { LOADER, scripts, settings }) => {
    const [script, isolate] = ['X-Script', 'X-Isolate'].map((name) => request.headers.get(name))
    const load = () => ({ compatibilityDate: '${COMPATIBILITY_DATE}', mainModule: 'worker.js', modules: { 'worker.js': scripts[script] }, env: settings })
    return LOADER.get(isolate, load).getEntrypoint().fetch(request)
  },
}`

/** An answer without looking at it. @param {URL} url @param {import('node:http').RequestOptions} options @returns {Promise<void>} */
const ask = (url, options) =>
  new Promise((resolve, reject) => {
    get(url, options, (answer) => answer.resume().on('error', reject).on('end', resolve)).on('error', reject)
  })

let isolates = 0

/** @param {Target} target @param {string} script */
const makeIsolate = ({ pid, url }, script) => {
  const agent = new Agent({ keepAlive: true })
  const headers = { 'X-Script': script, 'X-Isolate': `${script} ${++isolates}` }
  const cost = async (/** @type {() => Promise<unknown>} */ work) => {
    const [startedAt, cpuUs] = [performance.now(), cpuUsOf(pid)]
    await work()
    return { ms: performance.now() - startedAt, cpuMs: (cpuUsOf(pid) - cpuUs) / 1000 }
  }
  return {
    /** Its script stands, and nothing else. */
    load: () => cost(() => ask(url, { agent, headers })),
    /** One event is stored. */
    store: () => cost(async () => checkStored(await post(url, { agent, headers, body: makeBody(1, 1) }), 1)),
    close: () => agent.destroy(),
  }
}

/** From nothing to the first event stored, in milliseconds. @param {string} code @param {object} settings */
const startProcess = async (code, settings) => {
  const agent = new Agent()
  const startedAt = performance.now()
  const worker = await startWorkerd(code, settings)
  checkStored(await post(worker.url, { agent, body: makeBody(1, 1) }), 1)
  const ms = performance.now() - startedAt
  await worker.close()
  return ms
}

/** @type {import('../report.mjs').Column[]} */
const COLUMNS = [
  { key: 'isolate', title: 'Fresh isolate to the first event stored', unit: 'ms', digits: 1, better: 'less' },
  { key: 'warm', title: 'The next event', unit: 'ms', digits: 1, better: 'less' },
  { key: 'isolateCpu', title: 'CPU from fresh isolate to the first event stored', unit: 'ms', digits: 1, better: 'less' },
  { key: 'load', title: 'CPU until its script stands', unit: 'ms', digits: 1, better: 'less' },
  { key: 'process', title: 'Fresh workerd to the first event stored', unit: 'ms', digits: 0, better: 'less' },
  { key: 'raw', title: 'Script', unit: 'bytes', digits: 0, better: 'less' },
  { key: 'gzip', title: 'Script, gzip', unit: 'bytes', digits: 0, better: 'less' },
  { key: 'brotli', title: 'Script, brotli', unit: 'bytes', digits: 0, better: 'less' },
]

/** Isolates a round, since one takes a few milliseconds: enough for a median that the machine's other work does not move. */
const ISOLATES = 5

/** @param {{ repeats: number, isQuick?: boolean }} context @returns {Promise<import('../report.mjs').Table>} */
export const measure = async ({ repeats, isQuick = false }) => {
  const programs = await compile()
  const { settings, close } = await startUpstream()
  const rows = VARIANTS.map((id) => ({ id, values: /** @type {Record<string, number[]>} */ (Object.fromEntries(COLUMNS.map(({ key }) => [key, []]))) }))
  const loader = await startWorkerd(LOADER, { scripts: { ...programs.workers, empty: EMPTY }, settings }, { LOADER: {} })
  const inIsolate = async (/** @type {string} */ script, /** @type {'load' | 'store'} */ act) => {
    const isolate = makeIsolate(loader, script)
    const first = await isolate[act]()
    const next = await isolate[act]()
    isolate.close()
    return { ...first, nextMs: next.ms }
  }
  /** @type {number[]} */
  const empty = []
  try {
    for (const script of [...VARIANTS, 'empty']) await inIsolate(script, 'load') // the loader itself must be warm
    for (const { one: { id, values } } of interleave(rows, repeats * (isQuick ? 1 : ISOLATES))) {
      const stored = await inIsolate(id, 'store')
      const loaded = await inIsolate(id, 'load')
      values.isolate?.push(stored.ms)
      values.warm?.push(stored.nextMs)
      values.isolateCpu?.push(stored.cpuMs)
      values.load?.push(loaded.cpuMs)
      empty.push((await inIsolate('empty', 'load')).cpuMs)
    }
    for (const { one: { id, values } } of interleave(rows, repeats)) values.process?.push(await startProcess(programs.workers[id], settings))
    for (const { id, values } of rows) {
      const code = Buffer.from(programs.workers[id])
      Object.assign(values, { raw: [code.length], gzip: [gzipSync(code, { level: 9 }).length], brotli: [brotliCompressSync(code).length] })
    }
  } finally {
    await Promise.all([loader.close(), close()])
    programs.remove()
  }
  const notes = [
    'A fresh isolate is loaded into a running workerd by another Worker; a fresh workerd is started by Miniflare, whose own work is in the figure.',
    `CPU is that of the whole workerd process. Until an empty script stands it takes ${median(empty).toFixed(1)} ms (${spread(empty).map((ms) => ms.toFixed(1)).join('–')}): what is above that is the script’s own start.`,
  ]
  return { name: 'cold', title, notes, columns: COLUMNS, rows }
}
