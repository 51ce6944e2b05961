/**
 * The site that is measured, in a process of its own, so that what it computes is nobody's main thread: pages, scripts, an
 * intake for each library, and the real relay before a stand-in for the API.
 * Invariant: an event has arrived when whoever is to keep it has it: for ours the API behind the relay, for the others their intake.
 */
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { answerIncoming } from '../../src/relay/incoming.ts'
import { createRelay } from '../../src/relay/index.ts'
import { OURS } from './peers.mjs'
import { marksIn, PROTOCOLS } from './protocols.mjs'

/** One event that arrived; again for each further time. */
export interface Arrival {
  id: string
  mark: string
  /** Milliseconds since 1970, with fractions. */
  at: number
  /** The {@link Asked} that carried it; undefined behind the relay, where several do. */
  request?: number
}

/** One request that reached an intake. */
export interface Asked {
  id: string
  number: number
  at: number
  method: string
  path: string
  /** Of its head and body, as HTTP/1.1 writes them. */
  bytes: number
  marks: string[]
}

/** How the site is, beyond well. */
export interface Weather {
  /** Every answer of an intake takes this much longer, ours too: the visitor's way to the site. */
  networkMs: number
  /** Every answer of whoever keeps the events takes this much longer: the API behind our relay, and every other intake. */
  apiMs: number
  /** Every connection to an intake is cut before anybody reads the request. */
  refuse: boolean
}

/** What can be asked of this process. */
export interface Commands {
  weather(weather: Partial<Weather>): void
  /** Forgets what came. */
  clear(): void
  arrivals(): Arrival[]
  requests(): Asked[]
  /** Waits until so many different events with this beginning have arrived, or so long. How many have. */
  arrived(wanted: { marks: string; count: number; withinMs: number }): Promise<number>
}

const ENVELOPE = JSON.stringify({ ok: true, status: 201, statusText: 'Created', body: null, raw: '6yC9g6vFzUmFBwjeeulYnQ' })

/** Cross-origin isolated: only there does `performance.now()` count in steps of 5 µs instead of 100. */
const PAGE_HEADERS = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp', 'Cache-Control': 'no-store' }

/** Of the scripts of the pages, and of the installed packages. */
const [, , folder = '', packages = ''] = process.argv

const weather: Weather = { networkMs: 0, apiMs: 0, refuse: false }
let arrivals: Arrival[] = []
let requests: Asked[] = []
const waiters = new Set<(mark: string) => void>()

const now = (): number => performance.timeOrigin + performance.now()

const arrive = (id: string, mark: string, request?: number): void => {
  arrivals.push({ id, mark, at: now(), ...(request !== undefined && { request }) })
  for (const hear of waiters) hear(mark)
}

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => Buffer.concat(await request.toArray())

const weighHead = ({ method = '', url = '', rawHeaders }: IncomingMessage): number =>
  `${method} ${url} HTTP/1.1\r\n\r\n`.length + rawHeaders.reduce((sum, text) => sum + text.length + 2, 0) // ': ' and the line's end

const listen = async (listener: RequestListener): Promise<{ server: Server; origin: string }> => {
  const server = createServer({ keepAliveTimeout: 60_000 }, listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, origin: `http://127.0.0.1:${Object(server.address()).port}` }
}

/** The least of an API: it keeps the event, and says so. */
const api = await listen(async (request, response) => {
  const { customFields } = JSON.parse(String(await bodyOf(request)))
  arrive(OURS, String(customFields?.mark))
  if (weather.apiMs) await wait(weather.apiMs)
  response.writeHead(201, { 'Content-Type': 'application/json', 'Content-Length': ENVELOPE.length }).end(ENVELOPE)
})

const relay = createRelay({
  baseUrl: api.origin,
  apiKey: '5ec2e700-cafe-4bad-8eef-00000ca7a217',
  populationId: '9090a7e0-1111-4222-8333-444455556666',
  identity: 'page',
  rateLimit: false, // one visitor asks as often as a thousand
})

const showPage = (id: string, hasScript: boolean): string => `<!doctype html>
<html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><meta name="viewport" content="width=device-width"><title>The shop</title>
<h1>The shop</h1><p>Forty lamps, one of them for you.</p>
<button id="buy">Buy</button> <a id="away" href="/page/none">Away</a>
${hasScript ? `<script src="/bundle/${id}.js"></script>` : ''}</html>`

const answerIntake = async (id: string, path: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  if (weather.refuse) return void request.socket.destroy()
  const body = await bodyOf(request)
  const given = { path, headers: request.headers, body }
  const marks = marksIn(id, given)
  const number = requests.push({ id, number: requests.length, at: now(), method: request.method ?? '', path, bytes: weighHead(request) + body.length, marks }) - 1
  if (id === OURS) {
    if (weather.networkMs) await wait(weather.networkMs)
    Object.assign(request, { body }) // read already: the relay takes it from here, as from a body parser
    return answerIncoming(relay, request, response, { address: request.socket.remoteAddress })
  }
  for (const mark of marks) arrive(id, mark, number)
  const delayMs = weather.networkMs + weather.apiMs
  if (delayMs) await wait(delayMs)
  const { status, headers = {}, body: text = '', file } = PROTOCOLS[id]?.answer(given) ?? { status: 404 }
  const bytes = file ? readFileSync(join(packages, file)) : Buffer.from(text)
  response.writeHead(status, { ...headers, 'Content-Length': bytes.length }).end(bytes)
}

const site = await listen(async (request, response) => {
  const { pathname, search, searchParams } = new URL(request.url ?? '', site.origin)
  const [, room = '', name = ''] = pathname.split('/')
  if (room === 'in') return answerIntake(name, pathname.slice(`/in/${name}`.length) + search, request, response)
  if (room === 'page') {
    const hasScript = name !== 'none' && searchParams.get('script') !== 'no'
    return void response.writeHead(200, { ...PAGE_HEADERS, 'Content-Type': 'text/html; charset=utf-8' }).end(showPage(name, hasScript))
  }
  if (room === 'bundle' && existsSync(join(folder, name))) return void response.writeHead(200, { 'Content-Type': 'text/javascript; charset=utf-8' }).end(readFileSync(join(folder, name)))
  response.writeHead(404, { 'Content-Length': 0 }).end()
})

const commands: Commands = {
  weather: (changed) => void Object.assign(weather, changed),
  clear: () => {
    arrivals = []
    requests = []
  },
  arrivals: () => arrivals,
  requests: () => requests,
  arrived: ({ marks, count, withinMs }) =>
    new Promise((resolve) => {
      const heard = new Set<string>()
      const end = (): void => {
        clearTimeout(timer)
        waiters.delete(hear)
        resolve(heard.size)
      }
      const hear = (mark: string): void => {
        if (mark.startsWith(marks)) heard.add(mark)
        if (heard.size >= count) end()
      }
      const timer = setTimeout(end, withinMs)
      waiters.add(hear)
      for (const { mark } of arrivals) hear(mark)
    }),
}

process.on('message', async ({ number, name, argument }: { number: number; name: keyof Commands; argument: never }) => {
  process.send?.({ number, value: await commands[name](argument) })
})
process.on('disconnect', () => process.exit())
process.send?.({ origin: site.origin })
