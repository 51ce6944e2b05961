/**
 * The relay as a route handler of Next's app router (`app/pristo/route.js`).
 * Invariant: imports nothing of Next, so that it is bound to no version of it; what a request means is decided in `index.ts`.
 * @module pristo/relay/next
 */
import type { Relay, RelayContext } from './index.ts'

/** Answers one method. */
export type NextHandler = (request: Request) => Promise<Response>

/** Options of {@link toNextHandlers}. Next itself tells a route handler neither of the two. */
export interface NextOptions {
  /** `after` of `next/server` (Next 15.1 and later): keeps a serverless function alive for what outlasts the answer. Default: nothing does. */
  after?: (promise: Promise<unknown>) => void
  /**
   * The client's IP address, from a header that the platform itself sets and no client can, such as Vercel's `x-real-ip`. Default: unknown.
   * Behind a proxy of your own use the relay's `trustProxy`.
   */
  address?: (request: Request) => string | null | undefined
}

/**
 * GET and HEAD as a client sends them that decodes nothing. Next takes `Content-Encoding` off what a route answers (16.4.6, server/send-response),
 * so that nobody could read a script that we have compressed; Next compresses it by itself.
 */
const asUndecoded = ({ url, method, headers }: Request): Request => {
  const plain = new Headers(headers)
  plain.delete('Accept-Encoding')
  return new Request(url, { method, headers: plain })
}

/** The relay for every method that a browser uses: `export const { GET, HEAD, POST, OPTIONS } = toNextHandlers(relay)`. */
export const toNextHandlers = (relay: Relay, { after, address }: NextOptions = {}): Record<'GET' | 'HEAD' | 'POST' | 'OPTIONS', NextHandler> => {
  const contextOf = (request: Request): RelayContext => ({
    ...(after && { waitUntil: (promise) => after(promise) }),
    address: address?.(request) ?? undefined,
  })
  const handle: NextHandler = (request) => relay(request, contextOf(request))
  const read: NextHandler = (request) => relay(asUndecoded(request), contextOf(request))
  return { GET: read, HEAD: read, POST: handle, OPTIONS: handle }
}
