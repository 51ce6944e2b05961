/** A handler on Node, through the project's own door, in a process of its own. Says its port on the standard output. */
import { createServer } from 'node:http'
import { toNodeHandler } from '../../src/relay/node.ts'
import { createBare, createOurs } from './handlers.ts'

const [, , variant, upstream = ''] = process.argv
const createHandler = variant === 'bare' ? createBare : createOurs
const handle = toNodeHandler(createHandler(JSON.parse(upstream)))
const server = createServer((request, response) => void handle(request, response)).listen(0, '127.0.0.1', () => console.log(Object(server.address()).port))
process.on('SIGINT', () => process.exit(0))
