// Relay and script on Bun.   bun add pristo · PRISTO_API_KEY=… PRISTO_POPULATION_ID=… bun bun.ts
import { createRelay } from 'pristo/relay'
import { optionsFromEnv } from 'pristo/relay/env'
import { tag } from 'pristo/relay/tag'

const { port, hostname, ...options } = optionsFromEnv(process.env, { identity: 'page', tag })
const pristo = createRelay(options)

const server = Bun.serve({
  port,
  hostname,
  idleTimeout: 30, // seconds: the default of 10 is too near to the relay's own limits
  fetch(request, server) {
    const { pathname } = new URL(request.url)
    if (['/pristo', '/pristo/', '/pristo.js'].includes(pathname)) return pristo(request, { address: server.requestIP(request)?.address })
    return new Response('the rest of your site', { status: 404 })
  },
})
console.log(`relay at ${server.url}pristo`)
