/**
 * A page of somebody else's tries everything that a browser lets it do to a relay: the API must hear of nothing.
 * Only a real browser knows what it sends along, and what it asks for before.
 */
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createRelay, type RelayOptions } from '../../src/relay/index.ts'
import { answerIncoming } from '../../src/relay/incoming.ts'
import { makeBatch, makeEvent, uuid } from '../relay/harness.ts'
import type { Page } from '../support/browsers/index.ts'
import type { Site } from '../support/site.ts'
import { expect, poll, test } from './fixtures.ts'

/** A relay on a port, and so an origin, of its own; `heard` has the name of each attempt, its method, and the status of its answer. */
const startRelay = async (site: Site, options: Partial<RelayOptions> = {}) => {
  const { apiKey, populationId, url } = site.api
  const relay = createRelay({ apiKey, populationId, baseUrl: url, identity: 'page', ...options })
  const heard: string[] = []
  const listener: RequestListener = (request, response) => {
    response.once('finish', () => heard.push(`${new URL(request.url ?? '', url).search.slice(1)}: ${request.method} ${response.statusCode}`))
    void answerIncoming(relay, request, response, { address: request.socket.remoteAddress })
  }
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the relay listens on no port')
  const close = (): void => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://${new URL(site.url).hostname}:${address.port}/pristo`, heard, close }
}

const body = JSON.stringify(makeBatch([makeEvent(1)], { sentAt: new Date().toISOString() }))

/** Everything that a page may try, each under a name of its own. What the page itself hears of it comes back. */
const attack = (page: Page, relay: string): Promise<Record<string, unknown>> =>
  page.evaluate(
    async ({ relay, body }) => {
      const said: Record<string, unknown> = {}
      const at = (name: string): string => `${relay}?${name}`
      const json = { 'Content-Type': 'application/json' }
      const tryFetch = async (name: string, init: RequestInit): Promise<void> => {
        said[name] = await fetch(at(name), { method: 'POST', body, ...init }).then(
          (answer) => answer.type,
          () => 'refused by the browser',
        )
      }
      navigator.sendBeacon(at('beacon-string'), body)
      navigator.sendBeacon(at('beacon-blob'), new Blob([body]))
      try {
        navigator.sendBeacon(at('beacon-json'), new Blob([body], { type: 'application/json' }))
      } catch {
        // an engine that refuses it at once has refused it as well
      }
      await tryFetch('no-cors', { mode: 'no-cors' })
      await tryFetch('no-cors-json', { mode: 'no-cors', headers: json })
      await tryFetch('no-cors-blob', { mode: 'no-cors', body: new Blob([body]), credentials: 'include' })
      await tryFetch('text', { headers: { 'Content-Type': 'text/plain' } })
      await tryFetch('json', { headers: json })
      await tryFetch('json-with-cookies', { headers: json, credentials: 'include', keepalive: true })

      const add = <Name extends keyof HTMLElementTagNameMap>(name: Name, properties: object): HTMLElementTagNameMap[Name] =>
        document.body.appendChild(Object.assign(document.createElement(name), properties))
      for (const enctype of ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']) {
        const name = `form-${enctype.split('/')[0]}`
        add('iframe', { name })
        const form = add('form', { method: 'post', action: at(name), target: name, enctype })
        // As text/plain its name and value become {"v":1,…,"token":"="}: JSON, which is how such attacks go.
        form.append(Object.assign(document.createElement('input'), { name: `${body.slice(0, -1)},"token":"`, value: '"}' }))
        form.submit()
      }
      add('iframe', { src: at('iframe') })
      add('img', { src: at('img') })
      add('script', { src: at('script') })
      return said
    },
    { relay, body },
  )

/** What the relay must have said to each; `OPTIONS 204` carries no CORS, which ends the request. */
const SIMPLE = ['beacon-string', 'beacon-blob', 'no-cors', 'no-cors-json', 'no-cors-blob', 'text', 'form-application', 'form-multipart', 'form-text']
const refused = [
  ...SIMPLE.map((name) => `${name}: POST 403`),
  ...['json', 'json-with-cookies'].map((name) => `${name}: OPTIONS 204`),
  ...['iframe', 'img', 'script'].map((name) => `${name}: GET 405`),
].sort()

const anotherSite = (site: Site): string => `http://other.localhost:${new URL(site.url).port}`

/** Another port of the same site shares its cookies. */
const ORIGINS: Record<string, (site: Site) => string> = { 'another site': anotherSite, 'another port': (site) => site.url }

for (const [who, originOf] of Object.entries(ORIGINS)) {
  test(`a page of ${who} gets nothing done`, async ({ site, open }) => {
    const relay = await startRelay(site)
    const page = await open('/blank')
    await page.goto(`${originOf(site)}/blank`)
    const said = await attack(page, relay.url)
    // Whether a beacon with JSON asks first, or is not sent at all, is the engine's choice.
    const heard = (): string[] => relay.heard.filter((line) => line !== 'beacon-json: OPTIONS 204').sort()
    await poll(heard).toEqual(refused)
    expect(said).toEqual({
      'no-cors': 'opaque', 'no-cors-json': 'opaque', 'no-cors-blob': 'opaque',
      text: 'refused by the browser', json: 'refused by the browser', 'json-with-cookies': 'refused by the browser',
    }) // prettier-ignore
    expect(site.api.calls()).toEqual([])
    relay.close()
  })
}

test('a page of a site that is allowed may send JSON, and nothing else', async ({ site, open }) => {
  const relay = await startRelay(site, { allowedOrigins: [anotherSite(site)] })
  const page = await open('/blank')
  await page.goto(`${anotherSite(site)}/blank`)
  const answers = await page.evaluate(
    async ({ relay, body }) => {
      const send = async (name: string, type: string): Promise<unknown> => {
        const answer = await fetch(`${relay}?${name}`, { method: 'POST', headers: { 'Content-Type': type }, body })
        return [answer.status, await answer.json()]
      }
      return [await send('text', 'text/plain'), await send('json', 'application/json')]
    },
    { relay: relay.url, body },
  )
  expect(answers).toEqual([
    [415, { v: 1, error: { code: 'content_type', message: expect.any(String) } }],
    [200, { v: 1, results: [{ id: uuid(1), outcome: 'stored' }] }],
  ])
  expect(relay.heard).toEqual(['text: POST 415', 'json: OPTIONS 204', 'json: POST 200'])
  expect(site.api.events()).toHaveLength(1)
  relay.close()
})
