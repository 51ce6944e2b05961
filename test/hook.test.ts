import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { BeforeSend } from '../src/index.ts'
import { ADA } from './support/fakes.ts'
import { freshDevice, kept, openTracker } from './support/tracker.ts'

beforeEach(freshDevice)
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** Tracks one event through a hook, which untyped JavaScript may have got wrong. */
const through = async (hook: unknown) => {
  const page = openTracker({ beforeSend: hook as BeforeSend })
  page.identify(ADA)
  const id = page.track('view', { path: '/a?email=x', n: 1 })
  await page.flushed()
  return { ...page, id, seen: page.arrived().map(({ type, customFields }) => [type, customFields]) }
}

const AS_IT_WAS = ['view', { path: '/a?email=x', n: '1' }]

describe('beforeSend', () => {
  it('sees what track() made of the call, and neither who it was nor what is ours', async () => {
    const hook = vi.fn<BeforeSend>((event) => event)
    const { id, seen } = await through(hook)
    expect(hook.mock.calls).toEqual([[{ id, type: 'view', occurredAt: expect.stringMatching(/^2026-07-01T12:00:00/), customFields: { path: '/a?email=x', n: '1' } }]])
    expect(seen).toEqual([AS_IT_WAS])
  })

  it('may change type and fields, which are checked like a call’s; id and time stay', async () => {
    const { id, arrived, messages } = await through(() => (vi.advanceTimersByTime(5_000), { id: 'x', occurredAt: 'y', type: 'page', customFields: { path: 'x'.repeat(51), at: new Date(0), bad: {} } }))
    expect(arrived()).toMatchObject([{ id, type: 'page', customFields: { path: 'x'.repeat(50), at: '1970-01-01T00:00:00.000Z' } }])
    expect(arrived()[0]?.occurredAt).toMatch(/^2026-07-01T12:00:00/)
    expect(messages).toEqual([expect.stringContaining('beforeSend: fields.path'), expect.stringContaining('beforeSend: fields.bad')])
  })

  it('may change what it is given', async () => {
    const { seen } = await through((event: Parameters<BeforeSend>[0]) => {
      delete event.customFields['path']
      return event
    })
    expect(seen).toEqual([['view', { n: '1' }]])
  })

  it('drops an event with null, without a word, before anything is stored: track() returns undefined', async () => {
    const { id, seen, messages } = await through(() => null)
    expect([id, seen, messages, (await kept()).disk.filter((one) => 'event' in one)]).toEqual([undefined, [], [], []])
  })

  it.each([
    ['throws', () => { throw new Error('boom') }, 'beforeSend: Error: boom'],
    ['changes the event and then throws', (event: Parameters<BeforeSend>[0]) => { event.customFields['path'] = ''; throw Object.create(null) }, 'beforeSend: object'],
    ['returns nothing', () => undefined, 'beforeSend: type: got undefined'],
    ['returns a promise', async () => null, 'beforeSend: type: got undefined'],
    ['returns an event with an empty type', () => ({ type: ' ' }), 'beforeSend: type: got string'],
    ['is no function', 'console.log', 'beforeSend: TypeError'],
  ])('that %s lets the event go as it was, and the console says so', async (_, hook, message) => {
    const { id, seen, messages } = await through(hook)
    expect([typeof id, seen, messages]).toEqual(['string', [AS_IT_WAS], [expect.stringContaining(message)]])
  })

  it('may have the visitor refuse: the event is not tracked', async () => {
    const page = openTracker({ beforeSend: (event) => (page.consent('denied'), event) })
    page.identify(ADA)
    expect(page.track('view')).toBeUndefined()
    await page.flushed()
    expect(page.arrived()).toEqual([])
  })

  it('is not asked where consent is denied, nor of a call that is refused', async () => {
    const hook = vi.fn<BeforeSend>((event) => event)
    const page = openTracker({ beforeSend: hook })
    page.track(' ')
    page.consent('denied')
    page.track('view')
    expect(hook).not.toHaveBeenCalled()
  })
})
