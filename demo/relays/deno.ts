// The relay on Deno.   deno add npm:pristo · PRISTO_API_KEY=… PRISTO_POPULATION_ID=… deno run --allow-env --allow-net deno.ts
import { createRelay } from 'pristo/relay'
import { optionsFromEnv } from 'pristo/relay/env'

const { port, hostname, ...options } = optionsFromEnv(Deno.env.toObject(), { identity: 'page' })
const pristo = createRelay(options)

Deno.serve({ port, hostname }, (request, info) => {
  const { pathname } = new URL(request.url)
  if (pathname === '/pristo' || pathname === '/pristo/') return pristo(request, { address: info.remoteAddr.hostname })
  return new Response('the rest of your site', { status: 404 })
})
