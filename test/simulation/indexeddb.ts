/**
 * The part of IndexedDB that a tracker can use, with the ways in which it fails.
 *
 * Modelled after the specification (IndexedDB 3.0) and what Chromium does where it is silent:
 * - transactions over one database run one after the other, also across tabs; all requests of one before the next one starts;
 * - one is active in the task that created it and while a request's event is dispatched, microtasks included, and commits
 *   by itself when it has no request left; `commit()` ends it without waiting for events;
 * - what a page that dies had begun is dropped, but one whose `commit()` was called may or may not have reached the disk;
 * - values are copied in and out.
 * Invariant: the disk changes at a commit only, all of it at once.
 */
import type { Random } from './random.ts'
import { makeEvent, Target } from './target.ts'
import type { Time } from './time.ts'

/** What can be wrong with the disk, as long as it is. */
export type DiskFault =
  | 'open never settles'
  | 'open fails'
  | 'transaction() throws'
  | 'requests fail'
  | 'quota'
  | 'commit aborts'
  | 'stalled'
  | 'slow'
  | 'denied'

/** Where callbacks run: a page that may be frozen or gone. */
export interface Realm {
  readonly nth: number
  /** Runs a task of the page now, after the thaw where it is frozen, never where it is gone. */
  task(work: () => void): void
  isAlive(): boolean
  isFrozen(): boolean
}

export interface Disk {
  /** `indexedDB` for one page. */
  factory(realm: Realm): object
  /** Sets or ends (undefined) what is wrong; each operation is hit by the given chance. */
  break(fault: DiskFault | undefined, chance?: number): void
  fault(): DiskFault | undefined
  /** When the disk last worked without any fault from then on; in virtual time. `Infinity` while one lasts. */
  healthySince(): number
  /** Kills every connection, as WebKit does at times. */
  disconnect(withEvent: boolean): void
  /** The page is gone. */
  leave(realm: Realm): void
  /** Everything is deleted, as by the visitor; connections die with an event. */
  clear(): void
  /** Some other script deletes the databases: connections are asked to close, and those that do not block it for ever. */
  deleteAll(onGone: () => void): void
  /** Everything committed, of all databases and stores. */
  values(): unknown[]
  /** Pages whose transaction is under way although they are frozen, while another page's transaction waits. */
  blockers(): Realm[]
}

type Key = string

interface Store {
  readonly values: Map<Key, unknown>
}

interface Database {
  name: string
  version: number
  stores: Map<string, Store>
  queue: Transaction[]
  connections: Set<Connection>
}

/** A structured clone, for what a tracker stores. */
const clone = (value: unknown): unknown => {
  if (typeof value === 'function' || typeof value === 'symbol') throw new DOMException('could not be cloned', 'DataCloneError')
  if (Array.isArray(value)) return value.map(clone)
  if (value instanceof Date) return new Date(value)
  if (typeof value !== 'object' || value === null) return value
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value)) copy[key] = clone(Reflect.get(value, key))
  return copy
}

class Request extends Target {
  readyState: 'pending' | 'done' = 'pending'
  onsuccess: unknown = null
  onerror: unknown = null
  onupgradeneeded: unknown = null
  onblocked: unknown = null
  transaction: Transaction | null = null
  #result: unknown
  #error: DOMException | null = null

  get result(): unknown {
    if (this.readyState === 'pending') throw new DOMException('the request has not finished', 'InvalidStateError')
    return this.#result
  }

  get error(): DOMException | null {
    if (this.readyState === 'pending') throw new DOMException('the request has not finished', 'InvalidStateError')
    return this.#error
  }

  settle(result: unknown, error: DOMException | null = null): void {
    this.readyState = 'done'
    this.#result = result
    this.#error = error
  }
}

interface Operation {
  request: Request
  run(): unknown
  isPut: boolean
}

class Transaction extends Target {
  oncomplete: unknown = null
  onabort: unknown = null
  onerror: unknown = null
  error: DOMException | null = null
  state: 'waiting' | 'running' | 'committing' | 'finished' = 'waiting'
  activeIn: number
  isCommitted = false
  readonly operations: Operation[] = []
  readonly overlay = new Map<string, Map<Key, unknown>>()
  readonly cleared = new Set<string>()

  constructor(
    readonly db: Connection,
    readonly mode: string,
    readonly scope: string[],
    readonly engine: Engine,
  ) {
    super()
    this.activeIn = engine.time.step()
  }

  get durability(): string {
    return 'relaxed'
  }

  get objectStoreNames(): string[] {
    return this.scope
  }

  objectStore(name: string): ObjectStore {
    if (this.state === 'finished') throw new DOMException('the transaction has finished', 'InvalidStateError')
    if (!this.scope.includes(name)) throw new DOMException(`no object store ${name}`, 'NotFoundError')
    return new ObjectStore(this, name)
  }

  commit(): void {
    this.check()
    this.isCommitted = true
  }

  abort(): void {
    if (this.state === 'finished' || this.isCommitted) throw new DOMException('the transaction has finished', 'InvalidStateError')
    this.engine.abort(this, null)
  }

  check(): void {
    const isActive = this.activeIn === this.engine.time.step() && !this.isCommitted && this.state !== 'finished'
    if (!isActive) throw new DOMException('the transaction is not active', 'TransactionInactiveError')
  }

  /** What this transaction sees. */
  view(store: string): Map<Key, unknown> {
    const base = this.db.database.stores.get(store)?.values
    const seen = new Map(this.cleared.has(store) ? [] : base)
    for (const [key, value] of this.overlay.get(store) ?? []) {
      if (value === undefined) seen.delete(key)
      else seen.set(key, value)
    }
    return new Map([...seen].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  write(store: string, key: Key, value: unknown): void {
    const layer = this.overlay.get(store) ?? new Map<Key, unknown>()
    this.overlay.set(store, layer.set(key, value))
  }
}

class ObjectStore {
  constructor(
    readonly transaction: Transaction,
    readonly name: string,
  ) {}

  #ask(run: () => unknown, isPut = false): Request {
    this.transaction.check()
    const request = new Request()
    request.transaction = this.transaction
    this.transaction.operations.push({ request, run, isPut })
    this.transaction.engine.wake(this.transaction)
    return request
  }

  #mayWrite(): void {
    this.transaction.check()
    if (this.transaction.mode === 'readonly') throw new DOMException('the transaction is read-only', 'ReadOnlyError')
  }

  put(value: unknown, key: Key): Request {
    this.#mayWrite()
    const copy = clone(value)
    return this.#ask(() => {
      this.transaction.write(this.name, key, copy)
      return key
    }, true)
  }

  add(value: unknown, key: Key): Request {
    this.#mayWrite()
    const copy = clone(value)
    return this.#ask(() => {
      if (this.transaction.view(this.name).has(key)) throw new DOMException('the key exists', 'ConstraintError')
      this.transaction.write(this.name, key, copy)
      return key
    }, true)
  }

  delete(key: Key): Request {
    this.#mayWrite()
    return this.#ask(() => this.transaction.write(this.name, key, undefined))
  }

  clear(): Request {
    this.#mayWrite()
    return this.#ask(() => {
      this.transaction.overlay.delete(this.name)
      this.transaction.cleared.add(this.name)
    })
  }

  get(key: Key): Request {
    return this.#ask(() => clone(this.transaction.view(this.name).get(key)))
  }

  getAll(_query?: unknown, count = Infinity): Request {
    return this.#ask(() => [...this.transaction.view(this.name).values()].slice(0, count).map(clone))
  }

  getAllKeys(_query?: unknown, count = Infinity): Request {
    return this.#ask(() => [...this.transaction.view(this.name).keys()].slice(0, count))
  }

  count(): Request {
    return this.#ask(() => this.transaction.view(this.name).size)
  }
}

class Connection extends Target {
  onversionchange: unknown = null
  onclose: unknown = null
  onabort: unknown = null
  onerror: unknown = null
  isClosed = false
  isDead = false
  upgrade: Transaction | undefined

  constructor(
    readonly database: Database,
    readonly realm: Realm,
    readonly engine: Engine,
  ) {
    super()
  }

  get name(): string {
    return this.database.name
  }

  get version(): number {
    return this.database.version
  }

  get objectStoreNames(): { contains(name: string): boolean; length: number } {
    const { stores } = this.database
    return { contains: (name) => stores.has(name), length: stores.size }
  }

  createObjectStore(name: string): ObjectStore {
    if (!this.upgrade) throw new DOMException('not in a version change', 'InvalidStateError')
    if (this.database.stores.has(name)) throw new DOMException('the store exists', 'ConstraintError')
    this.database.stores.set(name, { values: new Map() })
    this.upgrade.scope.push(name)
    return new ObjectStore(this.upgrade, name)
  }

  transaction(names: string | string[], mode = 'readonly'): Transaction {
    const { engine } = this
    if (this.isClosed || this.isDead || this.upgrade || engine.hits('transaction() throws')) {
      throw new DOMException('the database connection is closing', 'InvalidStateError')
    }
    const scope = [names].flat()
    const missing = scope.find((name) => !this.database.stores.has(name))
    if (missing !== undefined) throw new DOMException(`no object store ${missing}`, 'NotFoundError')
    const transaction = new Transaction(this, mode, scope, engine)
    this.database.queue.push(transaction)
    engine.wake(transaction)
    return transaction
  }

  close(): void {
    this.isClosed = true
    this.database.connections.delete(this)
  }
}

/** Milliseconds that things take on a healthy disk; the slow one takes a thousand times as long. */
const OPEN_MS = [1, 8] as const
const START_MS = [0.2, 1.5] as const
const COMMIT_MS = [0.5, 4] as const
const SLOW = 1_000

class Engine {
  readonly databases = new Map<string, Database>()
  fault: DiskFault | undefined
  chance = 1
  healthySince = 0

  constructor(
    readonly time: Time,
    readonly random: Random,
    readonly log: (text: () => string) => void,
  ) {}

  hits(fault: DiskFault): boolean {
    return this.fault === fault && this.random.chance(this.chance)
  }

  takes([least, most]: readonly [number, number]): number {
    return (least + (most - least) * this.random.next()) * (this.hits('slow') ? SLOW : 1)
  }

  open(realm: Realm, name: string, version = 1): Request {
    const request = new Request()
    if (this.hits('open never settles')) return request
    this.time.after(this.takes(OPEN_MS), () => {
      if (!realm.isAlive()) return
      if (this.hits('open fails')) {
        request.settle(undefined, new DOMException('internal error opening the database', 'UnknownError'))
        return realm.task(() => request.emit(makeEvent('error', request)))
      }
      const database: Database = this.databases.get(name) ?? { name, version: 0, stores: new Map(), queue: [], connections: new Set() }
      this.databases.set(name, database)
      const connection = new Connection(database, realm, this)
      if (database.version > version) {
        request.settle(undefined, new DOMException('the version is lower', 'VersionError'))
        return realm.task(() => request.emit(makeEvent('error', request)))
      }
      database.connections.add(connection)
      request.settle(connection)
      if (database.version === version) return realm.task(() => request.emit(makeEvent('success', request)))
      // One version, and a handler that only creates stores: no transaction is needed to be true here.
      realm.task(() => {
        if (database.version < version) {
          connection.upgrade = new Transaction(connection, 'versionchange', [], this)
          request.emit(makeEvent('upgradeneeded', request))
          connection.upgrade = undefined
          database.version = version
        }
        realm.task(() => request.emit(makeEvent('success', request)))
      })
    })
    return request
  }

  wake(transaction: Transaction): void {
    const { queue } = transaction.db.database
    if (queue[0] !== transaction || transaction.state !== 'waiting') return
    transaction.state = 'running'
    this.time.after(this.takes(START_MS), () => this.advance(transaction))
  }

  /** Runs requests until one has somebody who wants to know, or none is left. */
  advance(transaction: Transaction): void {
    if (transaction.state !== 'running') return
    if (this.fault === 'stalled') {
      this.time.after(250, () => this.advance(transaction))
      return
    }
    for (;;) {
      const operation = transaction.operations.shift()
      if (!operation) return this.commit(transaction)
      const { request, run, isPut } = operation
      const failure = this.hits('requests fail')
        ? new DOMException('internal error', 'UnknownError')
        : isPut && this.hits('quota')
          ? new DOMException('quota exceeded', 'QuotaExceededError')
          : undefined
      if (failure) {
        transaction.db.realm.task(() => {
          request.settle(undefined, failure)
          request.emit(makeEvent('error', request))
          transaction.emit(makeEvent('error', request))
          this.abort(transaction, failure)
        })
        if (!transaction.db.realm.isAlive()) this.drop(transaction)
        return
      }
      const result = run()
      if (!request.has('success') || !transaction.db.realm.isAlive()) {
        request.settle(result)
        continue
      }
      return transaction.db.realm.task(() => {
        if (transaction.state !== 'running') return
        transaction.activeIn = this.time.step()
        request.settle(result)
        request.emit(makeEvent('success', request))
        this.time.after(0, () => this.advance(transaction))
      })
    }
  }

  commit(transaction: Transaction): void {
    transaction.state = 'committing'
    this.time.after(this.takes(COMMIT_MS), () => {
      if (transaction.state !== 'committing') return
      if (this.hits('commit aborts')) return this.abort(transaction, new DOMException('quota exceeded', 'QuotaExceededError'))
      const { database, realm } = transaction.db
      for (const name of transaction.scope) {
        const store = database.stores.get(name)
        if (transaction.cleared.has(name)) store?.values.clear()
        for (const [key, value] of transaction.overlay.get(name) ?? []) {
          if (value === undefined) store?.values.delete(key)
          else store?.values.set(key, value)
        }
      }
      this.log(() => `page ${realm.nth} committed ${[...transaction.overlay.values()].reduce((sum, layer) => sum + layer.size, 0)} writes`)
      this.drop(transaction)
      realm.task(() => transaction.emit(makeEvent('complete', transaction)))
    })
  }

  abort(transaction: Transaction, error: DOMException | null): void {
    if (transaction.state === 'finished') return
    this.log(() => `page ${transaction.db.realm.nth} aborted: ${error?.message ?? 'by itself'}`)
    this.drop(transaction)
    transaction.error = error
    transaction.db.realm.task(() => {
      for (const { request } of transaction.operations) {
        if (request.readyState === 'done') continue
        request.settle(undefined, new DOMException('the transaction was aborted', 'AbortError'))
        request.emit(makeEvent('error', request))
      }
      transaction.emit(makeEvent('abort', transaction))
    })
  }

  /** Takes it out of the way of the others. */
  drop(transaction: Transaction): void {
    transaction.state = 'finished'
    const { queue } = transaction.db.database
    const at = queue.indexOf(transaction)
    if (at >= 0) queue.splice(at, 1)
    // The next one may have no request yet: then it is still in the task that created it, and wakes itself.
    if (queue[0]) this.wake(queue[0])
  }

  disconnect(connections: Iterable<Connection>, withEvent: boolean): void {
    for (const connection of [...connections]) {
      connection.isDead = true
      connection.database.connections.delete(connection)
      for (const transaction of connection.database.queue.filter(({ db }) => db === connection)) {
        this.abort(transaction, new DOMException('the connection was lost', 'AbortError'))
      }
      if (withEvent) connection.realm.task(() => connection.emit(makeEvent('close', connection)))
    }
  }
}

export const createDisk = (time: Time, random: Random, log: (text: () => string) => void): Disk => {
  const engine = new Engine(time, random, log)
  const connections = (): Connection[] => [...engine.databases.values()].flatMap((database) => [...database.connections])
  const transactions = (): Transaction[] => [...engine.databases.values()].flatMap((database) => database.queue)

  return {
    factory: (realm) => ({
      open: (name: string, version?: number) => {
        if (engine.fault === 'denied') throw new DOMException('IndexedDB is denied', 'SecurityError')
        return engine.open(realm, name, version)
      },
      deleteDatabase: (name: string) => {
        const request = new Request()
        time.after(1, () => {
          engine.databases.delete(name)
          request.settle(undefined)
          realm.task(() => request.emit(makeEvent('success', request)))
        })
        return request
      },
      cmp: (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0),
    }),
    break: (fault, chance = 1) => {
      engine.fault = fault
      engine.chance = chance
      engine.healthySince = fault ? Infinity : time.now()
    },
    fault: () => engine.fault,
    healthySince: () => engine.healthySince,
    disconnect: (withEvent) => {
      engine.disconnect(connections(), withEvent)
      engine.healthySince = Math.max(engine.healthySince, time.now())
    },
    leave: (realm) => {
      for (const transaction of transactions().filter(({ db }) => db.realm === realm)) {
        const isOnItsWay = transaction.isCommitted || transaction.state === 'committing'
        if (!(isOnItsWay && random.chance(0.5))) engine.drop(transaction)
        else if (transaction.state === 'running') time.after(0.1, () => engine.advance(transaction))
      }
      for (const connection of connections()) if (connection.realm === realm) connection.close()
    },
    clear: () => {
      const lost = connections()
      engine.disconnect(lost, true)
      engine.databases.clear()
      engine.healthySince = Math.max(engine.healthySince, time.now())
    },
    deleteAll: (onGone) => {
      for (const connection of connections()) connection.realm.task(() => connection.emit(makeEvent('versionchange', connection)))
      const waitForAll = (name: string, database: Database): void => {
        if (database.connections.size || database.queue.length) return void time.after(50, () => waitForAll(name, database))
        if (engine.databases.get(name) !== database) return
        engine.databases.delete(name)
        onGone()
      }
      for (const [name, database] of engine.databases) time.after(5, () => waitForAll(name, database))
      engine.healthySince = Math.max(engine.healthySince, time.now())
    },
    values: () => [...engine.databases.values()].flatMap(({ stores }) => [...stores.values()].flatMap(({ values }) => [...values.values()])),
    blockers: () =>
      transactions()
        .filter(({ db, state }) => state === 'running' && db.realm.isFrozen())
        .filter(({ db }) => db.database.queue.some((other) => other.db.realm !== db.realm))
        .map(({ db }) => db.realm),
  }
}
