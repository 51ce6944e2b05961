// @ts-check
/**
 * What `bench:relay` measures: the relay, and a bare pass-through, each on Node and in workerd.
 * Invariant: both have the same door, the same API behind them and a process of their own, which ends with `close`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as esbuild from 'esbuild'
import { Miniflare } from 'miniflare'

/** @typedef {'relay' | 'bare'} Variant */
/** @typedef {Variant | 'relay-fetch'} NodeVariant on Node the relay calls the API over node:http; here by the runtime's fetch, as the pass-through does */
/** @typedef {{ url: URL, pid: number, close: () => Promise<void> }} Target */
/** @typedef {{ baseUrl: string, apiKey: string, populationId: string }} Settings as test/bench/handlers.ts has them */

/**
 * What was compiled, in a folder where its imports are found.
 * @typedef {object} Programs
 * @property {string} node a program, which takes the variant and the settings
 * @property {Record<Variant, string>} workers code of a Worker each, as somebody would deploy it: with nothing of the other
 * @property {() => void} remove
 */

/** @type {readonly Variant[]} */
export const VARIANTS = ['relay', 'bare']

/** Of workerd, as the README's example has it. */
export const COMPATIBILITY_DATE = '2026-04-01'

const root = fileURLToPath(new URL('../..', import.meta.url))
const here = (/** @type {string} */ file) => join(root, 'test/bench', file)

/** @returns {Promise<Programs>} */
export const compile = async () => {
  const outdir = mkdtempSync(join(root, 'node_modules/.bench-'))
  const common = { absWorkingDir: root, outdir, bundle: true, minify: true, target: 'es2022', outExtension: { '.js': '.mjs' }, format: /** @type {const} */ ('esm') }
  // On Node the door is an entry of its own, so that it does not take itself for the program and start to serve.
  const node = { entryPoints: { node: here('node.ts'), door: 'src/relay/node.ts' }, splitting: true, packages: /** @type {const} */ ('external') }
  const workers = { entryPoints: { relay: here('worker.relay.ts'), bare: here('worker.bare.ts') }, mainFields: ['module', 'main'] }
  await Promise.all([
    esbuild.build({ ...common, ...node, platform: 'node', define: { PRISTO_TAG: 'undefined' } }), // the door serves the tag as well, which nobody asks for here
    esbuild.build({ ...common, ...workers, platform: 'neutral' }),
  ])
  const codeOf = (/** @type {Variant} */ variant) => readFileSync(join(outdir, `${variant}.mjs`), 'utf8')
  return {
    node: join(outdir, 'node.mjs'),
    workers: { relay: codeOf('relay'), bare: codeOf('bare') },
    remove: () => rmSync(outdir, { recursive: true, force: true }),
  }
}

/**
 * A program that says its port.
 * @param {string[]} args
 * @returns {Promise<Target>}
 */
export const startNode = async (...args) => {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  const close = async () => {
    const ended = once(child, 'exit')
    child.kill()
    await ended
  }
  return { url: new URL(`http://127.0.0.1:${Number(line)}/pristo`), pid: child.pid ?? 0, close }
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
 * A Worker.
 * @param {string} contents
 * @param {object} bindings
 * @param {import('miniflare').WorkerOptions['workerLoaders']} [workerLoaders]
 * @returns {Promise<Target>}
 */
export const startWorkerd = async (contents, bindings, workerLoaders = {}) => {
  const before = childrenCalled('workerd')
  const worker = new Miniflare({
    modules: [{ type: 'ESModule', path: 'worker.mjs', contents }],
    bindings: { ...bindings },
    workerLoaders,
    compatibilityDate: COMPATIBILITY_DATE,
    host: '127.0.0.1',
    port: 0,
  })
  const url = new URL('/pristo', await worker.ready)
  const [pid = 0] = childrenCalled('workerd').filter((one) => !before.includes(one))
  return { url, pid, close: () => worker.dispose() }
}

/** The API that stands behind all of them, and what they have to know of it. */
export const startUpstream = async () => {
  const { url, close } = await startNode(here('upstream.mjs'))
  /** @type {Settings} */
  const settings = { apiKey: '5ec2e700-cafe-4bad-8eef-00000ca7a217', populationId: '9090a7e0-1111-4222-8333-444455556666', baseUrl: url.origin }
  return { settings, close }
}

/**
 * What a process has computed so far, in microseconds: the scheduler counts in nanoseconds (Linux, Documentation/scheduler/sched-stats.rst), for
 * each thread that lives; /proc/PID/stat would count in hundredths of a second.
 * @param {number} pid
 */
export const cpuUsOf = (pid) => {
  const ofThread = (/** @type {string} */ thread) => {
    try {
      return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1000
    } catch {
      return 0 // over by now
    }
  }
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + ofThread(thread), 0)
}

let made = 0

/** A batch as a browser sends it; no id comes twice. @param {number} events @param {number} contacts */
export const makeBody = (events, contacts) => {
  const now = new Date().toISOString()
  const list = Array.from({ length: events }, (_, nth) => {
    const id = `0190a000-0000-7000-8000-${(++made).toString(16).padStart(12, '0')}`
    const contact = { id: `u_${nth % contacts}`, email: 'visitor@shop.example', language: 'en' }
    return { id, type: 'purchase', occurredAt: now, contact, customFields: { amount: '49.90', sku: 'A1', channel: 'web' } }
  })
  return JSON.stringify({ v: 1, sentAt: now, ack: true, events: list })
}

/**
 * The answer to one batch. Rejects where it is not 200.
 * @param {URL} url
 * @param {{ agent: import('node:http').Agent, body: string, headers?: Record<string, string> }} batch
 * @returns {Promise<string>}
 */
export const post = (url, { agent, body, headers = {} }) =>
  new Promise((resolve, reject) => {
    const own = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), 'Sec-Fetch-Site': 'same-origin', Origin: url.origin }
    const sent = request(url, { method: 'POST', agent, headers: { ...own, ...headers } }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk) => (text += chunk))
      answer.on('error', reject).on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`${answer.statusCode}: ${text.slice(0, 200)}`))))
    })
    sent.on('error', reject).end(body)
  })

/** Throws where an answer does not say of each event that it is stored: what was not done must not be measured. @param {string} answer @param {number} events */
export const checkStored = (answer, events) => {
  const { results } = JSON.parse(answer)
  const stored = results.filter((/** @type {{ outcome: string }} */ { outcome }) => outcome === 'stored')
  if (stored.length !== events) throw new Error(`${stored.length} of ${events} events were stored: ${answer.slice(0, 200)}`)
}
