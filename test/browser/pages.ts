/** The pages of the test site. */

/** As the README tells a site to load it. */
export const TAG = '<script async src="/pristo.js" data-endpoint="/pristo"></script>'

/** As a bundler would load it; tests call it as `window.createPristo`. */
export const MODULE = `<script type="module">import { createPristo } from '/pristo.mjs'; window.createPristo = createPristo</script>`

/** The inline stub: calls wait in a queue until the script is there. */
export const STUB = `<script>
  window.pristo = { q: [] }
  for (const method of ['identify', 'track']) pristo[method] = (...args) => pristo.q.push([method, ...args])
</script>`

/** Before the tag: a clock that is a lease (15 s) and a second ahead. The relay corrects clocks only from a minute on. */
export const LATER = '<script>{ const now = Date.now; Date.now = () => now() + 16_000 }</script>'

/** Before the tag: every clock of the page is so many milliseconds ahead, or behind. */
export const clock = (aheadMs: number): string => `<script>{
  const Real = Date
  const now = () => Real.now() + ${aheadMs}
  window.Date = class extends Real {
    constructor(...given) { given.length ? super(...given) : super(now()) }
    static now() { return now() }
  }
}</script>`

/** Before the tag: timers run so many times as fast, so that a wait of 3 s for a dead disk costs a test little; 0.1 slows them, so that a test meets no timer. */
export const haste = (times: number): string => `<script>{
  const set = setTimeout
  window.setTimeout = (work, ms, ...given) => set(work, ms / ${times}, ...given)
}</script>`

/** Runs a function of its own, which sees nothing of its surroundings, in the page: what comes before the tag is what the tag finds. */
export const run = (work: () => void): string => `<script>(${work})()</script>`

/** What a page complained about, and how. */
export interface Complaint {
  kind: 'error' | 'warn' | 'uncaught' | 'unhandled' | 'csp'
  text: string
}

declare global {
  interface Window {
    /** Filled by {@link WATCH}: WebDriver cannot listen to WebKit's console. */
    complaints: Complaint[]
    createPristo?: typeof import('../../src/index.ts').createPristo
  }
}

/** Comes first in a page, and as a file of its own, since a strict CSP takes no other. */
export const WATCH = `
  window.complaints = []
  const complain = (kind, text) => complaints.push({ kind, text: String(text) })
  for (const kind of ['error', 'warn']) console[kind] = (...args) => complain(kind, args.join(' '))
  addEventListener('error', ({ message }) => complain('uncaught', message))
  addEventListener('unhandledrejection', ({ reason }) => complain('unhandled', reason))
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => complain('csp', violatedDirective + ' ' + blockedURI))
`

/** A page with this in it. */
export const html = (body: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>shop</title><script src="/watch.js"></script>${body}</html>`
