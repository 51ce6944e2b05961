// @ts-check
/**
 * What the relay costs over a bare pass-through of the same batches, on the same runtime, in one run on one machine: `npm run bench:relay`.
 *
 *   --repeats N     of each measurement, relay and pass-through in turns (5)
 *   --seconds S     each, after a warm-up of a third of that (2)
 *   --events a,b    events a batch (1,10,40)
 *   --contacts N    among whom a batch's events are spread (8): the relay sends one contact's events one after another
 *   --runtimes a,b  node, workerd
 *   --clients N     batches under way at once (8)
 *   --only a,b      relay (throughput), cold (cold start on workerd)
 *   --json FILE     the figures besides, of every repeat, as `npm run bench` has them
 *
 * Medians; in brackets the least and the most; a ratio is that of the medians.
 */
import { writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import * as cold from './measures/cold.mjs'
import * as relay from './measures/relay.mjs'
import { writeCell } from './report.mjs'
import { median } from './stats.mjs'

/** @typedef {import('./report.mjs').Table} Table */

const MEASURES = { relay, cold }

/** @param {string[][]} lines */
const align = (lines) => {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  return lines.map((line) => line.map((cell, column) => (column ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0))).join('  ')).join('\n')
}

/** Which row is held against all others. */
const OURS = 'relay'

/** A line a column, as there are more of them than rows. @param {Table} table */
const print = ({ title, notes, columns, rows }) => {
  const others = rows.filter(({ id }) => id !== OURS)
  const ours = rows.find(({ id }) => id === OURS)?.values ?? {}
  const lines = columns.map((column) => {
    const { key, title, unit } = column
    const ratios = others.map(({ values }) => (median(ours[key] ?? []) / median(values[key] ?? [])).toFixed(2))
    return [`${title}, ${unit}`, ...rows.map(({ values }) => writeCell(values[key], column)), ...ratios]
  })
  const head = ['', ...rows.map(({ id }) => id), ...others.map(({ id }) => `${OURS}/${id}`)]
  console.log(`${title}\n${align([head, ...lines])}\n${notes.map((note) => `  ${note}\n`).join('')}`)
}

const main = async () => {
  const { runtimes, events, seconds, contacts, clients } = relay.PLAN
  const { values } = parseArgs({
    options: {
      repeats: { type: 'string', default: '5' },
      seconds: { type: 'string', default: String(seconds) },
      events: { type: 'string', default: events.join() },
      contacts: { type: 'string', default: String(contacts) },
      runtimes: { type: 'string', default: runtimes.join() },
      clients: { type: 'string', default: String(clients) },
      only: { type: 'string', default: Object.keys(MEASURES).join() },
      json: { type: 'string' },
    },
  })
  const plan = {
    runtimes: values.runtimes.split(','),
    events: values.events.split(',').map(Number),
    seconds: Number(values.seconds),
    contacts: Number(values.contacts),
    clients: Number(values.clients),
  }
  const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, load average ${loadavg()[0]?.toFixed(1)}`
  console.log(`${machine}\n`)
  /** @type {Table[]} */
  const tables = []
  for (const name of values.only.split(',')) {
    if (name !== 'relay' && name !== 'cold') throw new Error(`no measure is called ${name}; there are ${Object.keys(MEASURES).join(', ')}`)
    const measured = [await MEASURES[name].measure({ repeats: Number(values.repeats), plan })].flat()
    measured.forEach(print)
    tables.push(...measured)
  }
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, date: new Date().toISOString(), command: process.argv.slice(2).join(' '), tables }, undefined, 2)}\n`)
}

await main()
