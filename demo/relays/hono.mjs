// Relay and script inside a Hono app, here on Node.   npm i pristo hono @hono/node-server · PRISTO_API_KEY=… PRISTO_POPULATION_ID=… node hono.mjs
import { serve } from '@hono/node-server'
import { getConnInfo } from '@hono/node-server/conninfo'
import { Hono } from 'hono'
import { createRelay } from 'pristo/relay'
import { optionsFromEnv } from 'pristo/relay/env'
import { toHonoHandler } from 'pristo/relay/hono'
import { tag } from 'pristo/relay/tag'

const { port, hostname, ...options } = optionsFromEnv(process.env, { identity: 'page', tag })
const pristo = toHonoHandler(createRelay(options), { address: (c) => getConnInfo(c).remote.address })

const app = new Hono({ strict: false }) // not strict: /pristo/ is /pristo
app.all('/pristo', pristo)
app.all('/pristo.js', pristo)

serve({ fetch: app.fetch, port, hostname }, (info) => console.log(`relay at http://${hostname}:${info.port}/pristo`))
