/** The template of the Worker with a spool (demo/relays/worker-spool.mjs) in workerd, by its own configuration. */
import { readFileSync } from 'node:fs'
import type { PristoEvent } from '../../src/contract.ts'
import type { DeadEvent, Stats } from '../../src/relay/spool/spool.ts'
import type { PristoApi } from './pristo-api.ts'
import { MAIN, NO_TAG, startWorkerd, type Workerd } from './workerd.ts'

/** A Worker with a spool that runs. */
export interface SpoolWorker extends Workerd {
  /** A request without the edge. */
  ask(path: string, init?: RequestInit): Promise<Response>
  /** Sends a batch, as a browser would; to another relay over the same objects where it is said so. */
  post(events: readonly PristoEvent[], toOther?: boolean): Promise<Response>
  /** What the operator's route says; `replay` and `drop` are done. */
  operate(verb?: string): Promise<{ stats: Stats; dead: DeadEvent[] } & Record<string, number>>
}

/** What it is given. */
export interface SpoolWorkerOptions {
  api: PristoApi
  /** Where its objects are kept; the next one over the same folder has them. */
  folder: string
  /** In place of the template. */
  code?: string
  /** Further variables and secrets. */
  env?: Record<string, string>
}

/** What the operator's route asks for. */
export const SECRET = 'correct horse battery staple'

const templates = 'demo/relays'
const toml = readFileSync(`${templates}/wrangler.spool.toml`, 'utf8')

/** The first setting of this name. */
const setting = (name: string): string => {
  const value = RegExp(`^${name} = \\[?"([^"]+)"`, 'm').exec(toml)?.[1]
  if (value === undefined) throw new Error(`wrangler.spool.toml sets no ${name}`)
  return value
}

/** The name of the class of objects, and of the variable that leads to them. */
export const CLASS = setting('class_name')
export const BINDING = /\[\[durable_objects.bindings\]\]\nname = "(\w+)"/.exec(toml)?.[1] ?? ''

/** Starts it; rejects where it does not compile, or where workerd refuses it. */
export const startSpoolWorkerd = async ({ api, folder, code = readFileSync(`${templates}/${setting('main')}`, 'utf8'), env = {} }: SpoolWorkerOptions): Promise<SpoolWorker> => {
  const objects = { className: CLASS, useSQLite: setting('new_sqlite_classes') === CLASS }
  const options = {
    compatibilityDate: setting('compatibility_date'),
    bindings: {
      ...{ PRISTO_API_KEY: api.apiKey, PRISTO_POPULATION_ID: api.populationId, PRISTO_BASE_URL: api.url, PRISTO_RATE_LIMIT: 'off' },
      ...{ SPOOL_SECRET: SECRET, ...env },
    },
    durableObjects: { [BINDING]: objects },
    durableObjectsPersist: folder,
    unsafeTriggerHandlers: true,
  }
  const worker = await startWorkerd(code, NO_TAG, options, { durableObjects: { [BINDING]: { ...objects, scriptName: MAIN } } })
  const ask = (path: string, init: RequestInit = {}): Promise<Response> => fetch(worker.directUrl + path, init)
  return {
    ...worker,
    ask,
    post: (events, toOther = false) => {
      const origin = String(toOther ? worker.otherUrl : worker.directUrl)
      const headers = { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin', Origin: origin }
      return fetch(`${origin}/pristo`, { method: 'POST', headers, body: JSON.stringify({ v: 1, sentAt: new Date().toISOString(), events }) })
    },
    operate: async (verb) =>
      (await ask('/pristo/spool', { headers: { Authorization: `Bearer ${SECRET}` }, ...(verb !== undefined && { method: 'POST', body: verb }) })).json(),
  }
}
