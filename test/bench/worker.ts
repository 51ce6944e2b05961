/** A handler as a Worker: made at the first request, since it has its settings no sooner. */
import type { Relay } from '../../src/relay/index.ts'
import type { Upstream } from './handlers.ts'

export const toWorker = (createHandler: (upstream: Upstream) => Relay) => {
  let handle: Relay | undefined
  return {
    fetch: (request: Request, env: Upstream, context: { waitUntil(promise: Promise<unknown>): void }): Promise<Response> | Response => {
      if (request.method === 'GET') return new Response() // asks for nothing but that the script stands: its evaluation is measured so
      handle ??= createHandler(env)
      return handle(request, context)
    },
  }
}
