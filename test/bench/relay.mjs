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
import { median, spread } from './stats.mjs'

/** @typedef {Awaited<ReturnType<typeof relay.measure>> | Awaited<ReturnType<typeof cold.measure>>} Table */

const MEASURES = { relay, cold }

/** @param {number[]} list @param {number} digits */
const show = (list, digits) => {
  const [least, most] = spread(list).map((value) => value.toFixed(digits))
  return least === most ? `${least}` : `${median(list).toFixed(digits)} (${least}–${most})`
}

/** @param {string[][]} lines */
const align = (lines) => {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  return lines.map((line) => line.map((cell, column) => (column ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0))).join('  ')).join('\n')
}

/** @param {Table} table */
const print = ({ title, notes, columns, rows }) => {
  const valuesOf = (/** @type {string} */ id, /** @type {string} */ key) => rows.find((row) => row.id === id)?.values[key] ?? []
  const lines = columns.map(({ key, title, unit, digits }) => {
    const [ours, theirs] = [valuesOf('relay', key), valuesOf('bare', key)]
    return [`${title}, ${unit}`, show(ours, digits), show(theirs, digits), (median(ours) / median(theirs)).toFixed(2)]
  })
  console.log(`${title}\n${align([['', 'relay', 'bare', 'relay/bare'], ...lines])}\n${notes.map((note) => `  ${note}\n`).join('')}`)
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
    const table = await MEASURES[name].measure({ repeats: Number(values.repeats), plan })
    print(table)
    tables.push(table)
  }
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, date: new Date().toISOString(), command: process.argv.slice(2).join(' '), tables }, undefined, 2)}\n`)
}

await main()
