/** What a spool is compared with: on each engine its `put`, and the least that keeps the same bytes as safe. Bundled by spool.mjs. */
import { createClient } from '@redis/client'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PristoEvent } from '../../src/contract.ts'
import { openSpool } from '../../src/relay/spool.ts'
import { hasRedis, startRedis } from '../support/redis.ts'
import { DatabaseSync } from '../support/sqlite.ts'
import { NO_TAG, startWorkerd } from '../support/workerd.ts'

/** Events that are taken together, and their JSON. */
export interface Batch {
  events: PristoEvent[]
  bodies: string[]
}

/** Somewhere to write, empty at first. */
export interface Writer {
  /** Resolves once the batch is on the disk. */
  write(batch: Batch): Promise<void>
  /** Ends it, and deletes what was written. */
  close(): Promise<void>
}

/** An engine, and both ways to write with it. */
export interface Engine {
  name: string
  /** As the command knows it. */
  key: string
  /** What lacks on this machine, where something does. */
  lacks?: string
  /** What `bare` does. */
  about: string
  spool(): Promise<Writer>
  bare(): Promise<Writer>
}

const spoolAt = async (place: string, remove: () => Promise<void> | void): Promise<Writer> => {
  const spool = await openSpool(place)
  return {
    write: async ({ events }) => {
      const answer = await spool.put(events)
      if (answer !== 'accepted') throw new Error(`the spool is ${answer}`)
    },
    close: async () => {
      await spool.close()
      await remove()
    },
  }
}

const makeFolder = (): { path: string; remove: () => void } => {
  const folder = mkdtempSync(join(tmpdir(), 'pristo-bench-'))
  return { path: join(folder, 'store'), remove: () => rmSync(folder, { recursive: true, maxRetries: 5 }) }
}

const sqlite: Engine = {
  name: 'SQLite',
  key: 'sqlite',
  about: 'one prepared insert an event into a table of one column, one commit a batch, `synchronous=FULL`, write-ahead log',
  spool: async () => {
    const { path, remove } = makeFolder()
    return spoolAt(`sqlite:${path}`, remove)
  },
  bare: async () => {
    const { path, remove } = makeFolder()
    const database = new DatabaseSync(path)
    database.exec('pragma journal_mode = wal; pragma synchronous = full; create table events (seq integer primary key, body text not null)')
    const insert = database.prepare('insert into events (body) values (?)')
    return {
      write: async ({ bodies }) => {
        database.exec('begin immediate')
        for (const body of bodies) insert.run(body)
        database.exec('commit')
      },
      close: async () => {
        database.close()
        remove()
      },
    }
  },
}

const redis: Engine = {
  name: 'Redis',
  key: 'redis',
  ...(!hasRedis && { lacks: 'no redis-server' }),
  about: 'one `XADD` an event to one stream, those of a batch sent together, `appendfsync always`, the same client',
  spool: async () => {
    const server = await startRedis()
    return spoolAt(server.url, server.remove)
  },
  bare: async () => {
    const server = await startRedis()
    const client = createClient({ url: server.url })
    await client.connect()
    return {
      write: async ({ bodies }) => {
        await Promise.all(bodies.map((body) => client.sendCommand(['XADD', 'events', '*', 'body', body])))
      },
      close: async () => {
        await client.close()
        await server.remove()
      },
    }
  },
}

/** One object behind a Worker, which is asked over HTTP both ways. */
const startObjects = async (path: string, pick: (batch: Batch) => unknown): Promise<Writer> => {
  const durableObjects = { SPOOL: { className: 'SpoolObject', useSQLite: true }, BARE: { className: 'BareObject', useSQLite: true } }
  const folder = makeFolder()
  const code = "export { SpoolObject, BareObject, default } from './test/bench/worker.spool.ts'"
  const worker = await startWorkerd(code, NO_TAG, { durableObjects, durableObjectsPersist: folder.path })
  return {
    write: async (batch) => {
      const response = await fetch(worker.directUrl + path, { method: 'POST', body: JSON.stringify(pick(batch)) })
      const answer = await response.text()
      if (answer !== 'accepted') throw new Error(`the object says ${answer}`)
    },
    close: async () => {
      await worker.close()
      folder.remove()
    },
  }
}

const objects: Engine = {
  name: 'Durable Objects',
  key: 'objects',
  about: 'one insert an event into one Durable Object, one transaction a batch, behind the same Worker in workerd; the way to it, HTTP on this machine, is a part of both',
  spool: () => startObjects('/spool', ({ events }) => events),
  bare: () => startObjects('/bare', ({ bodies }) => bodies),
}

export const engines: readonly Engine[] = [sqlite, redis, objects]
