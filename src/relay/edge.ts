/**
 * What Cloudflare's edge says of a request.
 * Invariant: only what the edge itself sets, whatever the client sent; only a Worker may ask.
 */

/** The client's IP address (developers.cloudflare.com/fundamentals/reference/http-headers, CF-Connecting-IP). */
export const clientOf = (request: Request): string | undefined => request.headers.get('CF-Connecting-IP') ?? undefined
