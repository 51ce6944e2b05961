/**
 * The relay as an Express handler, of Express 4 and 5.
 * Invariant: a thin door; what a request means is decided in `index.ts`.
 * @module pristo/relay/express
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { answerIncoming } from './incoming.ts'
import type { Relay } from './index.ts'

/** The part of an Express request that the door needs beyond Node's. */
type ExpressRequest = IncomingMessage & {
  /** Derived by the app's own `trust proxy` setting, and by nothing else. */
  ip?: string | undefined
}

/**
 * The relay as an Express handler, for `app.all('/pristo', …)`. It works behind `express.json()` too, which has read the body before
 * (its limit must be 64 kb or more; the default is 100 kb).
 *
 * The client's address is `req.ip`: behind a proxy set the app's `trust proxy`, and leave the relay's `trustProxy` at 0.
 */
export const toExpressHandler =
  (relay: Relay) =>
  (request: ExpressRequest, response: ServerResponse): Promise<void> =>
    answerIncoming(relay, request, response, { address: request.ip })
