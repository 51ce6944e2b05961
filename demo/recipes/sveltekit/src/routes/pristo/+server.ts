import { env } from '$env/dynamic/private'
import { createRelay, type Relay } from 'pristo/relay'
import { optionsFromEnv } from 'pristo/relay/env'
import type { RequestHandler } from './$types'

export const trailingSlash = 'ignore'

let relay: Relay | undefined // made at the first request: the settings need not be there when the app is built

/** The relay, for every method. */
export const fallback: RequestHandler = ({ request, getClientAddress }) => {
  relay ??= createRelay(optionsFromEnv(env, { identity: 'page' }))
  return relay(request, { address: getClientAddress() })
}
