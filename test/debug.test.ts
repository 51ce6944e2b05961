import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Options } from '../src/index.ts'
import { ADA } from './support/fakes.ts'
import { freshDevice, openTracker } from './support/tracker.ts'

beforeEach(freshDevice)
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** A page, and the headlines of the groups on its console. */
const watched = (options: Options = { debug: true }) => {
  const headlines: string[] = []
  let open = 0
  vi.spyOn(console, 'groupCollapsed').mockImplementation((headline) => {
    headlines.push(headline)
    open++
  })
  vi.spyOn(console, 'groupEnd').mockImplementation(() => void open--)
  vi.spyOn(console, 'log').mockImplementation(() => {})
  const page = openTracker(options)
  return { ...page, headlines, isClosed: () => open === 0 }
}

describe('debug', () => {
  it('says of each event that it was accepted and stored, and of each batch how many it had, what came of them and how long it took', async () => {
    const { identify, track, flushed, headlines, relay, isClosed } = watched()
    const { answer } = relay
    relay.answer = (body) => new Promise((resolve) => setTimeout(() => resolve(answer(body)), 7))
    identify(ADA)
    track('signup')
    track('purchase', { sku: 'A1' })
    await flushed()
    expect(headlines).toEqual([
      '[pristo] signup accepted',
      '[pristo] purchase accepted',
      '[pristo] batch of 2: HTTP 200, 2 stored, 7 ms',
      '[pristo] signup delivered ',
      '[pristo] purchase delivered ',
    ])
    expect(isClosed()).toBe(true)
  })

  it('says what was refused and dropped, and why', async () => {
    const { identify, track, flushed, reset, headlines, relay } = watched()
    relay.answer = (body) => {
      const { events } = JSON.parse(String(body))
      return Response.json({ v: 1, results: [{ id: events[0].id, outcome: 'rejected', code: 'invalid_event', status: 400 }] })
    }
    identify({ id: 'u_1', email: 'a@b.co' })
    track('one')
    await flushed()
    reset()
    track('two')
    await flushed()
    reset()
    await flushed()
    track(' ')
    expect(headlines).toEqual([
      '[pristo] one accepted',
      '[pristo] batch of 1: HTTP 200, 0 stored, 0 ms',
      '[pristo] one rejected invalid_event',
      '[pristo] two accepted',
      '[pristo] two dropped reset',
      '[pristo] not accepted: consent, beforeSend or an error',
    ])
  })

  it.each([
    ['no answer', () => Promise.reject(new TypeError('offline'))],
    ['HTTP 404, 0 stored', () => new Response('', { status: 404 })],
  ])('says of a batch that it got %s', async (what, answer) => {
    const { identify, track, flushed, headlines, relay } = watched()
    relay.answer = answer
    identify(ADA)
    track('view')
    await flushed()
    expect(headlines).toContain(`[pristo] batch of 1: ${what}, 0 ms`)
  })

  it('is on where localStorage.pristo_debug says so, and off without', async () => {
    watched({}).track('view')
    expect(console.groupCollapsed).not.toHaveBeenCalled()
    localStorage['pristo_debug'] = '1'
    watched({}).track('view')
    expect(console.groupCollapsed).toHaveBeenCalledTimes(1)
  })

  it.each([[true, 1], [false, 0], ['', 1], ['true', 1], ['false', 0], [undefined, 0]])('as %j is on: %i, as an attribute or an option may give it', (debug, times) => {
    watched({ debug: debug as boolean }).track('view')
    expect(console.groupCollapsed).toHaveBeenCalledTimes(times)
  })

  it('returns of every call what it would without', async () => {
    const { identify, track, flushed, consent } = watched()
    identify(ADA)
    expect(track('view')).toMatch(/^0/)
    expect(await flushed()).toEqual({ delivered: 1, rejected: 0, pending: 0 })
    consent('denied')
    expect(track('view')).toBeUndefined()
  })
})
