/**
 * `npm run torture -- spool`: every proof on every engine.
 * Invariant: the last line is `N passed, N failed`, and a proof that could not be run has failed.
 */
import { parseArgs } from 'node:util'
import { FULL, runChaos, SHORT } from './chaos.ts'
import { runDeploy, runOverlapped } from './deploy.ts'
import { engines, type Engine } from './engines.ts'
import { runOutage } from './outage.ts'
import { isGood, printTable, type Row } from './table.ts'

const { values } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: 'boolean', default: false },
    engine: { type: 'string', multiple: true, default: [''] },
    proof: { type: 'string', multiple: true, default: [''] },
    seed: { type: 'string' },
    kills: { type: 'string' },
    events: { type: 'string' },
    rate: { type: 'string' },
    'node-flags': { type: 'string', default: '' },
  },
})

const isCI = !!process.env['CI'] && process.env['CI'] !== 'false'

const NONE = { kills: 0, events: 0, lost: 0, disordered: 0, duplicated: 0, allowed: 0, buried: 0, notes: [] }

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
const form = { ...(values.short ? SHORT : FULL), ...(values.kills !== undefined && { kills: Number(values.kills) }) }

const events = Number(values.events ?? (values.short ? 4_000 : 1_000_000))
/** As long as a day has it, but that no contact comes twice in the batches under way at once. */
const day = { events, contacts: Math.max(400, events / 20), perSecond: Number(values.rate ?? (values.short ? 1_000 : 1_000)), flags: values['node-flags'].split(' ').filter(Boolean) }

/** By what they are called in `--proof`. */
const proofs: Record<string, (engine: Engine) => Promise<Row>> = {
  chaos: (engine) => runChaos(engine, seed, form),
  deploy: (engine) => runDeploy(engine, seed, values.short ? 500 : 5_000),
  outage: (engine) => runOutage(engine, day),
  'deploys, overlapped': (engine) => runOverlapped(engine, seed, values.short ? { events: 500, deploys: 2 } : { events: 10_000, deploys: 10 }),
}

const run = async (engine: Engine, name: string, prove: (engine: Engine) => Promise<Row>): Promise<Row> => {
  const title = `${engine.name}, ${name}`
  if (engine.lacks !== undefined) return { ...NONE, engine: title, seconds: 0, problems: isCI ? [`it lacks: ${engine.lacks}`] : [], skipped: engine.lacks }
  const began = Date.now()
  const row = await prove(engine).catch((error: unknown): Row => ({ ...NONE, engine: title, seconds: (Date.now() - began) / 1000, problems: [error instanceof Error ? (error.stack ?? error.message) : String(error)] }))
  console.log(`${isGood(row) ? 'passed' : 'FAILED'} ${title} · ${row.seconds.toFixed(1)} s`)
  return { ...row, engine: title }
}

const main = async (): Promise<boolean> => {
  console.log(`seed ${seed}`)
  const isWanted = (name: string, parts: readonly string[]): boolean => parts.some((part) => name.toLowerCase().includes(part.toLowerCase()))
  const rows: Row[] = []
  for (const engine of engines.filter(({ name }) => isWanted(name, values.engine))) {
    for (const [name, prove] of Object.entries(proofs)) if (isWanted(name, values.proof)) rows.push(await run(engine, name, prove))
  }
  printTable(rows)
  const skipped = rows.filter((row) => row.skipped !== undefined && isGood(row)).length
  const passed = rows.filter(isGood).length - skipped
  const failed = rows.length ? rows.length - passed - skipped : 1
  console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`)
  return failed === 0
}

// What a broken proof left behind must not keep the process.
process.exit((await main()) ? 0 : 1)
