/**
 * Puts the tag into the pages of a site on their way to the visitor.
 * Invariant: what is no page stays as it is; a page differs by the tag, and by what its headers said of the bytes before.
 */
import { findNonce } from './csp.ts'
import { createRewriter, type TagSettings } from './rewriter.ts'
import { splice } from './splice.ts'

/** What Cloudflare's runtime decodes (br since compatibility date 2024-04-29). */
const READABLE = /^\s*(gzip|br|identity)\s*(;|$)/i

/**
 * What no longer holds of a body with something put in. It is read uncompressed, and Cloudflare's edge compresses it again;
 * the runtime would too if told so, but holds back what comes slowly (workerd 2026-04-26).
 */
const STALE = ['Content-Encoding', 'Content-Length', 'Content-MD5', 'Digest', 'Content-Digest', 'Repr-Digest', 'Accept-Ranges']

/** https://fetch.spec.whatwg.org/#navigation-request, as far as it is HTML. */
const NAVIGATIONS = ['document', 'iframe', 'frame']

/** Whether the answer becomes a page, or may be a piece of one, which a script asked for. Some browsers, and every one over http, do not say. */
const isNavigation = ({ headers }: Request): boolean => {
  const destination = headers.get('Sec-Fetch-Dest')
  return destination === null ? /text\/html/i.test(headers.get('Accept') ?? '') : NAVIGATIONS.includes(destination)
}

const isHtml = ({ status, headers }: Response): boolean =>
  status >= 200 &&
  status <= 599 &&
  status !== 206 && // a range of a page
  /^text\/html\s*(;|$)/i.test(headers.get('Content-Type') ?? '') &&
  READABLE.test(headers.get('Content-Encoding') ?? 'identity') &&
  !/^\s*attachment/i.test(headers.get('Content-Disposition') ?? '') &&
  !/\bno-transform\b/i.test(headers.get('Cache-Control') ?? '') // RFC 9111 §5.2.2.6

/** The nonce that the page's policy asks scripts for. A policy that only reports is to have nothing to report. */
const nonceOf = ({ headers }: Response): string | undefined =>
  findNonce(headers.get('Content-Security-Policy')) ?? findNonce(headers.get('Content-Security-Policy-Report-Only'))

/** The bytes differ from the site's, the page does not (RFC 9110 §8.8.1). */
const weaken = (headers: Headers): void => {
  const etag = headers.get('ETag')
  if (etag && !etag.startsWith('W/')) headers.set('ETag', `W/${etag}`)
}

/** A 304 speaks of the entity tag that the browser has from us (RFC 9111 §4.3.4). */
const confirm = (request: Request, response: Response): Response => {
  const etag = response.headers.get('ETag')
  if (!etag || !request.headers.get('If-None-Match')?.includes(`W/${etag}`)) return response
  const confirmed = new Response(null, response)
  weaken(confirmed.headers)
  return confirmed
}

/** A request whose answer can be read: browsers accept zstd, which Cloudflare's runtime passes on undecoded (workerd#6432, 2026-04). */
export const askReadable = (request: Request): Request => {
  const accepted = request.headers.get('Accept-Encoding')?.split(',') ?? []
  if (request.method !== 'GET' || accepted.every((coding) => READABLE.test(coding))) return request
  const headers = new Headers(request.headers)
  headers.set('Accept-Encoding', accepted.filter((coding) => READABLE.test(coding)).join(',') || 'identity')
  return new Request(request, { headers })
}

/**
 * The site's answer with the tag put in; the very same answer where it is no page, or not one to GET, a range, a download, `no-transform`,
 * or encoded in a way that cannot be read. May throw, and then has not touched the answer; what fails later is told, and does not show.
 */
export const injectTag = (request: Request, response: Response, settings: TagSettings, onFailure: (cause: unknown) => void): Response => {
  const { body, headers } = response
  if (request.method !== 'GET') return response
  if (response.status === 304) return confirm(request, response)
  if (!body || !isHtml(response)) return response
  const { rewriter, isDone } = createRewriter({ url: request.url, nonce: nonceOf(response), isPage: isNavigation(request) }, settings)
  const type = headers.get('Content-Type') ?? ''
  const rewrite = (bytes: typeof body): typeof body => {
    const { body: rewritten } = rewriter.transform(new Response(bytes, { headers: { 'Content-Type': type } }))
    if (!rewritten) throw new TypeError('the rewriter gave nothing back')
    return rewritten
  }
  const injected = new Response(splice(() => body, { rewrite, isDone, onFailure }), response)
  for (const name of STALE) injected.headers.delete(name)
  weaken(injected.headers)
  return injected
}
