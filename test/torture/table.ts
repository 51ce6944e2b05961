/** What is printed of the cells. */
import { nameOf, type Engine } from '../support/browsers/find.mjs'
import type { Fault } from './faults.ts'
import type { Reckoning } from './world.ts'

/** One fault in one engine. */
export interface Cell {
  fault: Fault
  engine: Engine
  kind: 'passed' | 'failed' | 'skipped'
  /** Absent where it could not be run. */
  reckoning?: Reckoning
  /** Why it was not run, or did not come to its end. */
  problem?: string
  notes: string[]
  seconds: number
}

const HEAD = ['fault', 'engine', 'tracked', 'stored', 'lost', 'duplicates', 'rejected', 'worst ms', '']

const toRow = ({ fault, engine, kind, reckoning }: Cell): string[] => {
  const told = reckoning
    ? [reckoning.tracked, reckoning.stored, reckoning.lost, reckoning.duplicates, reckoning.rejected, reckoning.worstDelayMs]
    : HEAD.slice(2, -1).map(() => '-')
  const verdict = kind === 'passed' && reckoning?.duplicates ? 'allowed' : kind === 'passed' ? '' : kind
  return [fault.name, nameOf(engine), ...told.map(String), verdict]
}

/** One row for each fault and engine, then whatever there is to say of them. */
export const printTable = (faults: readonly Fault[], engines: readonly Engine[], cells: readonly Cell[]): void => {
  const sorted = [...cells].sort((a, b) => faults.indexOf(a.fault) - faults.indexOf(b.fault) || engines.indexOf(a.engine) - engines.indexOf(b.engine))
  const rows = sorted.map(toRow)
  const widths = HEAD.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)))
  const format = (row: string[]): string =>
    row.map((text, column) => (column < 2 || column === HEAD.length - 1 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0))).join('  ').trimEnd()

  console.log(`\n${format(HEAD)}`)
  rows.forEach((row, place) => console.log(format(row[0] === rows[place - 1]?.[0] ? ['', ...row.slice(1)] : row)))
  console.log('')
  for (const { fault, engine, kind, problem, notes } of sorted) {
    const where = `${fault.name} · ${nameOf(engine)}`
    if (problem !== undefined) console.log(`${kind}: ${where}: ${problem}`)
    for (const note of new Set(notes)) console.log(`note: ${where}: ${note} (× ${notes.filter((other) => other === note).length})`)
  }
}
