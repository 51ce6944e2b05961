/**
 * Calls of the API over `node:http`, in place of Node's own `fetch`, which takes three times the CPU for what the relay needs of it.
 * Invariant: follows no redirect, resolves once the headers are there, and holds nothing of a body that nobody reads.
 */
import * as http from 'node:http'
import * as https from 'node:https'
import { pipeline, Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { Fetch, Reply } from './upstream.ts'

/** For who packs an answer although nobody asked for it: a proxy in between may. */
const DECODERS = new Map([
  ['gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
])

const bodyOf = (message: http.IncomingMessage): Readable => {
  const decoder = DECODERS.get(message.headers['content-encoding'] ?? '')
  return decoder ? pipeline(message, decoder(), () => undefined) : message // what fails on the way, the reader hears
}

const utf8 = new TextDecoder()

/** Rejects where it breaks off. By events, since iterating over a stream costs a delivery a fifth more (Node 20). */
const textOf = (body: Readable): Promise<string> =>
  new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    body.on('data', (chunk) => chunks.push(chunk)).on('error', reject).on('end', () => resolve(utf8.decode(Buffer.concat(chunks))))
  })

const replyOf = (message: http.IncomingMessage): Reply => {
  const headerOf = (name: string): string | null => message.headers[name.toLowerCase()]?.toString() ?? null
  return {
    status: message.statusCode ?? 0,
    headers: { get: headerOf, has: (name) => headerOf(name) !== null },
    get body() {
      return Readable.toWeb(bodyOf(message)) as ReadableStream<Uint8Array> // one class, which Node and the DOM declare differently
    },
    text: () => textOf(bodyOf(message)),
  }
}

/**
 * As the relay's option `fetch`: `createRelay({ …, fetch: nodeFetch })`. Connections are those of Node's global agents: kept for 5 s, and through a
 * proxy where Node is told so (`NODE_USE_ENV_PROXY`, Node 24).
 */
export const nodeFetch: Fetch = (url, { method, headers, body, signal }) =>
  new Promise((resolve, reject) => {
    const { request } = url.startsWith('https:') ? https : http
    const sent = request(url, { method, headers: { ...headers, 'Accept-Encoding': 'identity' } }, (message) => resolve(replyOf(message)))
    signal.addEventListener('abort', () => sent.destroy(), { once: true }) // the option `signal` costs five times as much (Node 20)
    sent.on('error', reject).end(body)
  })
