// @vitest-environment node
import { describe, expect, it } from 'vitest'
import type { Relay } from '../../src/relay/index.ts'
import { makeBatch, makeEvent, read, setUp } from './harness.ts'

const BODY = JSON.stringify(makeBatch([makeEvent(1)]))

/** The status that a POST with exactly these headers gets. */
const post = async (relay: Relay, headers: Record<string, string>, url = 'https://shop.example/pristo', body: BodyInit = new TextEncoder().encode(BODY)) =>
  read(await relay(new Request(url, { method: 'POST', headers, body })))

const JSON_TYPE = { 'Content-Type': 'application/json' }
const HOME = { ...JSON_TYPE, 'Sec-Fetch-Site': 'same-origin', Origin: 'https://shop.example' }
const PARTNER = { 'Sec-Fetch-Site': 'cross-site', Origin: 'https://partner.example' }

describe('who may speak', () => {
  const { relay, api } = setUp()
  const refused: [string, Record<string, string>, string?][] = [
    ['a foreign page', { ...JSON_TYPE, 'Sec-Fetch-Site': 'cross-site', Origin: 'https://evil.example' }],
    ['another subdomain', { ...JSON_TYPE, 'Sec-Fetch-Site': 'same-site', Origin: 'https://blog.shop.example' }],
    ['a foreign page that forges the Origin only', { ...JSON_TYPE, 'Sec-Fetch-Site': 'cross-site', Origin: 'https://shop.example' }],
    ['an address typed by hand', { ...JSON_TYPE, 'Sec-Fetch-Site': 'none' }],
    ['a foreign page in a browser without Sec-Fetch-Site', { ...JSON_TYPE, Origin: 'https://evil.example' }],
    ['a foreign page that is called as the server calls itself', { ...JSON_TYPE, Origin: 'http://localhost:3000', Host: 'shop.example' }, 'http://localhost:3000/pristo'],
    ['another port', { ...JSON_TYPE, Origin: 'https://shop.example:8443' }],
    ['a sandboxed frame', { ...JSON_TYPE, Origin: 'null' }],
    ['a garbled Origin', { ...JSON_TYPE, Origin: 'shop.example' }],
    ['a script that names no origin', JSON_TYPE],
    ['a cross-site beacon with a string', { 'Content-Type': 'text/plain;charset=UTF-8', ...PARTNER }],
    ['a cross-site beacon without a content type', PARTNER],
    ['a form of another site', { 'Content-Type': 'application/x-www-form-urlencoded', ...PARTNER }],
  ]
  it.each(refused)('%s gets 403 and reaches nothing', async (_, headers, url) => {
    const heard = await post(relay, headers, url)
    expect(heard.status).toBe(403)
    expect(heard.error?.code).toBe('origin')
    expect(heard.headers.get('Access-Control-Allow-Origin')).toBeNull()
    expect(api.calls).toEqual([])
  })

  const accepted: [string, Record<string, string>, string?][] = [
    ['a page of the same origin', HOME],
    ['a page of the same origin in a browser without Sec-Fetch-Site', { ...JSON_TYPE, Origin: 'https://shop.example' }],
    ['a page on https behind a proxy that ends TLS', { ...JSON_TYPE, Origin: 'https://shop.example' }, 'http://shop.example/pristo'],
    ['a page behind a proxy that changes the host, as the browser vouches for it', HOME, 'http://internal:3000/pristo'],
    ['a page on a server that puts its own name into the URL', { ...JSON_TYPE, Origin: 'https://shop.example', Host: 'shop.example' }, 'http://localhost:3000/pristo'],
    ['a page vouched for with a string', { ...HOME, 'Content-Type': 'text/plain;charset=UTF-8' }],
    ['a page vouched for without a content type', { 'Sec-Fetch-Site': 'same-origin', Origin: 'https://shop.example' }],
  ]
  it.each(accepted)('%s is heard', async (_, headers, url) => {
    expect((await post(setUp().relay, headers, url)).status).toBe(200)
  })

  it.each([
    ['text/plain from a page that nobody vouches for', { 'Content-Type': 'text/plain', Origin: 'https://shop.example' }],
    ['no content type from a page that nobody vouches for', { Origin: 'https://shop.example' }],
    ['a form, even of the same origin', { ...HOME, 'Content-Type': 'application/x-www-form-urlencoded' }],
    ['a type that only begins like JSON', { ...HOME, 'Content-Type': 'application/jsonp' }],
  ])('%s gets 415', async (_, headers) => {
    expect((await post(relay, headers)).status).toBe(415)
  })

  it('scripts are heard where the site says so, with JSON only', async () => {
    const open = setUp(undefined, { allowNonBrowser: true })
    expect((await post(open.relay, JSON_TYPE)).status).toBe(200)
    expect((await post(open.relay, {})).status).toBe(415)
    expect((await post(open.relay, { ...JSON_TYPE, Origin: 'https://evil.example' })).status).toBe(403)
  })
})

describe('other origins', () => {
  const { relay } = setUp(undefined, { allowedOrigins: ['https://partner.example'] })
  const preflight = async (origin: string) => {
    const headers = { Origin: origin, 'Access-Control-Request-Method': 'POST' }
    return relay(new Request('https://shop.example/pristo', { method: 'OPTIONS', headers }))
  }

  it('a listed one gets its preflight and may read the answer, refusals too', async () => {
    const asked = await preflight('https://partner.example')
    expect(asked.status).toBe(204)
    expect(Object.fromEntries(asked.headers)).toMatchObject({
      'access-control-allow-origin': 'https://partner.example',
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'Content-Type',
      'access-control-max-age': '7200',
      'access-control-expose-headers': 'Retry-After',
      'cache-control': 'no-store',
      vary: 'Origin',
    })
    const heard = await post(relay, { ...JSON_TYPE, ...PARTNER })
    expect(heard.status).toBe(200)
    expect(heard.headers.get('Access-Control-Allow-Origin')).toBe('https://partner.example')
    const refusal = await post(relay, { 'Content-Type': 'text/plain', ...PARTNER })
    expect(refusal.status).toBe(415)
    expect(refusal.headers.get('Access-Control-Allow-Origin')).toBe('https://partner.example')
  })

  it('another one gets a preflight without CORS, which ends its request', async () => {
    const asked = await preflight('https://partner.example.evil.example')
    expect(asked.status).toBe(204)
    expect([...asked.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
  })
})

describe('other methods', () => {
  it.each(['GET', 'PUT', 'DELETE', 'PATCH', 'HEAD'])('%s gets 405 with Allow', async (method) => {
    const response = await setUp().relay(new Request('https://shop.example/pristo', { method }))
    expect([response.status, response.headers.get('Allow'), response.headers.get('Cache-Control')]).toEqual([405, 'POST', 'no-store'])
  })
})
