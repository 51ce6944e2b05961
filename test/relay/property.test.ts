// @vitest-environment node
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PristoEvent, Result } from '../../src/relay/index.ts'
import { created, failed, makeEvent, NOW, send, setUp, uuid } from './harness.ts'

const CONTACTS = ['a', 'b', 'c']

/** An event of a batch: valid or not, of one of three contacts; few ids, so that some come twice. */
const anyEvent = fc.record({ n: fc.nat(30), isValid: fc.integer({ min: 0, max: 4 }).map((roll) => roll > 0) })

/** The id decides the contact, as in a browser, where an id is one event for life. */
const toEvent = ({ n, isValid }: { n: number; isValid: boolean }): PristoEvent =>
  makeEvent(n, { contact: { id: CONTACTS[n % CONTACTS.length] ?? 'a' }, ...(!isValid && { type: '' }) })

/** What the API does with a call: a status, or no answer (0). */
const anyStatus = fc.constantFrom(201, 201, 201, 201, 202, 400, 422, 401, 404, 302, 429, 500, 503, 0)

const act = (status: number): Response | Promise<Response> =>
  status === 0 ? Promise.reject(new TypeError('fetch failed')) : status < 300 ? created() : failed(status)

const isFinal = ({ outcome }: Result): boolean => outcome !== 'retry'

describe('for any batch and any API', () => {
  it('every event has one result in order, no invalid event reaches the API, nothing is overtaken, and stored means a 2xx', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyEvent, { minLength: 1, maxLength: 40 }), fc.array(anyStatus, { minLength: 1, maxLength: 60 }), async (drawn, statuses) => {
        const events = drawn.map(toEvent)
        const stored: string[] = []
        const { relay, api } = setUp((call, n) => {
          const status = statuses[n % statuses.length] ?? 201
          if (status > 0 && status < 300) stored.push(call.id)
          return act(status)
        })
        const { results, status } = await send(relay, events)

        expect(results.map(({ id }) => id)).toEqual(events.map(({ id }) => id))
        expect(status).toBe(results.every((result) => !isFinal(result)) ? 503 : 200)
        const valid = new Set(events.flatMap(({ id, type }) => (type ? [id] : [])))
        expect(api.ids().every((id) => valid.has(id))).toBe(true)
        expect(new Set(api.ids()).size).toBe(api.calls.length)
        for (const [place, { outcome, id }] of results.entries()) expect(outcome === 'stored').toBe(Boolean(events[place]?.type) && stored.includes(id))

        for (const contact of CONTACTS) {
          const order = [...new Set(events.flatMap(({ id, type, contact: { id: of } }) => (type && of === contact ? [id] : [])))]
          const called = api.calls.flatMap((call) => (call.contactId === contact ? [call.id] : []))
          expect(called).toEqual(order.slice(0, called.length))
          // Only the last one called may be kept: nothing was sent behind a retry.
          const kept = called.filter((id) => results.some((result) => result.id === id && result.outcome === 'retry'))
          expect(kept).toEqual(kept.length ? called.slice(-1) : [])
        }
      }),
      { numRuns: 60 },
    )
  })

  it('a browser that sends again what is kept delivers each event once, in order per contact', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(30), { minLength: 1, maxLength: 20 }), fc.array(anyStatus, { maxLength: 30 }), async (ids, faults) => {
        let at = NOW
        const stored: { id: string; contactId: string }[] = []
        const { relay } = setUp(
          (call, n) => {
            const status = faults[n] ?? 201
            if (status > 0 && status < 300) stored.push(call)
            return act(status)
          },
          { now: () => at },
        )
        let waiting = ids.map((n) => toEvent({ n, isValid: true }))
        const rejected = new Set<string>()
        for (let round = 0; waiting.length && round < 100; round++) {
          const { results } = await send(relay, waiting)
          for (const { id, outcome } of results) if (outcome === 'rejected') rejected.add(id)
          const kept = new Set(results.flatMap((result) => (isFinal(result) ? [] : [result.id])))
          waiting = waiting.filter(({ id }) => kept.has(id))
          at += 11_000 // past the breaker
        }
        expect(waiting).toEqual([])
        for (const [place, contact] of CONTACTS.entries()) {
          const order = ids.flatMap((n) => (n % CONTACTS.length === place && !rejected.has(uuid(n)) ? [uuid(n)] : []))
          expect(stored.flatMap(({ id, contactId }) => (contactId === contact ? [id] : []))).toEqual(order)
        }
      }),
      { numRuns: 40 },
    )
  })
})
