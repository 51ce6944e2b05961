/**
 * Tells a page that no longer exists what was stored, by a cookie that the next page reads.
 * Invariant: names events that are stored, or safe in a spool, only. A rejected one is left out on purpose: the next page sends it again and so learns the reason.
 */
import { ACK_COOKIE, ackMark, MAX_AGE_DAYS } from '../contract.ts'
import type { Settled } from './outcome.ts'

/** Over http a `Secure` cookie would vanish. The browser knows its page's scheme; behind a proxy the relay's own URL may be http where the page is https. */
const isSecure = (request: Request): boolean => {
  const origin = request.headers.get('Origin')
  return (origin?.includes('://') ? origin : request.url).startsWith('https:')
}

/** Only hex digits enter the header. */
const isMark = (mark: string): boolean => /^[\da-f]+$/i.test(mark)

/**
 * The `Set-Cookie` value that acknowledges the stored events: 382 bytes and its attributes at the most. Undefined where none was stored.
 * `settled` is the whole batch; its first id names the cookie.
 */
export const ackCookie = (request: Request, settled: readonly Settled[]): string | undefined => {
  const name = settled.map(({ id }) => ackMark(id)).find(isMark)
  const stored = settled.flatMap(({ id, outcome }) => (outcome.outcome === 'stored' || outcome.outcome === 'accepted' ? [ackMark(id)] : []))
  if (name === undefined || !stored.length) return undefined
  const attributes = `Path=/; SameSite=Lax; Max-Age=${MAX_AGE_DAYS * 86_400}${isSecure(request) ? '; Secure' : ''}`
  return `${ACK_COOKIE}${name}=${stored.join('')}; ${attributes}`
}
