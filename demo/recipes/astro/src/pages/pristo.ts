import type { APIRoute } from 'astro'
import { createRelay, type Relay } from 'pristo/relay'
import { optionsFromEnv } from 'pristo/relay/env'

export const prerender = false

let relay: Relay | undefined // made at the first request: the settings need not be there when the site is built

/** The relay, for every method. */
export const ALL: APIRoute = ({ request, clientAddress }) => {
  relay ??= createRelay(optionsFromEnv(process.env, { identity: 'page' }))
  return relay(request, { address: clientAddress })
}
