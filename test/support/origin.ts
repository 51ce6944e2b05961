/** A site that knows nothing of us, for a Worker in front of it: pages by path, and what it was asked for. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'

/** Answers as it likes. */
export type Answer = (response: ServerResponse, request: IncomingMessage) => void

/** One request that reached the site. */
export interface Visit {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: string
}

export interface Origin {
  /** Host and port. */
  readonly address: string
  /** This path is answered so from now on; a text is a page. */
  serve(path: string, answer: string | Buffer | Answer, headers?: Record<string, string | string[]>): void
  visits(): Visit[]
  close(): Promise<void>
}

const readBody = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** Starts it on a port of its own. */
export const startOrigin = async (): Promise<Origin> => {
  const answers = new Map<string, Answer>()
  const visits: Visit[] = []
  const server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request
    const path = url.split('?')[0] ?? ''
    visits.push({ method, path, headers, body: await readBody(request) })
    const answer = answers.get(path)
    if (answer) answer(response, request)
    else response.writeHead(404, { 'Content-Type': 'text/plain' }).end('the site knows no such page')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The site listens on no port')
  return {
    address: `127.0.0.1:${address.port}`,
    serve: (path, answer, headers = {}) =>
      void answers.set(
        path,
        typeof answer === 'function'
          ? answer
          : (response) => response.writeHead(200, { 'Content-Type': 'text/html', 'Content-Length': Buffer.byteLength(answer), ...headers }).end(answer),
      ),
    visits: () => [...visits],
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
