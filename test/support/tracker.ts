/** A page of a site with the ES module on it, in happy-dom: real storage, a relay that stores everything until told otherwise. */
import { IDBFactory } from 'fake-indexeddb'
import { onTestFinished, vi } from 'vitest'
import type { Batch } from '../../src/contract.ts'
import { createPristo, type Options } from '../../src/index.ts'
import { createOutbox } from '../../src/outbox.ts'
import { NOON, readAll, relayAnswer } from './fakes.ts'

/** A device without a past, at noon. Call it before each test; `vi.useRealTimers()` and `vi.unstubAllGlobals()` end it. */
export const freshDevice = (): void => {
  vi.useFakeTimers({ now: NOON })
  vi.stubGlobal('indexedDB', new IDBFactory())
  vi.stubGlobal('Request', class { get keepalive() { return true } })
  localStorage.clear()
  for (const [name] of document.cookie.matchAll(/[^=; ]+(?==)/g)) document.cookie = `${name}=;Path=/;Max-Age=0`
  vi.advanceTimersByTime(1) // happy-dom keeps what ends now for as long as now lasts
}

/** Opens a page; its storage is that of the test. */
export const openTracker = (options: Options = {}) => {
  const requests: Batch[] = []
  const relay = { answer: (body: unknown): Response | Promise<Response> => relayAnswer(body) }
  vi.stubGlobal('fetch', async (_: string, init: RequestInit) => {
    requests.push(JSON.parse(String(init.body)))
    return relay.answer(init.body)
  })
  const messages: string[] = []
  vi.spyOn(console, 'error').mockImplementation((message) => void messages.push(message))
  const pristo = createPristo(options)
  onTestFinished(pristo.close)
  /** Lets the fake clock run until the work is done. */
  const settled = async <T>(work?: T): Promise<T | undefined> => {
    await vi.advanceTimersByTimeAsync(50)
    return work
  }
  return { ...pristo, requests, relay, messages, settled, flushed: () => settled(pristo.flush()), arrived: () => requests.flatMap(({ events }) => events) }
}

/** All that this site keeps on the device: the keys of `localStorage`, the cookies, what is in the database. */
export const kept = async () => {
  const stored = readAll(createOutbox(() => indexedDB, () => true))
  await vi.advanceTimersByTimeAsync(50)
  return { local: Object.keys(localStorage), cookies: document.cookie, disk: await stored }
}
