import { describe, expect, it } from 'vitest'
import { createDirectSender } from '../src/direct.ts'
import type { TrackedEvent } from '../src/event.ts'
import { createTransport } from '../src/sender.ts'
import { ADA, createDevice, createPage, makeMany, makeNth, numbersOf } from './support/fakes.ts'

const KEY = '11111111-1111-4111-8111-111111111111'
const POPULATION = '22222222-2222-4222-8222-222222222222'

const created = () => Response.json({ ok: true, status: 201, statusText: 'Created', body: null, raw: 'x' }, { status: 201 })

/** @param answers one per request; the last for ever */
const arrange = ({ baseUrl, hidden = false }: { baseUrl?: string; hidden?: boolean }, ...answers: (() => Response | Promise<Response>)[]) => {
  const requests: { address: string; body: unknown; headers: Headers }[] = []
  const page = createPage(createDevice(), async (address, init) => {
    requests.push({ address, body: JSON.parse(String(init.body)), headers: new Headers(init.headers) })
    return (answers.length > 1 ? answers.shift() : answers[0])?.() ?? created()
  })
  page.hidden = hidden
  const direct = { populationId: POPULATION, apiKey: KEY, ...(baseUrl && { baseUrl }) }
  const send = createDirectSender(createTransport(page), page, direct)
  return { requests, send: (events: TrackedEvent[], keepalive = true) => send(events, keepalive), ids: () => requests.map(({ headers }) => headers.get('X-Request-Id')) }
}

describe('a request', () => {
  it('carries one event, its id as X-Request-Id, and the key', async () => {
    const { requests, send } = arrange({})
    await send([makeNth(1, { customFields: { sku: 'A1' } })])
    expect(requests.map(({ address, body }) => [address, body])).toEqual([
      [
        `https://api.pristo.io/v1/events/send/${POPULATION}`,
        { type: 'view', occurredAt: '2026-07-01T12:00:00.000Z', contact: ADA, customFields: { sku: 'A1' } },
      ],
    ])
    expect(requests.map(({ headers }) => [headers.get('X-Request-Id'), headers.get('X-API-Key')])).toEqual([[makeNth(1).id, KEY]])
  })

  it('goes to another base URL where one is given', async () => {
    const { requests, send } = arrange({ baseUrl: 'http://127.0.0.1:9' })
    await send(makeMany(1))
    expect(requests[0]?.address).toBe(`http://127.0.0.1:9/v1/events/send/${POPULATION}`)
  })
})

describe('the outcome', () => {
  const envelope = (http: number, ok: boolean, status: number) => () => Response.json({ ok, status }, { status: http })

  it.each([
    ['a sound envelope', created, 'stored'],
    ['a 202 of an earlier API', () => Response.json({ eventId: 'x', receivedAt: 'y' }, { status: 202 }), 'stored'],
    ['a 204 without a body', () => new Response(null, { status: 204 }), 'stored'],
    ['a 200 of text', () => new Response('OK'), 'stored'],
    ['a 200 whose envelope says 400', envelope(200, false, 400), 'rejected'],
    ['a 201 whose envelope is ok but 422', envelope(201, true, 422), 'rejected'],
    ['a 201 whose envelope says 500', envelope(201, false, 500), 500],
    ['a 201 whose envelope says 429', envelope(201, true, 429), 429],
    ['a 201 whose envelope is not ok but 201', envelope(201, false, 201), 500],
    ['a 500 whose envelope is ok', envelope(500, true, 201), 500],
    ...[400, 405, 409, 410, 413, 415, 422].map((status) => [`${status}`, () => Response.json({}, { status }), 'rejected'] as const),
    ...[302, 401, 403, 404, 408, 425, 429, 500, 502, 503].map((status) => [`${status}`, () => Response.json({}, { status }), status] as const),
    ['no answer', () => Promise.reject(new TypeError('offline')), undefined],
  ] as const)('of %s is %s', async (_, answer, expected) => {
    const reply = await arrange({}, answer).send(makeMany(1))
    expect(reply?.results?.[0]?.outcome ?? reply?.http).toBe(expected)
  })

  it('of a refusal says what the API said', async () => {
    const refuse = () => Response.json({ error: { code: 'validation', message: 'unknown type' } }, { status: 400 })
    expect((await arrange({}, refuse).send(makeMany(1)))?.results).toEqual([
      { id: makeNth(1).id, outcome: 'rejected', code: 'invalid_event', status: 400, message: 'unknown type' },
    ])
  })
})

describe('a parcel', () => {
  const down = () => new Response('', { status: 503, headers: { 'Retry-After': '30' } })
  const refused = () => new Response('', { status: 400 })

  it('goes one after the other, and a refused event holds up nobody', async () => {
    const { send, ids } = arrange({}, created, refused, created)
    expect((await send(makeMany(3)))?.results?.map(({ outcome }) => outcome)).toEqual(['stored', 'rejected', 'stored'])
    expect(ids()).toEqual(makeMany(3).map(({ id }) => id))
  })

  it('ends at the first event that is to be tried again: the order is kept', async () => {
    const { send, ids } = arrange({}, created, down)
    const reply = await send(makeMany(4))
    expect([numbersOf(reply?.results ?? []), reply?.waitMs, ids().length]).toEqual([[1], 30_000, 2])
  })

  it('without a single outcome is what its first answer was', async () => {
    expect(await arrange({}, down).send(makeMany(2))).toEqual({ http: 503, waitMs: 30_000 })
  })

  it('leaves all at once, synchronously, where the page is going', () => {
    const { send, ids } = arrange({ hidden: true })
    void send(makeMany(3))
    expect(ids()).toEqual(makeMany(3).map(({ id }) => id))
  })
})
