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
}

/**
 * What becomes of one record: itself (nothing), another (it is replaced), or `undefined` (it is removed).
 */
export type Plan = (record: StoredRecord) => StoredRecord | undefined

/** Where events wait. No method rejects. `true`: it is on disk; `false`: it is not. */
export interface Outbox {
  /** Adds or replaces records by event id. */
  put(records: StoredRecord[]): Promise<boolean>
  /**
   * Runs a plan over all records as one transaction: two tabs never plan on the same state.
   * @param extra records that are added first, where they are not there yet; where the disk fails nothing is planned
   */
  edit(plan: Plan, extra: StoredRecord[]): Promise<boolean>
}

const NAME = 'pristo'
const STORE = 'events'

/** Longest wait for one storage operation, milliseconds. WebKit's `open()` has hung for ever (WebKit bug 226547). */
const LIMIT_MS = 3_000

/**
 * The queue in IndexedDB. An operation that fails or takes too long answers `false`, and the next one opens the
 * database anew; meanwhile the tab goes on with what it has in memory.
 *
 * Of idb-keyval only `promisifyRequest` is here: its verbs bring a default store of their own (150 bytes of brotli),
 * and none of them edits many records in one transaction.
 * @param idb may be missing in truth, where the browser denies it: then every operation fails
 * @param mayUse whether anything may be read or written
 */
export const createOutbox = (idb: IDBFactory, mayUse: () => boolean): Outbox => {
  let connection: Promise<IDBDatabase> | undefined

  const connect = async (): Promise<IDBDatabase> => {
    const request = idb.open(NAME, 1)
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
    try {
      if (!mayUse()) return false
      await Promise.race([attempt(work), new Promise((_, reject) => setTimeout(reject, LIMIT_MS))])
      return true
    } catch {
      connection = undefined // denied, or dead with or without a `close` event
      return false
    }
  }

  return {
    put: (records) =>
      use((objects) => {
        for (const record of records) objects.put(record, record.event.id)
        // Without waiting for the success events: a page that navigates at once may never see them.
        objects.transaction.commit()
      }),
    edit: (plan, extra) =>
      use((objects) => {
        const all: IDBRequest<StoredRecord[]> = objects.getAll()
        all.onsuccess = () => {
          for (const [id, record] of new Map([...extra, ...all.result].map((one) => [one.event.id, one]))) {
            const planned = plan(record)
            if (!planned) objects.delete(id)
            else if (planned !== record || extra.includes(record)) objects.put(planned, id)
          }
          // An edit that went unfinished into the back/forward cache hung IndexedDB on the next page (WebKitGTK 2.50).
          objects.transaction.commit()
        }
      }),
  }
}

/**
 * The same in memory, gone with the page: where storage cannot be had, and in tests, whose tabs share one.
 * @param durable what every operation answers: whether the others are to believe that it is on disk
 */
export const createMemoryOutbox = (durable: boolean): Outbox => {
  const records = new Map<string, StoredRecord>()
  const put = async (added: StoredRecord[]): Promise<boolean> => {
    for (const record of added) records.set(record.event.id, record)
    return durable
  }

  return {
    put,
    edit: async (plan, extra) => {
      await put(extra.filter(({ event }) => !records.has(event.id)))
      for (const [id, record] of [...records].sort(([a], [b]) => (a < b ? -1 : 1))) {
        const planned = plan(record)
        if (planned) records.set(id, planned)
        else records.delete(id)
      }
      return durable
    },
  }
}
