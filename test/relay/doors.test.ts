// @vitest-environment node
/** What each door tells the relay besides the request. What it answers is the contract suite's business (test/contract). */
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import express from 'express'
import { Hono, type Context } from 'hono'
import { expect, it, onTestFinished } from 'vitest'
import { toWorker } from '../../src/relay/cloudflare.ts'
import { optionsFromEnv } from '../../src/relay/env.ts'
import { toExpressHandler } from '../../src/relay/express.ts'
import { createSiteFront } from '../../src/relay/front.ts'
import { toHonoHandler } from '../../src/relay/hono.ts'
import type { Relay, RelayContext } from '../../src/relay/index.ts'
import { toNextHandlers } from '../../src/relay/next.ts'
import { toNodeHandler } from '../../src/relay/node.ts'
import { createApi, KEY, makeBatch, makeEvent, outcomes, POPULATION, read, request, uuid } from './harness.ts'

const LEFT = Promise.resolve()

/** A relay that notes whom a door says it talks to, and leaves a promise behind. */
const createSpy = () => {
  const addresses: (string | undefined)[] = []
  const relay: Relay = async (_, context: RelayContext = {}) => {
    addresses.push(context.address)
    context.waitUntil?.(LEFT)
    return new Response('ok')
  }
  return { relay, addresses }
}

const FORGED = { 'X-Forwarded-For': '203.0.113.9', Forwarded: 'for=203.0.113.9', 'X-Real-IP': '203.0.113.9' }

const ask = async (server: Server): Promise<string> => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return (await fetch(`http://127.0.0.1:${port}/pristo`, { headers: { ...FORGED, Connection: 'close' } })).text()
}

it("node:http: the address is the socket's, whatever headers claim", async () => {
  const { relay, addresses } = createSpy()
  expect(await ask(createServer(toNodeHandler(relay)))).toBe('ok')
  expect(addresses).toEqual(['127.0.0.1'])
})

it("Express: the address is what the app's own `trust proxy` makes of it", async () => {
  const { relay, addresses } = createSpy()
  for (const trusted of [false, 1]) {
    const app = express().set('trust proxy', trusted).all('/pristo', toExpressHandler(relay))
    expect(await ask(createServer(app))).toBe('ok')
  }
  expect(addresses).toEqual(['127.0.0.1', '203.0.113.9'])
})

it('Next: every method is the relay; the address and `after` come by options', async () => {
  const { relay, addresses } = createSpy()
  const left: unknown[] = []
  const told = toNextHandlers(relay, { after: (promise) => left.push(promise), address: (request) => request.headers.get('x-real-ip') })
  const untold = toNextHandlers(relay)
  expect(Object.keys(untold)).toEqual(['GET', 'HEAD', 'POST', 'OPTIONS'])
  for (const handle of Object.values(told)) await handle(new Request('https://shop.example/pristo', { headers: FORGED }))
  await told.GET(new Request('https://shop.example/pristo'))
  await untold.POST(new Request('https://shop.example/pristo', { headers: FORGED }))
  expect(addresses).toEqual([...Array(4).fill('203.0.113.9'), undefined, undefined])
  expect(left).toEqual(Array(5).fill(LEFT))
})

it('Hono: waits with the execution context where there is one; the address comes by an option', async () => {
  const { relay, addresses } = createSpy()
  const left: unknown[] = []
  const app = new Hono<{ Bindings: { ip: string } }>().all('/told', toHonoHandler(relay, { address: (c: Context<{ Bindings: { ip: string } }>) => c.env.ip })).all('/untold', toHonoHandler(relay))
  const context = { waitUntil: (promise: Promise<unknown>) => void left.push(promise), passThroughOnException: () => undefined, props: {} }
  expect(await (await app.request('/told', { headers: FORGED }, { ip: '198.51.100.7' }, context)).text()).toBe('ok')
  expect(await (await app.request('/untold', { headers: FORGED })).text()).toBe('ok')
  expect(addresses).toEqual(['198.51.100.7', undefined])
  expect(left).toEqual([LEFT])
})

it('Cloudflare: one relay for each env, which waits with the context; a setting that cannot be used is named at each request', async () => {
  const api = createApi()
  const left: Promise<unknown>[] = []
  let made = 0
  const worker = toWorker((env: { key: string }) => {
    made++
    return { apiKey: env.key, populationId: POPULATION, identity: 'page', fetch: api.fetch }
  })
  const context = { waitUntil: (promise: Promise<unknown>) => void left.push(promise) }
  const post = async (env: { key: string }) => read(await worker.fetch(request(makeBatch([makeEvent(1)])), env, context))

  const env = { key: KEY }
  expect([outcomes(await post(env)), outcomes(await post(env))]).toEqual([['stored'], ['stored']])
  expect([api.ids(), made, left.length]).toEqual([[uuid(1)], 1, 2])
  expect(outcomes(await post({ key: KEY }))).toEqual(['stored'])
  expect([api.ids(), made]).toEqual([[uuid(1), uuid(1)], 2])
  await expect(post({ key: 'sk' })).rejects.toThrow('[pristo] apiKey: got a string of 2 characters')
  await expect(post({ key: 'sk' })).rejects.toThrow('[pristo] apiKey')
})

it('Cloudflare: the address is what the edge says, whatever else headers claim', async () => {
  const headers = (address: string) => ({ ...FORGED, 'True-Client-IP': '203.0.113.9', 'CF-Connecting-IP': address })
  const { relay, addresses } = createSpy()
  const front = createSiteFront({ relay })
  await front(new Request('https://shop.example/pristo', { headers: headers('198.51.100.1') }))
  await front(new Request('https://shop.example/pristo', { headers: FORGED }))
  expect(addresses).toEqual(['198.51.100.1', undefined])

  const rateLimit = { address: { requests: 1, perS: 60 } }
  const worker = toWorker(() => ({ apiKey: KEY, populationId: POPULATION, identity: 'page', rateLimit, fetch: createApi().fetch }))
  const env = {}
  const statusFor = async (address: string) =>
    (await worker.fetch(request(makeBatch([makeEvent(1)]), { headers: headers(address) }), env, { waitUntil: () => undefined })).status
  expect([await statusFor('198.51.100.1'), await statusFor('198.51.100.2'), await statusFor('198.51.100.1')]).toEqual([200, 200, 429])
})

it('the options of a Worker can be its variables', async () => {
  const worker = toWorker((env: Record<string, string>) => optionsFromEnv(env, { identity: 'page' }))
  const answer = await worker.fetch(request({}), { PRISTO_API_KEY: KEY, PRISTO_POPULATION_ID: POPULATION }, { waitUntil: () => undefined })
  expect(answer.status).toBe(400)
})
