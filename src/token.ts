/**
 * Proves to the relay who the visitor is, where it wants proof.
 * Invariant: no token is stored, and none is waited for: events whose token was refused stay with the flusher, as after any other failure.
 */
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
  /** Told of what `getToken` throws. */
  complain(problem: unknown): void
}

/** Adds the token to what is sent. */
export const withToken = (send: Send, { token, getToken }: Tokens, { who, again, complain }: TokenParts): Send => {
  let owner: unknown // of the token; nobody knows whose the page's own is
  let isRefused = false

  const renew = async (isFirst: boolean): Promise<void> => {
    try {
      owner = who()
      token = await getToken?.()
      if (isFirst) setTimeout(again) // a token that was at hand must not overtake the refusal, which asks for a pause
    } catch (problem) {
      complain(problem)
    }
  }

  return async (events, keepalive) => {
    const reply = await send(events, keepalive, (owner ?? who()) === who() ? token : undefined)
    const isFirst = !isRefused
    isRefused = !!getToken && reply?.http === 401
    if (!isRefused) return reply
    void renew(isFirst)
    return isFirst ? { http: 0 } : reply
  }
}
