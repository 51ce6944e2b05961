/**
 * `pristo-relay health`: for a container's health check, which has no curl.
 * Invariant: asks whether the process answers, not whether it is ready: to restart a relay does not mend a key.
 */
import { toUrl } from './admin.ts'
import type { Command } from './command.ts'
import { NAMES, readAdminPlace } from './settings.ts'

/** Below the 5 s that the Dockerfile's check may take. */
const LIMIT_MS = 3_000

/** The command; `fetch` is the runtime's own. */
export const createHealth = (fetch: (url: string, init: RequestInit) => Promise<Response>): Command => ({
  summary: 'asks a running relay on this machine whether it is alive',
  about: ['Asks /healthz of the admin port. The exit code is 0 where it answers 200, else 1. The health check of the Docker image.'],
  flags: {
    'admin-port': { value: '<number>', what: 'port of /healthz', variable: 'PRISTO_ADMIN_PORT' },
    'admin-host': { value: '<address>', what: 'its address', variable: 'PRISTO_ADMIN_HOST' },
  },
  variables: NAMES.admin,
  examples: ['pristo-relay health'],
  run: async (_, { env, out, err }) => {
    const { port, hostname } = readAdminPlace(env)
    const url = `${toUrl(hostname, port)}/healthz`
    const status = await fetch(url, { signal: AbortSignal.timeout(LIMIT_MS) }).then(
      async (response) => (await response.text(), response.status),
      () => undefined, // nobody listens, or not in time: both are no answer
    )
    if (status === 200) out('alive')
    else err(`[pristo] ${url}: ${status === undefined ? 'no answer' : `answered ${status}`}; a relay that is alive answers 200`)
    return status === 200 ? 0 : 1
  },
})
