/**
 * The durable queue: one IndexedDB key per event.
 * Invariant: `due` is the time before which nobody but the tab that wrote it may send a record, so that tabs agree on nothing but time.
 */
import { promisifyRequest } from 'idb-keyval'
import type { Visitor } from './contact.ts'
import type { TrackedEvent } from './event.ts'

/** An event and when it may be sent. */
export interface StoredRecord {
  event: TrackedEvent
  /** Milliseconds since the epoch. */
  due: number
  /** When it was made, on the scale of {@link import('./contact.ts').Visitor.rev}. */
  epoch: number
  /** Refused for want of an email or a phone: waits for an `identify()` that brings one. */
  parked?: boolean
}

/** What is in the store. */
export type Stored = StoredRecord | Visitor

/** What to write under which keys; `undefined` removes. */
export type Writes = Iterable<[key: string, value: Stored | undefined]>

/** What to write in the face of everything that is stored. */
export type Plan = (stored: Stored[]) => Writes

/**
 * Where events wait. No method rejects. `true`: it is on disk; `false`: it is not. What is passed in is called inside the
 * transaction, which may be twice, and may be long after the answer where the disk was too slow for it. `undefined`: nothing
 * may be stored or read now.
 */
export interface Outbox {
  put(writes: () => Writes): Promise<boolean | undefined>
  /** Carries out a plan as one transaction: two tabs never plan on the same state. */
  edit(plan: Plan): Promise<boolean | undefined>
  /** The page goes: nothing unfinished may go with it. */
  leave(): void
}

const NAME = 'pristo'
const STORE = 'events'

/** Longest wait for one storage operation, milliseconds. WebKit's `open()` has hung for ever (WebKit bug 226547). */
const LIMIT_MS = 3_000

/**
 * The queue in IndexedDB. An operation that fails or takes too long is tried once more on a fresh connection and then
 * answers `false`; the next one opens the database anew. Meanwhile the tab goes on with what it has in memory.
 *
 * Of idb-keyval only `promisifyRequest` is here: its verbs bring a default store of their own (150 bytes of brotli),
 * and none of them edits many records in one transaction.
 * @param idb asked for at each opening: where the browser denies it, it throws or gives nothing, and every operation fails until it is allowed
 * @param mayUse whether anything may be read or written
 */
export const createOutbox = (idb: () => IDBFactory, mayUse: () => boolean): Outbox => {
  let connection: Promise<IDBDatabase> | undefined
  const unfinished = new Set<IDBTransaction>()

  const connect = async (): Promise<IDBDatabase> => {
    const request = idb().open(NAME, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(STORE)
    const db = await promisifyRequest(request)
    // Another tab deletes or upgrades the database: out of its way. The next use opens it anew.
    db.onversionchange = () => db.close()
    return db
  }

  const attempt = async (work: (objects: IDBObjectStore) => void): Promise<unknown> => {
    const db = await (connection ??= connect())
    if (!mayUse()) throw NAME // the page went while it opened
    const transaction = db.transaction(STORE, 'readwrite')
    unfinished.add(transaction)
    work(transaction.objectStore(STORE))
    return promisifyRequest(transaction).finally(() => unfinished.delete(transaction))
  }

  const use = async (work: (objects: IDBObjectStore) => void): Promise<boolean | undefined> => {
    let isDone: boolean | undefined
    for (let tries = 2; !isDone && tries-- && mayUse(); ) {
      try {
        await Promise.race([attempt(work), new Promise((_, reject) => setTimeout(reject, LIMIT_MS))])
        isDone = true
      } catch {
        isDone = mayUse() ? false : undefined
        connection = undefined // denied, or dead with or without a `close` event
      }
    }
    return isDone
  }

  const write = (objects: IDBObjectStore, writes: Writes): void => {
    for (const [key, value] of writes) value ? objects.put(value, key) : objects.delete(key)
    // Without waiting for the success events: a page that navigates at once may never see them.
    objects.transaction.commit()
  }

  return {
    put: (writes) => use((objects) => write(objects, writes())),
    edit: (plan) =>
      use((objects) => {
        const all: IDBRequest<Stored[]> = objects.getAll()
        all.onsuccess = () => write(objects, plan(all.result))
      }),
    leave: () => {
      for (const transaction of unfinished) {
        try {
          // An edit that went unfinished into the back/forward cache hung IndexedDB on the next page (WebKitGTK 2.50).
          transaction.abort()
        } catch {
          // It commits: nothing can stop it any more, nor need.
        }
      }
    },
  }
}
