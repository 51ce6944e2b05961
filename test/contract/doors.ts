/**
 * Every door, on the runtime that it is for; where there is a template (demo/relays), the template is what runs.
 * Invariant: a door's settings are environment variables, as a site sets them: nothing is switched for the test.
 */
import { cpSync, existsSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Readable } from 'node:stream'
import * as esbuild from 'esbuild'
import { Miniflare } from 'miniflare'
import { createRelay } from '../../src/relay/index.ts'
import { optionsFromEnv } from '../../src/relay/env.ts'
import { tag } from '../../src/relay/tag.ts'
import type { Ability } from './cases.ts'
import { runProgram, startProgram, type Program } from './processes.ts'
import { inProcess, overHttp, type Line } from './wire.ts'

/** The variables of a relay that listens at a free port. */
export type Env = Record<string, string>

/** A relay that runs. */
export interface Open {
  line: Line
  /** What its program has printed so far; empty where it is none. */
  said(): string
  stop(): Promise<unknown>
}

export interface Door {
  name: string
  /** What its cases may not need, and why not. */
  cannot?: Partial<Record<Ability, string>>
  /** What this machine lacks for it; undefined where it can be opened. */
  lacks?(): string | undefined
  /** Rejects where it cannot be opened: that is a failure, not something to pass over. */
  open(env: Env): Promise<Open>
}

const templates = 'demo/relays'

const fromProgram = (program: Program): Open => ({ line: overHttp(`${program.origin}/pristo`), said: program.said, stop: program.stop })

const runOn =
  (file: string, ...args: string[]) =>
  async (env: Env): Promise<Open> =>
    fromProgram(await startProgram(file, args, env))

/** A program that one of the optional packages brings for this system, and not for others. */
const binaries = {
  deno: 'node_modules/@deno/linux-x64-glibc/deno',
  bun: 'node_modules/@oven/bun-linux-x64/bin/bun',
}
const lacks = (file: string) => (): string | undefined => (existsSync(file) ? undefined : `no ${file} for ${process.platform}-${process.arch}`)

/** The package's own server, by what it exports. */
const SERVE = "import { serveRelay } from 'pristo/relay/node'; console.log((await serveRelay()).url)"

/** An Express app whose body parser reads each body before the relay can. */
const BEHIND_PARSER = `
  import express from 'express'
  import { createRelay } from 'pristo/relay'
  import { optionsFromEnv } from 'pristo/relay/env'
  import { toExpressHandler } from 'pristo/relay/express'
  import { tag } from 'pristo/relay/tag'
  const app = express()
  app.use(express.json({ type: () => true }))
  app.all(['/pristo', '/pristo.js'], toExpressHandler(createRelay(optionsFromEnv(process.env, { identity: 'page', tag }))))
  const server = app.listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + server.address().port))`

/** A production build of the template, in a copy: Next leaves its files beside the app. */
const openNext = async (env: Env): Promise<Open> => {
  const app = 'dist/contract/next'
  const next = createRequire(import.meta.url).resolve('next/dist/bin/next')
  rmSync(app, { recursive: true, force: true })
  cpSync(`${templates}/next`, app, { recursive: true })
  // Built without the relay's variables: secrets are there at run time, not before.
  await runProgram('node', [next, 'build'], { NEXT_TELEMETRY_DISABLED: '1' }, app)
  return fromProgram(await startProgram('node', [next, 'start', '--port', '0', '--hostname', '127.0.0.1'], { ...env, NEXT_TELEMETRY_DISABLED: '1' }, app))
}

/** The Worker as wrangler would bundle it, in workerd. */
const openWorker = async (env: Env): Promise<Open> => {
  const { outputFiles } = await esbuild.build({
    entryPoints: [`${templates}/worker.mjs`],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    conditions: ['workerd', 'worker', 'browser'],
    write: false,
  })
  let text = ''
  const worker = new Miniflare({
    modules: [{ type: 'ESModule', path: 'worker.mjs', contents: outputFiles[0]?.text ?? '' }],
    compatibilityDate: '2026-04-01',
    bindings: env,
    host: '127.0.0.1',
    port: 0,
    handleRuntimeStdio: (...streams: Readable[]) => {
      for (const stream of streams) stream.on('data', (chunk: Buffer) => (text += String(chunk)))
    },
  })
  const { port } = await worker.ready
  return { line: overHttp(`http://127.0.0.1:${port}/pristo`), said: () => text, stop: () => worker.dispose() }
}

const openInProcess = async (env: Env): Promise<Open> => {
  let text = ''
  const relay = createRelay(optionsFromEnv(env, { identity: 'page', tag, onError: (message) => (text += message) }))
  return { line: inProcess(relay), said: () => text, stop: async () => undefined }
}

const PARSED = 'express.json() reads it first'
const NO_SOCKET = 'there is none in process'
const UNTOLD = 'Next does not tell it'
const NEXTS = 'Next takes Content-Encoding and Content-Length off what a route answers, and compresses itself'
const CLOUDFLARES = 'Cloudflare itself says it, by a header that anybody can send to workerd'

export const doors: readonly Door[] = [
  { name: 'in process', cannot: { connection: NO_SOCKET, address: NO_SOCKET }, open: openInProcess },
  { name: 'serveRelay', open: runOn('node', '--input-type=module', '-e', SERVE) },
  { name: 'node:http', open: runOn('node', `${templates}/node.mjs`) },
  { name: 'Express', open: runOn('node', `${templates}/express.mjs`) },
  { name: 'Express, body parsed', cannot: { 'raw body': PARSED }, open: runOn('node', '--input-type=module', '-e', BEHIND_PARSER) },
  { name: 'Hono', open: runOn('node', `${templates}/hono.mjs`) },
  {
    name: 'Next',
    cannot: { 'every method': 'Next itself answers those that the route does not export', address: UNTOLD, encoding: NEXTS },
    open: openNext,
  },
  { name: 'workerd', cannot: { address: CLOUDFLARES }, open: openWorker },
  {
    name: 'Deno',
    lacks: lacks(binaries.deno),
    open: (env) =>
      runOn(binaries.deno, 'run', '--no-lock', '--no-prompt', '--allow-env', '--allow-net=127.0.0.1', `${templates}/deno.ts`)({
        ...env,
        DENO_DIR: 'dist/contract/deno', // not the home's
        DENO_NO_UPDATE_CHECK: '1',
      }),
  },
  { name: 'Bun', lacks: lacks(binaries.bun), open: runOn(binaries.bun, `${templates}/bun.ts`) },
]
