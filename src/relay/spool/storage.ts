/**
 * A spool in the storage of a Durable Object of Cloudflare.
 * Invariant: each call is one transaction, and awaits nothing: what a caller does between two awaits, an alarm included, is on the disk all together
 * or not at all, and no answer leaves the object before it is there
 * (https://developers.cloudflare.com/durable-objects/best-practices/rules-of-durable-objects/, "output gates" and "write coalescing", 2026-11).
 */
import type { PristoEvent } from '../../contract.ts'
import { createSqlSpool, migrate, type Query } from './sql.ts'
import type { Claim, Reason, Selection } from './spool.ts'

/** The part of a Durable Object's `ctx.storage` that is needed here; its class must be one of `new_sqlite_classes`. */
export interface ObjectStorage {
  /** The object's own SQLite. */
  sql: {
    /** Runs one statement. */
    exec(
      query: string,
      ...bindings: (string | number | null)[]
    ): {
      /** Its rows. */
      toArray(): Record<string, unknown>[]
    }
  }
  /** Runs work within a transaction, which is undone where it throws. */
  transactionSync<T>(work: () => T): T
  /** The one alarm of the object: milliseconds since 1970. */
  setAlarm(at: number): Promise<void>
  /** Takes the alarm back. */
  deleteAlarm(): Promise<void>
  /** Resolves once all that was written is on the disk. */
  sync(): Promise<void>
}

/** Every method of a spool, at once done; the storage is brought to the newest schema at the first one. */
export const createStorageSpool = ({ storage, now, maxBytes }: { storage: ObjectStorage; now: () => number; maxBytes: number }) => {
  const query: Query = (sql, ...values) => storage.sql.exec(sql, ...values).toArray()
  const spool = createSqlSpool({ query, now, maxBytes })
  let isMigrated = false

  // Not in the object's constructor: one that throws takes the object's alarm with it, which is given up after six tries.
  const transact = <T>(work: () => T): T => {
    const value = storage.transactionSync(() => {
      if (!isMigrated) migrate(query)
      return work()
    })
    isMigrated = true
    return value
  }

  return {
    put: (events: readonly PristoEvent[]) => transact(() => spool.put(events)),
    claim: (most: number) => transact(() => spool.claim(most)),
    settle: (claim: Claim) => transact(() => spool.settle(claim)),
    retry: (claim: Claim, delayMs: number) => transact(() => spool.retry(claim, delayMs)),
    bury: (claim: Claim, reason: Reason) => transact(() => spool.bury(claim, reason)),
    stats: () => transact(spool.stats),
    list: (most: number) => transact(() => spool.list(most)),
    replay: (which: Selection) => transact(() => spool.replay(spool.selectDead(which))),
    drop: (which: Selection) => transact(() => spool.drop(spool.selectDead(which))),
  }
}

/** See {@link createStorageSpool}. */
export type StorageSpool = ReturnType<typeof createStorageSpool>
