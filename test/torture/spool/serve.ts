/**
 * Relays with their settings, over a store.
 * Invariant: each is known by how it writes the population's id, since nothing else of it reaches the API.
 */
import type { PristoApi } from '../../support/pristo-api.ts'
import type { Store } from './engines.ts'
import { freePort, startRelay, type Relay } from './relays.ts'

/** The first relay writes the id in small letters, the second in capitals; there is no third. */
export const NAMES = ['relay 1', 'relay 2'] as const

/** One of them. */
export type Name = (typeof NAMES)[number]

/** What a relay is served with. */
export interface Serving {
  name: Name
  store: Store
  api: Pick<PristoApi, 'url' | 'apiKey' | 'populationId'>
  /** Default: a free one. */
  port?: number
  env?: Record<string, string>
  flags?: readonly string[]
}

/** Starts a relay, and does not wait for it. */
export const serve = async ({ name, store, api: { url, apiKey, populationId }, port, env = {}, flags = [] }: Serving): Promise<Relay> =>
  startRelay({
    name,
    port: port ?? (await freePort()),
    flags,
    isSupervised: store.kill !== undefined,
    env: {
      PRISTO_API_KEY: apiKey,
      PRISTO_POPULATION_ID: name === NAMES[0] ? populationId.toLowerCase() : populationId.toUpperCase(),
      PRISTO_BASE_URL: url,
      PRISTO_RATE_LIMIT: 'off',
      PRISTO_SPOOL: store.place,
      ...env,
    },
  })
