// @vitest-environment node
import { createHash } from 'node:crypto'
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRelay } from '../../src/relay/index.ts'
import { toNodeHandler } from '../../src/relay/node.ts'
import { tag } from '../../src/relay/tag.ts'
import { startWorkerd } from '../support/workerd.ts'
import { KEY, makeBatch, makeEvent, POPULATION, request, setUp } from './harness.ts'

const OPTIONS = { apiKey: KEY, populationId: POPULATION, identity: 'page', tag } as const
const BR = tag.etag.replace(/"$/, '-br"')
const GZIP = tag.etag.replace(/"$/, '-gzip"')

/** What a client got, byte for byte: `fetch` would decode it and hide half of the headers. */
interface Got {
  status: number
  headers: IncomingHttpHeaders
  bytes: Buffer
}

type Ask = (headers?: Record<string, string>, method?: string) => Promise<Got>

const decoders: Record<string, (bytes: Buffer) => Buffer> = { br: brotliDecompressSync, gzip: gunzipSync }

const textOf = ({ headers, bytes }: Got): string => (decoders[headers['content-encoding'] ?? ''] ?? ((same) => same))(bytes).toString()

const askOver =
  (url: string): Ask =>
  (headers = {}, method = 'GET') =>
    new Promise((resolve, reject) => {
      const request = httpRequest(`${url}/pristo.js`, { method, headers }, async (response) => {
        const chunks: Buffer[] = []
        for await (const chunk of response) chunks.push(chunk)
        resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes: Buffer.concat(chunks) })
      })
      request.on('error', reject).end()
    })

const ask: Ask = async (headers = {}, method = 'GET') => {
  const answer = await createRelay(OPTIONS)(new Request('https://shop.example/pristo.js', { method, headers }))
  return { status: answer.status, headers: Object.fromEntries(answer.headers), bytes: Buffer.from(await answer.arrayBuffer()) }
}

const startNode = async () => {
  const handler = toNodeHandler(createRelay(OPTIONS))
  const server = createServer((request, response) => void handler(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const close = (): Promise<unknown> => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)))
  return { url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`, close }
}

const WORKER = `
  import { createRelay } from 'pristo/relay'
  import { tag } from 'pristo/relay/tag'
  const relay = createRelay({ apiKey: '${KEY}', populationId: '${POPULATION}', identity: 'page', tag })
  export default { fetch: (request, env, context) => relay(request, context) }`

const places = [
  { place: 'in process', start: async () => ({ url: '', close: async () => undefined }) },
  { place: 'on Node over HTTP', start: startNode },
  { place: 'in workerd', start: () => startWorkerd(WORKER, tag) },
]

describe.each(places)('the tag, $place,', ({ place, start }) => {
  let server: Awaited<ReturnType<typeof start>>
  let get: Ask
  beforeAll(async () => {
    server = await start()
    get = place === 'in process' ? ask : askOver(server.url)
  })
  afterAll(() => server.close())

  it.each([
    [{}, 'as it is', tag.etag],
    [{ 'Accept-Encoding': 'br, gzip, deflate' }, 'br', BR],
    [{ 'Accept-Encoding': 'gzip' }, 'gzip', GZIP],
  ])('comes to %j whole: %s, with an entity tag of its own', async (headers, encoding, etag) => {
    const got = await get(headers)
    expect([got.status, textOf(got)]).toEqual([200, tag.text])
    expect(got.headers['content-encoding'] ?? 'as it is').toBe(encoding)
    expect(got.headers).toMatchObject({
      etag,
      'content-length': String(got.bytes.length),
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=3600',
      vary: 'Accept-Encoding',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'cross-origin',
    })
    expect(got.headers['set-cookie']).toBeUndefined()
  })

  it('is 304 without a body where the client has this form of it, and not where it has another', async () => {
    const again = await get({ 'Accept-Encoding': 'br', 'If-None-Match': BR })
    expect([again.status, again.bytes.length]).toEqual([304, 0])
    expect(again.headers).toMatchObject({ etag: BR, vary: 'Accept-Encoding', 'cache-control': 'public, max-age=3600' })
    expect((await get({ 'Accept-Encoding': 'br', 'If-None-Match': tag.etag })).status).toBe(200)
  })

  it('tells HEAD what GET would bring, and no byte of it', async () => {
    const [head, full] = [await get({ 'Accept-Encoding': 'br' }, 'HEAD'), await get({ 'Accept-Encoding': 'br' })]
    expect([head.status, head.bytes.length]).toEqual([200, 0])
    expect({ ...head.headers, date: '' }).toEqual({ ...full.headers, date: '' })
  })
})

describe('what the tag is asked for with', () => {
  it.each([
    ['', 'identity'],
    ['deflate', 'identity'],
    ['br;q=0, gzip', 'gzip'],
    ['br; q=0.000, gzip;q=0', 'identity'],
    ['*;q=0', 'identity'],
    ['*', 'br'],
    ['br;q=0, *', 'gzip'],
    ['br;q=0.2, gzip;q=0.9', 'gzip'],
    ['gzip;q=1.0, br;q=1.0', 'br'],
    ['identity, br;q=0.5', 'identity'],
    ['GZIP', 'gzip'],
    ['x-gzip', 'gzip'],
    ['br;q=much', 'identity'],
  ])('Accept-Encoding: %j is answered with %s', async (accepted, encoding) => {
    const got = await ask({ 'Accept-Encoding': accepted })
    expect(got.headers['content-encoding'] ?? 'identity').toBe(encoding)
  })

  it.each([
    [tag.etag, 304],
    [`W/${tag.etag}`, 304],
    [`"other", W/${tag.etag},"third"`, 304],
    ['*', 304],
    ['"other"', 200],
    [tag.etag.slice(1, -1), 200],
    [BR, 200],
    ['', 200],
  ])('If-None-Match: %s is answered with %i', async (known, status) => {
    expect((await ask({ 'If-None-Match': known })).status).toBe(status)
  })

  it('any path that ends in .js will do, whoever asks', async () => {
    const relay = createRelay(OPTIONS)
    const from = (url: string) => relay(new Request(url, { headers: { 'Sec-Fetch-Site': 'cross-site', Origin: 'https://other.example' } }))
    const answer = await from('https://shop.example/a/b.js?v=1')
    expect([answer.status, answer.headers.get('Access-Control-Allow-Origin')]).toEqual([200, '*'])
    expect((await from('https://shop.example/pristo')).status).toBe(405)
  })

  it.each(['POST', 'OPTIONS', 'DELETE'])('%s is not for the script: nothing is delivered', async (method) => {
    const { relay, api } = setUp(undefined, { tag })
    const answer = await relay(request(makeBatch([makeEvent(1)]), { url: 'https://shop.example/pristo.js', method }))
    expect([answer.status, answer.headers.get('Allow'), api.calls]).toEqual([405, 'GET, HEAD', []])
  })

  it('a relay that was given no tag answers 405', async () => {
    expect((await setUp().relay(new Request('https://shop.example/pristo.js'))).status).toBe(405)
  })

  it('what is no tag ends the start', () => {
    const wrong = { ...OPTIONS, tag: { ...tag, etag: 1 } }
    // @ts-expect-error as plain JavaScript would call it
    expect(() => createRelay(wrong)).toThrow('[pristo] tag: got an object; allowed is the tag of pristo/relay/tag')
  })
})

it('the integrity of the tag is that of its text', () => {
  expect(tag.integrity).toBe(`sha384-${createHash('sha384').update(tag.text).digest('base64')}`)
})
