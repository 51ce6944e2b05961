import { after } from 'next/server'
import { createRelay, type Relay, type RelayContext } from 'pristo/relay'
import { optionsFromEnv } from 'pristo/relay/env'
import { toNextHandlers } from 'pristo/relay/next'

let relay: Relay | undefined // made at the first request: the settings need not be there when the app is built

const pristo = (request: Request, context?: RelayContext) => {
  relay ??= createRelay(optionsFromEnv(process.env, { identity: 'page' }))
  return relay(request, context)
}

export const { GET, HEAD, POST, OPTIONS } = toNextHandlers(pristo, { after })
