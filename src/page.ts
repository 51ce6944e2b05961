/**
 * The one home of `document`, `navigator`, `localStorage` and cookies.
 * Invariant: nothing here throws; what the browser denies is absent, as is what a worker has not.
 */

declare global {
  interface Navigator {
    /** https://www.w3.org/TR/gpc/, in Firefox and Brave; missing where the visitor said nothing. */
    globalPrivacyControl?: boolean
  }
}

/** What a page offers, or a worker: nothing ever hides a worker, and it has neither `localStorage` nor cookies. */
export interface Page {
  /** As the platform's. */
  fetch(address: string, init: RequestInit & { body: string }): Promise<Response>
  /** A value of this origin's `localStorage`; an empty list for what is missing or no JSON, nothing before consent. */
  read(key: string): unknown
  /** Keeps a value as JSON. Nothing happens, and the answer is not true, where that is denied or there is no room. */
  write(key: string, value: unknown): unknown
  /** Removes what has this name, in `localStorage` and among the cookies. */
  erase(name: string): void
  /** Sets an empty cookie, for all pages of the site, that is gone after so many seconds; a whole number. */
  mark(name: string, seconds: number): void
  /** This page's cookies, as one text; none before consent. */
  cookies(): string
  /** Keys of `localStorage` that begin with the prefix; none before consent. */
  keys(prefix: string): string[]
  /** Whether the page is out of sight, going, or gone. */
  isHidden(): boolean
  /** Whether the page is going, or in the back/forward cache. */
  isGone(): boolean
  /** Whether cookies can be read here at all: in a worker they cannot. */
  hasCookies: boolean
  /** A bare word of this origin's `localStorage`, also before consent; `undefined` where there is none. */
  recall(key: string): unknown
  /** Keeps a bare word, also before consent: for what the visitor decided on consent itself. */
  remember(key: string, word: string): void
  /** Whether the browser signals one of these wishes not to be tracked: `gpc` (Global Privacy Control), `dnt` (Do Not Track). */
  isRefused(signals: string): boolean
  /** `false` is reliable, `true` is not. */
  isOnline(): boolean
  /** Throws where it is denied, and is missing in truth where there is none. Looked up at each call: a denial may end. */
  idb(): IDBFactory
  /**
   * Listens until the returned function is called.
   * @param hide the page may never run again after this call
   * @param show the page is seen (again), or the network is back
   */
  listen(hide: () => void, show: () => void): () => void
}

/** How long a beacon may be on its way, milliseconds: as long as a request. */
const BEACON_MS = 10_000

const attempt = <T>(work: () => T): T | undefined => {
  try {
    return work()
  } catch {
    // A sandboxed frame, blocked site data, a full disk: to us the thing is simply not there.
    return undefined
  }
}

/** In a page; not in a worker, not on a server. */
const isPage = typeof document !== 'undefined'

/** Whether this runs in a browser: in a page or, where workers have IndexedDB, in one of those. Edge runtimes have workers' globals without it. */
export const isBrowser = (): boolean => isPage || ('WorkerGlobalScope' in globalThis && 'indexedDB' in globalThis)

/** Whether this browser is to say on its console what happens: somebody set `localStorage.pristo_debug` to anything but the empty text. */
export const isDebugged = (): boolean => !!attempt(() => localStorage['pristo_debug'])

/**
 * The page this runs in, or the worker. Only where {@link isBrowser} is true.
 * @param mayStore whether anything may be written to this device, and read from it
 */
export const openPage = (mayStore: () => boolean): Page => {
  let gone = false
  let lastText = ''
  let lastValue: unknown
  const mark = (name: string, seconds: number): unknown => attempt(() => (document.cookie = `${name}=;Path=/;Max-Age=${seconds}`))
  // A track() reads who the visitor is, which hardly ever changes: the same text is parsed once (half of the reading).
  const parse = (text: string): unknown => {
    if (text !== lastText) lastValue = JSON.parse(text)
    lastText = text
    return lastValue
  }
  const isHidden = (): boolean => gone || (isPage && document.visibilityState === 'hidden')

  return {
    // Looked up at each call: pages patch it. Without `keepalive` (Firefox before 133) a beacon survives the page instead,
    // whose answer nobody hears: for the longest time that one may take it counts as on its way.
    fetch: (address, init) =>
      isHidden() && !('keepalive' in Request.prototype)
        ? (navigator.sendBeacon(address, new Blob([init.body], { type: 'application/json' })),
          new Promise((resolve) => setTimeout(resolve, BEACON_MS, Response.error())))
        : fetch(address, init),
    // The getter itself throws where site data is blocked, and so does JSON.parse for what is not there.
    read: (key) => attempt(() => mayStore() && parse(localStorage[key])) ?? [],
    write: (key, value) => attempt(() => mayStore() && (localStorage[key] = JSON.stringify(value))),
    erase: (name) => {
      attempt(() => delete localStorage[name])
      mark(name, 0)
    },
    mark,
    cookies: () => attempt(() => mayStore() && document.cookie) || '',
    keys: (prefix) => attempt(() => mayStore() && Object.keys(localStorage).filter((key) => key.startsWith(prefix))) || [],
    isHidden,
    isGone: () => gone,
    hasCookies: isPage,
    recall: (key) => attempt(() => localStorage[key]),
    remember: (key, word) => attempt(() => (localStorage[key] = word)),
    isRefused: (signals) => (!!navigator.globalPrivacyControl && /gpc/.test(signals)) || (navigator.doNotTrack === '1' && /dnt/.test(signals)),
    isOnline: () => navigator.onLine,
    idb: () => indexedDB,
    listen: (hide, show) => {
      const listener = ({ type }: Event): void => {
        // Until it is shown again: browsers send `visibilitychange` after `pagehide`, when a document is left.
        gone = type === 'pagehide' || (gone && type !== 'pageshow')
        ;(isHidden() ? hide : show)()
      }
      // On `window`, where `pagehide` fires, and capturing, so that `visibilitychange` on `document` passes by.
      // Never `unload`: it costs the page the back/forward cache.
      const types = ['online', 'visibilitychange', 'pageshow', 'pagehide']
      for (const type of types) addEventListener(type, listener, true)
      return () => {
        for (const type of types) removeEventListener(type, listener, true)
      }
    },
  }
}
