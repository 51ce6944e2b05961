/**
 * The port for those who run the relay: `/healthz`, `/readyz`, `/metrics`.
 * Invariant: never on the relay's own port, which the public reaches; answers hold no setting, no id and no contact.
 */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { Metrics } from './metrics.ts'
import type { State } from './readiness.ts'
import type { AdminPlace } from './settings.ts'

/** The running admin port. */
export interface Admin {
  /** Such as `http://127.0.0.1:9464`. */
  url: string
  close(): Promise<void>
}

/** A host as a URL has it: IPv6 in brackets. */
export const toUrl = (hostname: string, port: number): string => `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`

const answer = (response: ServerResponse, status: number, body: string, type = 'application/json'): void => {
  response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' }).end(body)
}

/** Rejects with the system's error where it cannot listen. */
export const serveAdmin = async ({ port, hostname }: AdminPlace, state: () => State, metrics: Pick<Metrics, 'read'>): Promise<Admin> => {
  const pages: Record<string, (response: ServerResponse) => void> = {
    '/healthz': (response) => answer(response, 200, JSON.stringify({ alive: true })),
    '/readyz': (response) => {
      const now = state()
      answer(response, now.ready ? 200 : 503, JSON.stringify(now))
    },
    '/metrics': (response) =>
      void metrics.read().then(
        ({ text, type }) => answer(response, 200, text, type),
        () => answer(response, 500, JSON.stringify({ error: 'the metrics could not be read' })),
      ),
  }
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0] ?? ''
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined
    if (!page) return answer(response, 404, JSON.stringify({ error: `only ${Object.keys(pages).join(', ')} are here` }))
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return answer(response.setHeader('Allow', 'GET, HEAD'), 405, JSON.stringify({ error: 'only GET' }))
    page(response)
  })
  server.listen(port, hostname)
  await once(server, 'listening')
  const address = server.address()
  const heard = typeof address === 'object' && address ? address.port : port
  const close = async (): Promise<void> => {
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  return { url: toUrl(hostname, heard), close }
}
