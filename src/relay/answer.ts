/**
 * The relay's answers, as the wire has them.
 * Invariant: none is ever cached, and none carries more than outcomes and codes.
 */
import type { Answer, Refusal, Result } from '../contract.ts'
import type { Settled } from './outcome.ts'

/** What an answer says, for those who must not read it: a Response shows its body only once. */
export interface Said {
  /** Of a refusal. */
  code?: string
  /** Results in it. */
  events: number
}

const sayings = new WeakMap<Response, Said>()

/** What one of the answers made here says; nothing where it was made elsewhere. */
export const saidIn = (response: Response): Said => sayings.get(response) ?? { events: 0 }

const remember = (response: Response, said: Said): Response => {
  sayings.set(response, said)
  return response
}

const respond = (body: Answer | Refusal | null, status: number, headers: Record<string, string>): Response =>
  new Response(body && JSON.stringify(body), {
    status,
    headers: {
      ...(body && { 'Content-Type': 'application/json' }),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      ...headers,
    },
  })

/** Refuses the whole request: nothing in it was delivered. The message must hold nothing of the request but its measures. */
export const refuse = (status: number, code: string, message: string, headers: Record<string, string> = {}): Response =>
  remember(respond({ v: 1, error: { code, message } }, status, headers), { code, events: 0 })

/** An answer without a body. */
export const noContent = (headers: Record<string, string>): Response => respond(null, 204, headers)

const toResult = ({ id, outcome }: Settled): Result => {
  if (outcome.outcome === 'retry') return { id, outcome: 'retry', code: outcome.code }
  return outcome.outcome === 'rejected' ? { id, ...outcome } : { id, outcome: 'stored' }
}

const longestWaitS = (settled: readonly Settled[]): number | undefined => {
  const waits = settled.flatMap(({ outcome }) => (outcome.outcome === 'retry' && outcome.retryAfterS !== undefined ? [outcome.retryAfterS] : []))
  return waits.length ? Math.max(...waits) : undefined
}

/**
 * One result per event, in order. Where every event is to be sent again the status is 503, so that nothing in between takes it for a success;
 * where the spool took some it is 202.
 * `cookie` is a whole `Set-Cookie` value.
 */
export const answerSettled = (settled: readonly Settled[], cookie: string | undefined): Response => {
  const isAllRetry = settled.every(({ outcome }) => outcome.outcome === 'retry')
  const status = isAllRetry ? 503 : settled.some(({ outcome }) => outcome.outcome === 'accepted') ? 202 : 200
  const retryAfter = longestWaitS(settled)
  const answer: Answer = { v: 1, results: settled.map(toResult), ...(retryAfter !== undefined && { retryAfter }) }
  const headers = {
    ...(isAllRetry && retryAfter !== undefined && { 'Retry-After': String(retryAfter) }),
    ...(cookie !== undefined && { 'Set-Cookie': cookie }),
  }
  return remember(respond(answer, status, headers), { events: settled.length })
}
