/** The pages of the tortured site. Each says who the visitor is, as every page of a real site does. */
import { STUB, TAG } from '../browser/pages.ts'

declare global {
  interface Window {
    /**
     * Tracks so many events in one task, numbered from `first` in their field `n`; `isLarge` makes them 1 KB each.
     * Returns the numbers of those that `track()` gave no id for.
     */
    trackFrom(first: number, count: number, isLarge: boolean): number[]
  }
}

const HEAD = `<!doctype html><meta charset="utf-8"><title>shop</title>`

const SHOP = `<script>
  pristo.identify({ id: 'u_42', email: 'a@b.co' })
  window.trackFrom = (first, count, isLarge) => {
    const filler = Object.fromEntries(Array.from({ length: isLarge ? 18 : 0 }, (_, i) => ['field_' + i, 'x'.repeat(40)]))
    const numbers = Array.from({ length: count }, (_, i) => first + i)
    return numbers.filter((n) => !pristo.track('page_view', { ...filler, n }))
  }
</script>`

const page = (before: string, tag = TAG, after = ''): string => HEAD + before + STUB + SHOP + tag + after

/** A visitor who comes back later: by so many milliseconds more than have passed. Only what waits is reckoned by this clock. */
const LATER = `<script>{
  const now = Date.now
  const aheadMs = Number(new URLSearchParams(location.search).get('ahead'))
  Date.now = () => now() + aheadMs
}</script>`

const DENIED = `<script>
  for (const name of ['indexedDB', 'localStorage']) {
    Object.defineProperty(window, name, { get: () => { throw new DOMException('denied', 'SecurityError') } })
  }
</script>`

/** 60 000 of the 65 536 bytes that all scripts of a page share; WebKit and Chromium count them until an answer is read. */
const HOG = `<script>
  for (let i = 0; i < 2; i++) fetch('/hog', { method: 'PUT', body: 'x'.repeat(30_000), keepalive: true }).catch(() => {})
</script>`

/** Tells the site by a request: nobody drives this page. */
const DRIVE = `<script>addEventListener('load', () => {
  const [first, count] = ['first', 'count'].map((name) => Number(new URLSearchParams(location.search).get(name)))
  const refused = trackFrom(first, count, false)
  fetch('/told?tracked=' + first + '&refused=' + refused.length)
})</script>`

/** Tells the site when nothing waits on this device any more. */
const DRAIN = `<script>addEventListener('load', async () => {
  for (let before, pending; pending !== 0; before = pending) {
    pending = (await pristo.flush()).pending
    if (pending !== before) fetch('/told?pending=' + pending)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  fetch('/told?empty=' + new URLSearchParams(location.search).get('ahead'))
})</script>`

/** How many tabs a visitor has at most. */
export const TABS = 10

/** What is served, by path. */
export const pages: Record<string, string> = {
  '/': page(''),
  '/next': page(''),
  '/blank': `${HEAD}no snippet`,
  '/later': page(LATER),
  '/denied': page(DENIED),
  '/hogged': page(HOG),
  '/drive': page('', TAG, DRIVE),
  '/drain': page(LATER, TAG, DRAIN),
}

for (let tab = 0; tab < TABS; tab++) {
  // By its address the site knows which tab a batch comes from.
  pages[`/tab/${tab}`] = page(LATER, TAG.replace('"/pristo"', `"/pristo/tab/${tab}"`))
}
