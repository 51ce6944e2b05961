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
 *
 * Events per second are by the clock, CPU per event by what the system says of the measured process alone (client and API are
 * processes of their own). Medians; in brackets the least and the most.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import * as esbuild from 'esbuild'
import { Miniflare } from 'miniflare'

/** @typedef {{ url: URL, pid: number, close: () => Promise<void> }} Target */
/** @typedef {{ eventsPerS: number, cpuUs: number }} Figures */

const root = fileURLToPath(new URL('../..', import.meta.url))
const here = (/** @type {string} */ file) => join(root, 'test/bench', file)

const SETTINGS = { apiKey: '5ec2e700-cafe-4bad-8eef-00000ca7a217', populationId: '9090a7e0-1111-4222-8333-444455556666' }

/** Of /proc/PID/stat: Linux counts in hundredths of a second on every platform (man 5 proc, USER_HZ). */
const TICK_US = 10_000

/** What a process has computed so far, microseconds, in user and system mode. @param {number} pid */
const cpuUsOf = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /s, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_US
}

/** @returns {number[]} children of this process that are called so */
const childrenCalled = (/** @type {string} */ name) =>
  readdirSync('/proc').flatMap((pid) => {
    try {
      const stat = /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ''
      const [, program, parent] = stat.match(/\((.*)\) \S (\d+)/s) ?? []
      return program === name && Number(parent) === process.pid ? [Number(pid)] : []
    } catch {
      return [] // over by now
    }
  })

/**
 * A program that says its port.
 * @param {string[]} args
 * @returns {Promise<Target>}
 */
const startNode = async (...args) => {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  const close = async () => {
    const ended = once(child, 'exit')
    child.kill()
    await ended
  }
  return { url: new URL(`http://127.0.0.1:${Number(line)}/pristo`), pid: child.pid ?? 0, close }
}

/** @param {string} contents @param {object} bindings @returns {Promise<Target>} */
const startWorkerd = async (contents, bindings) => {
  const before = childrenCalled('workerd')
  const worker = new Miniflare({ modules: [{ type: 'ESModule', path: 'worker.mjs', contents }], bindings: { ...bindings }, compatibilityDate: '2026-04-01', host: '127.0.0.1', port: 0 })
  const url = new URL('/pristo', await worker.ready)
  const [pid = 0] = childrenCalled('workerd').filter((one) => !before.includes(one))
  return { url, pid, close: () => worker.dispose() }
}

/**
 * Bundles both. On Node the door is an entry of its own, so that it does not take itself for the program and start to serve.
 * @param {string} outdir
 */
const compile = async (outdir) => {
  const common = { absWorkingDir: root, outdir, bundle: true, minify: true, target: 'es2022', outExtension: { '.js': '.mjs' }, format: /** @type {const} */ ('esm') }
  await Promise.all([
    esbuild.build({ ...common, entryPoints: { node: here('node.ts'), door: 'src/relay/node.ts' }, splitting: true, platform: 'node', packages: 'external', define: { PRISTO_TAG: 'undefined' } }), // the door serves the tag as well, which nobody asks for here
    esbuild.build({ ...common, entryPoints: { worker: here('worker.ts') }, platform: 'neutral', mainFields: ['module', 'main'] }),
  ])
}

let made = 0

/** A batch as a browser sends it; no id comes twice. @param {number} events @param {number} contacts */
const makeBody = (events, contacts) => {
  const now = new Date().toISOString()
  const list = Array.from({ length: events }, (_, nth) => {
    const id = `0190a000-0000-7000-8000-${(++made).toString(16).padStart(12, '0')}`
    const contact = { id: `u_${nth % contacts}`, email: 'visitor@shop.example', language: 'en' }
    return { id, type: 'purchase', occurredAt: now, contact, customFields: { amount: '49.90', sku: 'A1', channel: 'web' } }
  })
  return JSON.stringify({ v: 1, sentAt: now, ack: true, events: list })
}

/** @param {Target} target @param {Agent} agent @param {string} body @returns {Promise<string>} */
const post = ({ url }, agent, body) =>
  new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), 'Sec-Fetch-Site': 'same-origin', Origin: url.origin }
    const sent = request(url, { method: 'POST', agent, headers }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk) => (text += chunk))
      answer.on('error', reject).on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`${answer.statusCode}: ${text.slice(0, 200)}`))))
    })
    sent.on('error', reject).end(body)
  })

/**
 * As many batches as go in so much time.
 * @param {Target} target
 * @param {{ seconds: number, events: number, contacts: number, clients: number }} load
 * @returns {Promise<Figures>}
 */
const measure = async (target, { seconds, events, contacts, clients }) => {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const { results } = JSON.parse(await post(target, agent, makeBody(events, contacts)))
  if (results.length !== events || results.some((/** @type {{ outcome: string }} */ { outcome }) => outcome !== 'stored')) throw new Error('not everything was stored')

  /** @param {number} ms */
  const run = async (ms) => {
    const end = performance.now() + ms
    let batches = 0
    const one = async () => {
      for (; performance.now() < end; batches++) await post(target, agent, makeBody(events, contacts))
    }
    await Promise.all(Array.from({ length: clients }, one))
    return batches
  }
  await run((seconds * 1000) / 3)
  const [startedAt, cpuUs] = [performance.now(), cpuUsOf(target.pid)]
  const count = (await run(seconds * 1000)) * events
  const figures = { eventsPerS: (count / (performance.now() - startedAt)) * 1000, cpuUs: (cpuUsOf(target.pid) - cpuUs) / count }
  agent.destroy()
  return figures
}

/** @param {number[]} list */
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1] ?? NaN

/** @param {number[]} list @param {number} digits */
const show = (list, digits) => `${median(list).toFixed(digits)} (${Math.min(...list).toFixed(digits)}–${Math.max(...list).toFixed(digits)})`

/**
 * Relay and pass-through in turns: what the machine does besides hits both.
 * @param {Record<'relay' | 'bare', Target>} targets
 * @param {{ repeats: number, seconds: number, events: number, contacts: number, clients: number }} plan
 */
const compare = async ({ relay, bare }, { repeats, ...load }) => {
  /** @type {{ relay: Figures, bare: Figures }[]} */
  const rounds = []
  for (let round = 0; round < repeats; round++) {
    // Who comes first has the warmer machine, or the colder one.
    const isRelayFirst = round % 2 === 0
    const first = await measure(isRelayFirst ? relay : bare, load)
    const second = await measure(isRelayFirst ? bare : relay, load)
    rounds.push(isRelayFirst ? { relay: first, bare: second } : { relay: second, bare: first })
  }
  return [
    ...(/** @type {const} */ (['relay', 'bare'])).map((variant) => show(rounds.map((one) => one[variant].eventsPerS), 0)),
    show(rounds.map((one) => one.relay.eventsPerS / one.bare.eventsPerS), 2),
    ...(/** @type {const} */ (['relay', 'bare'])).map((variant) => show(rounds.map((one) => one[variant].cpuUs), 0)),
    show(rounds.map((one) => one.bare.cpuUs / one.relay.cpuUs), 2),
  ]
}

/** @param {string[][]} rows */
const printTable = (rows) => {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  for (const row of rows) console.log(row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  '))
}

const main = async () => {
  const { values } = parseArgs({
    options: {
      repeats: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '2' },
      events: { type: 'string', default: '1,10,40' },
      contacts: { type: 'string', default: '8' },
      runtimes: { type: 'string', default: 'node,workerd' },
      clients: { type: 'string', default: '8' },
    },
  })
  const plan = { repeats: Number(values.repeats), seconds: Number(values.seconds), contacts: Number(values.contacts), clients: Number(values.clients) }
  const folder = mkdtempSync(join(root, 'node_modules/.bench-')) // where a bundle finds what it imports
  await compile(folder)
  const upstream = await startNode(here('upstream.mjs'))
  const settings = { ...SETTINGS, baseUrl: upstream.url.origin }
  /** @type {Record<string, (variant: string) => Promise<Target>>} */
  const runtimes = {
    node: (variant) => startNode(join(folder, 'node.mjs'), variant, JSON.stringify(settings)),
    workerd: (variant) => startWorkerd(readFileSync(join(folder, 'worker.mjs'), 'utf8'), { ...settings, variant }),
  }
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}; ${plan.clients} batches at once, ${plan.contacts} contacts, ${plan.repeats} × ${plan.seconds} s each\n`)
  const rows = [['runtime', 'events a batch', 'relay, events/s', 'bare, events/s', 'relay/bare', 'relay, CPU µs/event', 'bare, CPU µs/event', 'bare/relay']]
  try {
    for (const name of values.runtimes.split(',')) {
      const start = runtimes[name]
      if (!start) throw new Error(`no runtime is called ${name}; there are ${Object.keys(runtimes).join(', ')}`)
      const targets = { relay: await start('relay'), bare: await start('bare') }
      for (const events of values.events.split(',')) rows.push([name, events, ...(await compare(targets, { ...plan, events: Number(events) }))])
      await Promise.all([targets.relay.close(), targets.bare.close()])
    }
    printTable(rows)
  } finally {
    await upstream.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
