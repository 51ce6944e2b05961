/**
 * One page load: the globals that the script tag finds, and the ways in which a browser ends a page.
 * Invariant: nothing of a page runs after its end, and while it is frozen everything waits in order.
 */
import type { Disk, Realm } from './indexeddb.ts'
import type { Random } from './random.ts'
import type { Cookies, Local } from './storage.ts'
import { makeEvent, Target } from './target.ts'
import type { Time } from './time.ts'

/** What the tabs of one browser profile share. */
export interface Device {
  disk: Disk
  local: Local
  cookies: Cookies
  /** How far the device's clock is off, milliseconds. */
  clockOffMs: number
  isOnline: boolean
  /** Firefox before 133 has no `keepalive`, but beacons. */
  hasKeepalive: boolean
  /** Bytes of keepalive requests that other scripts of each page have in flight. */
  foreignBytes: number
}

/** The way out of a page. */
export interface Network {
  fetch(page: Page, address: string, init: RequestInit): Promise<unknown>
  beacon(page: Page, address: string, body: string): boolean
  leave(page: Page): void
}

/** What the product's public face is called with. */
export interface Face {
  identify(contact: unknown): void
  track(type: string, fields?: Record<string, string>): string | undefined
  flush(): Promise<unknown>
  reset(): void
  consent(state: string): void
  on(name: string, listener: (payload: unknown) => void): unknown
}

export interface PageParts {
  nth: number
  device: Device
  network: Network
  time: Time
  random: Random
  /** The bundle, compiled once: instantiated with the globals of this page. */
  script: (globals: object) => void
  /** Of the tag: `data-endpoint` is `endpoint`. */
  attributes: Record<string, string>
  /** Told of writes to `localStorage`, for the storage events of other pages. */
  onWrite(page: Page, key: string | null, newValue: string | null, oldValue: string | null): void
  /** Told of what the script threw, and of what it printed. */
  onThrown(error: unknown): void
  log(text: () => string): void
}

/** The script's own words, which end up in a replay. */
const short = (values: unknown[]): string => values.map(String).join(' ').slice(0, 160)

export const SITE = 'https://shop.test'

export class Page implements Realm {
  readonly nth: number
  readonly window = new Target()
  readonly document = new Target()
  readonly #parts: PageParts
  readonly #waiting: (() => void)[] = []
  #isAlive = true
  #isFrozen = false
  isHidden = false
  /** Set at `pagehide`: the document may still call itself visible. */
  isGone = false
  /** What it tracks from then on it has in memory: a page that comes back from being frozen, or gets consent anew, begins anew. */
  ownsSince: number
  readonly openedAt: number

  constructor(parts: PageParts) {
    this.#parts = parts
    this.nth = parts.nth
    this.openedAt = parts.time.now()
    this.ownsSince = this.openedAt
    this.task(() => parts.script(this.#globals()))
  }

  get device(): Device {
    return this.#parts.device
  }

  get face(): Face | undefined {
    const face: unknown = Reflect.get(this.window, 'pristo')
    return face as Face | undefined
  }

  isAlive(): boolean {
    return this.#isAlive
  }

  isFrozen(): boolean {
    return this.#isFrozen
  }

  now(): number {
    return Math.floor(this.#parts.time.now() + this.device.clockOffMs)
  }

  task(work: () => void): void {
    this.later(0, work) // a step of its own: microtasks of what runs now come first
  }

  /** Runs some of the page's code in this step, and takes what it throws. */
  run(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#parts.onThrown(error)
    }
  }

  /** Plans a task. */
  later(delayMs: number, work: () => void): () => void {
    let isCancelled = false
    const due = (): void => {
      if (isCancelled || !this.#isAlive) return
      if (this.#isFrozen) this.#waiting.push(due)
      else this.run(work)
    }
    const cancel = this.#parts.time.after(delayMs, due)
    return () => {
      isCancelled = true
      cancel()
    }
  }

  /** An event on the document bubbles to the window. */
  dispatch(type: string, target: 'window' | 'document', more: { persisted?: boolean } = {}): void {
    const event = makeEvent(type, target === 'window' ? this.window : this.document, more)
    this.run(() => {
      if (target === 'window') return this.window.emit(event)
      this.window.emit(event, 'capture')
      this.document.emit(event)
      this.window.emit(event, 'bubble')
    })
  }

  hide(): void {
    if (this.isHidden) return
    this.isHidden = true
    this.dispatch('visibilitychange', 'document')
  }

  show(): void {
    if (!this.isHidden) return
    this.isHidden = false
    this.dispatch('visibilitychange', 'document')
  }

  freeze(): void {
    this.#isFrozen = true
  }

  thaw(): void {
    if (!this.#isFrozen) return
    this.#isFrozen = false
    this.ownsSince = this.#parts.time.now()
    for (const work of this.#waiting.splice(0)) this.task(work)
  }

  /** Everything of it dies at once. */
  end(): void {
    if (!this.#isAlive) return
    this.#isAlive = false
    this.#waiting.length = 0
    this.device.disk.leave(this)
    this.#parts.network.leave(this)
  }

  #globals(): object {
    const { device, network, random, time, onWrite, log, attributes } = this.#parts
    const page = this
    const now = (): number => page.now()

    class PageDate extends Date {
      constructor(...given: [] | [string | number | Date]) {
        if (given.length) super(given[0])
        else super(now())
      }
      static override now(): number {
        return now()
      }
    }

    // 53 bits, as browsers have them: ids and ack marks are made of these.
    const math = Object.create(Math, { random: { value: () => (random.next() * 2 ** 21 + random.next()) / 2 ** 21 } })

    let timers = 0
    const cancels = new Map<number, () => void>()
    const setTimeout = (work: unknown, delayMs = 0, ...given: unknown[]): number => {
      const id = ++timers
      // A hidden page's timers come once a second (Chromium 88).
      const at = time.now() + Math.max(Number(delayMs) || 0, 1)
      const due = page.isHidden ? Math.ceil(at / 1000) * 1000 : at
      const cancel = page.later(due - time.now(), () => {
        cancels.delete(id)
        if (typeof work === 'function') work(...given)
      })
      cancels.set(id, cancel)
      return id
    }
    const clearTimeout = (id: number): void => {
      cancels.get(id)?.()
      cancels.delete(id)
    }

    const signal = {
      timeout: (delayMs: number): AbortSignal => {
        const controller = new AbortController()
        page.later(delayMs, () => controller.abort(new DOMException('signal timed out', 'TimeoutError')))
        return controller.signal
      },
      any: AbortSignal.any,
      abort: AbortSignal.abort,
    }

    const { document, window } = this
    Object.defineProperties(document, {
      visibilityState: { get: () => (page.isHidden ? 'hidden' : 'visible') },
      hidden: { get: () => page.isHidden },
      readyState: { value: 'complete' },
      currentScript: { value: { dataset: attributes } },
      referrer: { value: '' },
      cookie: { get: () => device.cookies.read(), set: (line: unknown) => device.cookies.write(String(line)) },
    })

    const globals = {
      setTimeout: { value: setTimeout },
      clearTimeout: { value: clearTimeout },
      Date: { value: PageDate },
      Math: { value: math },
      AbortSignal: { value: signal },
      document: { value: document },
      location: { value: { href: `${SITE}/`, origin: SITE, protocol: 'https:', host: 'shop.test', pathname: '/', search: '', hash: '' } },
      navigator: {
        value: {
          get onLine() {
            return device.isOnline
          },
          get cookieEnabled() {
            return !device.cookies.isDenied
          },
          sendBeacon: (address: string, body: unknown) => network.beacon(page, address, body instanceof TextBlob ? body.content : String(body)),
        },
      },
      Blob: { value: TextBlob },
      Request: { value: device.hasKeepalive ? PageRequest : class {} },
      Response: { value: Response },
      fetch: { writable: true, value: (address: string, init: RequestInit) => network.fetch(page, String(address), init ?? {}) },
      localStorage: { get: () => device.local.open((key, newValue, oldValue) => onWrite(page, key, newValue, oldValue)) },
      indexedDB: {
        get: () => {
          if (device.disk.fault() === 'denied') throw new DOMException('access is denied', 'SecurityError')
          return device.disk.factory(page)
        },
      },
      console: {
        value: Object.fromEntries(
          ['log', 'info', 'warn', 'error', 'debug'].map((level) => [level, (...given: unknown[]) => log(() => `console.${level}: ${short(given)}`)]),
        ),
      },
      addEventListener: { value: window.addEventListener },
      removeEventListener: { value: window.removeEventListener },
      queueMicrotask: { value: queueMicrotask },
      AbortController: { value: AbortController },
      TextEncoder: { value: TextEncoder },
      DOMException: { value: DOMException },
    }
    Object.defineProperties(window, globals)
    for (const name of ['window', 'self', 'globalThis']) Object.defineProperty(window, name, { value: window })
    // What Node has and this page has not.
    for (const name of ABSENT) Object.defineProperty(window, name, { value: undefined })
    return window
  }
}

const ABSENT = [
  'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate', 'process', 'global', 'Buffer', 'require', 'performance', 'crypto', 'structuredClone',
  'MessageChannel', 'MessagePort', 'BroadcastChannel', 'Worker', 'XMLHttpRequest', 'WebSocket', 'Headers', 'FormData', 'sessionStorage',
] // prettier-ignore

/** What a page asks whether its browser knows `keepalive`. */
class PageRequest {
  get keepalive(): boolean {
    return false
  }
}

class TextBlob {
  readonly content: string
  readonly type: string

  constructor(parts: unknown[] = [], { type = '' }: { type?: string } = {}) {
    this.content = parts.map(String).join('')
    this.type = type
  }

  get size(): number {
    return new TextEncoder().encode(this.content).length
  }
}
