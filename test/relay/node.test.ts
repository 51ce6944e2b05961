// @vitest-environment node
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, get, type RequestListener } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { buildSync } from 'esbuild'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { serveRelay, toNodeHandler, type ServeOptions } from '../../src/relay/node.ts'
import { tag } from '../../src/relay/tag.ts'
import { createApi, created, KEY, makeBatch, makeEvent, POPULATION, setUp, uuid } from './harness.ts'
import { KEYS } from './tokens.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

const directory = mkdtempSync(join(process.cwd(), 'node_modules', '.relay-test-'))
afterAll(() => rmSync(directory, { recursive: true }))

const SETTINGS = { apiKey: KEY, populationId: POPULATION, port: 0 }

const serve = async (options: ServeOptions = {}) => {
  const api = createApi()
  const server = await serveRelay({ ...SETTINGS, fetch: api.fetch, ...options })
  closers.push(server.close)
  return { url: server.url, api, close: server.close }
}

/** Hosts that a client can name and no URL can have. */
const NO_HOSTS = ['a:99999', '256.256.256.256', 'xn--a']

/** The status of a GET under any Host. */
const ask = (url: string, name: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => get(url, { headers: { Host: name } }, (answer) => resolve(answer.resume().statusCode)).on('error', reject))

const post = (url: string, n = 1, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin', ...headers },
    body: JSON.stringify(makeBatch([makeEvent(n)])),
  })

describe('the relay as a server', () => {
  it('leaves nobody listening where the way to deliver cannot be used', async () => {
    const probe = createServer()
    await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
    const port = Number(Object(probe.address()).port)
    await new Promise((resolve) => probe.close(resolve))
    const spool = JSON.parse('{}')
    spool.put = async () => 'accepted'
    await expect(serveRelay({ ...SETTINGS, port, spool, worker: { concurrency: 0 } })).rejects.toThrow('[pristo] concurrency: got a number; allowed is a whole number from 1')
    await expect(fetch(`http://127.0.0.1:${port}/pristo`)).rejects.toThrow('fetch failed')
  })

  it('answers at its path, with and without a slash, and nowhere else', async () => {
    const { url, api } = await serve()
    expect(new URL(url).pathname).toBe('/pristo')
    expect((await post(url)).status).toBe(200)
    expect((await post(`${url}/`, 2)).status).toBe(200)
    expect((await post(`${url}x`, 3)).status).toBe(404)
    expect((await post(new URL('/', url).href, 3)).status).toBe(404)
    expect((await fetch(url)).status).toBe(405)
    expect(api.ids()).toEqual([uuid(1), uuid(2)])
  })

  it('believes a page in a browser without Sec-Fetch-Site by its Origin and Host', async () => {
    const { url } = await serve()
    const body = JSON.stringify(makeBatch([makeEvent(1)]))
    const by = async (origin: string) =>
      (await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json', Origin: origin }, body })).status
    expect(await by(new URL(url).origin)).toBe(200)
    expect(await by('http://evil.example')).toBe(403)
  })

  it('knows its clients by their connection, and behind a proxy by what the proxy says', async () => {
    const rateLimit = { address: { requests: 1, perS: 60 } }
    const bare = await serve({ rateLimit })
    expect((await post(bare.url, 1, { 'X-Forwarded-For': '192.0.2.1' })).status).toBe(200)
    expect((await post(bare.url, 2, { 'X-Forwarded-For': '192.0.2.2' })).status).toBe(429)
    const proxied = await serve({ rateLimit, trustProxy: 1 })
    expect((await post(proxied.url, 1, { 'X-Forwarded-For': '192.0.2.1' })).status).toBe(200)
    expect((await post(proxied.url, 2, { 'X-Forwarded-For': '192.0.2.2' })).status).toBe(200)
    expect((await post(proxied.url, 3, { 'X-Forwarded-For': '192.0.2.9, 192.0.2.2' })).status).toBe(429)
  })

  it('serves the tag beside its path, and nothing else by GET', async () => {
    const { url } = await serve()
    const answer = await fetch(`${url}.js`)
    expect([answer.status, await answer.text()]).toEqual([200, tag.text])
    expect((await fetch(`${url}x.js`)).status).toBe(404)
    expect((await post(`${url}.js`)).status).toBe(405)
  })

  it.each(NO_HOSTS)('is not found under a Host that is none (%s)', async (name) => {
    const { url } = await serve()
    expect(await ask(url, name)).toBe(404)
  })

  it('close waits for what is under way, and keeps no connection alive behind it', async () => {
    let finish = (): void => undefined
    const api = createApi(() => new Promise((resolve) => (finish = () => resolve(created()))))
    const { url, close } = await serve({ fetch: api.fetch })
    const answer = post(url)
    while (!api.calls.length) await new Promise((resolve) => setImmediate(resolve))
    const closed = close()
    finish()
    const { status, headers } = await answer
    expect([status, headers.get('Connection')]).toEqual([200, 'close'])
    await closed
    await expect(post(url)).rejects.toThrow()
  })

  it('close waits for a delivery whose client has left', async () => {
    const order: string[] = []
    const api = createApi(async () => {
      // Far more turns than the server needs to see that its last connection is gone.
      for (let turn = 0; turn < 300; turn++) await new Promise((resolve) => setImmediate(resolve))
      order.push('delivered')
      return created()
    })
    const { url, close } = await serve({ fetch: api.fetch })
    const body = JSON.stringify(makeBatch([makeEvent(1)]))
    const client = connect(Number(new URL(url).port), '127.0.0.1')
    client.write(`POST /pristo HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    while (!api.calls.length) await new Promise((resolve) => setImmediate(resolve))
    client.destroy()
    await close().then(() => order.push('closed'))
    expect(order).toEqual(['delivered', 'closed'])
  })

  it('rejects with one line where a setting cannot be used', async () => {
    await expect(serveRelay({ ...SETTINGS, path: 'pristo' })).rejects.toThrow('[pristo] path: got a string of 6 characters; allowed is a path')
  })
})

describe("the relay in a site's own server", () => {
  const host = async (listener: RequestListener): Promise<string> => {
    const server = createServer(listener)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closers.push(() => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))))
    const address = server.address()
    return typeof address === 'object' && address ? `http://127.0.0.1:${address.port}/anywhere` : ''
  }

  it.each(NO_HOSTS)('answers under a Host that is none (%s)', async (name) => {
    const { relay, logs } = setUp(undefined, { tag })
    const url = await host((request, response) => void toNodeHandler(relay)(request, response))
    expect([await ask(url, name), await ask(`${url}.js`, name), logs]).toEqual([405, 200, []])
  })

  it('is a node:http listener', async () => {
    const { relay, api } = setUp()
    const handler = toNodeHandler(relay)
    const response = await post(await host((request, response) => void handler(request, response)))
    expect(await response.json()).toEqual({ v: 1, results: [{ id: uuid(1), outcome: 'stored' }] })
    expect(api.ids()).toEqual([uuid(1)])
  })

  it('knows its clients by their connection', async () => {
    const { relay } = setUp(undefined, { rateLimit: { address: { requests: 1, perS: 60 } } })
    const handler = toNodeHandler(relay)
    const url = await host((request, response) => void handler(request, response))
    expect((await post(url, 1, { 'X-Forwarded-For': '192.0.2.1' })).status).toBe(200)
    expect((await post(url, 2, { 'X-Forwarded-For': '192.0.2.2' })).status).toBe(429)
  })

  it.each<[string, (text: string) => unknown]>([
    ['an object, as express.json() leaves it', (text) => JSON.parse(text)],
    ['a text, as express.text() leaves it', (text) => text],
    ['bytes, as express.raw() leaves it', (text) => Buffer.from(text)],
  ])('does not hang when the body was read before: %s', async (_, parse) => {
    const { relay, api } = setUp()
    const handler = toNodeHandler(relay)
    const url = await host((request, response) => {
      let text = ''
      request.on('data', (chunk) => (text += String(chunk)))
      request.on('end', () => setImmediate(() => void handler(Object.assign(request, { body: parse(text) }), response)))
    })
    expect((await post(url)).status).toBe(200)
    expect(api.ids()).toEqual([uuid(1)])
  })

  it('reads the body itself where a parser passed it over', async () => {
    const { relay, api } = setUp()
    const handler = toNodeHandler(relay)
    // Express 4 leaves {} where the content type was not the parser's.
    const response = await post(await host((request, response) => void handler(Object.assign(request, { body: {} }), response)))
    expect(response.status).toBe(200)
    expect(api.ids()).toEqual([uuid(1)])
  })
})

describe('the relay as a process', () => {
  const file = join(directory, 'node.js')

  const start = (env: Record<string, string>) => {
    const child = spawn(process.execPath, [file], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const heard = { out: '', err: '' }
    child.stdout.on('data', (chunk) => (heard.out += String(chunk)))
    child.stderr.on('data', (chunk) => (heard.err += String(chunk)))
    return { child, heard, ended: new Promise<number | null>((resolve) => child.on('close', resolve)) }
  }

  it('serves by the environment, says where and whom it believes, and ends at SIGTERM; a bad setting ends the start with one line', async () => {
    buildSync({ entryPoints: ['src/relay/node.ts'], bundle: true, format: 'esm', platform: 'node', packages: 'external', define: { PRISTO_TAG: JSON.stringify(tag) }, outfile: file })
    const bad = start({ PRISTO_API_KEY: 'sk_live_canary' })
    const env = { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: POPULATION, PORT: '0' }
    const good = start(env)
    const signed = start({ ...env, PRISTO_IDENTITY: 'token', PRISTO_IDENTITY_KEYS: JSON.stringify(KEYS) })

    for (const { child, heard } of [good, signed]) while (!heard.out.includes('\n')) await new Promise((resolve) => child.stdout.once('data', resolve))
    expect(signed.heard.out).toMatch(/^\[pristo\] relay at \S+ · identity: token – contacts are signed for\n$/)
    signed.child.kill('SIGTERM')
    expect([await signed.ended, signed.heard.err]).toEqual([0, ''])
    expect(good.heard.out).toMatch(/^\[pristo\] relay at http:\/\/127\.0\.0\.1:\d+\/pristo · identity: page – the relay believes what the page says about its contact\n$/)
    const url = /http\S+/.exec(good.heard.out)?.[0] ?? ''
    expect((await fetch(url)).status).toBe(405)
    good.child.kill('SIGTERM')
    expect([await good.ended, good.heard.err]).toEqual([0, ''])

    expect(await bad.ended).toBe(1)
    expect(bad.heard).toEqual({ out: '', err: '[pristo] PRISTO_API_KEY: got a string of 14 characters; allowed is a UUID, or several separated by commas, newest first\n' })
  })
})
