// The relay as a Next route handler.   npm i pristo next react react-dom · npx next build · PRISTO_API_KEY=… PRISTO_POPULATION_ID=… npx next start
import { after } from 'next/server'
import { createRelay } from 'pristo/relay'
import { optionsFromEnv } from 'pristo/relay/env'
import { toNextHandlers } from 'pristo/relay/next'
import { tag } from 'pristo/relay/tag'

let relay // made at the first request: the settings need not be there when the app is built
const pristo = (request, context) => (relay ??= createRelay(optionsFromEnv(process.env, { identity: 'page', tag })))(request, context)

export const { GET, HEAD, POST, OPTIONS } = toNextHandlers(pristo, { after })
