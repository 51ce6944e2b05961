/**
 * `localStorage` and the cookie jar of one browser profile, shared by its tabs.
 * Invariant: both are synchronous; what a killed browser had not yet written to disk is what it wrote last.
 */
import type { Time } from './time.ts'

export type LocalFault = 'denied' | 'quota'

export interface Local {
  fault: LocalFault | undefined
  /** The `localStorage` of one page; told of its own writes. Throws where site data is blocked. */
  open(onWrite: (key: string | null, newValue: string | null, oldValue: string | null) => void): object
  entries(): [key: string, value: string][]
  clear(): void
  /** Takes back what was written since then. */
  rollBack(to: number): void
  /** When a write last failed or the getter threw, to a page that asked; virtual time. */
  failedAt(): number
}

/** How long Chromium may keep `localStorage` in memory, and cookies (milliseconds; DESIGN.md measured the first). */
export const LOCAL_FLUSH_MS = 60_000
export const COOKIE_FLUSH_MS = 30_000

interface Write<T> {
  at: number
  value: T | undefined
}

/** Values with a past as long as a killed browser may forget. */
class Journal<T> {
  readonly #writes = new Map<string, Write<T>[]>()

  constructor(
    readonly time: Time,
    readonly keepMs: number,
  ) {}

  get(key: string): T | undefined {
    return this.#writes.get(key)?.at(-1)?.value
  }

  set(key: string, value: T | undefined): void {
    const writes = this.#writes.get(key) ?? [{ at: -Infinity, value: undefined }]
    writes.push({ at: this.time.now(), value })
    const oldest = this.time.now() - this.keepMs
    while (writes[1] && writes[1].at < oldest) writes.shift()
    this.#writes.set(key, writes)
  }

  entries(): [string, T][] {
    return [...this.#writes.keys()].flatMap((key) => {
      const value = this.get(key)
      return value === undefined ? [] : [[key, value]]
    })
  }

  rollBack(to: number): void {
    for (const [key, writes] of this.#writes) {
      const kept = writes.filter(({ at }) => at <= to)
      if (kept.length) this.#writes.set(key, kept)
      else this.#writes.delete(key)
    }
  }

  clear(): void {
    this.#writes.clear()
  }
}

export const createLocal = (time: Time): Local => {
  const journal = new Journal<string>(time, LOCAL_FLUSH_MS)
  let failedAt = -Infinity

  const local: Local = {
    fault: undefined,
    entries: () => journal.entries(),
    clear: () => journal.clear(),
    rollBack: (to) => journal.rollBack(to),
    failedAt: () => (local.fault ? time.now() : failedAt),
    open: (onWrite) => {
      if (local.fault === 'denied') {
        failedAt = time.now()
        throw new DOMException('access is denied for this document', 'SecurityError')
      }
      const write = (key: string, value: string | undefined): void => {
        if (value !== undefined && local.fault === 'quota') {
          failedAt = time.now()
          throw new DOMException('exceeded the quota', 'QuotaExceededError')
        }
        const before = journal.get(key) ?? null
        if (before === (value ?? null)) return
        journal.set(key, value)
        onWrite(key, value ?? null, before)
      }
      const methods: Record<string, unknown> = {
        getItem: (key: string) => journal.get(String(key)) ?? null,
        setItem: (key: string, value: unknown) => write(String(key), String(value)),
        removeItem: (key: string) => write(String(key), undefined),
        clear: () => {
          for (const [key] of journal.entries()) write(key, undefined)
        },
        key: (nth: number) => journal.entries()[nth]?.[0] ?? null,
      }
      return new Proxy<object>(
        {},
        {
          get: (_, key) =>
            typeof key === 'symbol' ? undefined : key === 'length' ? journal.entries().length : (methods[key] ?? journal.get(key)),
          set: (_, key, value) => {
            write(String(key), String(value))
            return true
          },
          has: (_, key) => typeof key === 'string' && (key in methods || journal.get(key) !== undefined),
          deleteProperty: (_, key) => {
            write(String(key), undefined)
            return true
          },
          ownKeys: () => journal.entries().map(([key]) => key),
          getOwnPropertyDescriptor: (_, key) => {
            const value = journal.get(String(key))
            return value === undefined ? undefined : { value, writable: true, enumerable: true, configurable: true }
          },
        },
      )
    },
  }
  return local
}

export interface Cookies {
  isDenied: boolean
  /** What `document.cookie` reads, for a page at `/`. */
  read(): string
  /** What `document.cookie` writes, or a `Set-Cookie` header brings. */
  write(line: string): void
  clear(): void
  rollBack(to: number): void
}

/**
 * @param nowMs the device's clock, by which cookies expire
 * @param directory of the page and of the relay, for cookies without a `Path`
 */
export const createCookies = (time: Time, nowMs: () => number, directory: string): Cookies => {
  const journal = new Journal<{ value: string; expiresAt: number }>(time, COOKIE_FLUSH_MS)
  const cookies: Cookies = {
    isDenied: false,
    read: () =>
      cookies.isDenied
        ? ''
        : journal
            .entries()
            .filter(([key, { expiresAt }]) => expiresAt > nowMs() && directory.startsWith(key.slice(key.indexOf(';') + 1)))
            .map(([key, { value }]) => `${key.slice(0, key.indexOf(';'))}=${value}`)
            .join('; '),
    write: (line) => {
      if (cookies.isDenied) return
      const [pair = '', ...attributes] = line.split(';').map((part) => part.trim())
      const at = pair.indexOf('=')
      const name = at < 0 ? '' : pair.slice(0, at)
      const given = new Map(attributes.map((text) => [text.split('=')[0]?.toLowerCase() ?? '', text.slice(text.indexOf('=') + 1)]))
      const maxAge = given.get('max-age')
      const expires = given.get('expires')
      const expiresAt = maxAge !== undefined ? nowMs() + Number(maxAge) * 1000 : expires !== undefined ? Date.parse(expires) : Infinity
      const key = `${name};${given.get('path') || directory}`
      journal.set(key, expiresAt > nowMs() ? { value: pair.slice(at + 1), expiresAt } : undefined)
    },
    clear: () => journal.clear(),
    rollBack: (to) => journal.rollBack(to),
  }
  return cookies
}
