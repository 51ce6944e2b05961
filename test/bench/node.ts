/** A handler on Node, through the project's own door, in a process of its own. Says its port on the standard output. */
import { createServer } from 'node:http'
import { nodeFetch, toNodeHandler } from '../../src/relay/node.ts'
import { createBare, createOurs, type Upstream } from './handlers.ts'

const [, , variant = '', upstream = ''] = process.argv
const settings: Upstream = JSON.parse(upstream)
const handlers = {
  relay: () => createOurs(settings, nodeFetch), // as `serveRelay` does
  'relay-fetch': () => createOurs(settings),
  bare: () => createBare(settings),
}
const handle = toNodeHandler(Object(handlers)[variant]())
const server = createServer((request, response) => void handle(request, response)).listen(0, '127.0.0.1', () => console.log(Object(server.address()).port))
process.on('SIGINT', () => process.exit(0))
