// Relay and script inside a node:http server.   PRISTO_API_KEY=… PRISTO_POPULATION_ID=… node node.mjs
import { createServer } from 'node:http'
import { createRelay } from 'pristo/relay'
import { optionsFromEnv } from 'pristo/relay/env'
import { nodeFetch, toNodeHandler } from 'pristo/relay/node'
import { tag } from 'pristo/relay/tag'

const { port, hostname, ...options } = optionsFromEnv(process.env, { identity: 'page', tag, fetch: nodeFetch })
const pristo = toNodeHandler(createRelay(options))

const server = createServer((request, response) => {
  const [path] = request.url.split('?')
  if (['/pristo', '/pristo/', '/pristo.js'].includes(path)) return pristo(request, response)
  response.writeHead(404).end('the rest of your site')
})
server.listen(port, hostname, () => console.log(`relay at http://${hostname}:${server.address().port}/pristo`))
