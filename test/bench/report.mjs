// @ts-check
/** Tables of numbers into one Markdown report and its charts. Pure: what is in the report follows from the numbers alone. */
import { median, spread } from './stats.mjs'

/** @typedef {{ key: string, title: string, unit: string, digits: number, better: 'less' | 'more' }} Column */

/**
 * @typedef {object} Row
 * @property {string} id
 * @property {Record<string, number[]>} values by column, one a repeat; empty where it could not be measured
 * @property {Record<string, string>} [why] by column, where it could not
 */

/**
 * @typedef {object} Table
 * @property {string} name of its chart's file
 * @property {string} title
 * @property {string[]} notes how it was measured, a paragraph each
 * @property {Column[]} columns
 * @property {Row[]} rows
 * @property {{ column: string, log?: boolean }} [chart]
 */

/** @param {number} value @param {number} digits */
const write = (value, digits) => value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** @param {readonly number[] | undefined} list @param {Column} column */
export const writeCell = (list, { digits }) => {
  if (!list?.length) return '–'
  const [least, most] = spread(list).map((value) => write(value, digits))
  const middle = write(median(list), digits)
  return least === most ? middle : `${middle} (${least}–${most})`
}

/** @param {Table} table @param {(id: string) => string} nameOf */
export const renderTable = ({ columns, rows }, nameOf) =>
  [
    ['', ...columns.map(({ title, unit }) => `${title}, ${unit}`)],
    ['---', ...columns.map(() => '---:')],
    ...rows.map(({ id, values }) => [nameOf(id), ...columns.map((column) => writeCell(values[column.key], column))]),
  ]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n')
