/**
 * Page views: of new pages, of routes, of pages that come back from the back/forward cache, and of prerendered and
 * background ones once they are shown.
 * Invariant: the same address twice in a row is one view, and nothing of an address that was not asked for leaves the page.
 */
import { MAX_VALUE_CHARS } from '../contract.ts'
import type { Track } from './index.ts'
import { listen } from './listen.ts'
import { watchRoutes } from './routes.ts'

/**
 * From a new address to its view, milliseconds: routers change the title after the address. A route that
 * is left sooner is a redirect.
 */
const SETTLE_MS = 100

/** Watches the page's addresses until the returned function is called. */
export const watchViews = (track: Track, type: string, query?: boolean): (() => void) => {
  let timer: ReturnType<typeof setTimeout> | undefined
  let last: string | undefined

  /**
   * What is told of an address: the path, of another site with its host. No query unless asked for, no hash but that of a
   * hash router (`#/cart`, `#!/cart`), where it is the path.
   */
  const addressOf = ({ protocol, host, pathname, search, hash }: URL | Location): string =>
    (host === location.host ? '' : `${protocol}//${host}`) +
    (pathname + search + (/^#!?\//.test(hash) ? hash : '')).replace(query ? '' : /\?[^#]*/g, '')

  // Of a page that gave itself another referrer, which may be no address, it is a path.
  let referrer = document.referrer && addressOf(new URL(document.referrer, location.href))

  const view = (): void => {
    timer = void clearTimeout(timer)
    const path = addressOf(location)
    if (path !== last) track(type, { path: cut(path), title: cut(String(document.title)), referrer: cut(referrer) })
    last = referrer = path
  }

  /** Soon, if the page is seen. A page is hidden while it is prerendered, and in a background tab. */
  const settle = (): void => {
    if (document.hidden) return
    timer ??= setTimeout(() => {
      timer = undefined
      if (document.readyState !== 'loading') view() // before that the title may still be on its way
    }, SETTLE_MS)
  }

  const stopEvents = listen(['DOMContentLoaded', 'popstate', 'visibilitychange', 'pageshow'], (event) => {
    // Back from the cache: a new view, and where the visitor comes from nobody knows.
    if (Object(event).persisted) last = referrer = ''
    // Who leaves has seen it.
    if (document.hidden && event.type === 'visibilitychange') view()
    settle()
  })
  const stopRoutes = watchRoutes(settle)
  settle()

  return () => {
    clearTimeout(timer)
    stopEvents()
    stopRoutes()
  }
}

/** Cut as `track()` cuts, but without a word: a long title is no mistake. */
const cut = (text: string): string | null => text.slice(0, MAX_VALUE_CHARS).replace(/[\ud800-\udbff]$/, '') || null
