/**
 * Spools on Node: events are safe on a disk before the relay answers, and are delivered from there.
 * @module pristo/relay/spool
 */
import { describeGiven } from './given.ts'
import type { Spool } from './spool/spool.ts'
import { openSqliteSpool, type SpoolOptions } from './spool/sqlite.ts'

export { startSpoolWorker, type WorkerOptions } from './spool/start.ts'
export { openSqliteSpool, type SpoolOptions } from './spool/sqlite.ts'
export { LEASE_MS, MAX_BYTES, SEEN_MS, SpoolError, type Claim, type DeadEvent, type DeadEvents, type Reason, type Selection, type Spool, type Stats } from './spool/spool.ts'
export type { Worker } from './spool/worker.ts'

/**
 * Opens the spool at a place such as `sqlite:/var/lib/pristo/spool.db`. Rejects with one line where the place is none, or the engine
 * cannot be used; the line does not show the place, which may hold a password.
 */
export const openSpool = async (place: string, options: SpoolOptions = {}): Promise<Spool> => {
  const [, path] = /^sqlite:(.+)$/.exec(place) ?? []
  if (path) return openSqliteSpool(path, options)
  throw new TypeError(`[pristo] PRISTO_SPOOL: got ${describeGiven(place)}; allowed is sqlite:PATH`)
}
