// Relay and script on Deno.   deno add npm:pristo · PRISTO_API_KEY=… PRISTO_POPULATION_ID=… deno run --allow-env --allow-net deno.ts
import { createRelay } from 'pristo/relay'
import { optionsFromEnv } from 'pristo/relay/env'
import { tag } from 'pristo/relay/tag'

const { port, hostname, ...options } = optionsFromEnv(Deno.env.toObject(), { identity: 'page', tag })
const pristo = createRelay(options)

Deno.serve({ port, hostname }, (request, info) => {
  const { pathname } = new URL(request.url)
  if (['/pristo', '/pristo/', '/pristo.js'].includes(pathname)) return pristo(request, { address: info.remoteAddr.hostname })
  return new Response('the rest of your site', { status: 404 })
})
