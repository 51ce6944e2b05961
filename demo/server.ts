/**
 * One origin with the shop, the snippet and a relay, and a stand-in for the Pristo API on another port.
 * Invariant: the pages reach the API through the relay only; `/demo/*` shows and disturbs, it delivers nothing.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { NodeRequest, sendNodeResponse } from 'srvx/node'
import { z } from 'zod'
import { optionsFromEnv } from '../src/relay/env.ts'
import { createRelay } from '../src/relay/index.ts'
import { startPristoApi, type StoredEvent } from '../test/support/pristo-api.ts'
import { serveFile } from './files.ts'

/** One request that the API answered, for the panel. */
interface Row {
  id: string | undefined
  type: string
  contact: string
  fields: Record<string, string>
  /** Milliseconds since 1970. */
  at: number
  /** HTTP status; 0 where no answer came. */
  status: number
}

const SLOW_MS = 2_000
const ROWS_SHOWN = 50
const DEFAULT_PORT = '4173'

const env = process.env
const switches = { relayDown: false, slow: false, apiErrors: false }
const flip = z.object({ name: z.enum(['relayDown', 'slow', 'apiErrors']), on: z.boolean() })

const standIn = env.PRISTO_API_KEY ? undefined : await startPristoApi()
const answers: Row[] = []

const { relay, port, baseUrl } = attempt(() => {
  const options = optionsFromEnv(
    { ...env, PORT: env.PORT || DEFAULT_PORT },
    {
      ...(standIn && { apiKey: standIn.apiKey, populationId: standIn.populationId, baseUrl: standIn.url }),
      identity: 'page',
      path: '/pristo',
      hostname: '127.0.0.1',
      fetch: watchedFetch,
    },
  )
  return { relay: createRelay(options), ...options }
})

// What the panel shows. The stand-in lists what it stored; of the real API we know what it answered.
const state = () => {
  const rows = standIn ? standIn.events().map(toRow) : answers
  const stored = rows.filter(({ status }) => status >= 200 && status < 300)
  return {
    api: { isReal: !standIn, url: baseUrl },
    switches,
    stored: stored.length,
    twice: stored.length - new Set(stored.map(({ id }) => id)).size,
    // Numbered, since an event that is tried again has more than one row.
    rows: rows.map((row, number) => ({ ...row, number })).slice(-ROWS_SHOWN),
    contacts: standIn?.contacts() ?? [],
  }
}

const toRow = ({ requestId: id, type, contact, customFields, receivedAt }: StoredEvent): Row => ({
  id,
  type,
  contact: contact.id,
  fields: customFields,
  at: receivedAt,
  status: 201,
})

// The relay's way out: every answer of the API is news for the panels.
async function watchedFetch(url: string, init: RequestInit): Promise<Response> {
  const request = new Request(url, init)
  const sent = standIn ? undefined : parseSent(await request.clone().text())
  let status = 0
  try {
    const response = await fetch(request)
    status = response.status
    return response
  } finally {
    if (sent) answers.push({ ...sent, id: request.headers.get('x-request-id') ?? undefined, at: Date.now(), status })
    broadcast()
  }
}

const sentSchema = z
  .object({ type: z.string(), contact: z.object({ id: z.string() }), customFields: z.record(z.string(), z.string()).default({}) })
  .transform(({ type, contact, customFields }) => ({ type, contact: contact.id, fields: customFields }))
const parseSent = (text: string) => sentSchema.parse(JSON.parse(text))

const panels = new Set<ServerResponse>()
const message = () => `data: ${JSON.stringify(state())}\n\n`
const broadcast = () => panels.forEach((panel) => panel.write(message()))

// Server-sent events: the browser reconnects by itself, a second after the connection broke.
const openFeed = (panel: ServerResponse) => {
  panel.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  panel.write(`retry: 1000\n${message()}`)
  panels.add(panel)
  panel.once('close', () => panels.delete(panel))
}

const flipSwitch = async (request: Request) => {
  const wanted = flip.safeParse(await request.json().catch(() => undefined))
  if (!wanted.success) return new Response(z.prettifyError(wanted.error), { status: 400 })
  switches[wanted.data.name] = wanted.data.on
  standIn?.fail({ ...(switches.slow && { delayMs: SLOW_MS }), ...(switches.apiErrors && { status: 500 }) })
  broadcast()
  return new Response(null, { status: 204 })
}

const route = async (request: Request): Promise<Response> => {
  const { pathname } = new URL(request.url)
  if (pathname === '/pristo') return relay(request)
  if (pathname === '/demo/switch' && request.method === 'POST') return flipSwitch(request)
  return serveFile(pathname)
}

const answer = async (request: IncomingMessage, response: ServerResponse) => {
  const answered = await route(new NodeRequest({ req: request, res: response })).catch((error: unknown) => {
    // A file that a build is just replacing, say: no reason to end the demo.
    console.error(`Pristo demo: ${request.url} failed: ${String(error)}`)
    return new Response('The demo server could not answer; its terminal says why.', { status: 500 })
  })
  await sendNodeResponse(response, answered).catch(() => response.destroy()) // the page is gone
}

const server = createServer((request, response) => {
  const path = request.url?.split('?')[0]
  if (path === '/demo/state') openFeed(response)
  // A relay that is down does not answer 503: the connection just dies.
  else if (path === '/pristo' && switches.relayDown) request.socket.destroy()
  else void answer(request, response)
})

const listen = async (wanted: number): Promise<void> => {
  try {
    server.listen(wanted, '127.0.0.1')
    await once(server, 'listening')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : error
    if (code !== 'EADDRINUSE') return fail(`cannot listen on port ${wanted} (${String(code)}). Choose another one with PORT=…`)
    console.log(`Pristo demo: port ${wanted} is taken, so here is another one. PORT=… chooses.`)
    await listen(0)
  }
}
await listen(port)

const stop = async () => {
  server.close()
  server.closeAllConnections()
  await standIn?.close()
  process.exit(0)
}
process.once('SIGINT', stop)
process.once('SIGTERM', stop)

const address = server.address()
console.log(standIn ? `Pristo API: a stand-in at ${baseUrl}` : `Pristo API: the real one at ${baseUrl}; events in the shop are sent there`)
console.log(`Pristo demo: http://127.0.0.1:${typeof address === 'object' && address ? address.port : port}`)

function attempt<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
}

function fail(line: string): never {
  console.error(`Pristo demo: ${line}`)
  process.exit(1)
}
