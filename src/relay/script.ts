/**
 * Serves the script-tag bundle from the relay's own server, so that a site needs one route and no build step.
 * Invariant: one file, named at construction; nothing of a request's URL reaches the file system.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** An hour: long enough to spare every page a request, short enough for a mended bundle to arrive the same day. */
const CACHE_CONTROL = 'public, max-age=3600'

/** Answers GET and HEAD with the file, 304 where the browser has it already, undefined where there is no such file. */
export const createScript =
  (file: URL) =>
  async (request: Request): Promise<Response | undefined> => {
    const script = await readFile(file).catch(() => undefined)
    if (!script) return undefined
    const etag = `"${createHash('sha256').update(script).digest('base64url').slice(0, 22)}"`
    const headers = { 'Cache-Control': CACHE_CONTROL, ETag: etag, 'X-Content-Type-Options': 'nosniff' }
    // A proxy that compresses weakens the tag (RFC 9110 §8.8.3), so it is looked for, not compared.
    if (request.headers.get('If-None-Match')?.includes(etag)) return new Response(null, { status: 304, headers })
    const type = { 'Content-Type': 'text/javascript; charset=utf-8', 'Content-Length': String(script.byteLength) }
    return new Response(request.method === 'HEAD' ? null : new Uint8Array(script), { headers: { ...headers, ...type } })
  }
