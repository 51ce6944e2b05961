// @vitest-environment node
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isIso6391, startPristoApi, type PristoApi } from './pristo-api.ts'

const REQUEST_ID = '01997f3a-7c1e-7a00-8000-0123456789ab'
const ada = { id: 'u_1', email: 'ada@example.com' }

let api: PristoApi

beforeEach(async () => {
  api = await startPristoApi()
})
afterEach(() => api.close())

const post = (
  body: unknown,
  {
    key = api.apiKey,
    path = `/v1/events/send/${api.populationId}`,
    headers = {},
  }: Partial<{ key: string; path: string; headers: Record<string, string> }> = {},
) =>
  fetch(api.url + path, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'content-type': 'application/json', 'x-api-key': key, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

const statusOf = async (body: unknown, change?: Parameters<typeof post>[1]) => (await post(body, change)).status

describe('an event that fits the documentation', () => {
  test('is answered 201 with the whole envelope', async () => {
    const response = await post({ type: 'signup', contact: ada })
    expect(response.status).toBe(201)
    expect(await response.json()).toEqual({
      ok: true,
      status: 201,
      statusText: 'Created',
      body: null,
      raw: expect.stringMatching(/^[\w-]{22}$/),
    })
  })

  test('is stored as it came, with its request id', async () => {
    const event = { type: 'purchase', occurredAt: '2026-11-23T10:00:00.000Z', contact: ada, customFields: { amount: '49.90' } }
    await post(event, { headers: { 'x-request-id': REQUEST_ID } })
    expect(api.events()).toEqual([{ ...event, requestId: REQUEST_ID, receivedAt: expect.any(Number) }])
  })

  test('is stored twice where it arrives twice', async () => {
    const headers = { 'x-request-id': REQUEST_ID }
    await post({ type: 'signup', contact: ada }, { headers })
    await post({ type: 'signup', contact: ada }, { headers })
    expect(api.events()).toHaveLength(2)
  })
})

describe('a contact', () => {
  test('is updated with what an event carries and keeps the rest', async () => {
    await post({ type: 'signup', contact: { ...ada, name: 'Ada', customFields: { plan: 'free', source: 'ad' } } })
    await post({ type: 'purchase', contact: { id: 'u_1', name: 'Countess', customFields: { plan: 'pro' } } })
    expect(api.contacts()).toEqual([{ ...ada, name: 'Countess', customFields: { plan: 'pro', source: 'ad' } }])
  })

  test('needs a phone or an email the first time only', async () => {
    expect(await statusOf({ type: 'signup', contact: { id: 'u_2' } })).toBe(400)
    expect(await statusOf({ type: 'signup', contact: { id: 'u_2', phone: '+31612345678' } })).toBe(201)
    expect(await statusOf({ type: 'signup', contact: { id: 'u_2' } })).toBe(201)
  })
})

describe('what the documentation forbids is refused and not stored', () => {
  test.each([
    ['a body that is no JSON', 'nonsense'],
    ['an array', []],
    ['no type', { contact: ada }],
    ['an unknown type', { type: 'sneeze', contact: ada }],
    ['no contact', { type: 'signup' }],
    ['a contact without an id', { type: 'signup', contact: { email: 'a@b.co' } }],
    ['an empty contact id', { type: 'signup', contact: { ...ada, id: '' } }],
    ['a number as contact id', { type: 'signup', contact: { ...ada, id: 7 } }],
    ['a contact member that is not documented', { type: 'signup', contact: { ...ada, age: '36' } }],
    ['an undefined contact field', { type: 'signup', contact: { ...ada, customFields: { age: '36' } } }],
    ['a contact field that is no string', { type: 'signup', contact: { ...ada, customFields: { plan: 1 } } }],
    ['a contact field of 51 characters', { type: 'signup', contact: { ...ada, customFields: { plan: 'x'.repeat(51) } } }],
    ['a language that is not ISO 639-1', { type: 'signup', contact: { ...ada, language: 'english' } }],
    ['an event field that is no string', { type: 'signup', contact: ada, customFields: { amount: 49.9 } }],
    ['an event field of 51 characters', { type: 'signup', contact: ada, customFields: { note: 'x'.repeat(51) } }],
    ['a day that does not exist', { type: 'signup', contact: ada, occurredAt: '2026-02-30T10:00:00Z' }],
    ['a date without a time', { type: 'signup', contact: ada, occurredAt: '2026-02-03' }],
    ['a time that is not UTC', { type: 'signup', contact: ada, occurredAt: '2026-02-03T10:00:00+02:00' }],
    ['a member that is not documented', { type: 'signup', contact: ada, id: REQUEST_ID }],
  ])('%s: 400', async (_, body) => {
    const response = await post(body)
    expect(response.status).toBe(400)
    expect(await response.json()).toEqual({ error: { code: 'validation_error', message: expect.stringMatching(/.+: .+/) } })
    expect(api.events()).toEqual([])
    expect(api.contacts()).toEqual([])
  })

  test('an event field outside a given list: 400', async () => {
    const strict = await startPristoApi({ eventFields: ['channel'] })
    const path = `${strict.url}/v1/events/send/${strict.populationId}`
    const send = (customFields: Record<string, string>) =>
      fetch(path, {
        method: 'POST',
        headers: { 'x-api-key': strict.apiKey },
        body: JSON.stringify({ type: 'signup', contact: ada, customFields }),
      })
    expect((await send({ channel: 'web' })).status).toBe(201)
    expect((await send({ shoeSize: '41' })).status).toBe(400)
    await strict.close()
  })

  test('a request id that is no UUID: 400', async () => {
    expect(await statusOf({ type: 'signup', contact: ada }, { headers: { 'x-request-id': '42' } })).toBe(400)
  })

  test('a wrong key and a missing one: 401', async () => {
    expect(await statusOf({ type: 'signup', contact: ada }, { key: api.populationId })).toBe(401)
    expect(await statusOf({ type: 'signup', contact: ada }, { key: '' })).toBe(401)
  })

  test('another population and another path: 404', async () => {
    expect(await statusOf({ type: 'signup', contact: ada }, { path: `/v1/events/send/${api.apiKey}` })).toBe(404)
    expect(await statusOf({ type: 'signup', contact: ada }, { path: '/v2/events' })).toBe(404)
  })
})

test('50 characters, an empty field and a UUID in capitals are accepted', async () => {
  const event = { type: 'signup', contact: ada, customFields: { a: 'x'.repeat(50), b: '' } }
  expect(await statusOf(event, { headers: { 'x-request-id': REQUEST_ID.toUpperCase() } })).toBe(201)
})

test('ISO 639-1 has 183 codes', () => {
  const letters = [...'abcdefghijklmnopqrstuvwxyz']
  const codes = letters.flatMap((a) => letters.map((b) => a + b)).filter(isIso6391)
  expect(codes).toHaveLength(183)
  expect(codes).toEqual(expect.arrayContaining(['en', 'he', 'nl']))
})

describe('a scripted fault', () => {
  const event = { type: 'signup', contact: ada }

  test('answers its status, Retry-After and body, and stores nothing', async () => {
    api.fail({ status: 503, retryAfter: '7', body: '<h1>down</h1>' })
    const response = await post(event)
    expect([response.status, response.headers.get('retry-after'), await response.text()]).toEqual([503, '7', '<h1>down</h1>'])
    expect(api.events()).toEqual([])
  })

  test('with a body alone stores the event and answers that body', async () => {
    api.fail({ body: '{"eventId":"e1"}' })
    const response = await post(event)
    expect([response.status, await response.text()]).toEqual([201, '{"eventId":"e1"}'])
    expect(api.events()).toHaveLength(1)
  })

  test('redirects', async () => {
    api.fail({ redirect: 'http://127.0.0.1:9/steal' })
    const response = await post(event)
    expect([response.status, response.headers.get('location')]).toEqual([307, 'http://127.0.0.1:9/steal'])
  })

  test('resets before storing, or after', async () => {
    api.fail({ reset: 'before', times: 1 })
    await expect(post(event)).rejects.toThrow()
    expect(api.events()).toHaveLength(0)
    api.fail({ reset: 'after', times: 1 })
    await expect(post(event)).rejects.toThrow()
    expect(api.events()).toHaveLength(1)
    expect(api.calls().map((call) => call.status)).toEqual(['reset', 'reset'])
  })

  test('hits as often as it says, and only what it means', async () => {
    api.fail({ status: 500, times: 2, when: ({ requestId }) => requestId === REQUEST_ID })
    const headers = { 'x-request-id': REQUEST_ID }
    expect(await statusOf(event)).toBe(201)
    expect(await statusOf(event, { headers })).toBe(500)
    expect(await statusOf(event, { headers })).toBe(500)
    expect(await statusOf(event, { headers })).toBe(201)
  })

  test('is decided anew for each request by a weather', async () => {
    api.fail(({ requestId }) => (requestId === REQUEST_ID ? { status: 500 } : undefined))
    expect(await statusOf(event, { headers: { 'x-request-id': REQUEST_ID } })).toBe(500)
    expect(await statusOf(event)).toBe(201)
    api.fail(null)
    expect(await statusOf(event, { headers: { 'x-request-id': REQUEST_ID } })).toBe(201)
  })

  test('ends with fail(null)', async () => {
    api.fail({ status: 500 })
    expect(await statusOf(event)).toBe(500)
    api.fail(null)
    expect(await statusOf(event)).toBe(201)
  })

  test('waits as long as it is told before it does anything else', async () => {
    api.fail({ delayMs: 50, status: 500 })
    expect(await statusOf(event)).toBe(500)
    const [call] = api.calls()
    expect(Date.now() - (call?.at ?? Infinity)).toBeGreaterThanOrEqual(49) // timers may round down by 1 ms
  })

  test('that hangs ends when the stand-in closes', async () => {
    const other = await startPristoApi()
    other.fail({ hang: true })
    const hanging = fetch(other.url, { method: 'POST', body: '{}' })
    await expect.poll(() => other.calls().map((call) => call.status)).toEqual(['hang'])
    await Promise.all([other.close(), expect(hanging).rejects.toThrow()])
  })
})

test('calls tell method, path, headers, id, status and body', async () => {
  await post({ type: 'sneeze', contact: ada }, { headers: { 'x-request-id': REQUEST_ID } })
  expect(api.calls()).toEqual([
    {
      method: 'POST',
      path: `/v1/events/send/${api.populationId}`,
      headers: expect.objectContaining({ 'x-api-key': api.apiKey }),
      requestId: REQUEST_ID,
      status: 400,
      body: { type: 'sneeze', contact: ada },
      at: expect.any(Number),
      endedAt: expect.any(Number),
    },
  ])
})

test('clear() forgets everything, the fault included', async () => {
  await post({ type: 'signup', contact: ada })
  api.fail({ status: 500 })
  api.clear()
  expect([api.events(), api.contacts(), api.calls()]).toEqual([[], [], []])
  expect(await statusOf({ type: 'signup', contact: ada })).toBe(201)
})

test('a preflight allows what direct mode sends, and every answer may be read from any origin', async () => {
  const preflight = await fetch(api.url, { method: 'OPTIONS' })
  expect([
    preflight.status,
    preflight.headers.get('access-control-allow-headers'),
    preflight.headers.get('access-control-max-age'),
  ]).toEqual([204, 'content-type,x-api-key,x-request-id', '7200'])
  const refused = await post({}, { key: '' })
  expect(refused.headers.get('access-control-allow-origin')).toBe('*')
  expect(refused.headers.get('access-control-expose-headers')).toBe('Retry-After')
  expect(api.calls()).toHaveLength(1)
})

test('a second stand-in on a taken port is an error', async () => {
  await expect(startPristoApi({ port: Number(new URL(api.url).port) })).rejects.toThrow('EADDRINUSE')
})
