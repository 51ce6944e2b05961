/**
 * The relay as a Hono handler, on any runtime that Hono runs on.
 * Invariant: imports nothing of Hono, not even types; what a request means is decided in `index.ts`.
 * @module pristo/relay/hono
 */
import type { Relay, RelayContext } from './index.ts'

/** The part of Hono's `Context` that the door needs. */
export interface HonoContext {
  /** Hono's request; the door takes the standard one inside. */
  req: { raw: Request }
  /** Throws where the runtime has none, as Hono defines it. */
  executionCtx: Pick<Required<RelayContext>, 'waitUntil'>
}

const waitUntilOf = (c: HonoContext): RelayContext => {
  try {
    const { executionCtx } = c
    return { waitUntil: (promise) => executionCtx.waitUntil(promise) }
  } catch {
    return {} // a server that stays: nothing has to be kept alive
  }
}

/**
 * The relay as a Hono handler, for `app.all('/pristo', …)`.
 * `address` gives the client's IP address, such as `(c: Context) => getConnInfo(c).remote.address` with the `getConnInfo` of your runtime's adapter.
 * Default: unknown.
 */
export const toHonoHandler =
  <C extends HonoContext>(relay: Relay, { address }: { address?: (c: C) => string | undefined } = {}) =>
  (c: C): Promise<Response> =>
    relay(c.req.raw, { ...waitUntilOf(c), address: address?.(c) })
