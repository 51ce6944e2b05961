/**
 * The relay on Node: as a process of its own, or behind a site's own `node:http` server.
 * Invariant: a thin door; what a request means is decided in `index.ts`.
 * @module pristo/relay/node
 */
import { realpathSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { fileURLToPath } from 'node:url'
import { serve } from 'srvx'
import { refuse } from './answer.ts'
import { nodeFetch } from './client.ts'
import { optionsFromEnv, type Place } from './env.ts'
import { explainFailure } from './failure.ts'
import { answerIncoming } from './incoming.ts'
import { createRelay, type Relay, type RelayOptions } from './index.ts'
import { openSpool, readSpool, startSpoolWorker, type Spool, type WorkerOptions } from './spool.ts'
import { tag } from './tag.ts'

export { nodeFetch } from './client.ts'
export { optionsFromEnv, type Place } from './env.ts'

/** Longest that Node waits for a whole request. The relay itself gives up at 10 s; this ends the connections of those who never stop sending. */
const REQUEST_TIMEOUT_MS = 30_000

/** A batch has its answer within 8 s and its last call within 10 more; who still holds a connection then is cut off. */
const CLOSE_TIMEOUT_MS = 20_000

/** A running relay. */
export interface Server {
  /** Of the relay itself, such as `http://127.0.0.1:8787/pristo`. */
  url: string
  /** Accepts nothing more, and resolves once everything under way has ended (20 s at the longest). */
  close(): Promise<void>
}

/** Options of {@link serveRelay}; what is absent comes from the environment (see {@link optionsFromEnv}). */
export type ServeOptions = Partial<Omit<RelayOptions, 'spool'> & Place> & {
  /** Wraps all that is served, the tag and what is not found included: for counting, not for changing. Default: nothing does. */
  around?: (handle: Relay) => Relay
  /** Takes the events, and is delivered from as long as the server runs; who gives it closes it. Default: that of `PRISTO_SPOOL`, where it is set. */
  spool?: Spool | undefined
  /** How the spool is delivered. Default: of the environment's own spool that of `PRISTO_SPOOL_RATE`; as fast as the API answers. */
  worker?: WorkerOptions | undefined
}

/** Empty where the URL is none: srvx makes it of the Host header, which can be `a:99999`. */
const pathOf = ({ url }: Request): string => (URL.canParse(url) ? new URL(url).pathname : '')

const route = (relay: Relay, path: string): Relay => {
  const notFound = () => refuse(404, 'not_found', `only ${path} and ${path}.js are here`)
  return async (request, context) => {
    const pathname = pathOf(request)
    // With and without the slash: a redirect between the two would turn the POST into a GET.
    return [path, `${path}/`, `${path}.js`].includes(pathname) ? relay(request, context) : notFound()
  }
}

/** The spool of the environment, which the server closes itself; undefined where none is set. */
const openOwnSpool = async (env: Readonly<Record<string, string | undefined>>): Promise<{ spool: Spool; worker: WorkerOptions } | undefined> => {
  const settings = readSpool(env)
  if (!settings) return undefined
  const { place, maxBytes, perSecond } = settings
  return { spool: await openSpool(place, { maxBytes }), worker: { perSecond } }
}

/**
 * Serves the relay and the tag, and delivers what the spool holds where there is one. Options left out are read from the environment.
 * Rejects with one line that names the option or variable that cannot be used, or with the system's error where the port is taken.
 */
export const serveRelay = async ({ around = (handle) => handle, ...given }: ServeOptions = {}): Promise<Server> => {
  const { spool: givenSpool, worker: givenHow, ...rest } = given
  const options = { tag, fetch: nodeFetch, ...optionsFromEnv(process.env, rest) }
  createRelay(options) // what cannot be used is said before a spool is made
  const own = givenSpool ? undefined : await openOwnSpool(process.env)
  const spool = givenSpool ?? own?.spool
  let listening: Server | undefined
  try {
    const server = (listening = await listen(options, around, spool))
    const worker = spool && startSpoolWorker({ ...options, spool }, { ...own?.worker, ...givenHow })
    const close = async (): Promise<void> => {
      await Promise.all([server.close(), worker?.stop()])
      await own?.spool.close()
    }
    return { url: server.url, close }
  } catch (error) {
    await listening?.close()
    await own?.spool.close()
    throw error
  }
}

/** The server alone. */
const listen = async (options: RelayOptions & Place, around: (handle: Relay) => Relay, spool: Spool | undefined): Promise<Server> => {
  const { port, hostname, path } = options
  const served = around(route(createRelay({ ...options, ...(spool && { spool }) }), path))
  let isClosing = false
  const handle: Relay = async (request, context) => {
    const answer = await served(request, context)
    // Else the connection would idle for another 5 s (Node's keepAliveTimeout), and the end wait for it.
    if (isClosing) answer.headers.set('Connection', 'close')
    return answer
  }
  const server = serve({
    port,
    hostname,
    silent: true,
    gracefulShutdown: false,
    node: { requestTimeout: REQUEST_TIMEOUT_MS },
    // srvx says the connection's address, and reads no X-Forwarded-For but where its own `trustProxy` is set.
    fetch: (request) => handle(request, { waitUntil: (promise) => void request.waitUntil?.(promise), address: request.ip }),
  })
  await server.ready()
  const close = async (): Promise<void> => {
    isClosing = true
    const cut = setTimeout(() => void server.close(true), CLOSE_TIMEOUT_MS)
    await server.close()
    clearTimeout(cut)
  }
  return { url: new URL(path, server.url).href, close }
}

/** The relay as a `node:http` listener. It works behind a body parser too; Express has a door of its own, `pristo/relay/express`. */
export const toNodeHandler =
  (relay: Relay) =>
  (request: IncomingMessage, response: ServerResponse): Promise<void> =>
    answerIncoming(relay, request, response, { address: request.socket.remoteAddress })

const isMain = (): boolean => {
  const [, entry] = process.argv
  try {
    return entry !== undefined && realpathSync(entry) === fileURLToPath(import.meta.url)
  } catch {
    return false // an entry that is no file, as with `node -e`
  }
}

const main = async (): Promise<void> => {
  try {
    const options = optionsFromEnv(process.env)
    const server = await serveRelay()
    const identity = options.identity === 'page' ? 'page – the relay believes what the page says about its contact' : 'token – contacts are signed for'
    // Before it says that it is there: who waited for that may end it at once.
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.close())
    console.log(`[pristo] relay at ${server.url} · identity: ${identity}`)
  } catch (error) {
    console.error(explainFailure(error))
    process.exitCode = 1
  }
}

if (isMain()) await main()
