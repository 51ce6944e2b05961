/**
 * `npm run torture -- spool`: every proof on every engine.
 * Invariant: the last line is `N passed, N failed`, and a proof that could not be run has failed.
 */
import { parseArgs } from 'node:util'
import { FULL, runChaos, SHORT } from './chaos.ts'
import { runDeploy, runOverlapped } from './deploy.ts'
import { engines, type Engine } from './engines.ts'
import { runObjectChaos } from './object.ts'
import { runOutage } from './outage.ts'
import { isGood, printTable, type Measured, type Row } from './table.ts'

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

const { short: isShort } = values
const isCI = !!process.env['CI'] && process.env['CI'] !== 'false'
const numberOf = (given: string | undefined, fallback: number): number => (given === undefined ? fallback : Number(given))

const seed = numberOf(values.seed, Math.floor(Math.random() * 2 ** 31))
const form = isShort ? SHORT : FULL
const kills = numberOf(values.kills, form.kills)
const events = numberOf(values.events, isShort ? 4_000 : 1_000_000)
const day = {
  events,
  contacts: Math.max(400, events / 20), // far more than are in the batches under way at once
  perSecond: numberOf(values.rate, 1_000),
  flags: values['node-flags'].split(' ').filter(Boolean),
}

/** One row of the table: what is tried on which engine. */
interface Proof {
  engine: string
  name: string
  lacks?: string | undefined
  run(): Promise<Measured>
}

const proofsOf = (engine: Engine): Proof[] => {
  const tried: Record<string, () => Promise<Measured>> = {
    chaos: () => runChaos(engine, seed, { ...form, kills }),
    deploy: () => runDeploy(engine, seed, isShort ? 500 : 5_000),
    'deploys, overlapped': () => runOverlapped(engine, seed, isShort ? { events: 500, deploys: 2 } : { events: 10_000, deploys: 10 }),
    outage: () => runOutage(engine, day),
  }
  return Object.entries(tried).map(([name, run]) => ({ engine: engine.name, name, lacks: engine.lacks, run }))
}

const NONE = { kills: 0, events: 0, lost: 0, disordered: 0, duplicated: 0, allowed: 0, buried: 0, problems: [], notes: [] }

/** Each kill of workerd is followed by a start: fewer of them, in the time that the others take. */
const objects: Proof = {
  engine: 'Durable Objects',
  name: 'chaos',
  run: async () => {
    const plan = isShort ? { events: 400, kills: Math.min(kills, 4) } : { events: 4_000, kills }
    const { sent, lost, disordered, duplicated, duplicatedAllowed } = await runObjectChaos(plan)
    const problems = sent === plan.events ? [] : [`${sent} of ${plan.events} events were accepted`]
    return { ...NONE, kills: plan.kills, events: sent, lost, disordered, duplicated: duplicated - duplicatedAllowed, allowed: duplicatedAllowed, problems }
  },
}

const proofs = [...engines.flatMap(proofsOf), objects]

const prove = async ({ engine, name, lacks, run }: Proof): Promise<Row> => {
  const title = `${engine}, ${name}`
  if (lacks !== undefined) return { ...NONE, engine: title, seconds: 0, problems: isCI ? [`there is ${lacks}`] : [], skipped: lacks }
  const began = Date.now()
  const row = await run().catch((error: unknown): Measured => ({ ...NONE, problems: [error instanceof Error ? (error.stack ?? error.message) : String(error)] }))
  const seconds = (Date.now() - began) / 1000
  console.log(`${isGood(row) ? 'passed' : 'FAILED'} ${title} · ${seconds.toFixed(1)} s`)
  return { ...row, engine: title, seconds }
}

/**
 * The short form is mostly waiting for leases and breakers: there engines run side by side, and chaos beside what else there is of each. That of
 * objects is judged by the clock, and runs alone.
 */
const laneOf = ({ engine, name }: Proof): string => (isShort ? `${engine} ${name === 'chaos'}` : 'all')

const proveAll = async (chosen: readonly Proof[]): Promise<Row[]> => {
  const rows = new Map<Proof, Row>()
  const proveLane = async (lane: string): Promise<void> => {
    for (const proof of chosen) if (laneOf(proof) === lane) rows.set(proof, await prove(proof))
  }
  await Promise.all([...new Set(chosen.filter((proof) => proof !== objects).map(laneOf))].map(proveLane))
  if (chosen.includes(objects) && !rows.has(objects)) rows.set(objects, await prove(objects))
  return chosen.flatMap((proof) => rows.get(proof) ?? [])
}

const main = async (): Promise<boolean> => {
  console.log(`seed ${seed}`)
  const isWanted = (name: string, parts: readonly string[]): boolean => parts.some((part) => name.toLowerCase().includes(part.toLowerCase()))
  const rows = await proveAll(proofs.filter(({ engine, name }) => isWanted(engine, values.engine) && isWanted(name, values.proof)))
  printTable(rows)
  const skipped = rows.filter((row) => row.skipped !== undefined && isGood(row)).length
  const passed = rows.filter(isGood).length - skipped
  const failed = rows.length ? rows.length - passed - skipped : 1
  console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`)
  return failed === 0
}

// What a broken proof left behind must not keep the process.
process.exit((await main()) ? 0 : 1)
