// @vitest-environment node
// Over real sockets, where fakes would only repeat what we believe of fetch and of Node.
import { createServer, type RequestListener, type Server } from 'node:http'
import { connect } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { createRelay, type RelayOptions } from '../../src/relay/index.ts'
import { nodeFetch, toNodeHandler } from '../../src/relay/node.ts'
import { KEY, makeBatch, makeEvent, outcomes, POPULATION, send, until, uuid } from './harness.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

const listen = async (server: Server): Promise<string> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('not listening on a port')
  return `http://127.0.0.1:${address.port}`
}

/** Acts on a request only when all of it has come: an API that stored the event. */
const whole =
  (act: RequestListener): RequestListener =>
  (request, response) =>
    request.resume().on('end', () => act(request, response))

const serveApi = (act: RequestListener): Promise<string> => listen(createServer(whole(act)))

const createRelayTo = (baseUrl: string, options: Partial<RelayOptions> = {}) =>
  createRelay({ apiKey: KEY, populationId: POPULATION, identity: 'page', baseUrl, onError: () => undefined, ...options })

const CLIENTS = [
  ['fetch', undefined],
  ['nodeFetch', nodeFetch],
] as const

describe.each(CLIENTS)('the API, over a real socket, by %s', (_, client) => {
  const relayTo = (baseUrl: string, options: Partial<RelayOptions> = {}) => createRelayTo(baseUrl, { ...(client && { fetch: client }), ...options })

  it.each([301, 302, 307, 308])('a %i to another host is not followed: the key stays here', async (status) => {
    const stolen: unknown[] = []
    const thief = await serveApi((request, response) => (stolen.push(request.headers['x-api-key']), response.writeHead(201).end()))
    const api = await serveApi((_, response) => response.writeHead(status, { Location: `${thief}/` }).end())
    expect(outcomes(await send(relayTo(api), [makeEvent(1)]))).toEqual(['upstream_config'])
    expect(stolen).toEqual([])
  })

  it('a reset after the event was stored is sent again with the same X-Request-Id', async () => {
    const stored: unknown[] = []
    const api = await serveApi((request, response) => {
      stored.push(request.headers['x-request-id'])
      if (stored.length === 1) request.socket.resetAndDestroy()
      else response.writeHead(201).end('{"ok":true,"status":201,"statusText":"Created","body":null,"raw":"x"}')
    })
    const relay = relayTo(api)
    expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['unavailable'])
    expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['stored'])
    expect(stored).toEqual([uuid(1), uuid(1)])
  })

  it('a hang ends at the limit, and the connection with it', async () => {
    let isClosed = false
    const api = await serveApi((request) => request.socket.on('close', () => (isClosed = true)))
    expect(outcomes(await send(relayTo(api, { limits: { callMs: 50 } }), [makeEvent(1)]))).toEqual(['unavailable'])
    await until(() => isClosed)
  })

  it('a hang within the body ends at the limit too', async () => {
    const api = await serveApi((_, response) => response.writeHead(201).write('{"ok":'))
    expect(outcomes(await send(relayTo(api, { limits: { callMs: 50 } }), [makeEvent(1)]))).toEqual(['unavailable'])
  })

  it('an answer that breaks off is asked for again where it said that the event is stored, and believed where it said why not', async () => {
    const breakOff = async (status: number) => {
      const api = await serveApi((request, response) => {
        response.writeHead(status, { 'Content-Length': 1000 }).write('{"ok":', () => request.socket.destroy())
      })
      return outcomes(await send(relayTo(api), [makeEvent(1)]))
    }
    expect(await breakOff(201)).toEqual(['unavailable'])
    expect(await breakOff(400)).toEqual(['rejected'])
  })

  // Nobody asked for it; where it were not unpacked, a refusal would pass for a success.
  it.each([['gzip', gzipSync], ['deflate', deflateSync], ['br', brotliCompressSync]] as const)('an answer packed by %s is read', async (encoding, pack) => {
    const packed = pack('{"ok":false,"status":400,"error":{"message":"unknown type"}}')
    const api = await serveApi((_, response) => response.writeHead(201, { 'Content-Encoding': encoding, 'Content-Length': packed.length }).end(packed))
    const { results } = await send(relayTo(api), [makeEvent(1)])
    expect(results[0]).toMatchObject({ outcome: 'rejected', status: 400, message: 'unknown type' })
  })

  it('a packed answer that breaks off is asked for again', async () => {
    const packed = gzipSync('{"ok":false,"status":400}')
    const api = await serveApi((request, response) => {
      response.writeHead(201, { 'Content-Encoding': 'gzip', 'Content-Length': packed.length }).write(packed.subarray(0, -4), () => request.socket.destroy())
    })
    expect(outcomes(await send(relayTo(api), [makeEvent(1)]))).toEqual(['unavailable'])
  })

  it('of an answer without an end no more is read than a sentence could need', async () => {
    let sent = 0
    const api = await serveApi((request, response) => {
      response.writeHead(201)
      const more = (): void => {
        for (; !request.socket.destroyed; sent += 0x4000) if (!response.write('x'.repeat(0x4000))) return void response.once('drain', more)
      }
      more()
    })
    expect(outcomes(await send(relayTo(api), [makeEvent(1)]))).toEqual(['stored'])
    expect(sent).toBeLessThan(30_000_000) // what sockets take besides
  })

  it('Retry-After is obeyed, in seconds', async () => {
    const api = await serveApi((_, response) => response.writeHead(429, { 'retry-after': '17' }).end())
    expect(await send(relayTo(api), [makeEvent(1)])).toMatchObject({ retryAfter: 17 })
  })

  it('nobody listening is unavailable', async () => {
    expect(outcomes(await send(relayTo('http://127.0.0.1:1'), [makeEvent(1)]))).toEqual(['unavailable'])
  })

  // Node lets a connection rest for a turn of its event loop before it uses it again, and takes a second one meanwhile.
  it('nine events of one contact share two connections, errors included', async () => {
    const ports = new Set<number | undefined>()
    let n = 0
    const api = await serveApi((request, response) => (ports.add(request.socket.remotePort), response.writeHead(n++ % 2 ? 400 : 201).end('{"error":{"message":"x"}}')))
    await send(relayTo(api), [1, 2, 3, 4, 5, 6, 7, 8, 9].map((id) => makeEvent(id)))
    expect(ports.size).toBeLessThanOrEqual(2)
  })
})

describe('a browser, over a real socket', () => {
  const serveTo = async (options: Partial<RelayOptions> = {}) => {
    const arrived: unknown[] = []
    const api = await serveApi((request, response) => (arrived.push(request.headers['x-request-id']), response.writeHead(201).end()))
    const handle = toNodeHandler(createRelayTo(api, options))
    return { url: new URL('/pristo', await listen(createServer((request, response) => void handle(request, response)))), arrived }
  }

  const head = ({ pathname, host }: URL, length: string): string =>
    [`POST ${pathname} HTTP/1.1`, `Host: ${host}`, 'Sec-Fetch-Site: same-origin', 'Content-Type: application/json', length, '', ''].join('\r\n')

  /** Sends raw bytes and gives the status line; `write` may go on for as long as nobody has answered. */
  const raw = (url: URL, headers: string, write: (send: (text: string) => boolean, isOver: () => boolean) => Promise<void>): Promise<string> =>
    new Promise((resolve) => {
      let text = ''
      const socket = connect(Number(url.port), url.hostname)
      // A server that has answered may reset what it did not read.
      socket.on('error', () => resolve(text)).on('close', () => resolve(text)).on('data', (chunk) => {
        text += String(chunk)
        socket.destroy()
      })
      socket.write(head(url, headers))
      void write((part) => socket.write(part), () => text !== '' || socket.destroyed)
    })

  it('a chunked body of 10 MB gets 413 long before its end', async () => {
    const { url } = await serveTo()
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`
    let sent = 0
    const answer = await raw(url, 'Transfer-Encoding: chunked', async (write, isOver) => {
      while (sent < 10_000_000 && !isOver()) {
        write(chunk)
        sent += 0x4000
        await new Promise((resolve) => setImmediate(resolve))
      }
    })
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
    expect(sent).toBeLessThan(10_000_000)
  })

  it('a body of a byte now and then gets 408 at the limit', async () => {
    const { url } = await serveTo({ limits: { bodyMs: 60 } })
    const answer = await raw(url, 'Content-Length: 1000', async (write, isOver) => {
      while (!isOver()) {
        write(' ')
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    })
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('a client that leaves without waiting for the answer has its events delivered', async () => {
    const { url, arrived } = await serveTo()
    const body = JSON.stringify(makeBatch([makeEvent(1), makeEvent(2)]))
    const socket = connect(Number(url.port), url.hostname, () => {
      socket.write(head(url, `Content-Length: ${body.length}`) + body, () => socket.destroy())
    })
    await until(() => arrived.length === 2)
    expect(arrived).toEqual([uuid(1), uuid(2)])
  })
})
