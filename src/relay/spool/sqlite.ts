/**
 * A spool in a file of SQLite, for the relays of one machine.
 * Invariant: a promise resolves only after its transaction is on the disk (write-ahead log, `synchronous=FULL`); what is asked in one turn of the
 * event loop shares one transaction, and one that fails takes nothing of the others with it.
 */
import { accessSync, closeSync, constants, existsSync, openSync, statfsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { PristoEvent } from '../../contract.ts'
import { createSqlSpool, migrate, type Query, type Value } from './sql.ts'
import { checkMaxBytes, MAX_BYTES, NoSpoolError, portionsOf, SpoolError, type Claim, type Reason, type Selection, type Spool } from './spool.ts'

/** Options of a spool. */
export interface SpoolOptions {
  /** Most bytes of JSON that it keeps, buried events included; then `put` answers `full`. Default 1 GiB. */
  maxBytes?: number
  /** Make the spool where there is none. Default true; with false it rejects. */
  create?: boolean
  /** Milliseconds since 1970. Default `Date.now`. */
  now?: () => number
}

/** How long another process may hold the file, milliseconds: a transaction takes a few. */
const BUSY_MS = 5_000

/** SQLite's code for that (SQLITE_BUSY). */
const BUSY = 5

/**
 * What `put` leaves of the disk, for writing down what becomes of events: else a disk that is full of them could never be emptied. SQLite folds its
 * log in at 4 MB, and its file may have to grow by as much.
 */
const RESERVE_BYTES = 16 * 2 ** 20

/** How many buried events one transaction moves: another process waited 0.65 s at the most while 15 000 were replayed (measured 2026-11). */
const DEAD_AT_ONCE = 1_000

/** Between two of them: who waits for the file only looks now and then (https://sqlite.org/src/file/src/main.c, `sqliteDefaultBusyCallback`: every 1 to 25 ms at first). */
const GAP_MS = 25

/** The file holds personal data: nobody but its owner reads it. */
const MODE = 0o600

/** https://sqlite.org/rescode.html: the low byte of an extended code. */
const SAYINGS: Readonly<Record<number, string>> = {
  5: 'is held by another process',
  8: 'cannot write: its file, or the folder of it, is read-only',
  10: 'cannot read or write its file: the disk fails',
  11: 'is damaged: its file is no sound database any more. Move it away, and restore what can be had with the sqlite3 command .recover',
  13: 'cannot write: the disk is full',
  14: 'cannot open its file: the folder must exist and be writable',
  26: 'is damaged: its file is no database. Move it away',
}

/** SQLite's own words for these: errors of `all` have no code in `@photostructure/sqlite` 1.2. */
const WORDS: Readonly<Record<string, number | undefined>> = {
  'database is locked': 5,
  'attempt to write a readonly database': 8,
  'disk I/O error': 10,
  'database disk image is malformed': 11,
  'database or disk is full': 13,
  'unable to open database file': 14,
  'file is not a database': 26,
}

const codeOf = (error: unknown): number | undefined => {
  const { errcode, message } = Object(error)
  return typeof errcode === 'number' ? errcode & 0xff : WORDS[String(message)]
}

/** `EACCES` and the like, of making the file. */
const FAILURES: Readonly<Record<string, string | undefined>> = { ENOENT: SAYINGS[14], EACCES: SAYINGS[14], EROFS: SAYINGS[8], ENOSPC: SAYINGS[13], EISDIR: 'cannot open its file: it is a folder' }

const explain = (error: unknown): SpoolError => {
  if (error instanceof SpoolError) return error
  const saying = SAYINGS[codeOf(error) ?? 0] ?? FAILURES[String(Object(error).code)]
  return new SpoolError(saying ?? `failed: ${error instanceof Error ? error.message : String(error)}`, error)
}

/** The part of `node:sqlite` that is needed here; `@photostructure/sqlite` has the same for Node 20. */
interface Database {
  exec(sql: string): void
  prepare(sql: string): { all(...values: Value[]): unknown[] }
  close(): void
}

interface Library {
  DatabaseSync: new (path: string) => Database
}

/** Node's own SQLite (from 22.13), else the same as a package with binaries for all platforms. */
const load = async (): Promise<Library> => {
  for (const name of ['node:sqlite', '@photostructure/sqlite']) {
    const library: unknown = await import(name).catch(() => undefined) // absent: the next one, or the line below
    if (typeof Object(library).DatabaseSync === 'function') return Object(library)
  }
  throw new SpoolError(`needs SQLite, which came with Node 22.13; this is ${process.version}. Install one: npm install @photostructure/sqlite@1`)
}

/** A database in which nothing is lost with the power; rejects where the file is not sound. */
const open = async (path: string, create: boolean): Promise<Database> => {
  const { DatabaseSync } = await load()
  if (!create && !existsSync(path)) {
    accessSync(dirname(path), constants.W_OK) // else nothing could make it either
    throw new NoSpoolError()
  }
  closeSync(openSync(path, 'a', MODE))
  const database = new DatabaseSync(path)
  try {
    database.exec(`pragma busy_timeout = ${BUSY_MS}; pragma journal_mode = wal; pragma synchronous = full`)
    const [found] = database.prepare('pragma quick_check(1)').all()
    if (Object(found).quick_check !== 'ok') throw Object.assign(new Error('quick_check'), { errcode: 11 })
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** Leaves one file, where that can be done: `@photostructure/sqlite` 1.2 does not at its close, as long as statements are about. */
const foldIn = (database: Database): void => {
  try {
    database.exec('pragma wal_checkpoint(truncate)')
  } catch {
    // the log stays, with all that is in it
  }
}

/** Each statement is compiled once. */
const createQuery = (database: Database): Query => {
  const statements = new Map<string, ReturnType<Database['prepare']>>()
  return (sql, ...values) => {
    const statement = statements.get(sql) ?? database.prepare(sql)
    statements.set(sql, statement)
    return statement.all(...values) as Record<string, unknown>[] // rows are objects: nothing here asks for arrays
  }
}

interface Job {
  work: () => unknown
  resolve: (value: unknown) => void
  reject: (error: SpoolError) => void
}

/** Throws where a file is not what it was at first: SQLite would go on writing into one that no name leads to any more. */
const createCheck = (path: string): (() => void) => {
  const known = new Map<string, string>()
  return () => {
    for (const file of [path, `${path}-wal`]) {
      const there = statSync(file, { throwIfNoEntry: false })
      const is = there ? `${there.dev} ${there.ino}` : 'nothing'
      const was = known.get(file) ?? is
      if (is !== was) throw new SpoolError('has lost its file: it was moved or deleted. Start the relay again')
      if (there) known.set(file, is)
    }
  }
}

/** Throws where events would take of the disk what is kept back: pages that are free within the file and the log's own are as good as the disk's. */
const createRoomCheck = (path: string, query: Query): (() => void) => {
  const innerBytes = (): number => {
    const [pages] = query('select freelist_count * page_size as bytes from pragma_freelist_count, pragma_page_size')
    return Number(pages?.['bytes']) + (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0)
  }
  return () => {
    const { blocks, bavail, bsize } = statfsSync(path)
    const isLow = blocks > 0 && bavail * bsize < RESERVE_BYTES // a file system that does not say has none
    if (isLow && bavail * bsize + innerBytes() < RESERVE_BYTES) throw new SpoolError(`takes nothing more: its disk has less than ${RESERVE_BYTES / 2 ** 20} MB left`)
  }
}

const isDamage = (error: unknown): boolean => [11, 26].includes(codeOf(error) ?? 0)

/**
 * Runs work within transactions: all that was asked for in one turn of the event loop in one. `check` throws where a commit would save nothing.
 * What was found damaged stays so until the file is opened, and looked through, anew: what is still readable of it must not be added to.
 */
const createTransactions = (database: Database, check: () => void) => {
  let waiting: Job[] = []
  let damage: unknown

  const commit = (jobs: readonly Job[]): unknown[] => {
    if (damage) throw damage
    check()
    database.exec('begin immediate')
    try {
      const values = jobs.map(({ work }) => work())
      database.exec('commit')
      check() // else what was deleted meanwhile would count as safe
      return values
    } catch (error) {
      if (isDamage(error)) damage = error
      try {
        database.exec('rollback')
      } catch {
        // SQLite has done so itself, as it does where the disk is full: https://sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction
      }
      throw error
    }
  }

  const runOne = (job: Job): void => {
    try {
      const [value] = commit([job])
      job.resolve(value)
    } catch (error) {
      job.reject(explain(error))
    }
  }

  const run = (): void => {
    const jobs = waiting
    waiting = []
    if (jobs.length === 1) return jobs.forEach(runOne)
    try {
      const values = commit(jobs)
      jobs.forEach(({ resolve }, place) => resolve(values[place]))
    } catch (error) {
      if (codeOf(error) !== BUSY) return jobs.forEach(runOne) // one of them may be at fault
      jobs.forEach(({ reject }) => reject(explain(error))) // none is, and each would hold up the process for as long again
    }
  }

  return <T>(work: () => T): Promise<T> =>
    new Promise<unknown>((resolve, reject) => {
      if (!waiting.length) setImmediate(run)
      waiting.push({ work, resolve, reject })
    }) as Promise<T> // `commit` gives each job what its own work gave
}

/**
 * Opens a spool in a file, which is made where there is none (its folder must exist); several processes of one machine may share it.
 * Rejects with one line where there is no SQLite, or where the file cannot be used or is damaged.
 */
export const openSqliteSpool = async (place: string, { maxBytes = MAX_BYTES, create = true, now = Date.now }: SpoolOptions = {}): Promise<Spool> => {
  checkMaxBytes(maxBytes)
  try {
    const path = resolve(place) // SQLite would keep `:memory:`, and a URI such as file:a?mode=memory, in memory alone
    const database = await open(path, create)
    const query = createQuery(database)
    const checkRoom = createRoomCheck(path, query)
    const transact = createTransactions(database, createCheck(path))
    const spool = createSqlSpool({ query, now, maxBytes })
    await transact(() => migrate(query)).catch((error: unknown) => {
      database.close()
      throw error
    })
    /** A transaction for each: a million of them in one would keep relays from the file for half a minute. What rejects midway has done some. */
    const inPortions = async (which: Selection, work: (chosen: readonly number[]) => number): Promise<number> => {
      const all = await transact(() => spool.selectDead(which))
      let total = 0
      for (const [nth, portion] of portionsOf(all, DEAD_AT_ONCE).entries()) {
        if (nth) await setTimeout(GAP_MS)
        total += await transact(() => work(portion))
      }
      return total
    }
    let closed: Promise<void> | undefined
    const close = async (): Promise<void> => {
      await transact(() => undefined).catch(() => undefined) // after what was asked before, whose askers know how it went
      foldIn(database)
      database.close()
    }
    return {
      put: (events: readonly PristoEvent[]) =>
        transact(() => {
          checkRoom()
          return spool.put(events)
        }),
      claim: (most: number) => transact(() => spool.claim(most)),
      settle: (claim: Claim) => transact(() => spool.settle(claim)),
      retry: (claim: Claim, delayMs: number) => transact(() => spool.retry(claim, delayMs)),
      bury: (claim: Claim, reason: Reason) => transact(() => spool.bury(claim, reason)),
      stats: () => transact(spool.stats),
      dead: {
        list: (most: number) => transact(() => spool.list(most)),
        replay: (which: Selection) => inPortions(which, spool.replay),
        drop: (which: Selection) => inPortions(which, spool.drop),
      },
      close: () => (closed ??= close()),
    }
  } catch (error) {
    throw explain(error)
  }
}
