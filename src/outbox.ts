/**
 * The durable queue: one IndexedDB key per event.
 * Invariant: `due` is the time before which nobody but the tab that wrote it may send a record, so that tabs agree on nothing but time.
 */
import { promisifyRequest } from 'idb-keyval'
import type { TrackedEvent } from './event.ts'

/** An event and when it may be sent. */
export interface StoredRecord {
  event: TrackedEvent
  /** Milliseconds since the epoch. */
  due: number
  /** Refused for want of an email or a phone: waits for an `identify()` that brings one. */
  parked?: boolean | undefined
}

/**
 * What becomes of one record: itself (nothing), another (it is replaced), or `undefined` (it is removed).
 * May run again where the first transaction failed.
 * @param newer how many records there are from this one on
 */
export type Plan = (record: StoredRecord, newer: number) => StoredRecord | undefined

/** Where events wait. No method rejects. `true`: it is on disk; `false`: it is not. */
export interface Outbox {
  /** Adds or replaces records by event id. */
  put(records: StoredRecord[]): Promise<boolean>
  /**
   * Runs a plan over all records, oldest first, as one transaction: two tabs never plan on the same state.
   * @param extra records that are added first, where they are not there yet
   */
  edit(plan: Plan, extra: StoredRecord[]): Promise<boolean>
}

type Write = (id: string, record: StoredRecord | undefined) => unknown

const applyPlan = (plan: Plan, stored: StoredRecord[], extra: StoredRecord[], write: Write): void => {
  const all = new Map([...extra, ...stored].map((record) => [record.event.id, record]))
  let newer = all.size
  for (const [id, record] of all) {
    const planned = plan(record, newer--)
    if (planned !== record || extra.includes(record)) write(id, planned)
  }
}

/**
 * The same queue in memory, for tests of the other rooms.
 * @param durable what it answers: `true` lets it play the disk that several tabs share
 */
export const createMemoryOutbox = (durable: boolean): Outbox => {
  const records = new Map<string, StoredRecord>()
  const write: Write = (id, record) => (record ? records.set(id, record) : records.delete(id))
  return {
    put: async (given) => {
      for (const { event, due, parked } of given) records.set(event.id, { event, due, parked })
      return durable
    },
    edit: async (plan, extra) => {
      applyPlan(plan, [...records.values()].sort((a, b) => (a.event.id < b.event.id ? -1 : 1)), extra, write)
      return durable
    },
  }
}

const NAME = 'pristo'
const STORE = 'events'

/** Longest wait for one storage operation, milliseconds. WebKit's `open()` has hung for ever (WebKit bug 226547). */
const LIMIT_MS = 3_000

/** Failures in a row after which this page uses no storage any more. */
const TRIES = 2

/**
 * The queue in IndexedDB. Every operation is limited in time and tried again on a fresh connection. Storage that fails
 * twice in a row is left alone: everything answers `false`, and the tab goes on with what it has in memory.
 *
 * Of idb-keyval only `promisifyRequest` is here: its verbs bring a default store of their own (150 bytes of brotli),
 * and none of them edits many records in one transaction.
 * @param idb `undefined` where the browser denies it
 * @param mayUse whether anything may be read or written
 */
export const createOutbox = (idb: IDBFactory | undefined, mayUse: () => boolean): Outbox => {
  let tries = idb ? TRIES : 0
  let connection: Promise<IDBDatabase> | undefined

  const connect = async (): Promise<IDBDatabase> => {
    const request = (idb as IDBFactory).open(NAME, 1) // without one there are no tries
    request.onupgradeneeded = () => request.result.createObjectStore(STORE)
    const db = await promisifyRequest(request)
    // Another tab deletes or upgrades the database: out of its way. The next use opens it anew.
    db.onversionchange = () => db.close()
    return db
  }

  const attempt = async (work: (objects: IDBObjectStore) => void): Promise<unknown> => {
    const transaction = (await (connection ??= connect())).transaction(STORE, 'readwrite')
    work(transaction.objectStore(STORE))
    return promisifyRequest(transaction)
  }

  const use = async (work: (objects: IDBObjectStore) => void): Promise<boolean> => {
    while (tries && mayUse()) {
      try {
        await Promise.race([attempt(work), new Promise((_, reject) => setTimeout(reject, LIMIT_MS))])
        tries = TRIES
        return true
      } catch {
        connection = undefined // dead, with or without a `close` event, or it never opened
        tries--
      }
    }
    return false
  }

  return {
    put: (records) =>
      use((objects) => {
        for (const record of records) objects.put(record, record.event.id)
        // Without waiting for the success events: a page that navigates at once may never see them.
        objects.transaction.commit()
      }),
    edit: async (plan, extra) => {
      const isDone = await use((objects) => {
        const all: IDBRequest<StoredRecord[]> = objects.getAll()
        all.onsuccess = () =>
          applyPlan(plan, all.result, extra, (id, record) => (record ? objects.put(record, id) : objects.delete(id)))
      })
      if (!isDone) extra.forEach(plan)
      return isDone
    },
  }
}
