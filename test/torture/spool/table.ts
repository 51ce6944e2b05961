/** What is printed of the proofs. */
import type { Reckoning } from './witness.ts'

/** What a proof came to. */
export interface Measured extends Pick<Reckoning, 'events' | 'lost' | 'disordered' | 'duplicated' | 'buried' | 'problems'> {
  kills: number
  /** Further arrivals after an answer that was lost. */
  allowed: number
  /** What the table has no column for. */
  notes: string[]
}

/** One proof on one engine. */
export interface Row extends Measured {
  /** Such as `SQLite, deploy`. */
  engine: string
  seconds: number
  /** Why it was not run. */
  skipped?: string
}

const COLUMNS = ['engine', 'kills', 'events', 'lost', 'disordered', 'duplicated', 'allowed', 'buried', 'seconds'] as const

/** How many problems of a row are told. */
const TOLD = 10

/** Whether everything came to where it should. */
export const isGood = ({ lost, disordered, duplicated, problems }: Measured): boolean => !lost && !disordered && !duplicated && !problems.length

const cellsOf = (row: Row): string[] => COLUMNS.map((column) => (column === 'engine' ? row.engine : row.skipped !== undefined ? '-' : column === 'seconds' ? row.seconds.toFixed(1) : String(row[column])))

/** The table, then whatever there is to say of its rows. */
export const printTable = (rows: readonly Row[]): void => {
  const lines = [[...COLUMNS], ...rows.map(cellsOf)]
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  console.log('')
  for (const line of lines) console.log(line.map((cell, column) => (column ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0))).join('  '))
  console.log('')
  for (const { engine, notes, problems, skipped } of rows) {
    for (const note of notes) console.log(`${engine}: ${note}`)
    for (const problem of problems.slice(0, TOLD)) console.log(`FAILED: ${engine}: ${problem}`)
    if (problems.length > TOLD) console.log(`FAILED: ${engine}: and ${problems.length - TOLD} more`)
    if (skipped !== undefined) console.log(`not tested: ${engine}: ${skipped}`)
  }
}
