// @ts-check
/** The least of an API: reads the event, says that it is stored. Says its port on the standard output. */
import { createServer } from 'node:http'

const ANSWER = JSON.stringify({ ok: true, status: 201, statusText: 'Created', body: null, raw: '6yC9g6vFzUmFBwjeeulYnQ' })
const HEADERS = { 'Content-Type': 'application/json', 'Content-Length': ANSWER.length }

const server = createServer((request, response) => {
  request.resume().on('end', () => response.writeHead(201, HEADERS).end(ANSWER))
}).listen(0, '127.0.0.1', () => console.log(Object(server.address()).port))
server.keepAliveTimeout = 0
