// The page, and the relay and the script beside it: any server for files with the relay in front will do.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRelay } from 'pristo/relay'
import { optionsFromEnv, toNodeHandler } from 'pristo/relay/node'
import { tag } from 'pristo/relay/tag'

const { port, hostname, ...options } = optionsFromEnv(process.env, { identity: 'page', tag })
const pristo = toNodeHandler(createRelay(options))

const server = createServer(async (request, response) => {
  const [path] = request.url.split('?')
  if (['/pristo', '/pristo/', '/pristo.js'].includes(path)) return pristo(request, response)
  if (path !== '/') return response.writeHead(404).end('not found')
  const page = await readFile(new URL('index.html', import.meta.url))
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page)
})
server.listen(port, hostname, () => console.log(`http://${hostname}:${server.address().port}`))
