/**
 * Proves to the relay who the visitor is, where it wants proof.
 * Invariant: no token is stored, and no batch waits for one: while it is asked for, events stay with the flusher, as after any other failure.
 */
import { MAX_TOKEN_CHARS } from './contract.ts'
import { explain } from './event.ts'
import { leftMs, REQUEST_MS } from './holding.ts'
import type { Send } from './sender.ts'

/** A short-lived JWT that the site's backend signed for the visitor (relay option `identity: { keys, audience }`). */
export interface Tokens {
  /** What the page was served with. Without it the first batch is refused, and {@link Tokens.getToken} asked. */
  token?: string | undefined
  /** Asked for a fresh token each time that the relay refuses one (401); the batch goes again with it. */
  getToken?: (() => string | undefined | Promise<string | undefined>) | undefined
}

/** What {@link withToken} needs of its neighbours. */
export interface TokenParts {
  /** What changes with the visitor: a token is not sent for the next one, whose events would be rejected for it. */
  who(): unknown
  /** Sends at once what waits. Called for the first refusal in a row only, so that a bad token cannot make a loop. */
  again(): void
  /** Told of a token that is none, and of what `getToken` throws. */
  complain(problem: unknown): void
}

/** Adds the token to what is sent. */
export const withToken = (send: Send, { token, getToken }: Tokens, { who, again, complain }: TokenParts): Send => {
  /** By visitor: whoever comes while another's is asked for has none yet. */
  const tokens = new Map<unknown, string | undefined>()
  /** By visitor: what was asked for and has not come by then will not. */
  const askedUntil = new Map<unknown, number>()
  let isRefused = false
  if (token != null && typeof token !== 'string') complain(explain('token', token, 'string'))

  const renew = async (isFirst: boolean): Promise<void> => {
    const visitor = who()
    askedUntil.set(visitor, Date.now() + REQUEST_MS)
    try {
      tokens.set(visitor, await getToken?.())
      if (isFirst) setTimeout(again) // a token that was at hand must not overtake the refusal, which asks for a pause
    } catch (problem) {
      complain(problem)
    }
    askedUntil.delete(visitor)
  }

  return async (events, keepalive) => {
    if (leftMs(askedUntil.get(who()) ?? 0)) return { http: 0 } // the old one would be refused again
    if (!tokens.size) tokens.set(who(), token) // the page's own is of the first who needs one
    const own = tokens.get(who())
    // A backend may answer null, or a login page of any length: with that a batch is malformed, or too large and in the end given up.
    const reply = await send(events, keepalive, own && own.length <= MAX_TOKEN_CHARS ? own : undefined)
    const isFirst = !isRefused
    isRefused = !!getToken && reply?.http === 401
    if (isRefused) void renew(isFirst)
    return isRefused && isFirst ? { http: 0 } : reply
  }
}
