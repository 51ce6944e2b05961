/**
 * The relay as a Cloudflare Worker.
 * Invariant: a thin door, one relay for each `env`: what it remembers outlives a request; what a request means is decided in `index.ts`.
 * @module pristo/relay/cloudflare
 */
import { clientOf } from './edge.ts'
import { createRelay, type Relay, type RelayContext, type RelayOptions } from './index.ts'

/** A Worker's module, for `export default`. */
export interface Worker<Env> {
  /** Answers one request; `env` are the Worker's variables and secrets. */
  fetch(request: Request, env: Env, ctx: Pick<Required<RelayContext>, 'waitUntil'>): Promise<Response>
}

/** A relay for each `env`, made at its first request: a Worker has its settings no sooner. */
const createRelays = <Env extends object>(optionsOf: (env: Env) => RelayOptions): ((env: Env) => Relay) => {
  const relays = new WeakMap<Env, Relay>()
  return (env) => {
    const relay = relays.get(env) ?? createRelay(optionsOf(env))
    relays.set(env, relay)
    return relay
  }
}

/**
 * A Worker that answers every request by the relay. `optionsOf` makes the relay's options of the Worker's variables and secrets;
 * where they cannot be used, each request fails with the one line that says which, in the Worker's log.
 */
export const toWorker = <Env extends object>(optionsOf: (env: Env) => RelayOptions): Worker<Env> => {
  const relayOf = createRelays(optionsOf)
  return {
    fetch: async (request, env, ctx) => relayOf(env)(request, { waitUntil: (promise) => ctx.waitUntil(promise), address: clientOf(request) }),
  }
}
