/**
 * Faults × engines: runs every cell, and prints what became of its events.
 * Invariant: the last line is `N passed, N failed`, and a cell that could not be run has failed.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { engines, findBrowser, nameOf, type Engine } from '../support/browsers/find.mjs'
import { launch, type Browser } from '../support/browsers/index.ts'
import { faults, type Fault } from './faults.ts'
import { printTable, type Cell } from './table.ts'
import { inWorld } from './world.ts'

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    engine: { type: 'string', multiple: true, default: [...engines] },
    fault: { type: 'string', multiple: true, default: [''] },
    report: { type: 'string' },
  },
})

/** Cells at a time: engines run side by side, and each does one thing after the other. */
const LANES = 2

/** The longest that a cell may take, milliseconds: several times what the slowest needs. */
const CELL_MS = values.short ? 120_000 : 400_000

/** How long nothing more must arrive at the end of a cell, milliseconds. */
const QUIET_MS = values.short ? 500 : 2_000

const isCI = !!process.env['CI'] && process.env['CI'] !== 'false'

const within = <T>(work: Promise<T>): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over after ${CELL_MS / 1000} s`)), CELL_MS)
  })
  return Promise.race([work, limit]).finally(() => clearTimeout(timer))
}

const runCell = async (fault: Fault, engine: Engine, browser: Browser): Promise<Cell> => {
  const { rounds, events } = (values.short && fault.short) || fault.full
  const notes: string[] = []
  const began = Date.now()
  const end = (): Pick<Cell, 'fault' | 'engine' | 'seconds' | 'notes'> => ({ fault, engine, notes, seconds: (Date.now() - began) / 1000 })
  try {
    const reckoning = await within(
      inWorld({ engine, browser, quietMs: QUIET_MS, note: (text) => void notes.push(text) }, async (world) => {
        for (let round = 0; round < rounds; round++) await fault.drive(world, events, round)
      }),
    )
    const isGood = !reckoning.lost && !reckoning.rejected && (!reckoning.duplicates || !!fault.mayRepeat)
    return { ...end(), kind: isGood ? 'passed' : 'failed', reckoning }
  } catch (error) {
    return { ...end(), kind: 'failed', problem: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}

/** An engine's cells that are still to be run; its browser is started when the first one is, and anew after one that broke. */
const createLane = (engine: Engine, chosen: readonly Fault[]) => {
  const waiting = [...chosen]
  let browser: Browser | undefined

  const close = async (): Promise<void> => {
    await browser?.close().catch((error: unknown) => console.error(`${nameOf(engine)} could not be closed: ${error}`))
    browser = undefined
  }

  return {
    length: () => waiting.length,
    isBusy: false,
    run: async (): Promise<Cell | undefined> => {
      const fault = waiting.shift()
      if (!fault) return undefined
      const whyNot = fault.whyNot?.[engine]
      if (whyNot !== undefined) return { fault, engine, kind: 'skipped', problem: whyNot, notes: [], seconds: 0 }
      browser ??= await launch(engine)
      const cell = await runCell(fault, engine, browser)
      if (cell.problem !== undefined || !waiting.length) await close()
      return cell
    },
  }
}

const main = async (): Promise<boolean> => {
  const began = Date.now()
  const chosen = faults.filter(({ name, short }) => (short || !values.short) && values.fault.some((part) => name.toLowerCase().includes(part.toLowerCase())))
  const wanted = engines.filter((engine) => values.engine.includes(engine))
  const missing = wanted.filter((engine) => 'lacks' in findBrowser(engine))
  const lanes = wanted.filter((engine) => !missing.includes(engine)).map((engine) => createLane(engine, chosen))
  const cells: Cell[] = []

  const work = async (): Promise<void> => {
    for (;;) {
      const [lane] = lanes.filter(({ isBusy, length }) => !isBusy && length()).sort((a, b) => b.length() - a.length())
      if (!lane) return
      lane.isBusy = true
      const cell = await lane.run()
      lane.isBusy = false
      if (!cell) continue
      cells.push(cell)
      if (cell.kind !== 'skipped') console.log(`${cell.kind} ${cell.fault.name} · ${nameOf(cell.engine)} · ${cell.seconds.toFixed(1)} s`)
    }
  }
  await Promise.all(Array.from({ length: LANES }, work))

  printTable(chosen, wanted, cells)
  for (const engine of missing) {
    const found = findBrowser(engine)
    console.log(`${nameOf(engine)}: not tortured, because there is ${'lacks' in found ? found.lacks : 'only now one'}`)
  }
  const count = (kind: Cell['kind']): number => cells.filter((cell) => cell.kind === kind).length
  const failed = count('failed') + (isCI ? missing.length * chosen.length : 0) + (chosen.length && wanted.length ? 0 : 1)
  const skipped = count('skipped') + (isCI ? 0 : missing.length * chosen.length)
  console.log(`${cells.length} cells in ${Math.round((Date.now() - began) / 1000)} s`)
  if (values.report !== undefined) writeFileSync(values.report, JSON.stringify({ passed: count('passed'), failed, skipped }))
  console.log(`${count('passed')} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`)
  return failed === 0
}

// What a broken cell left behind must not keep the process.
process.exit((await main()) ? 0 : 1)
