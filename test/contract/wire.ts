/**
 * Plain HTTP, as a browser and as an attacker send it.
 * Invariant: what is asked for goes onto the wire as it is, lies included, over a connection of its own.
 */
import { request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { until } from '../support/browsers/until.ts'

/** A request; what is absent is that of a batch from a page of the relay's own origin. */
export interface Sent {
  method?: string
  /** Behind the relay's own path, such as `/`. Default: nothing. */
  tail?: string
  headers: Record<string, string>
  /** Parts are sent chunked, one after the other, for as long as nobody has answered. */
  body?: string | Iterable<string>
}

export interface Heard {
  status: number
  headers: Headers
  text: string
  /** The body as it came, still compressed where it is. */
  bytes: Buffer
  /** How many characters of the body had been sent by the time of the answer. */
  sentLength: number
}

/** A way to a relay. */
export interface Line {
  /** The origin that the relay's pages have. */
  origin: string
  exchange(sent: Sent): Promise<Heard>
  /** Sends a request and leaves once `isTime`, without reading the answer. Absent where there is no connection to cut. */
  abandon?(sent: Sent & { body: string }, isTime: () => boolean): Promise<void>
}

/** How long an answer is waited for before the next part of a chunked body, milliseconds. */
const PACE_MS = 250

const exchange = (url: string, { method = 'POST', headers, body = '' }: Sent): Promise<Heard> =>
  new Promise((resolve, reject) => {
    let sentLength = 0
    const over = new AbortController()
    const outgoing = request(url, { method, headers, agent: false }, (response) => {
      over.abort()
      const atAnswer = sentLength
      const chunks: Buffer[] = []
      const end = (): void => {
        const given = Object.entries(response.headersDistinct).flatMap(([name, values = []]) => values.map((value): [string, string] => [name, value]))
        const bytes = Buffer.concat(chunks)
        resolve({ status: response.statusCode ?? 0, headers: new Headers(given), text: bytes.toString(), bytes, sentLength: atAnswer })
        outgoing.destroy()
      }
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', end).on('error', reject)
    })
    outgoing.on('error', reject)
    const write = async (): Promise<void> => {
      if (typeof body === 'string') return void outgoing.end(body, () => (sentLength = body.length))
      for (const part of body) {
        if (over.signal.aborted || outgoing.destroyed) return
        sentLength += part.length
        await new Promise((done) => outgoing.write(part, done))
        // A server that has answered closes the connection: what is written to it by then costs Node the answer.
        await wait(PACE_MS, undefined, { signal: over.signal }).catch(() => undefined)
      }
      outgoing.end()
    }
    void write()
  })

const abandon = async (url: string, { headers, body }: Sent & { body: string }, isTime: () => boolean): Promise<void> => {
  const { hostname, port, host, pathname } = new URL(url)
  const lines = Object.entries({ Host: host, ...headers, 'Content-Length': Buffer.byteLength(body) }).map(([name, value]) => `${name}: ${value}`)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined) // it is cut on purpose
  socket.write([`POST ${pathname} HTTP/1.1`, ...lines, '', body].join('\r\n'))
  await until('the moment to leave', isTime).finally(() => socket.destroy())
}

/** A way to the relay at this URL, over real sockets. */
export const overHttp = (url: string): Line => ({
  origin: new URL(url).origin,
  exchange: (sent) => exchange(url + (sent.tail ?? ''), sent),
  abandon: (sent, isTime) => abandon(url, sent, isTime),
})

/** The parts as a stream that counts what was taken of it. */
const toStream = (parts: Iterator<string>, onTaken: (length: number) => void): ReadableStream<Uint8Array> =>
  new ReadableStream(
    {
      pull: (controller) => {
        const { done, value } = parts.next()
        if (done) return controller.close()
        onTaken(value.length)
        controller.enqueue(new TextEncoder().encode(value))
      },
    },
    { highWaterMark: 0 },
  )

/** A way to a relay in this very process: no server, no socket. */
export const inProcess = (relay: (request: Request) => Promise<Response>): Line => {
  const origin = 'https://shop.example'
  return {
    origin,
    exchange: async ({ method = 'POST', tail = '', headers, body }) => {
      let sentLength = 0
      const stream = body === undefined ? undefined : toStream((typeof body === 'string' ? [body] : body)[Symbol.iterator](), (length) => (sentLength += length))
      const answer = await relay(new Request(`${origin}/pristo${tail}`, { method, headers, ...(stream && { body: stream, duplex: 'half' }) }))
      const bytes = Buffer.from(await answer.arrayBuffer())
      return { status: answer.status, headers: answer.headers, text: bytes.toString(), bytes, sentLength }
    },
  }
}
