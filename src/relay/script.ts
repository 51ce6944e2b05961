/**
 * Serves the script-tag bundle from the relay's own path, so that a site needs one route and no build step.
 * Invariant: what it answers depends on the method, `Accept-Encoding` and `If-None-Match` alone, and sets no cookie.
 */
import { refuse } from './answer.ts'
import type { Tag } from './tag.ts'

/**
 * - An hour: long enough to spare every page a request, short enough for a mended bundle to arrive the same day.
 * - Everybody may load it: it is the same public script for all, pages of `allowedOrigins` need it too,
 *   some of them isolated (COEP asks for the resource policy) or with an `integrity` attribute (which asks for CORS).
 */
const HEADERS = {
  'Cache-Control': 'public, max-age=3600',
  Vary: 'Accept-Encoding',
  'X-Content-Type-Options': 'nosniff',
  'Cross-Origin-Resource-Policy': 'cross-origin',
  'Access-Control-Allow-Origin': '*',
}

type Encoding = 'br' | 'gzip' | 'identity'

/** What a client accepts, by coding: 0 to 1. A weight that cannot be read is none (RFC 9110 §12.4.2 has 1 for no weight at all). */
const parseWeights = (header: string): Map<string, number> =>
  new Map(
    header
      .toLowerCase()
      .split(',')
      .map((item) => {
        const [coding = '', ...parameters] = item.split(';').map((part) => part.trim())
        const weight = parameters.find((parameter) => parameter.startsWith('q='))
        // `x-gzip` is gzip (RFC 9110 §8.4.1.3).
        return [coding === 'x-gzip' ? 'gzip' : coding, weight === undefined ? 1 : Number(weight.slice(2)) || 0]
      }),
  )

/**
 * The form that the client likes best (RFC 9110 §12.5.3), the smallest among equals. Where the header is absent or nothing that we have
 * is accepted, the script as it is: there every client can read it.
 */
const chooseEncoding = (header: string | null): Encoding => {
  const weights = parseWeights(header ?? '')
  const others = weights.get('*') ?? 0
  const weigh = (coding: string): number => weights.get(coding) ?? others
  const best = weigh('gzip') > weigh('br') ? 'gzip' : 'br'
  // What is not named is accepted uncompressed, but as the last choice.
  return weigh(best) > 0 && weigh(best) >= (weights.get('identity') ?? 0) ? best : 'identity'
}

/**
 * What the client accepts. On Cloudflare the header is the edge's own, and what the client wrote stands beside it:
 * https://developers.cloudflare.com/workers/runtime-apis/request/#incomingrequestcfproperties. Without it the edge would have to encode anew.
 */
const acceptedBy = (request: Request): string | null => {
  const { clientAcceptEncoding }: { clientAcceptEncoding?: unknown } = Object(Reflect.get(request, 'cf'))
  return typeof clientAcceptEncoding === 'string' ? clientAcceptEncoding : request.headers.get('Accept-Encoding')
}

/** One per encoding: what a strong tag names is bytes (RFC 9110 §8.8.3.3). */
const etagOf = ({ etag }: Tag, encoding: Encoding): string => (encoding === 'identity' ? etag : etag.replace(/"$/, `-${encoding}"`))

/** Whether the client has it already. The comparison is weak (RFC 9110 §13.1.2), since what compresses on the way weakens the tag. */
const isKnown = (header: string | null, etag: string): boolean =>
  header?.trim() === '*' || Array.from((header ?? '').matchAll(/"[^"]*"/g), ([known]) => known).includes(etag)

const decode = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))

/** Cloudflare's runtime compresses what says that it is compressed, but for this: https://developers.cloudflare.com/workers/runtime-apis/response/ */
interface Init extends ResponseInit {
  encodeBody?: 'manual'
}

/** Whether a request is the script's, whatever its method: its path ends in `.js`. The URL may be none: see `pathOf` in node.ts. */
export const isScriptRequest = ({ url }: Request): boolean => /^[^?#]+\.js([?#]|$)/.test(url)

/** Answers GET and HEAD with the script, or with 304 where the client has it, and every other method with 405. */
export const createScript = (tag: Tag): ((request: Request) => Response) => {
  const bodies = { br: decode(tag.brotli), gzip: decode(tag.gzip), identity: new TextEncoder().encode(tag.text) }
  return (request) => {
    if (!['GET', 'HEAD'].includes(request.method)) return refuse(405, 'method', 'only GET and HEAD are allowed', { Allow: 'GET, HEAD' })
    const encoding = chooseEncoding(acceptedBy(request))
    const etag = etagOf(tag, encoding)
    if (isKnown(request.headers.get('If-None-Match'), etag)) return new Response(null, { status: 304, headers: { ...HEADERS, ETag: etag } })
    const body = bodies[encoding]
    const init: Init = {
      headers: {
        ...HEADERS,
        ETag: etag,
        'Content-Type': 'text/javascript; charset=utf-8',
        'Content-Length': String(body.byteLength),
        ...(encoding !== 'identity' && { 'Content-Encoding': encoding }),
      },
      encodeBody: 'manual',
    }
    return new Response(request.method === 'HEAD' ? null : body, init)
  }
}
