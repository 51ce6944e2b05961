/**
 * Spools on Node: events are safe on a disk before the relay answers, and are delivered from there.
 * @module pristo/relay/spool
 */
import { fail } from './given.ts'
import { PLACES, readSpool } from './spool/env.ts'
import { openRedisSpool, type RedisSpoolOptions } from './spool/redis.ts'
import type { Spool } from './spool/spool.ts'
import { openSqliteSpool } from './spool/sqlite.ts'

export { readSpool, type SpoolSettings } from './spool/env.ts'
export { openRedisSpool, type RedisSpoolOptions } from './spool/redis.ts'
export { startSpoolWorker, type WorkerOptions } from './spool/start.ts'
export { openSqliteSpool, type SpoolOptions } from './spool/sqlite.ts'
export { LEASE_MS, MAX_BYTES, SEEN_MS, SpoolError, type Claim, type DeadEvent, type DeadEvents, type Reason, type Selection, type Spool, type Stats } from './spool/spool.ts'
export type { Worker } from './spool/worker.ts'

/**
 * Opens the spool at a place: `sqlite:PATH`, `redis://…` or `rediss://…`. Rejects with one line where the place is none, or the engine cannot be
 * used; the line does not show the place, which may hold a password.
 */
export const openSpool = async (place: string, options: RedisSpoolOptions = {}): Promise<Spool> => {
  const read = readSpool({ PRISTO_SPOOL: place })
  if (!read || read.place !== place) fail('place', place, PLACES)
  return place.startsWith('sqlite:') ? openSqliteSpool(place.slice('sqlite:'.length), options) : openRedisSpool(place, options)
}
