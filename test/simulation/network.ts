/**
 * Everything between a page's `fetch` and the Pristo API: the browser's network process, the way, and the relay's processes.
 *
 * What is modelled of the browser: a request without keepalive dies with its page; all keepalive bodies of a page together
 * take 65 536 bytes (fetch standard) and Chromium refuses the tenth request; the budget comes back when the body was read;
 * a request outlives its page by 30 s at most (Chromium); the cookies of an answer land when its head arrives, page or no page.
 * Invariant: what a request met is decided by its own chance, so that leaving out one action leaves the others their weather.
 */
import type { Batch, Result } from '../../src/contract.ts'
import { createRelay, type Relay } from '../../src/relay/index.ts'
import { NEW_KEY, type Api } from './api.ts'
import { SITE, type Device, type Network, type Page } from './page.ts'
import type { Random } from './random.ts'
import type { Time } from './time.ts'

/** What can happen to a request on its way. */
export type WayFault =
  | 'lost on the way'
  | 'swallowed'
  | 'answer lost'
  | 'answer never comes'
  | 'answer cut off'
  | 'late on the way'
  | 'late answer'
  | 'sent twice'
  | 'proxy says 500'
  | 'proxy says 429'
  | 'proxy says 413'
  | 'proxy says 404'
  | 'portal says 200'

/** One request of a page, as it left. */
export interface Flight {
  nth: number
  page: Page
  ids: string[]
  at: number
  /** Whether the page was out of sight or going. */
  isExit: boolean
  /** Whether it outlives its page. */
  isKeepalive: boolean
  /** Until when it is on its way for the browser: answered, failed, cancelled. */
  endedAt: number
  bytes: number
  /** Whether the network has an end of its own for it; a page that is gone has no timeout. */
  isOver: boolean
}

/** One process of the relay: what it remembers dies with it. */
export interface RelayProcess {
  nth: number
  isDead: boolean
  /** Requests that it is at work on, also after their answer. */
  flights: Set<Flight>
}

export interface Ears {
  onDispatch(flight: Flight): void
  /** The page alone asked for more keepalive bytes than there are. */
  onOverBudget(page: Page, bytes: number): void
  /** The head of an answer reached the browser: what it says is known there, by its cookie, whatever becomes of the page. */
  onHead(flight: Flight, stored: string[]): void
  /** The page has read an answer to its end. */
  onRead(flight: Flight, results: Result[], waitS: number): void
}

export interface World extends Network {
  break(fault: WayFault | undefined, chance?: number): void
  /** A new relay process takes over. `isCrash`: what the old one was at ends without an answer; else it finishes. */
  restartRelay(isCrash: boolean): void
  relay(): RelayProcess
  flights(): Iterable<Flight>
  /** The browser is gone, with every request that it had. */
  kill(): void
}

const KEEPALIVE_BYTES = 65_536
const KEEPALIVE_REQUESTS = 9
const OUTLIVES_MS = 30_000

const UP_MS = [3, 80] as const
const DOWN_MS = [3, 80] as const
const LATE_MS = [5_000, 25_000] as const

const POPULATION = '22222222-2222-4222-8222-222222222222'

const bytesOf = (text: string): number => Buffer.byteLength(text)

const idsOf = (body: string): string[] => {
  const { events }: Batch = JSON.parse(body)
  return events.map(({ id }) => id)
}

const outcomesOf = (text: string): { results: Result[]; retryAfter: number } => {
  try {
    const { results = [], retryAfter = 0 }: { results?: Result[]; retryAfter?: number } = Object(JSON.parse(text))
    return { results, retryAfter }
  } catch {
    return { results: [], retryAfter: 0 } // HTML of a proxy names no outcomes
  }
}

interface Answered {
  status: number
  headers: Headers
  text: string
}

/** A `Response` as far as a page reads one; its body's end is told. */
const toResponse = (page: Page, { status, headers, text }: Answered, isCut: boolean, onEnd: () => void): object => {
  const read = (): Promise<string> =>
    new Promise((resolve, reject) => {
      page.later(0.3, () => {
        onEnd()
        if (isCut) reject(new TypeError('network error'))
        else resolve(text)
      })
    })
  return {
    status,
    ok: status >= 200 && status < 300,
    headers,
    type: 'basic',
    redirected: false,
    text: read,
    json: async () => JSON.parse(await read()),
    arrayBuffer: async () => new TextEncoder().encode(await read()).buffer,
    body: { cancel: async () => onEnd() },
  }
}

export const createWorld = (parts: {
  device: Device
  api: Api
  time: Time
  random: Random
  ears: Ears
  log: (text: () => string) => void
  /** The relay's, newest first. Default: one. */
  keys?: readonly string[] | undefined
}): World => {
  const { device, api, time, random, ears, log, keys = [NEW_KEY] } = parts
  const flights = new Set<Flight & { cancel(): void }>()
  let fault: WayFault | undefined
  let chance = 1
  let sent = 0
  let processes = 0

  const startRelay = (): RelayProcess & { handle: Relay } => {
    const self: RelayProcess = { nth: ++processes, isDead: false, flights: new Set() }
    const handle = createRelay({
      apiKey: keys,
      populationId: POPULATION,
      identity: 'page',
      baseUrl: 'https://api.test',
      fetch: api.fetch(self),
      now: () => Math.floor(time.now()),
      onError: (message) => log(() => `relay ${self.nth}: ${message}`),
    })
    return Object.assign(self, { handle })
  }
  let relay = startRelay()

  /** Hands a request to the relay of this moment; undefined where that dies over it. */
  const ask = async (flight: Flight, body: string): Promise<Answered | undefined> => {
    const mine = relay
    mine.flights.add(flight)
    const request = new Request(`${SITE}/pristo`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Sec-Fetch-Site': 'same-origin', Origin: SITE },
      body,
    })
    let rest: Promise<unknown> = Promise.resolve()
    const response = await mine.handle(request, { waitUntil: (promise) => void (rest = promise) })
    void rest.then(() => mine.flights.delete(flight))
    const { status, headers } = response
    const text = await response.text()
    return mine.isDead ? undefined : { status, headers, text }
  }

  /** Sends one request; the callbacks are the page's. */
  const send = (
    page: Page,
    body: string,
    isKeepalive: boolean,
    done: { head(answer: Answered, isCut: boolean): void; fail(): void },
  ): Flight & { cancel(): void } => {
    const weather = random.fork(`flight ${page.nth}.${++sent}`)
    const between = ([least, most]: readonly [number, number]): number => least + weather.next() * (most - least)
    const flight: Flight & { cancel(): void } = {
      nth: sent,
      page,
      ids: idsOf(body),
      at: time.now(),
      isExit: page.isHidden || page.isGone,
      endedAt: Infinity,
      bytes: bytesOf(body),
      isOver: false,
      isKeepalive,
      cancel: () => {
        flight.isOver = true
        flight.endedAt = time.now()
      },
    }
    flights.add(flight)
    ears.onDispatch(flight)

    const fail = (): void => {
      if (flight.isOver) return
      flight.cancel()
      log(() => `request ${flight.nth} failed`)
      done.fail()
    }
    const arrive = (answer: Answered, isCut = false): void => {
      if (flight.isOver) return
      flight.cancel()
      for (const line of answer.headers.getSetCookie()) device.cookies.write(line)
      const stored = outcomesOf(answer.text).results.flatMap(({ id, outcome }) => (outcome === 'stored' ? [id] : []))
      log(() => `answer ${flight.nth}: ${answer.status} ${describe(answer.text)}${page.isAlive() ? '' : ' (its page is gone)'}`)
      ears.onHead(flight, stored)
      done.head(answer, isCut)
    }
    const proxied = (status: number, text: string, headers: Record<string, string> = {}): void => {
      time.after(between(DOWN_MS), () => arrive({ status, headers: new Headers(headers), text }))
    }

    const hit = fault !== undefined && weather.chance(chance) ? fault : undefined
    if (hit) log(() => `request ${flight.nth}: ${hit}`)
    if (!device.isOnline) {
      time.after(1, fail)
      return flight
    }
    const upMs = between(hit === 'late on the way' ? LATE_MS : UP_MS)
    const downMs = between(hit === 'late answer' ? LATE_MS : DOWN_MS)

    const reach = async (isCopy: boolean): Promise<void> => {
      const answer = await ask(flight, body)
      if (isCopy) return
      if (!answer || hit === 'answer lost') time.after(downMs, fail)
      else if (hit !== 'answer never comes') time.after(downMs, () => arrive(answer, hit === 'answer cut off'))
    }

    time.after(upMs, () => {
      // What never left the browser before its page went is not sent.
      if (flight.isOver && !page.isAlive() && !isKeepalive) return
      if (hit === 'lost on the way') return fail()
      if (hit === 'swallowed') return
      if (hit === 'proxy says 500') return proxied(500, '<h1>500')
      if (hit === 'proxy says 429') return proxied(429, '', { 'Retry-After': weather.pick(['2', '20', '120', '-5', 'soon', new Date(time.now() + 9_000).toUTCString()]) })
      if (hit === 'proxy says 413') return proxied(413, '<h1>too large')
      if (hit === 'proxy says 404') return proxied(404, '<h1>not found')
      if (hit === 'portal says 200') return proxied(200, '<h1>log in')
      void reach(false)
      if (hit === 'sent twice') time.after(between(weather.chance(0.5) ? UP_MS : LATE_MS), () => void reach(true))
    })
    return flight
  }

  const used = (page: Page): { bytes: number; requests: number } => {
    const budget = budgets.get(page) ?? new Set()
    return { bytes: [...budget].reduce((sum, bytes) => sum + bytes.size, 0), requests: budget.size }
  }
  const budgets = new Map<Page, Set<{ size: number }>>()

  /** Takes from the page's keepalive budget; undefined where too little is left. */
  const reserve = (page: Page, size: number): (() => void) | undefined => {
    const { bytes, requests } = used(page)
    if (bytes + size > KEEPALIVE_BYTES) ears.onOverBudget(page, bytes + size)
    if (bytes + size + device.foreignBytes > KEEPALIVE_BYTES || requests >= KEEPALIVE_REQUESTS) return undefined
    const entry = { size }
    const budget = budgets.get(page) ?? new Set()
    budgets.set(page, budget.add(entry))
    return () => void budget.delete(entry)
  }

  return {
    fetch: (page, _address, init) =>
      new Promise((resolve, reject) => {
        const body = String(init.body)
        const isKeepalive = init.keepalive === true && device.hasKeepalive
        const free = isKeepalive ? reserve(page, bytesOf(body)) : () => {}
        const { signal } = init
        if (!free || signal?.aborted) {
          page.task(() => reject(signal?.aborted ? signal.reason : new TypeError('Failed to fetch')))
          return
        }
        const flight = send(page, body, isKeepalive, {
          fail: () => {
            free()
            page.task(() => reject(new TypeError('Failed to fetch')))
          },
          head: (answer, isCut) =>
            page.task(() =>
              resolve(
                toResponse(page, answer, isCut, () => {
                  free()
                  const { results, retryAfter } = outcomesOf(answer.text)
                  const header = Number(answer.headers.get('Retry-After'))
                  if (!isCut) ears.onRead(flight, results, header > 0 ? header : retryAfter)
                }),
              ),
            ),
        })
        signal?.addEventListener(
          'abort',
          () => {
            if (flight.isOver) return
            log(() => `request ${flight.nth} timed out`)
            flight.cancel()
            free()
            reject(signal.reason)
          },
          { once: true },
        )
      }),
    beacon: (page, _address, body) => {
      const free = reserve(page, bytesOf(body))
      if (!free) return false
      send(page, body, true, { fail: free, head: free })
      return true
    },
    leave: (page) => {
      budgets.delete(page)
      for (const flight of flights) {
        if (flight.page !== page || flight.isOver) continue
        if (!flight.isKeepalive) flight.cancel()
        else time.after(OUTLIVES_MS, () => flight.isOver || flight.cancel())
      }
    },
    kill: () => {
      for (const flight of flights) if (!flight.isOver) flight.cancel()
    },
    break: (next, nextChance = 1) => {
      fault = next
      chance = nextChance
    },
    restartRelay: (isCrash) => {
      relay.isDead = isCrash
      relay = startRelay()
    },
    relay: () => relay,
    flights: () => flights,
  }
}

const describe = (text: string): string => {
  const { results } = outcomesOf(text)
  if (!results.length) return text.slice(0, 40)
  const counts = new Map<string, number>()
  for (const result of results) {
    const name = result.outcome === 'retry' ? `retry/${result.code}` : result.outcome
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ')
}
