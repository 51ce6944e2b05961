import { IDBFactory } from 'fake-indexeddb'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Batch } from '../src/contract.ts'
import type { QueuedCall } from '../src/snippet.ts'
import { ADA, NOON, relayAnswer } from './support/fakes.ts'

beforeEach(() => {
  vi.useFakeTimers({ now: NOON })
  vi.stubGlobal('indexedDB', new IDBFactory())
  localStorage.clear()
})
afterEach(() => {
  window.pristo?.close?.()
  delete window.pristo
  delete window.pristoConfig
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** A page with the inline stub and, after `load()`, the script tag. Its relay wants the token `takes`, where there is one. */
const arrange = (queued?: QueuedCall[], endpoint?: string, takes?: string) => {
  const requests: { address: string; types: string[]; token: string | undefined; events: Batch['events'] }[] = []
  vi.stubGlobal('fetch', async (address: string, { body }: RequestInit) => {
    const { events, token }: Batch = JSON.parse(String(body))
    requests.push({ address, types: events.map(({ type }) => type), token, events })
    return token === takes ? relayAnswer(body) : Response.json({ v: 1, error: { code: 'token_expired', message: 'expired' } }, { status: 401 })
  })
  const messages: string[] = []
  vi.spyOn(console, 'error').mockImplementation((message) => void messages.push(message))
  if (queued) window.pristo = { q: queued }
  /** @param data attributes of the tag; `null`: a module, or a tag manager's, which knows no element of its own */
  const load = async (data: Record<string, string> | null = {}): Promise<void> => {
    const tag = document.createElement('script')
    Object.assign(tag.dataset, data)
    if (endpoint !== undefined) tag.dataset.endpoint = endpoint
    if (takes !== undefined) tag.dataset.token = 'stale'
    vi.spyOn(document, 'currentScript', 'get').mockReturnValue(data && tag)
    vi.resetModules()
    await import('../src/snippet.ts')
    vi.spyOn(document, 'currentScript', 'get').mockReturnValue(null)
  }
  const flushed = async () => {
    const flush = window.pristo?.flush?.()
    await vi.advanceTimersByTimeAsync(50)
    return flush
  }
  return { requests, messages, load, flushed, types: () => requests.flatMap(({ types }) => types) }
}

describe('the script tag', () => {
  it('replays what the stub queued, once and in order', async () => {
    const { load, flushed, types } = arrange([['track', 'one'], ['identify', ADA], ['track', 'two'], ['track', 'three', { sku: 'A1' }]])
    await load()
    await flushed()
    expect(types()).toEqual(['one', 'two', 'three'])
  })

  it('works without a stub', async () => {
    const { load, flushed, types } = arrange()
    await load()
    window.pristo?.identify?.(ADA)
    window.pristo?.track?.('view')
    expect(await flushed()).toEqual({ delivered: 1, rejected: 0, pending: 0 })
    expect(types()).toEqual(['view'])
  })

  it('fills the object that the page has already taken, whose queue goes on working', async () => {
    const { load, flushed, types } = arrange([['identify', ADA]])
    const taken = window.pristo
    await load()
    expect(window.pristo).toBe(taken)
    taken?.q?.push(['track', 'pushed'])
    await flushed()
    expect(types()).toEqual(['pushed'])
  })

  it('that is loaded twice is one tracker', async () => {
    const { load, flushed, types } = arrange([['identify', ADA], ['track', 'view']])
    await load()
    const { track } = window.pristo ?? {}
    await load()
    expect(window.pristo?.track).toBe(track)
    await flushed()
    expect(types()).toEqual(['view'])
  })

  it('passes over a queued call that does not exist', async () => {
    const { load, flushed, types } = arrange([['identify', ADA], ['fly', 1], ['track', 'view']])
    await load()
    await flushed()
    expect(types()).toEqual(['view'])
  })

  it('sends the token that the tag names, and asks the stub for a fresh one when that is refused', async () => {
    const { load, flushed, requests, messages } = arrange([['identify', ADA], ['track', 'one']], undefined, 'fresh')
    window.pristo = { ...window.pristo, getToken: async () => 'fresh' }
    await load()
    await flushed()
    expect(await flushed()).toMatchObject({ pending: 0 })
    expect(requests.map(({ token, types }) => [token, types])).toEqual([['stale', ['one']], ['fresh', ['one']]])
    expect(messages).toEqual([])
  })

  it('is set up by its attributes, else by window.pristoConfig, else by the first init in the queue', async () => {
    const where = async (data: Record<string, string> | null, config: unknown, queued: QueuedCall[]): Promise<unknown[]> => {
      const { load, flushed, requests, messages } = arrange([...queued, ['identify', ADA], ['track', 'view']])
      Object.assign(window, { pristoConfig: config })
      await load(data)
      await flushed()
      window.pristo?.close?.()
      delete window.pristo
      localStorage.clear()
      return [...requests.map(({ address }) => address), ...messages]
    }
    const init: QueuedCall[] = [['init', { endpoint: '/first' }], ['init', { endpoint: '/second' }]]
    expect(await where({ endpoint: '/attribute' }, { endpoint: '/config' }, init)).toEqual(['/attribute'])
    expect(await where({}, { endpoint: '/config' }, init)).toEqual(['/config'])
    expect(await where(null, { endpoint: '/config' }, init)).toEqual(['/config'])
    expect(await where(null, undefined, init)).toEqual(['/first'])
    expect(await where(null, { consent: 'denied' }, init)).toEqual([])
    expect(await where({ consent: 'granted' }, { consent: 'denied' }, [])).toEqual(['/pristo'])
  })

  it.each([[null, 0], ['/x', 0], [5, 0], [[], 0], [{ endpoint: 5, token: {}, getToken: 1, respect: null, debug: 0 }, 2], [{ endpoint: ['/x'] }, 1]])(
    'is not broken by %j for its set-up, whose mistakes are told: %i',
    async (config, complaints) => {
      const { load, flushed, requests, messages } = arrange([['init', config], ['identify', ADA], ['track', 'view']])
      Object.assign(window, { pristoConfig: config })
      await load(null)
      await flushed()
      expect([requests.map(({ address }) => address), messages.length]).toEqual([['/pristo'], complaints])
    },
  )

  it.each([
    ['the stub', () => (window.pristo = { ...window.pristo, beforeSend: (event) => ({ ...event, type: 'changed' }) })],
    ['window.pristoConfig', () => (window.pristoConfig = { beforeSend: (event) => ({ ...event, type: 'changed' }) })],
  ])('takes beforeSend of %s', async (_, set) => {
    const { load, flushed, types } = arrange([['identify', ADA], ['track', 'view']])
    set()
    await load()
    await flushed()
    expect(types()).toEqual(['changed'])
  })

  it('takes consent, respect and debug from its attributes', async () => {
    vi.stubGlobal('navigator', { onLine: true, globalPrivacyControl: true })
    vi.spyOn(console, 'groupCollapsed').mockImplementation(() => {})
    const { load, flushed, types, messages } = arrange([['identify', ADA], ['track', 'view']])
    await load({ consent: 'granted', respect: 'gpc', debug: 'true' })
    await flushed()
    expect([types(), messages]).toEqual([[], []])
    expect(console.groupCollapsed).toHaveBeenCalled()
    window.pristo?.consent?.('granted')
    window.pristo?.q?.push(['identify', ADA])
    window.pristo?.track?.('view')
    await flushed()
    expect(types()).toEqual(['view'])
  })

  it('with data-pageview tracks the view of its page, and what the elements of the page say, until it is closed', async () => {
    const { load, flushed, requests } = arrange([['identify', ADA]])
    document.body.innerHTML = '<button data-pristo-track="go">Go</button>'
    const click = () => document.querySelector('button')?.click()
    history.replaceState(null, '', '/shop?a=1')
    await load({ pageview: 'page_view', query: 'true' })
    click()
    await vi.advanceTimersByTimeAsync(200)
    await flushed()
    expect(requests.flatMap(({ events }) => events)).toMatchObject([{ type: 'go' }, { type: 'page_view', customFields: { path: '/shop?a=1' } }])
    window.pristo?.close?.()
    click()
    expect(await flushed()).toEqual({ delivered: 0, rejected: 0, pending: 0 })
  })

  it.each([
    ['/events', '/events', 0],
    ['https://shop.example/p', 'https://shop.example/p', 0],
    [undefined, '/pristo', 0],
    ['shop', '/pristo', 1],
  ])('with data-endpoint %s sends to %s and complains %i times', async (endpoint, address, complaints) => {
    const { load, flushed, requests, messages } = arrange([['identify', ADA], ['track', 'view']], endpoint)
    await load()
    await flushed()
    expect([requests.map((request) => request.address), messages.length]).toEqual([[address], complaints])
  })
})
