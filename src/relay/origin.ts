/**
 * Who may speak to the relay, by what only a browser can say about itself.
 * Invariant: a page of another site gets nothing done, unless its origin is on the list.
 * The order of evidence is that of Go's net/http.CrossOriginProtection: Sec-Fetch-Site first, then Origin against Host.
 */

/** Where a request comes from. */
export type Sender =
  /** A page of the relay's own origin. `isVouched`: the browser says so itself (`Sec-Fetch-Site`), which no cross-site page can make it say. */
  | { kind: 'same-origin'; isVouched: boolean }
  /** A page of an origin on the list. */
  | { kind: 'allowed'; origin: string }
  /** No browser of the last ten years: allowed only where the site said so. */
  | { kind: 'non-browser' }
  | { kind: 'foreign' }

const hostOf = (url: string): string | undefined => (URL.canParse(url) ? new URL(url).host : undefined)

/** The host that the browser asked for: by its own header, where there is one, since a server may put its own name into the URL (Next 16.4.6 does). */
const hostAsked = ({ headers, url }: Request): string | undefined => {
  const host = headers.get('Host')
  return hostOf(host === null ? url : `http://${host}`)
}

/** Judges a request by its headers, and its URL's host where it has no `Host`. Hosts are compared, not schemes: behind a TLS proxy the relay's own URL says http. */
export const createOriginRule =
  ({ allowedOrigins, allowNonBrowser }: { allowedOrigins: readonly string[]; allowNonBrowser: boolean }) =>
  (request: Request): Sender => {
    const site = request.headers.get('Sec-Fetch-Site')
    const origin = request.headers.get('Origin')
    if (site === 'same-origin') return { kind: 'same-origin', isVouched: true }
    if (origin !== null && allowedOrigins.includes(origin)) return { kind: 'allowed', origin }
    if (site !== null) return { kind: 'foreign' }
    if (origin === null) return { kind: allowNonBrowser ? 'non-browser' : 'foreign' }
    const host = hostOf(origin)
    return host && host === hostAsked(request) ? { kind: 'same-origin', isVouched: false } : { kind: 'foreign' }
  }

/**
 * What lets a page of a listed origin read the answer (https://fetch.spec.whatwg.org/#http-cors-protocol); nothing for everybody else.
 * No credentials: the ack cookie is same-origin only.
 */
export const corsHeaders = (sender: Sender): Record<string, string> =>
  sender.kind === 'allowed'
    ? { 'Access-Control-Allow-Origin': sender.origin, 'Access-Control-Expose-Headers': 'Retry-After', Vary: 'Origin' }
    : {}

/** What a preflight wants to know besides; 7200 s is the longest that Chromium keeps it. */
export const PREFLIGHT_HEADERS = {
  'Access-Control-Allow-Methods': 'POST',
  'Access-Control-Allow-Headers': 'Content-Type',
  'Access-Control-Max-Age': '7200',
}

/**
 * Whether the content type is one that a foreign page could not have sent without a preflight. `text/plain`, or none at all, needs no preflight
 * (honojs/hono GHSA-2234-fmw7-43wr): only from a page that the browser vouches for.
 */
export const isContentTypeAllowed = (request: Request, sender: Sender): boolean => {
  const type = (request.headers.get('Content-Type') ?? '').split(';')[0]?.trim().toLowerCase()
  if (type === 'application/json') return true
  return (type === '' || type === 'text/plain') && sender.kind === 'same-origin' && sender.isVouched
}
