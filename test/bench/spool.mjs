// @ts-check
/**
 * How many events a second a spool accepts, beside a bare write of the same bytes by the same engine that is as safe, in one run on one machine:
 * `npm run bench:spool`.
 *
 *   --repeats N      of each measurement, both in turns (5), after one that does not count
 *   --sizes a,b      events a batch (1,40)
 *   --events a,b     in one measurement, for each size (4000,40000)
 *   --clients a,b    batches under way at once (1,8)
 *   --contacts N     among whom a batch's events are spread (8)
 *   --engines a,b    sqlite, redis, objects (of Cloudflare, in workerd)
 *
 * Medians; in brackets the least and the most; a ratio is that of one turn's two.
 */
import * as esbuild from 'esbuild'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { writeCell } from './report.mjs'
import { interleave } from './stats.mjs'

/** @typedef {import('./stores.ts').Batch} Batch */
/** @typedef {import('./stores.ts').Engine} Engine */

/** @typedef {{ events: number, size: number, clients: number, contacts: number }} Load */

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The ways to write, ours first. */
const WAYS = /** @type {const} */ (['spool', 'bare'])

/** @returns {Promise<readonly Engine[]>} */
const loadEngines = async () => {
  const outdir = mkdtempSync(join(root, 'node_modules/.bench-'))
  const outfile = join(outdir, 'stores.mjs')
  try {
    await esbuild.build({ absWorkingDir: root, entryPoints: ['test/bench/stores.ts'], outfile, bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20' })
    return (await import(outfile)).engines
  } finally {
    rmSync(outdir, { recursive: true })
  }
}

let made = 0

/** Batches as browsers send them; no id comes twice. @param {Load} load @returns {Batch[]} */
const makeBatches = ({ events, size, contacts }) =>
  Array.from({ length: Math.ceil(events / size) }, (_, batch) => {
    const list = Array.from({ length: size }, (_, nth) => ({
      id: `0190a000-0000-7000-8000-${(++made).toString(16).padStart(12, '0')}`,
      type: 'purchase',
      occurredAt: '2026-11-30T12:00:00.000Z',
      contact: { id: `u_${batch % 1_000}_${nth % contacts}`, email: 'visitor@shop.example', language: 'en' },
      customFields: { amount: '49.90', sku: 'A1', channel: 'web' },
    }))
    return { events: list, bodies: list.map((event) => JSON.stringify(event)) }
  })

/** Events a second of one way. @param {Engine} engine @param {typeof WAYS[number]} way @param {Load} load */
const run = async (engine, way, load) => {
  const batches = makeBatches(load)
  const { write, close } = await engine[way]()
  try {
    const startedAt = performance.now()
    let next = 0
    const work = async () => {
      for (let batch = batches[next++]; batch; batch = batches[next++]) await write(batch)
    }
    await Promise.all(Array.from({ length: load.clients }, work))
    return (batches.length * load.size * 1000) / (performance.now() - startedAt)
  } finally {
    await close()
  }
}

/** @param {Engine} engine @param {Load} load @param {number} repeats */
const compare = async (engine, load, repeats) => {
  /** @type {Record<typeof WAYS[number], number[]>} */
  const rates = { spool: [], bare: [] }
  for (const { one, round } of interleave(WAYS, repeats + 1)) {
    const rate = await run(engine, one, load)
    if (round) rates[one].push(rate)
  }
  return { ...rates, ratio: rates.spool.map((rate, turn) => rate / (rates.bare[turn] ?? NaN)) }
}

/** @param {string} text */
const numbers = (text) => text.split(',').map(Number)

const main = async () => {
  const { values } = parseArgs({
    options: {
      repeats: { type: 'string', default: '5' },
      sizes: { type: 'string', default: '1,40' },
      events: { type: 'string', default: '4000,40000' },
      clients: { type: 'string', default: '1,8' },
      contacts: { type: 'string', default: '8' },
      engines: { type: 'string', default: 'sqlite,redis,objects' },
    },
  })
  const wanted = values.engines.split(',')
  const engines = (await loadEngines()).filter(({ key }) => wanted.includes(key))
  const { sqlite = 'none' } = process.versions
  console.log(`Node ${process.version} (SQLite of its own: ${sqlite}), ${cpus().length} × ${cpus()[0]?.model}, load average ${loadavg()[0]?.toFixed(1)}; ${values.repeats} repeats\n`)
  console.log('| engine | events a batch | batches at once | `spool.put`, events/s | bare write, events/s | ratio |')
  console.log('| --- | ---: | ---: | ---: | ---: | ---: |')
  for (const engine of engines) {
    if (engine.lacks !== undefined) continue
    for (const [nth, size] of numbers(values.sizes).entries()) {
      for (const clients of numbers(values.clients)) {
        const load = { events: numbers(values.events)[nth] ?? 4_000, size, clients, contacts: Number(values.contacts) }
        const { spool, bare, ratio } = await compare(engine, load, Number(values.repeats))
        const [whole, fine] = [{ digits: 0 }, { digits: 2 }].map((digits) => ({ key: '', title: '', unit: '', better: /** @type {const} */ ('more'), ...digits }))
        if (!whole || !fine) continue
        console.log(`| ${engine.name} | ${size} | ${clients} | ${writeCell(spool, whole)} | ${writeCell(bare, whole)} | ${writeCell(ratio, fine)} |`)
      }
    }
  }
  console.log('')
  for (const { name, about, lacks } of engines) console.log(lacks === undefined ? `Bare, ${name}: ${about}.` : `${name}: not measured, because there is ${lacks}.`)
}

await main()
