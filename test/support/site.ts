/**
 * A customer's site for browser tests: pages, the built bundles and the real relay on one origin, with the stand-in API behind.
 * Invariant: all faults are made here, on the server, so that every engine meets the same ones; and what left for a
 * browser is on record, byte for byte.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { createRelay, type Identity, type Relay } from '../../src/relay/index.ts'
import { startPristoApi, type PristoApi } from './pristo-api.ts'

/** How the relay fails, from the browser's side. The relay and the API themselves are well. */
export type RelayFault = (
  /** The connection is cut before the relay hears of the request. */
  | { mode: 'down' }
  /** The same, and the request is on record. */
  | { mode: 'cut' }
  /** A proxy in front of the relay answers instead of it. */
  | { mode: 'status'; status: number; headers?: Record<string, string>; body?: string }
  /** The relay does all its work, and the answer is lost. */
  | { mode: 'drop-answer' }
  /** The answer leaves this much after the relay's work: the page may be gone by then. */
  | { mode: 'late-answer'; delayMs: number }
  /** The request is read, and nothing ever comes back. */
  | { mode: 'hang' }
) & {
  /** Which requests it hits, of those that are read. Default: all. */
  when?: (request: RelayRequest) => boolean
}

/** One POST that reached the relay, or what stands in front of it. */
export interface RelayRequest {
  path: string
  headers: Record<string, string>
  body: string
  /** Milliseconds since 1970. */
  at: number
}

export interface Site {
  /** The origin, such as `http://127.0.0.1:40123`. */
  readonly url: string
  readonly api: PristoApi
  /** Serves this text from now on; its type goes by the path's ending, HTML where there is none. */
  serve(path: string, text: string, headers?: Record<string, string>): void
  /** How the relay, which takes the POSTs of any path, fails from now on; `null` ends it. */
  relayFault(fault: RelayFault | null): void
  /** From now on another relay serves, which remembers nothing of what the last one delivered. `identity` is `'page'` by default. */
  restartRelay(identity?: Identity): void
  /** Never answers what is asked of this path, by whatever method. */
  hold(path: string): void
  /** Cuts every connection that waits for an answer that never comes. */
  cut(): void
  requests(): RelayRequest[]
  /** How many POSTs have come, also those that were cut before anybody read them. */
  asked(): number
  /** How many POSTs the relay is at work on, or will be answered later; those that hang are not among them. */
  busy(): number
  /** Path and query of each GET. */
  visits(): string[]
  /** Everything that was sent to the browser: status lines aside, all headers and bodies. */
  sent(): string
  close(): Promise<void>
}

const dist = new URL('../../dist/', import.meta.url)

/** The built files that a page may ask for. */
const FILES: Record<string, string> = { '/pristo.js': 'pristo.js', '/pristo.mjs': 'index.js', '/direct.js': 'direct.js', '/auto.mjs': 'auto.js', '/pristo.slim.js': 'pristo.slim.js' }

const typeOf = (path: string): string => (/\.m?js$/.test(path) ? 'text/javascript; charset=utf-8' : 'text/html; charset=utf-8')

/** Starts site, relay and API on ports of their own; a `host` that is given leads to 127.0.0.1. Rejects where `dist` is not built. */
export const startSite = async (host = '127.0.0.1'): Promise<Site> => {
  const api = await startPristoApi()
  const startRelay = (identity: Identity = 'page'): Relay =>
    createRelay({ apiKey: api.apiKey, populationId: api.populationId, baseUrl: api.url, identity })
  let relay = startRelay()
  const texts = new Map(
    Object.entries(FILES).map(([path, file]) => [path, { text: readFileSync(new URL(file, dist), 'utf8'), headers: {} }]),
  )
  const sent: string[] = []
  const requests: RelayRequest[] = []
  const visits: string[] = []
  const held = new Set<string>()
  const hanging = new Set<Socket>()
  let asked = 0
  let busy = 0
  let fault: RelayFault | null = null

  const hang = ({ socket }: IncomingMessage): void => {
    hanging.add(socket)
    socket.once('close', () => hanging.delete(socket))
  }

  const reply = (response: ServerResponse, status: number, headers: Record<string, string>, body: string): void => {
    sent.push(JSON.stringify(headers), body)
    // Asked for anew each time, but not `no-store`: that keeps a page out of Chromium's back/forward cache.
    // Over a connection of its own: a browser quietly repeats a request whose kept connection breaks, and a test must
    // see what the snippet does.
    response.writeHead(status, { 'Cache-Control': 'no-cache', Connection: 'close', ...headers }).end(body)
  }

  const relayed = async (incoming: IncomingMessage, response: ServerResponse, url: URL): Promise<void> => {
    const scripted = fault
    asked++
    if (scripted?.mode === 'down') return void incoming.socket.destroy()
    const body = await readBody(incoming)
    const headers = flatten(incoming.headers)
    const request: RelayRequest = { path: url.pathname, headers, body, at: Date.now() }
    requests.push(request)
    const current = scripted?.when?.(request) === false ? null : scripted
    if (current?.mode === 'cut') return void incoming.socket.destroy()
    if (current?.mode === 'hang') return hang(incoming)
    if (current?.mode === 'status') return reply(response, current.status, current.headers ?? {}, current.body ?? '')

    const answer = await relay(new Request(url, { method: 'POST', headers, body }))
    const text = await answer.text()
    if (current?.mode === 'drop-answer') return void incoming.socket.destroy()
    if (current?.mode === 'late-answer') await wait(current.delayMs)
    reply(response, answer.status, Object.fromEntries(answer.headers), text)
  }

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(incoming.url ?? '/', `http://${incoming.headers.host}`)
    if (held.has(url.pathname)) return hang(incoming)
    if (incoming.method === 'POST') {
      busy++
      return relayed(incoming, response, url).finally(() => busy--)
    }
    visits.push(url.pathname + url.search)
    const found = texts.get(url.pathname)
    if (!found) return reply(response, 404, {}, 'not found')
    reply(response, 200, { 'Content-Type': typeOf(url.pathname), ...found.headers }, found.text)
  }

  const server = createServer((incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      // A page that leaves while it sends is the world's business; anything else is a bug that a test must see.
      if (!incoming.destroyed && !response.headersSent) reply(response, 500, {}, String(error))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The site listens on no port')

  return {
    url: `http://${host}:${address.port}`,
    api,
    serve: (path, text, headers = {}) => void texts.set(path, { text, headers }),
    relayFault: (next) => {
      fault = next
    },
    restartRelay: (identity) => {
      relay = startRelay(identity)
    },
    hold: (path) => void held.add(path),
    cut: () => {
      for (const socket of hanging) socket.destroy()
    },
    requests: () => [...requests],
    asked: () => asked,
    busy: () => busy,
    visits: () => [...visits],
    sent: () => sent.join('\n'),
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await Promise.all([closed, api.close()])
    },
  }
}

const readBody = async (incoming: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

const flatten = (headers: IncomingMessage['headers']): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
