/** A handler in workerd. */
import { createHandler, type Upstream } from './handlers.ts'

type Env = Upstream & { variant: string }

let handle: ReturnType<typeof createHandler> | undefined

export default {
  fetch: (request: Request, env: Env, context: { waitUntil(promise: Promise<unknown>): void }): Promise<Response> =>
    (handle ??= createHandler(env.variant, env))(request, context),
}
