/** What is compared: the relay, and the least that could stand in its place. Bundled for both runtimes. */
import { createRelay, type Fetch, type Relay } from '../../src/relay/index.ts'

/** Where the events go. */
export interface Upstream {
  baseUrl: string
  apiKey: string
  populationId: string
}

/** Simultaneous calls of one request, as the relay has them. */
const AT_ONCE = 6

/** Reads a batch, posts each event with the same headers, six at a time, and answers: no check, no order, no memory, no limit. */
export const createBare =
  ({ baseUrl, apiKey, populationId }: Upstream): Relay =>
  async (request) => {
    const { events }: { events: { id: string }[] } = await request.json()
    const results: unknown[] = []
    let next = 0
    const work = async (): Promise<void> => {
      for (let nth = next++; nth < events.length; nth = next++) {
        const { id = '', ...event } = events[nth] ?? {}
        const response = await fetch(`${baseUrl}/v1/events/send/${populationId}`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', Accept: 'application/json', 'User-Agent': 'pristo-relay', 'X-API-Key': apiKey, 'X-Request-Id': id },
          body: JSON.stringify(event),
        })
        await response.text()
        results[nth] = { id, outcome: response.ok ? 'stored' : 'retry' }
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    return Response.json({ v: 1, results })
  }

/** Spread into the options: one client asks as often as it can. */
const UNLIMITED = { rateLimit: false } as const

/** The relay, with nothing but what it needs. `client` calls the API; by default the runtime's own `fetch`. */
export const createOurs = (upstream: Upstream, client?: Fetch): Relay => createRelay({ ...upstream, ...UNLIMITED, ...(client && { fetch: client }), identity: 'page' })
