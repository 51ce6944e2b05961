// @vitest-environment node
// The relay against the stand-in, which holds every sentence of PRISTO-API.md.
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { createRelay, type Relay, type RelayOptions } from '../../src/relay/index.ts'
import { startPristoApi, type PristoApi } from '../support/pristo-api.ts'
import { makeEvent, OLD_KEY, outcomes, send, uuid } from './harness.ts'

let api: PristoApi
beforeAll(async () => void (api = await startPristoApi()))
beforeEach(() => api.clear())
afterAll(() => api.close())

const relayTo = (options: Partial<RelayOptions> = {}): Relay =>
  createRelay({ apiKey: api.apiKey, populationId: api.populationId, identity: 'page', baseUrl: api.url, onError: () => undefined, ...options })

it('events arrive with their contact, each under its id', async () => {
  const contact = { id: 'u_42', email: 'a@b.co', language: 'he', customFields: { plan: 'pro' } }
  expect(outcomes(await send(relayTo(), [makeEvent(1, { contact }), makeEvent(2, { contact: { id: 'u_42' } })]))).toEqual(['stored', 'stored'])
  expect(api.events().map(({ requestId }) => requestId)).toEqual([uuid(1), uuid(2)])
  expect(api.contacts()).toEqual([contact])
})

it('what the API refuses is rejected with its reason, and nothing else is held up', async () => {
  const heard = await send(relayTo(), [makeEvent(1, { type: 'undefined_type' }), makeEvent(2, { contact: { id: 'new' } }), makeEvent(3)])
  expect(outcomes(heard)).toEqual(['rejected', 'rejected', 'stored'])
  expect(heard.results[0]).toMatchObject({ status: 400, message: expect.any(String) })
})

it('an event that was stored before its connection broke arrives twice at most, under one X-Request-Id', async () => {
  const relay = relayTo()
  api.fail({ reset: 'after', times: 1 })
  expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['unavailable'])
  expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['stored'])
  expect(outcomes(await send(relay, [makeEvent(1)]))).toEqual(['stored'])
  expect(api.events().map(({ requestId }) => requestId)).toEqual([uuid(1), uuid(1)])
})

it('a wrong key keeps the events, and an old one goes on working during a rotation', async () => {
  expect(outcomes(await send(relayTo({ apiKey: OLD_KEY }), [makeEvent(1)]))).toEqual(['upstream_config'])
  expect(outcomes(await send(relayTo({ apiKey: [OLD_KEY, api.apiKey] }), [makeEvent(1)]))).toEqual(['stored'])
  expect(api.events()).toHaveLength(1)
})
